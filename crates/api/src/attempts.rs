//! Counts those who could not prove who they are. Each is counted, but only some are logged, so
//! that nobody fills the disk by knocking.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::peer::{Peer, place};

/// Lines of the log are at least so far apart.
const QUIET: Duration = Duration::from_secs(10);

/// Refused attempts since the start.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<Tally>);

#[derive(Debug, Default)]
struct Tally {
    all: u64,
    /// Not logged yet.
    silent: u64,
    logged: Option<Instant>,
}

impl Attempts {
    /// How many were refused since this was logged last, if it was now.
    pub(crate) fn refused(&self, peer: Peer, reason: &str) -> Option<u64> {
        let attempts = self.tally(Instant::now())?;
        tracing::warn!(peer = place(peer), attempts, reason, "Refused to serve somebody who is not known.");
        Some(attempts)
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).all
    }

    /// How many there were since the last line of the log, if it is time for another.
    fn tally(&self, now: Instant) -> Option<u64> {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tally.all += 1;
        tally.silent += 1;
        if tally.logged.is_some_and(|logged| now.duration_since(logged) < QUIET) {
            return None;
        }
        tally.logged = Some(now);
        Some(std::mem::take(&mut tally.silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_attempts_make_few_lines() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        assert_eq!(attempts.tally(start), Some(1));
        for _ in 0..1000 {
            assert_eq!(attempts.tally(start + QUIET / 2), None);
        }
        assert_eq!(attempts.tally(start + QUIET), Some(1001));
        assert_eq!(attempts.count(), 1002);
    }
}
