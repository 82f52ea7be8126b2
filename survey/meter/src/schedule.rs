//! When to measure and when to send: pure, in seconds since 1970.

use crc::{CRC_32_ISO_HDLC, Crc};

/// A wake-up that is later than that behind its time (the machine slept, the clock was set) measures nothing for it.
pub(crate) const LATE: u64 = 120;

/// Times that are multiples of `every`, `offset` later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Every {
    every: u64,
    offset: u64,
    last: u64,
}

impl Every {
    pub(crate) fn new(every: u64, offset: u64, now: u64) -> Self {
        let mut new = Self { every, offset, last: 0 };
        new.last = new.slot(now);
        new
    }

    fn slot(&self, now: u64) -> u64 {
        let since = now.saturating_sub(self.offset);
        since - since % self.every + self.offset
    }

    /// The time that came since this was asked last. A clock that was set back begins anew, without repeating.
    pub(crate) fn due(&mut self, now: u64) -> Option<u64> {
        let slot = self.slot(now);
        let due = slot > self.last;
        self.last = slot;
        due.then_some(slot)
    }

    /// Seconds until the next time.
    pub(crate) fn wait(&self, now: u64) -> u64 {
        (self.slot(now) + self.every).saturating_sub(now)
    }
}

/// Where in `every` seconds a device sends: spread over the fleet, the same after each start.
pub(crate) fn jitter(device: &str, every: u64) -> u64 {
    u64::from(Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(device.as_bytes())) % every
}

#[cfg(test)]
mod tests {
    use super::{Every, jitter};

    #[test]
    fn quarter_hours() {
        let mut quarter = Every::new(900, 0, 1000);
        assert_eq!(quarter.due(1799), None);
        assert_eq!(quarter.wait(1799), 1);
        assert_eq!(quarter.due(1800), Some(1800));
        assert_eq!(quarter.due(1801), None);
        assert_eq!(quarter.due(900), None, "set back");
        assert_eq!(quarter.due(1800), Some(1800));
        assert_eq!(quarter.due(9050), Some(9000));
    }

    #[test]
    fn a_fleet_sends_all_over_the_hour() {
        let mut minutes = [0; 60];
        for device in 0..6000 {
            minutes[usize::try_from(jitter(&format!("house-{device}"), 3600) / 60).unwrap()] += 1;
        }
        assert!(minutes.iter().all(|count| (50..=200).contains(count)), "{minutes:?}");
    }
}
