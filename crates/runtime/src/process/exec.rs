//! A command beside an instance, with three pipes.

use std::io;
use std::process::Stdio;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use holm_model::tunnel::ExecOut;
use tokio::process::Command;
use tokio_util::io::ReaderStream;

use super::session::Session;
use crate::stream::Exec;

/// Bytes of output handed on at once.
pub(crate) const CHUNK: usize = 64 * 1024;

/// Runs `command`, which is the supervisor's program in its role as `exec`.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn start(mut command: Command) -> io::Result<Exec> {
    command.env_clear().current_dir("/").kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let missing = || io::Error::other("no pipe to the command");
    let stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = ReaderStream::with_capacity(child.stdout.take().ok_or_else(missing)?, CHUNK);
    let stderr = ReaderStream::with_capacity(child.stderr.take().ok_or_else(missing)?, CHUNK);
    let stdout = stdout.map_ok(|bytes| ExecOut::Stdout(bytes.into()));
    let stderr = stderr.map_ok(|bytes| ExecOut::Stderr(bytes.into()));
    let (session, control) = Session::new(child, None)?;
    let exit = stream::once(async move { session.exit().await.map(ExecOut::Exit) });
    let output = stream::select(stdout, stderr).chain(exit).boxed();
    Ok(Exec { stdin: Box::new(stdin), control: Box::new(control), output })
}
