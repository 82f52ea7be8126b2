//! A command beside an instance, with a terminal of its own.
//!
//! The terminal's near end stays with the agent. The far end is the standard input and outputs of the helper,
//! which makes it the controlling terminal of a new session and gives it to the instance's user.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use holm_model::tunnel::{ExecOut, WindowSize};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio_util::io::ReaderStream;

use super::exec::CHUNK;
use super::session::Session;
use crate::stream::Exec;

/// Runs `command`, which is the supervisor's program in its role as `terminal`.
///
/// # Errors
/// When the machine has no terminal to give, or the program cannot be started.
pub(crate) fn start(mut command: Command, size: WindowSize) -> io::Result<Exec> {
    let (near, far) = open(size)?;
    command.env_clear().current_dir("/").kill_on_drop(true);
    command
        .stdin(Stdio::from(far.try_clone()?))
        .stdout(Stdio::from(far.try_clone()?))
        .stderr(Stdio::from(far));
    let child = command.spawn()?;
    // It holds the far end, which would never be closed.
    drop(command);
    let stdin = pipe::Sender::from_owned_fd_unchecked(near.try_clone()?)?;
    let output = pipe::Receiver::from_owned_fd_unchecked(near.try_clone()?)?;
    let (session, control) = Session::new(child, Some(near))?;
    let output = ReaderStream::with_capacity(output, CHUNK).map_ok(|bytes| ExecOut::Stdout(bytes.into()));
    // The kernel's word for: nobody holds the far end any more.
    let over = |error: &io::Error| Errno::from_io_error(error) == Some(Errno::IO);
    let output = output.take_while(move |read| std::future::ready(!read.as_ref().is_err_and(over)));
    let exit = stream::once(async move { session.exit().await.map(ExecOut::Exit) });
    Ok(Exec { stdin: Box::new(stdin), control: Box::new(control), output: output.chain(exit).boxed() })
}

/// Near and far end; the near one never waits.
fn open(size: WindowSize) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let near = openpt(flags).map_err(|error| {
        io::Error::other(format!("the system gives no terminal ({error}); is devpts mounted on /dev/pts?"))
    })?;
    grantpt(&near)?;
    unlockpt(&near)?;
    let far = ioctl_tiocgptpeer(&near, flags)?;
    tcsetwinsize(&near, winsize(size))?;
    fcntl_setfl(&near, fcntl_getfl(&near)? | OFlags::NONBLOCK)?;
    Ok((near, far))
}

/// What the kernel calls it.
pub(super) const fn winsize(size: WindowSize) -> Winsize {
    Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 }
}
