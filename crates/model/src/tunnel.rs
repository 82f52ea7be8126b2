//! The first frame of a tunnel says what the stream is for; the second, from the other side, whether
//! it is granted. Bytes follow as the purpose says.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::amendment::Amendment;
use crate::build::BuildWant;
use crate::id::{AssignmentId, MemberId};
use crate::identity::Want;
use crate::image::ImagesWant;
use crate::name::Name;
use crate::time::Time;
use crate::transfer::Secret;

/// What a tunnel is wanted for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The way down from the receiver: empty when it is meant for the receiver itself.
    /// An upward request (`connects`) starts at the orchestrator that knows the path.
    pub path: Vec<MemberId>,
    pub purpose: Purpose,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// Frames of [`LogLine`] downstream until the end (or for ever with `follow`).
    Logs { instance: AssignmentId, tail: Option<u64>, since: Option<Time>, follow: bool },
    /// Frames of [`ExecIn`] one way and [`ExecOut`] the other.
    Exec {
        instance: AssignmentId,
        command: Vec<String>,
        /// `None`: three pipes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        terminal: Option<Terminal>,
    },
    /// Plain bytes to and from a port of an instance.
    Connect { instance: AssignmentId, port: u16 },
    /// As [`Purpose::Logs`], but only what the filter takes: an older node, which would say more than was
    /// asked for, does not know it.
    Search { instance: AssignmentId, filter: LogFilter },
    /// Files of an instance as a tar stream, in the frames of an exec: it is the standard input
    /// ([`CopyWay::Write`]) or output ([`CopyWay::Read`]) of what copies.
    Copy { instance: AssignmentId, path: String, way: CopyWay },
    /// A shell on the machine itself, in the frames of an exec. Meant for a node, not for an instance.
    Shell {
        terminal: Terminal,
        /// Who asks, as the orchestrator knows it: for the node's own record.
        who: String,
    },
    /// One frame: the [`crate::usage::UsageHistory`] of the instance, or of the node itself.
    Usage {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instance: Option<AssignmentId>,
    },
    /// Images of a node, for the node itself.
    Images(ImagesWant),
    /// An image is built on the node, if that is one that may.
    Build(Box<BuildWant>),
    /// Granted: the node keeps what an operator says about it, and tells it with its facts. No bytes follow.
    Amend(Amendment),
    /// Granted: the instance begins anew, whatever its restart policy says. No bytes follow.
    Restart { instance: AssignmentId },
    /// Upward, from the instance's node to its orchestrator. Granted: one frame, a
    /// [`crate::identity::Proof`].
    Identity { instance: AssignmentId, want: Want },
    /// Upward, from a member to its orchestrator. Granted: HTTP/1.1 to its registry, to pull what the member runs.
    Registry,
    /// The named volumes of `instance`, for `to`, its successor: upward from the successor's node, then down to the
    /// instance's. Granted: frames as the two nodes agree.
    Volumes { instance: AssignmentId, to: AssignmentId },
    /// For a cluster itself, from its parent: a node of this name is to come. Granted: one frame, a
    /// [`crate::transfer::Invitation`].
    Invite {
        node: Name,
        /// For whom, as the parent knows it: for the audit log.
        who: String,
    },
    /// For a cluster itself, from its parent: its node is to go, and is emptied. Granted: one frame, a
    /// [`crate::transfer::Emptied`].
    Empty { node: MemberId, lose_volumes: bool, who: String },
    /// For a node, which is empty: it joins the orchestrator at `address` (`host:port`) with this join token. Granted:
    /// it is a member there, leaves its orchestrator as soon as it was heard there, and comes back if it is not. No
    /// bytes follow.
    Transfer { address: String, token: Secret },
}

/// Which lines of a log are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFilter {
    /// Only so many of the last lines.
    pub tail: Option<u64>,
    pub since: Option<Time>,
    /// Only lines before this time.
    pub until: Option<Time>,
    /// A regular expression that the text contains.
    pub pattern: Option<String>,
    /// The incarnation before the one that runs.
    pub previous: bool,
    pub follow: bool,
}

/// Which way files go, seen from the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CopyWay {
    /// Out of the instance.
    Read,
    /// Into the instance.
    Write,
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    Granted,
    /// For people: what could not be done and why.
    Refused(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    pub at: Time,
    pub stream: LogStream,
    #[serde(with = "serde_bytes")]
    pub text: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogStream {
    Stdout,
    Stderr,
    /// Said by the node about the instance: started, exited, lines dropped.
    Node,
}

/// The terminal in front of somebody, as far as a program wants to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// `TERM`; see [`Terminal::new`].
    pub kind: String,
    pub size: WindowSize,
}

/// In characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    pub columns: u16,
    pub rows: u16,
}

/// A name that no terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a terminal's kind (`TERM`) has 1 to {MOST_KIND} letters, digits or `+-._`")]
pub struct TerminalKindError;

/// Bytes of a [`Terminal::kind`] at most.
const MOST_KIND: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecIn {
    Stdin(#[serde(with = "serde_bytes")] Vec<u8>),
    StdinEnd,
    /// The terminal has another size now. Only where one was asked for: older nodes do not know it.
    Resize(WindowSize),
    /// For the command's process group, by its number on Linux.
    Signal(i32),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecOut {
    Stdout(#[serde(with = "serde_bytes")] Vec<u8>),
    Stderr(#[serde(with = "serde_bytes")] Vec<u8>),
    /// 128 + signal for a program that a signal ended, as shells say it.
    Exit(i32),
}

/// How an instance's peers are told to it: `HOLM_CONNECTS` names a JSON file of this form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeersFile {
    /// By service, then port.
    pub services: std::collections::BTreeMap<Name, std::collections::BTreeMap<Name, Vec<Peer>>>,
}

/// An address to dial from inside the instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    pub slot: String,
    pub instance: AssignmentId,
    /// `host:port`
    pub address: String,
}

/// How long a direct address is tried before the tunnel is used.
pub const DIRECT_TIMEOUT: Duration = Duration::from_millis(300);

// === impl Terminal ===

impl Terminal {
    /// `kind` becomes part of a program's environment: it is what terminals are called, and nothing else.
    ///
    /// # Errors
    /// When it is no such name.
    pub fn new(kind: &str, size: WindowSize) -> Result<Self, TerminalKindError> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"+-._".contains(&b);
        let fits = (1..=MOST_KIND).contains(&kind.len()) && kind.bytes().all(good);
        fits.then(|| Self { kind: kind.to_owned(), size }).ok_or(TerminalKindError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_called_what_terminals_are_called() {
        let size = WindowSize { columns: 80, rows: 24 };
        for good in ["xterm-256color", "screen.xterm-new", "rxvt+pcfkeys", "a"] {
            assert_eq!(Terminal::new(good, size).unwrap().kind, good);
        }
        for bad in ["", "a b", "a=b", "a\0", "../x", "é", &"x".repeat(65)] {
            assert_eq!(Terminal::new(bad, size), Err(TerminalKindError), "{bad}");
        }
    }
}
