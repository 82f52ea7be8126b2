//! Points in time as people write them. Pure.

use std::str::FromStr;

use holm_model::duration::Span;
use holm_model::time::Time;

/// A point in time, or so long before or after now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    At(Time),
    Away(Span),
}

// === impl When ===

impl When {
    /// A duration counts back from now.
    pub(crate) fn before(self, now: Time) -> Time {
        self.time(|millis| now.0.saturating_sub(millis))
    }

    /// A duration counts on from now.
    pub(crate) fn after(self, now: Time) -> Time {
        self.time(|millis| now.0.saturating_add(millis))
    }

    fn time(self, away: impl FnOnce(i64) -> i64) -> Time {
        match self {
            Self::At(at) => at,
            Self::Away(Span(span)) => Time(away(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))),
        }
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(span) = text.parse() {
            return Ok(Self::Away(span));
        }
        let at: jiff::Timestamp = text
            .parse()
            .map_err(|_| "write a time as in `2026-11-22T08:00:00Z`, or a duration, as in `2h`")?;
        Ok(Self::At(Time(at.as_millisecond())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let now = Time(7_200_000);
        let times = |text: &str| text.parse::<When>().map(|when| (when.before(now), when.after(now)));
        assert_eq!(times("2h"), Ok((Time(0), Time(14_400_000))));
        assert_eq!(times("1970-01-01T00:00:01Z"), Ok((Time(1000), Time(1000))));
        assert_eq!(times("1970-01-01T01:00:01+01:00"), Ok((Time(1000), Time(1000))));
        assert!(times("yesterday").is_err());
    }
}
