//! What a driver says by itself, and what it finds after a restart of the agent.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use holm_model::id::AssignmentId;
use holm_model::name::Name;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::launch::PortMap;

/// Something happened to an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeEvent {
    pub id: AssignmentId,
    pub incarnation: u32,
    pub kind: EventKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    Exited(Outcome),
    /// By us, or by somebody with the engine's own tools.
    Paused,
    Resumed,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub end: End,
    /// The kernel killed something of it because its memory limit was reached.
    #[serde(default)]
    pub oom: bool,
    /// Its supervisor asked it to end, or ended it, since its lease did.
    #[serde(default)]
    pub lease: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    Code(i32),
    Signal(i32),
    /// Nobody saw it end; the reason why, for people.
    Lost(String),
}

/// An instance that a driver found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survivor {
    pub id: AssignmentId,
    pub incarnation: u32,
    pub state: SurvivorState,
    pub ports: BTreeMap<Name, PortMap>,
    /// Boot time until which it may run, if it is exclusive.
    pub lease: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SurvivorState {
    /// Made, and never started.
    Created,
    Running,
    Paused,
    Exited(Outcome),
}

// === impl Outcome ===

impl Outcome {
    #[must_use]
    pub const fn code(code: i32) -> Self {
        Self { end: End::Code(code), oom: false, lease: false }
    }

    pub(crate) fn lost(reason: impl Into<String>) -> Self {
        Self { end: End::Lost(reason.into()), oom: false, lease: false }
    }

    /// Whether a job with this outcome is done.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.end == End::Code(0)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.end {
            End::Code(code) => write!(f, "exited with code {code}")?,
            End::Signal(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "ended by {signal}")?,
                Err(_) => write!(f, "ended by signal {number}")?,
            },
            End::Lost(reason) => write!(f, "ended unseen: {reason}")?,
        }
        if self.lease {
            f.write_str(" (its lease ended)")?;
        }
        if self.oom { f.write_str(" (out of memory: its limit was reached)") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_how_it_ended() {
        assert_eq!(Outcome::code(3).to_string(), "exited with code 3");
        let killed = Outcome { end: End::Signal(9), oom: true, lease: false };
        assert_eq!(killed.to_string(), "ended by SIGKILL (out of memory: its limit was reached)");
        assert_eq!(Outcome { end: End::Signal(40), ..Outcome::code(0) }.to_string(), "ended by signal 40");
        assert_eq!(
            Outcome { lease: true, ..Outcome::code(0) }.to_string(),
            "exited with code 0 (its lease ended)"
        );
    }
}
