//! The time by which certificates are judged.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// The later of the local clock and the last platform time that was heard.
///
/// A machine without a battery clock starts in 1970 or wherever it was switched off; what it has
/// heard from its orchestrator is a lower bound that it may keep on disk.
#[derive(Clone)]
pub struct Clock {
    local: Arc<dyn Fn() -> UnixTime + Send + Sync>,
    /// Unix time in seconds.
    heard: Arc<AtomicI64>,
}

impl Clock {
    /// The system's clock; `heard` holds the last platform time in Unix seconds (0 for none) and
    /// may be raised by its owner at any time.
    #[must_use]
    pub fn system(heard: Arc<AtomicI64>) -> Self {
        Self { local: Arc::new(UnixTime::now), heard }
    }

    /// A clock that is told: for tests and simulations.
    #[must_use]
    pub fn told(local: impl Fn() -> UnixTime + Send + Sync + 'static) -> Self {
        Self { local: Arc::new(local), heard: Arc::default() }
    }

    #[must_use]
    pub fn now(&self) -> UnixTime {
        let heard = u64::try_from(self.heard.load(Ordering::Relaxed)).unwrap_or(0);
        let heard = UnixTime::since_unix_epoch(Duration::from_secs(heard));
        (self.local)().max(heard)
    }

    /// Platform time was heard: the clock never shows less from now on.
    pub fn hear(&self, time: UnixTime) {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        self.heard.fetch_max(seconds, Ordering::Relaxed);
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system(Arc::default())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("heard", &self.heard).finish_non_exhaustive()
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_time_counts() {
        let at = |s| UnixTime::since_unix_epoch(Duration::from_secs(s));
        let clock = Clock::told(move || at(100));
        assert_eq!(clock.now(), at(100));
        clock.hear(at(90));
        assert_eq!(clock.now(), at(100));
        clock.hear(at(200));
        clock.hear(at(150));
        assert_eq!(clock.now(), at(200));
    }
}
