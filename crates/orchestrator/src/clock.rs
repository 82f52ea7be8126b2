//! The two clocks, read nowhere else in this crate.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use holm_model::time::{Now, Time};
use nix::time::{ClockId, clock_gettime};

/// This moment, as the machine is told it.
pub(crate) fn now() -> Now {
    Now { boot: boot(), wall: wall() }
}

/// Since the machine was started, sleep included.
pub(crate) fn boot() -> Duration {
    // Linux has had CLOCK_BOOTTIME since 2.6.39; with a valid clock the call cannot fail.
    #[expect(clippy::expect_used, reason = "see above")]
    clock_gettime(ClockId::CLOCK_BOOTTIME).expect("Linux has CLOCK_BOOTTIME").into()
}

/// Milliseconds since 1970, by this machine's clock.
#[must_use]
pub fn wall() -> Time {
    // Before 1970 only when nobody has set the clock.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_goes_forward() {
        let earlier = boot();
        assert!(earlier > Duration::ZERO);
        assert!(boot() >= earlier);
    }
}
