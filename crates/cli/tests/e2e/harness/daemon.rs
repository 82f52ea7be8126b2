//! One daemon: a child process with a log file and, for orchestrators, an address.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::command::{command, lines};
use super::{LIMIT, wait_for};

/// What is needed to start it, now or again.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) program: PathBuf,
    pub(crate) words: Vec<String>,
    pub(crate) log: PathBuf,
    pub(crate) namespace: Option<PathBuf>,
}

#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    lines: Receiver<String>,
}

/// What an orchestrator says when it can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) address: String,
    pub(crate) fingerprint: String,
}

// === impl Daemon ===

impl Daemon {
    pub(crate) fn start(plan: &Plan, token: Option<&str>) -> Self {
        let mut call = match &plan.namespace {
            None => command(&plan.program),
            Some(path) => {
                let mut enter = command("nsenter");
                enter.arg(format!("--net={}", path.display())).arg("--").arg(&plan.program);
                enter
            }
        };
        if let Some(token) = token {
            call.env("HOLM_TOKEN", token);
        }
        let log = File::options().create(true).append(true).open(&plan.log).expect("a log file");
        let mut child = call
            .args(&plan.words)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| panic!("{} does not start: {e}", plan.program.display()));
        let lines = lines(child.stdout.take().expect("a pipe"));
        Self { child, lines }
    }

    /// `None` when it ends instead.
    pub(crate) fn ready(&self) -> Option<Ready> {
        let (deadline, mut address) = (Instant::now() + LIMIT, String::new());
        loop {
            let line = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()?;
            if let Some(said) = line.strip_prefix("listening on https://") {
                said.clone_into(&mut address);
            } else if let Some((_, said)) = line.split_once("fingerprint of the sea ") {
                let fingerprint = said.rsplit(": ").next().unwrap_or_default().to_owned();
                return Some(Ready { address, fingerprint });
            }
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    /// Its exit code, once it has ended by itself or by a signal (-1).
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().expect("our own child").map(|status| status.code().unwrap_or(-1))
    }

    /// As a power cut does.
    pub(crate) fn kill(&mut self) {
        // Already ended, or ended now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// As a service manager does; fails unless it ends well.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        let code = wait_for("the daemon ends when it is told to", || self.ended());
        assert_eq!(code, 0, "a daemon that is stopped ends well");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("our own child");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last lines of a log, for people who look at a failure.
pub(crate) fn tail(log: &Path, most: usize) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(most)..].join("\n")
}
