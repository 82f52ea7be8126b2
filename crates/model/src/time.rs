//! Time as the machines see it: they never read a clock, they are told.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Wall-clock time in milliseconds since 1970-01-01T00:00:00Z; shown as RFC 3339 in UTC.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

/// The moment of a step: boot time for deadlines (never jumps back), wall time for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Since this machine was started, sleep included (`CLOCK_BOOTTIME`).
    pub boot: Duration,
    pub wall: Time,
}

impl Time {
    /// Milliseconds from `earlier` to `self`, zero when it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Time {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // What `Display` writes of a number that is no date is read again: rows of a store have to load.
        let number = text.strip_suffix("ms").and_then(|number| number.parse().ok());
        if let Some(number) = number {
            return Ok(Self(number));
        }
        text.parse::<jiff::Timestamp>().map(|at| Self(at.as_millisecond()))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            // A member may say any number; those that are no dates are of no use to anybody.
            let (first, last) = (jiff::Timestamp::MIN.as_second(), jiff::Timestamp::MAX.as_second());
            let at = i64::deserialize(deserializer)?;
            Ok(Self(at.clamp(first * 1000, last * 1000)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_rfc_3339() {
        let json = serde_json::to_string(&Time(1_700_000_000_123)).unwrap();
        assert_eq!(json, "\"2023-11-14T22:13:20.123Z\"");
        assert_eq!(serde_json::from_str::<Time>(&json).unwrap(), Time(1_700_000_000_123));
    }

    #[test]
    fn whatever_a_member_says_can_be_kept_and_read_again() {
        for number in [i64::MIN, -1, 0, i64::MAX] {
            let json = serde_json::to_string(&Time(number)).unwrap();
            assert_eq!(serde_json::from_str::<Time>(&json).unwrap(), Time(number), "{json}");
            let mut bytes = Vec::new();
            ciborium::into_writer(&number, &mut bytes).unwrap();
            let heard: Time = ciborium::from_reader(bytes.as_slice()).unwrap();
            assert!(jiff::Timestamp::from_millisecond(heard.0).is_ok(), "{heard} is a date");
        }
    }

    #[test]
    fn a_clock_that_went_back_gives_no_negative_span() {
        assert_eq!(Time(5).since(Time(9)), Duration::ZERO);
    }
}
