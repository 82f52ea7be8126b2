//! Spans of time as people write them: `500ms`, `10s`, `1h30m`, `30d`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::shorten;

/// A [`Duration`] that is written for people, in text and in serde. Whole milliseconds: what is finer is
/// cut off when written.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

/// The text is not a [`Span`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error(
        "`{0}` is not a duration: numbers with `d`, `h`, `m`, `s` or `ms`, as in `500ms`, `10s` or `1h30m`"
    )]
    Form(String),
    #[error("`{0}` is too long: at most `36525d`, a hundred years")]
    TooLong(String),
}

/// The rule of [`Span`] as a regular expression, for schemas.
pub const DURATION_PATTERN: &str = "^(?=.)([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";

/// Largest first, as they must be written; milliseconds each.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A hundred years: longer ones are typing errors, and sums of them would overflow.
const MOST: u64 = 36_525 * 86_400_000;

// === impl Span ===

impl FromStr for Span {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let millis = millis(text).ok_or_else(|| DurationError::Form(shorten(text)))?;
        if millis > MOST {
            return Err(DurationError::TooLong(shorten(text)));
        }
        Ok(Self(Duration::from_millis(millis)))
    }
}

/// `None` when a unit is missing, unknown, written twice or out of order.
fn millis(text: &str) -> Option<u64> {
    let (mut rest, mut units, mut sum) = (text, UNITS.as_slice(), 0_u64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let place = units.iter().position(|(name, _)| *name == unit)?;
        sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(units[place].1)?)?;
        (rest, units) = (tail, &units[place + 1..]);
    }
    Some(sum)
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_millis();
        if rest == 0 {
            return f.pad("0s");
        }
        let mut text = String::new();
        for (name, unit) in UNITS {
            let count = rest / u128::from(unit);
            rest %= u128::from(unit);
            if count > 0 {
                text += &format!("{count}{name}");
            }
        }
        f.pad(&text)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A span of time, as in `500ms`, `10s` or `1h30m`.",
            "pattern": DURATION_PATTERN
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn people_write_durations() {
        for (text, millis) in [
            ("500ms", 500),
            ("1s", 1_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("0s", 0),
            ("1d", 86_400_000),
        ] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(millis))), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_what_was_expected() {
        for bad in
            ["", "1", "s", "-1s", "1.5s", "1s1s", "1m1h", "1 s", "1S", "99999999999999999999s", "36526d"]
        {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
        let error = "soon".parse::<Span>().unwrap_err().to_string();
        assert!(error.starts_with("`soon` is not a duration: "), "{error}");
        let error = "36526d".parse::<Span>().unwrap_err().to_string();
        assert!(error.starts_with("`36526d` is too long: "), "{error}");
    }

    #[test]
    fn what_is_finer_than_milliseconds_is_cut_off() {
        assert_eq!(Span(Duration::from_nanos(1_500_999)).to_string(), "1ms");
        assert_eq!(Span(Duration::MAX).to_string().parse::<Span>().ok(), None);
    }

    proptest! {
        #[test]
        fn text_keeps_every_duration(millis in 0..=MOST) {
            let span = Span(Duration::from_millis(millis));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Span>();
        }
    }
}
