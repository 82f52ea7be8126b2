//! The first frame of a tunnel says what the stream is for; the second, from the other side, whether
//! it is granted. Bytes follow as the purpose says.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{AssignmentId, MemberId};
use crate::name::Name;
use crate::time::Time;

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
    Exec { instance: AssignmentId, command: Vec<String> },
    /// Plain bytes to and from a port of an instance.
    Connect { instance: AssignmentId, port: u16 },
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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecIn {
    Stdin(#[serde(with = "serde_bytes")] Vec<u8>),
    StdinEnd,
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
