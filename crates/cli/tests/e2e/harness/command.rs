//! One call of the command line.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;

use super::LIMIT;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_holm");

/// How a call ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    words: String,
}

/// A call that goes on; it is ended when it is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
}

/// Kills a call that does not end by itself: a test that hangs tells nothing.
#[derive(Debug)]
struct Watch(#[expect(dead_code, reason = "dropping it ends the watch")] Sender<()>);

impl Watch {
    fn over(child: &Child) -> Self {
        let (alive, gone) = channel();
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
        std::thread::spawn(move || {
            if gone.recv_timeout(LIMIT * 2) == Err(RecvTimeoutError::Timeout) {
                eprintln!("a call of the command line was killed after {:?}", LIMIT * 2);
                // Not waited for yet, so the number is still its own.
                let _ = kill(pid, Signal::SIGKILL);
            }
        });
        Self(alive)
    }
}

/// Nothing of the environment of whoever runs the tests.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("HOLM_")) {
        command.env_remove(key);
    }
    command.env_remove("XDG_CONFIG_HOME").stdin(Stdio::null());
    command
}

/// Runs `holm` without any orchestrator in its environment.
pub(crate) fn holm<S: AsRef<OsStr>>(words: &[S]) -> Ran {
    let mut call = command(PROGRAM);
    // Where nobody's orchestrator is.
    call.args(words).env("HOME", "/nonexistent");
    run(call, "")
}

pub(crate) fn run(mut call: Command, input: &str) -> Ran {
    let words = format!("{call:?}");
    if !input.is_empty() {
        call.stdin(Stdio::piped());
    }
    let mut child = call.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let typing = child.stdin.take().map(|mut stdin| {
        let input = input.to_owned();
        // A program that does not read it all has ended by then.
        std::thread::spawn(move || stdin.write_all(input.as_bytes()))
    });
    let watch = Watch::over(&child);
    let output = child.wait_with_output().expect("the program ends");
    drop(watch);
    drop(typing.map(std::thread::JoinHandle::join));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
        words,
    }
}

// === impl Ran ===

impl Ran {
    /// Fails unless the call has done what it was told.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code, 0, "{}\n{}{}", self.words, self.stdout, self.stderr);
        self
    }

    /// Fails unless the call ended with `code` and said `words`, in this order.
    #[track_caller]
    pub(crate) fn refused(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "{}\n{}{}", self.words, self.stdout, self.stderr);
        let mut rest = self.stderr.as_str();
        for word in words {
            let at = rest.find(word);
            let at = at.unwrap_or_else(|| panic!("{} does not say {word:?}:\n{}", self.words, self.stderr));
            rest = &rest[at + word.len()..];
        }
        self
    }

    #[track_caller]
    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{}: {e}\n{}", self.words, self.stdout))
    }

    /// The one line that was printed.
    pub(crate) fn line(&self) -> &str {
        self.stdout.trim()
    }
}

// === impl Running ===

impl Running {
    pub(crate) fn start(mut call: Command) -> Self {
        let mut child =
            call.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program starts");
        let lines = lines(child.stdout.take().expect("a pipe"));
        Self { child, lines }
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// Waits until it ends by itself; its exit code.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> i32 {
        let ended = || self.child.try_wait().expect("a child of ours");
        super::wait_for("the call ends", ended).code().unwrap_or(-1)
    }

    /// The next line that `wanted` holds for; others are passed over.
    #[track_caller]
    pub(crate) fn line(&self, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = std::time::Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            let line = self.lines.recv_timeout(left).expect("the line comes");
            if wanted(&line) {
                return line;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended, or ended now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines for as long as there are any, whether or not somebody wants them.
pub(crate) fn lines(from: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            // Read on without a receiver: nobody may be stopped by a full pipe.
            let _ = sender.send(line);
        }
    });
    receiver
}
