//! A command beside an instance.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use holm_model::tunnel::ExecOut;
use tokio::process::Command;
use tokio_util::io::ReaderStream;

use crate::stream::Exec;

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
    let stdout = ReaderStream::new(child.stdout.take().ok_or_else(missing)?);
    let stderr = ReaderStream::new(child.stderr.take().ok_or_else(missing)?);
    let stdout = stdout.map_ok(|bytes| ExecOut::Stdout(bytes.to_vec()));
    let stderr = stderr.map_ok(|bytes| ExecOut::Stderr(bytes.to_vec()));
    let exit = stream::once(async move { child.wait().await.map(|status| ExecOut::Exit(code(status))) });
    Ok(Exec { stdin: Box::new(stdin), output: stream::select(stdout, stderr).chain(exit).boxed() })
}

/// 128 + signal for a program that a signal ended, as shells say it.
fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
