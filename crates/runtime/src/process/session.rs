//! The session that a command beside an instance leads: how it ends, and how it is ended.
//!
//! ```text
//! running ──the leader ended──→ its exit code; what it left in the background is its own affair
//!    └──dropped──→ SIGHUP to everything of the session ──leader ended, or a moment later──→ SIGKILL
//! ```

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use holm_model::tunnel::WindowSize;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use rustix::termios::tcsetwinsize;
use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::live::open_pidfd;
use super::{proc, terminal};
use crate::stream::Control;

/// A child that leads a session. Dropping it ends everything of the session.
#[derive(Debug)]
pub(super) struct Session {
    /// `None` when it was waited for.
    leader: Option<Child>,
    number: i32,
}

/// Reaches a session from outside.
#[derive(Debug)]
pub(super) struct Remote {
    number: i32,
    /// Tells whether the number is still the leader's.
    leader: OwnedFd,
    /// The agent's end of the terminal, if there is one.
    near: Option<OwnedFd>,
}

/// A session that nobody wants any more; killed when it is dropped.
#[derive(Debug)]
struct Abandoned {
    leader: Child,
    number: i32,
}

/// For programs that save something when their terminal goes away.
const FAREWELL: Duration = Duration::from_secs(1);

// === impl Session ===

impl Session {
    /// `near` is for the remote.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub(super) fn new(leader: Child, near: Option<OwnedFd>) -> io::Result<(Self, Remote)> {
        let number = leader.id().and_then(|pid| i32::try_from(pid).ok()).ok_or(io::ErrorKind::NotFound)?;
        Ok((Self { leader: Some(leader), number }, Remote { number, leader: open_pidfd(number)?, near }))
    }

    /// Waits for the leader: 128 + signal for one that a signal ended, as shells say it.
    ///
    /// # Errors
    /// When it was waited for already.
    pub(super) async fn exit(mut self) -> io::Result<i32> {
        let leader = self.leader.as_mut().ok_or(io::ErrorKind::NotFound)?;
        let status = leader.wait().await?;
        self.leader = None;
        Ok(code(status))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(leader) = self.leader.take() else { return };
        let abandoned = Abandoned { leader, number: self.number };
        if let Ok(handle) = Handle::try_current() {
            handle.spawn(abandoned.end());
        }
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

// === impl Abandoned ===

impl Abandoned {
    async fn end(mut self) {
        self.signal(Signal::SIGHUP);
        // Stopped processes hear nothing before.
        self.signal(Signal::SIGCONT);
        // Looked at only: its number must stay its own until all are killed.
        if let Ok(leader) = open_pidfd(self.number).and_then(super::sys::readable) {
            let _ = timeout(FAREWELL, leader.readable()).await;
        }
        self.signal(Signal::SIGKILL);
        // It was killed.
        let _ = self.leader.wait().await;
    }

    /// To the leader, its process group, and every other of the session.
    fn signal(&self, signal: Signal) {
        // Whoever has ended needs no signal.
        let _ = kill(Pid::from_raw(self.number), signal);
        let _ = killpg(Pid::from_raw(self.number), signal);
        for member in proc::session(self.number) {
            let _ = kill(Pid::from_raw(member), signal);
        }
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        // Waited for already: the number may be another's.
        if self.leader.id().is_some() {
            self.signal(Signal::SIGKILL);
        }
    }
}

// === impl Remote ===

impl Control for Remote {
    fn resize(&self, size: WindowSize) -> BoxFuture<'_, io::Result<()>> {
        let done = self.near.as_ref().map_or(Ok(()), |near| tcsetwinsize(near, terminal::winsize(size)));
        std::future::ready(done.map_err(Into::into)).boxed()
    }

    fn signal(&self, number: i32) -> io::Result<()> {
        let signal = Signal::try_from(number)?;
        let mut leader = [PollFd::new(self.leader.as_fd(), PollFlags::POLLIN)];
        if poll(&mut leader, PollTimeout::ZERO)? > 0 {
            // Ended: the number may soon be another's.
            return Ok(());
        }
        match killpg(Pid::from_raw(self.number), signal) {
            // It has not become a leader yet.
            Err(Errno::ESRCH) => Ok(kill(Pid::from_raw(self.number), signal)?),
            sent => Ok(sent?),
        }
    }
}
