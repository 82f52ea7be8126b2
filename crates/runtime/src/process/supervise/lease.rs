//! The end of a lease, by the boot-time clock: it comes in time though the machine slept.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use holm_model::healing::LEASE_WARNING;
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::process::dir::InstanceDir;
use crate::process::lease;

/// The lease of the instance that is supervised.
#[derive(Debug)]
pub(super) struct Lease {
    dir: InstanceDir,
    timer: TimerFd,
    until: Duration,
    /// It was not renewed in time: renewals that come later count no more, since the program was asked to end.
    over: bool,
}

/// What has to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// It is asked to end: once.
    Terminate,
    /// It is ended.
    Kill,
}

/// Between two looks when the timer cannot be set: never in sight, and never without end.
const AGAIN: Duration = Duration::from_millis(200);

/// What is due, and when to look again.
fn due(now: Duration, until: Duration) -> (Due, Duration) {
    if now >= until {
        (Due::Kill, now + AGAIN)
    } else if now + LEASE_WARNING >= until {
        (Due::Terminate, until)
    } else {
        (Due::Nothing, until - LEASE_WARNING)
    }
}

impl Lease {
    /// `None`: the instance needs none.
    ///
    /// # Errors
    /// When it cannot be read, or there is no clock or timer: nothing may run then.
    pub(super) fn begin(dir: &InstanceDir) -> io::Result<Option<Self>> {
        let Some(until) = lease::read(dir)? else { return Ok(None) };
        let timer =
            TimerFd::new(ClockId::CLOCK_BOOTTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        let (due, look) = due(lease::boot_time()?, until);
        let lease = Self { dir: dir.clone(), timer, until, over: due != Due::Nothing };
        lease.set(look)?;
        Ok(Some(lease))
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }

    /// The program was asked to end, or has to be before it could begin.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    /// Reads the lease when the timer has run out only: whatever else woke the supervisor, a line of the program
    /// perhaps, says nothing about it.
    pub(super) fn look(&mut self) -> Due {
        if !self.over {
            if self.timer.wait() == Err(Errno::EAGAIN) {
                return Due::Nothing;
            }
            // A lease that cannot be read was not renewed.
            let renewed = lease::read(&self.dir).ok().flatten();
            self.until = renewed.map_or(self.until, |renewed| renewed.max(self.until));
        }
        // Without a clock or a timer nobody knows that it goes on.
        let looked = lease::boot_time().map(|now| due(now, self.until));
        let due = looked.and_then(|(due, again)| self.set(again).map(|()| due)).unwrap_or(Due::Kill);
        let asked = self.over;
        self.over |= due != Due::Nothing;
        if asked && due == Due::Terminate { Due::Nothing } else { due }
    }

    fn set(&self, at: Duration) -> io::Result<()> {
        // Zero would mean never.
        let at = TimeSpec::from_duration(at.max(Duration::from_nanos(1)));
        Ok(self.timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?)
    }
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    #[test]
    fn it_is_asked_first_and_ended_in_time() {
        let at = Duration::from_secs;
        assert_eq!(due(at(10), at(30)), (Due::Nothing, at(28)));
        assert_eq!(due(at(28), at(30)), (Due::Terminate, at(30)));
        assert_eq!(due(at(30), at(30)).0, Due::Kill);
        assert_eq!(due(at(99), at(30)).0, Due::Kill, "the machine slept");
    }

    #[test]
    fn it_is_read_when_its_timer_has_run_out_only() {
        let dir = tempfile::tempdir().unwrap();
        let dir = InstanceDir(dir.path().to_owned());
        let now = lease::boot_time().unwrap();
        let ends = now + LEASE_WARNING + Duration::from_millis(300);
        lease::write(&dir, ends).unwrap();
        let mut held = Lease::begin(&dir).unwrap().unwrap();
        let (first, renewed) = (held.until, ends + Duration::from_secs(3600));
        lease::write(&dir, renewed).unwrap();
        assert_eq!((held.look(), held.until), (Due::Nothing, first), "whatever woke it");
        let mut fds = [PollFd::new(held.timer.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PollTimeout::from(10_000_u16)), Ok(1));
        assert_eq!(held.look(), Due::Nothing, "it was renewed in time");
        assert!(held.until > first);
    }
}
