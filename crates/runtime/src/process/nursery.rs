//! The agent's side of the nursery ([`super::supervise`]): a process that is there to be forked, so that a
//! supervisor costs neither the start of a program nor memory of its own for it.
//!
//! ```text
//! none ──first launch──→ lives ──took no order, gave no answer, or was stopped──→ none
//! ```
//!
//! It ends with the agent, or with the driver; the supervisors stay.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::net::Shutdown;

use super::live::open_pidfd;
use super::order::{self, Answer, Order};
use super::proc;
use super::supervise::ROOM;

/// Of nurseries that end before they take an order: whoever retires one may have taken it from others.
const SENDS: usize = 5;
/// For an answer, until it is asked whether the nursery was stopped; and for the end of one that is retired.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts it when it is needed.
#[derive(Debug)]
pub(super) struct Nursery {
    program: PathBuf,
    arguments: Vec<String>,
    /// Control groups that supervisors are born into.
    refuges: Vec<PathBuf>,
    lives: Mutex<Option<Arc<Cradle>>>,
}

/// One that was started; killed when it is dropped.
#[derive(Debug)]
struct Cradle {
    orders: OwnedFd,
    process: Mutex<Child>,
}

/// What became of an order.
#[derive(Debug)]
enum Asked {
    Answered(Answer),
    /// Nobody took it.
    Unsent,
    /// Whoever took it died; something may run.
    Lost,
}

/// Why nothing was forked.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    #[error("the program of the supervisor cannot be started")]
    Program(#[source] io::Error),
    #[error("the supervisor cannot be asked for")]
    Send(#[source] io::Error),
}

// === impl Nursery ===

impl Nursery {
    pub(super) fn new((program, arguments): (PathBuf, Vec<String>), refuges: Vec<PathBuf>) -> Self {
        Self { program, arguments, refuges, lives: Mutex::default() }
    }

    /// Has a supervisor forked and waits for its answer; `None` when there came none, and the next order
    /// goes to a new nursery.
    ///
    /// # Errors
    /// Nothing was forked.
    pub(super) fn ask(&self, order: &Order<'_>) -> Result<Option<Answer>, OrderError> {
        for _ in 0..SENDS {
            let cradle = self.cradle()?;
            match cradle.ask(order).map_err(OrderError::Send)? {
                Asked::Answered(answer) => return Ok(Some(answer)),
                Asked::Unsent => self.retire(&cradle),
                Asked::Lost => {
                    self.retire(&cradle);
                    break;
                }
            }
        }
        Ok(None)
    }

    /// Ends it; another order would start another.
    pub(super) fn end(&self) {
        self.lock().take();
    }

    fn cradle(&self) -> Result<Arc<Cradle>, OrderError> {
        let mut lives = self.lock();
        if let Some(cradle) = &*lives {
            return Ok(Arc::clone(cradle));
        }
        let cradle = Arc::new(self.start().map_err(OrderError::Program)?);
        *lives = Some(Arc::clone(&cradle));
        Ok(cradle)
    }

    fn start(&self) -> io::Result<Cradle> {
        let (near, far) = order::way()?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg("nursery").args(&self.refuges).arg(" ".repeat(ROOM));
        command.env_clear().stdin(far).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Cradle { orders: near, process: Mutex::new(command.spawn()?) })
    }

    /// Takes no more orders to `cradle`, which either is dead or lost a single supervisor: what others asked
    /// it for is still done.
    fn retire(&self, cradle: &Arc<Cradle>) {
        let mut lives = self.lock();
        if lives.as_ref().is_some_and(|there| Arc::ptr_eq(there, cradle)) {
            *lives = None;
        }
        drop(lives);
        cradle.retire();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Cradle>>> {
        // Nothing is changed in two steps: a panic elsewhere leaves it whole.
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Cradle ===

impl Cradle {
    fn ask(&self, order: &Order<'_>) -> io::Result<Asked> {
        let (near, far) = order::way()?;
        match order.send(&self.orders, far.as_fd()) {
            Err(error)
                if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) =>
            {
                return Ok(Asked::Unsent);
            }
            sent => sent?,
        }
        drop(far);
        while !readable(near.as_fd(), PATIENCE)? {
            self.end_if_stopped();
        }
        Ok(order::hear(near)?.map_or(Asked::Lost, Asked::Answered))
    }

    /// It would keep the order for ever.
    fn end_if_stopped(&self) {
        let mut process = self.process();
        // No other process has its number before this one was waited for.
        if matches!(process.try_wait(), Ok(None)) && proc::stopped(process.id().cast_signed()) {
            // It may end by itself at this moment.
            let _ = process.kill();
        }
    }

    fn retire(&self) {
        // Fails when it is dead: as good.
        let _ = rustix::net::shutdown(&self.orders, Shutdown::Write);
        let mut process = self.process();
        if !ends_within(&mut process, PATIENCE) {
            let _ = process.kill();
        }
        let _ = process.wait();
    }

    fn process(&self) -> MutexGuard<'_, Child> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cradle {
    fn drop(&mut self) {
        let mut process = self.process();
        // Dead already: then this only frees its number.
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// Whether it ended; not when it cannot be watched.
fn ends_within(process: &mut Child, limit: Duration) -> bool {
    if !matches!(process.try_wait(), Ok(None)) {
        return true;
    }
    // Not waited for yet: the number is its own.
    open_pidfd(process.id().cast_signed()).is_ok_and(|pidfd| readable(pidfd.as_fd(), limit).unwrap_or(false))
}

/// Whether there is something to read, or an end, within `limit`.
fn readable(fd: BorrowedFd<'_>, limit: Duration) -> io::Result<bool> {
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    loop {
        match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], limit) {
            Err(Errno::EINTR) => {}
            ready => return Ok(ready? > 0),
        }
    }
}
