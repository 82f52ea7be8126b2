//! Counts those who could not prove who they are, and those who found no place. Each is counted, but only some
//! are logged, so that nobody fills the disk by knocking.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use holm_link::places::Full;

use crate::peer::{Peer, place};

/// Lines of the log are at least so far apart.
const QUIET: Duration = Duration::from_secs(10);

/// Refused attempts since the start.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    unknown: Counter,
    crowded: Counter,
}

#[derive(Debug, Default)]
struct Counter(Mutex<Tally>);

#[derive(Debug, Default)]
struct Tally {
    all: u64,
    /// Not logged yet.
    silent: u64,
    logged: Option<Instant>,
}

// === impl Attempts ===

impl Attempts {
    /// How many were refused since this was logged last, if it was now.
    pub(crate) fn refused(&self, peer: Peer, reason: &str) -> Option<u64> {
        let attempts = self.unknown.one_more(Instant::now())?;
        tracing::warn!(peer = place(peer), attempts, reason, "Refused to serve somebody who is not known.");
        Some(attempts)
    }

    /// A connection was closed, since there was no place for it.
    pub(crate) fn crowded(&self, peer: Peer, full: Full) {
        if let Some(connections) = self.crowded.one_more(Instant::now()) {
            let reason = match full {
                Full::Each => "its address has as many as it may (--connections-each)",
                Full::All => "there are as many as may be (--connections)",
            };
            tracing::warn!(peer = place(peer), connections, reason, "Closed a connection at once.");
        }
    }

    /// Those who were not known.
    pub(crate) fn count(&self) -> u64 {
        self.unknown.0.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

// === impl Counter ===

impl Counter {
    /// How many there were since the last line of the log, if it is time for another.
    fn one_more(&self, now: Instant) -> Option<u64> {
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
        assert_eq!(attempts.unknown.one_more(start), Some(1));
        for _ in 0..1000 {
            assert_eq!(attempts.unknown.one_more(start + QUIET / 2), None);
        }
        assert_eq!(attempts.unknown.one_more(start + QUIET), Some(1001));
        assert_eq!(attempts.count(), 1002);
    }
}
