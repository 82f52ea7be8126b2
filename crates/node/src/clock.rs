//! The only place that reads a clock for the machine.

use std::time::{Duration, SystemTime};

use holm_model::time::{Now, Time};
use nix::time::{ClockId, clock_gettime};

/// Boot time for deadlines, wall time for people.
pub(crate) fn now() -> Now {
    // The clock is there on each Linux since 2.6.39; without it nothing would ever be due.
    let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
    Now { boot, wall: wall() }
}

fn wall() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
