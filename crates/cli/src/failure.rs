//! What people see when something was not done: what, why, and what to do next.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use crate::output::clean;

/// Ends the program: `error: …`, `hint: …`, an exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    what: String,
    hint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Exit code 1: it was not done. Refused, not there, not reached, nobody logged in.
    Failed,
    /// Exit code 2: the command makes no sense as it was written, and nobody was asked anything.
    WrongUse,
    /// Whoever read our output has gone: no failure, and nobody to tell.
    NobodyReads,
}

// === impl Failure ===

impl Failure {
    /// Something could not be done.
    pub(crate) fn new(what: impl fmt::Display) -> Self {
        Self { kind: Kind::Failed, what: what.to_string(), hint: None }
    }

    /// `what`, and the whole chain of its reasons.
    pub(crate) fn from_error(what: impl fmt::Display, error: &dyn Error) -> Self {
        Self::new(format!("{what}: {}", chain(error)))
    }

    pub(crate) fn wrong_use(what: impl fmt::Display) -> Self {
        Self { kind: Kind::WrongUse, ..Self::new(what) }
    }

    pub(crate) fn nobody_reads() -> Self {
        Self { kind: Kind::NobodyReads, ..Self::new("") }
    }

    #[must_use]
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same, with what could not be done before it.
    #[must_use]
    pub(crate) fn about(self, what: impl fmt::Display) -> Self {
        Self { what: format!("{what}: {}", self.what), ..self }
    }

    /// Whether anybody must be told.
    pub(crate) fn matters(&self) -> bool {
        self.kind != Kind::NobodyReads
    }

    /// The same, of a command that makes sense.
    #[must_use]
    pub(crate) fn failed(self) -> Self {
        Self { kind: Kind::Failed, ..self }
    }

    /// Says it on standard error.
    pub(crate) fn report(&self) -> ExitCode {
        if self.matters() {
            eprintln!("error: {}", lines(self.what.trim_end()));
        }
        if let Some(hint) = &self.hint {
            eprintln!("hint: {}", lines(hint));
        }
        ExitCode::from(match self.kind {
            Kind::Failed => 1,
            Kind::WrongUse => 2,
            Kind::NobodyReads => 0,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// The words of others may be among ours: none of them steers the terminal.
fn lines(text: &str) -> String {
    text.split('\n').map(clean).collect::<Vec<_>>().join("\n")
}

/// An error and its sources in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let reason = error.to_string();
        // A transparent error shows its source's words already.
        if !text.ends_with(&reason) {
            text = format!("{text}: {reason}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn no_failure_steers_the_terminal() {
        assert_eq!(lines("web: \u{1b}[2Jgone\n 3 | x\ty\r"), "web: \u{fffd}[2Jgone\n 3 | x\ty\u{fffd}");
    }

    #[test]
    fn a_failure_says_why() {
        let error = Outer(std::io::Error::other("inner"));
        assert_eq!(Failure::from_error("it", &error).to_string(), "it: outer: inner");
    }
}
