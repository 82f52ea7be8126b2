//! Processes told apart for sure: a number alone may be somebody else's by now.

use std::fs;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

/// A process, by its number and when it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) pid: i32,
    /// In ticks since the machine was started.
    started: u64,
}

/// Between two looks whether somebody else's child has ended: it cannot be waited for.
const LOOK: Duration = Duration::from_millis(10);

// === impl Process ===

impl Process {
    /// The process that has this number now.
    pub(super) fn now(pid: i32) -> Option<Self> {
        started(pid).map(|started| Self { pid, started })
    }

    pub(super) fn lives(self) -> bool {
        started(self.pid) == Some(self.started)
    }

    pub(super) fn signal(self, signal: Signal) {
        if self.lives() {
            // It may have ended just now.
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// Ends it: gently, and after `grace` for sure.
    pub(super) async fn end(self, grace: Duration) {
        self.signal(Signal::SIGTERM);
        if !self.gone_within(grace).await {
            self.signal(Signal::SIGKILL);
            self.gone_within(Duration::from_secs(5)).await;
        }
    }

    async fn gone_within(self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.lives() {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(LOOK).await;
        }
        true
    }
}

/// Field 22 of `/proc/<pid>/stat`; none when there is no such process, or only what is left of one.
fn started(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_more_than_its_number() {
        let own = Process::now(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.lives());
        assert!(!Process { started: own.started + 1, ..own }.lives());
        assert!(Process::now(i32::MAX).is_none());
    }

    #[tokio::test]
    async fn a_process_is_ended() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::now(i32::try_from(child.id()).unwrap()).unwrap();
        process.end(Duration::from_secs(5)).await;
        assert!(!process.lives());
        child.wait().unwrap();
    }
}
