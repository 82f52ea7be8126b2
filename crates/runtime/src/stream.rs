//! Logs and exec: what flows while an instance runs.

use std::fmt;
use std::io;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use holm_model::time::Time;
use holm_model::tunnel::{ExecOut, LogLine, WindowSize};
use regex::bytes::{Regex, RegexBuilder};
use tokio::io::AsyncWrite;

use crate::error::RunError;

/// Which lines are wanted.
#[derive(Clone, Debug, Default)]
pub struct LogOptions {
    /// Only so many of the last lines that the rest takes; `None`: all that are kept.
    pub tail: Option<u64>,
    pub since: Option<Time>,
    /// Only lines before this time.
    pub until: Option<Time>,
    /// What the text contains; see [`pattern`].
    pub pattern: Option<Regex>,
    /// Only what the incarnation before the last one said.
    pub previous: bool,
    /// Go on with what comes: until the instance is removed, or (`container`) until it ends.
    pub follow: bool,
}

/// Lines, oldest first; read no faster than they are taken.
pub type LogLines = BoxStream<'static, io::Result<LogLine>>;

/// A running command. Dropping it ends the command with everything of its session: SIGHUP, a moment later
/// SIGKILL. (`container`: as far as this agent may signal the engine's processes.)
pub struct Exec {
    /// Closing it is the end of the command's input; a terminal has none, there it is a byte (Ctrl-D).
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    pub control: Box<dyn Control>,
    /// Ends with [`ExecOut::Exit`].
    pub output: BoxStream<'static, io::Result<ExecOut>>,
}

/// What reaches a running command beside its input.
pub trait Control: Send + Sync {
    /// Tells the terminal its size; nothing without one.
    ///
    /// # Errors
    /// Those of the kernel or the engine.
    fn resize(&self, size: WindowSize) -> BoxFuture<'_, io::Result<()>>;

    /// Sends a signal to the command's process group; nothing after its end.
    ///
    /// # Errors
    /// When there is no such signal, or the runtime cannot send one.
    fn signal(&self, number: i32) -> io::Result<()>;
}

impl fmt::Debug for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exec").finish_non_exhaustive()
    }
}

/// Bytes of a pattern, and of the machines that are made of it: whoever asks must not fill the node.
const PATTERN: usize = 1024;
const MACHINE: usize = 256 * 1024;

/// A regular expression that needs bounded memory, and time in proportion to what it reads.
///
/// # Errors
/// When it is none, or too large.
pub fn pattern(text: &str) -> Result<Regex, RunError> {
    let refuse = |reason: String| RunError::Pattern { pattern: text.chars().take(80).collect(), reason };
    if text.len() > PATTERN {
        return Err(refuse(format!("it has more than {PATTERN} bytes")));
    }
    let machine = RegexBuilder::new(text).size_limit(MACHINE).dfa_size_limit(MACHINE).nest_limit(50).build();
    machine.map_err(|error| refuse(error.to_string()))
}

// === impl LogOptions ===

impl LogOptions {
    /// Whether this line is wanted, as far as it tells by itself.
    pub(crate) fn takes(&self, line: &LogLine) -> bool {
        self.since.is_none_or(|since| line.at >= since)
            && self.until.is_none_or(|until| line.at < until)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(&line.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::tunnel::LogStream;

    #[test]
    fn lines_are_chosen_by_time_and_text() {
        let line = |at, text: &str| LogLine { at: Time(at), stream: LogStream::Stdout, text: text.into() };
        let (since, until) = (Some(Time(10)), Some(Time(20)));
        let options = LogOptions {
            since,
            until,
            pattern: Some(pattern("^err(or)?\\b").unwrap()),
            ..LogOptions::default()
        };
        assert!(options.takes(&line(10, "error 7")) && options.takes(&line(19, "err")));
        for other in [line(9, "err"), line(20, "err"), line(15, "no err"), line(15, "errors")] {
            assert!(!options.takes(&other), "{other:?}");
        }
    }

    #[test]
    fn a_pattern_cannot_cost_much() {
        for bad in ["(", "a{1000}{1000}", "(?:\\w{100}){100}", &"x".repeat(1025), &"(".repeat(100)] {
            assert!(matches!(pattern(bad), Err(RunError::Pattern { .. })), "{bad}");
        }
    }
}
