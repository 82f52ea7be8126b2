//! The process that supervisors are forked from.
//!
//! Linked and relocated it waits; its pages are the supervisors', too, until somebody writes to them. It
//! holds nothing of an instance but for the moment of a fork, and ends when the agent does.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::ForkResult;

use super::title::Title;
use super::{prepare, run};
use crate::process::order::{self, Failed, Hope, Taken};
use crate::process::sys;

/// Closed by a supervisor as the first thing it does.
#[derive(Debug)]
struct Nursery {
    orders: OwnedFd,
    /// Those of ended supervisors; all others wait for ever.
    signals: SignalFd,
}

/// Returns in the nursery when the agent has ended, and in each supervisor when its program has; the exit
/// code.
pub(super) fn run(args: impl Iterator<Item = OsString>) -> i32 {
    let mut refuges: Vec<PathBuf> = args.map(PathBuf::from).collect();
    // The last argument is only room.
    refuges.pop();
    let title = Title::of_nursery();
    let Ok(nursery) = Nursery::settle(&refuges) else { return 1 };
    loop {
        match nursery.next() {
            Ok(None) => return 0,
            Err(_) => return 1,
            Ok(Some(order)) => match sys::fork() {
                Ok(ForkResult::Child) => {
                    drop(nursery);
                    title.show(&order.dir);
                    return run::supervise(order);
                }
                Ok(ForkResult::Parent { .. }) => {}
                Err(errno) => refuse(&order, errno),
            },
        }
    }
}

fn refuse(order: &Taken, errno: Errno) {
    let (step, reason) = ("forking the supervisor".to_owned(), errno.desc().to_owned());
    order::answer(&order.agent, &Err(Failed { step, reason, hope: Hope::Later }));
}

// === impl Nursery ===

impl Nursery {
    fn settle(refuges: &[PathBuf]) -> io::Result<Self> {
        let orders = prepare::inherit()?;
        prepare::leave_agent(refuges)?;
        Ok(Self { orders, signals: prepare::signals(&[Signal::SIGCHLD])? })
    }

    /// The next order; `None` when no more can come.
    fn next(&self) -> io::Result<Option<Taken>> {
        loop {
            let [orders, signals] = [self.orders.as_fd(), self.signals.as_fd()];
            let mut fds = [orders, signals].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            poll(&mut fds, PollTimeout::NONE)?;
            if fds[1].any() == Some(true) {
                self.reap();
            }
            if fds[0].any() == Some(true) {
                return Taken::next(&self.orders);
            }
        }
    }

    /// Frees the numbers of ended supervisors, never one whose order is still open here: while the lock of
    /// an instance is held, the pid in its `running.json` is no other process's.
    fn reap(&self) {
        while let Ok(Some(_)) = self.signals.read_signal() {}
        while !matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive) | Err(_)) {}
    }
}
