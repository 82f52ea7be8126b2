//! Logs and exec: what flows while an instance runs.

use std::fmt;
use std::io;

use futures::stream::BoxStream;
use holm_model::time::Time;
use holm_model::tunnel::{ExecOut, LogLine};
use tokio::io::AsyncWrite;

/// Which lines are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Only so many of the last lines; `None`: all that are kept.
    pub tail: Option<u64>,
    pub since: Option<Time>,
    /// Go on with what comes: until the instance is removed, or (`container`) until it ends.
    pub follow: bool,
}

/// Lines, oldest first; read no faster than they are taken.
pub type LogLines = BoxStream<'static, io::Result<LogLine>>;

/// A running command. Dropping it ends the command, or (`container`) closes its input and output: an
/// engine has no way to end one.
pub struct Exec {
    /// Closing it is the end of the command's input.
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// Ends with [`ExecOut::Exit`].
    pub output: BoxStream<'static, io::Result<ExecOut>>,
}

impl fmt::Debug for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exec").finish_non_exhaustive()
    }
}
