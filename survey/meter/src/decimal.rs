//! Exact decimals: what the meter sent, never a float.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A decimal number with the digits of the wire (`-?[0-9]+(\.[0-9]+)?`), leading zeros and all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Decimal(String);

impl Decimal {
    /// Digits as a text protocol has them; `None` if that is not a number.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let all = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let number = match digits.split_once('.') {
            None => all(digits),
            Some((whole, fraction)) => all(whole) && all(fraction),
        };
        number.then(|| Self(text.to_owned()))
    }

    /// `raw` × 10^`scaler`.
    pub fn scaled(raw: i128, scaler: i8) -> Self {
        let sign = if raw < 0 { "-" } else { "" };
        let digits = raw.unsigned_abs().to_string();
        let places = usize::from(scaler.unsigned_abs());
        Self(if raw == 0 && scaler > 0 {
            "0".to_owned()
        } else if scaler >= 0 {
            format!("{sign}{digits}{}", "0".repeat(places))
        } else {
            let digits = format!("{digits:0>width$}", width = places + 1);
            let (whole, fraction) = digits.split_at(digits.len() - places);
            format!("{sign}{whole}.{fraction}")
        })
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_zero(&self) -> bool {
        !self.0.bytes().any(|b| (b'1'..=b'9').contains(&b))
    }

    /// Whether it is a whole multiple of 10^`power`.
    pub fn is_multiple_of_ten_to(&self, power: usize) -> bool {
        let (whole, fraction) = self.0.split_once('.').unwrap_or((&self.0, ""));
        let whole = whole.trim_start_matches('-');
        let low = &whole[whole.len().saturating_sub(power)..];
        fraction.bytes().chain(low.bytes()).all(|b| b == b'0')
    }
}

impl TryFrom<String> for Decimal {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is no decimal number"))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Decimal;

    #[test]
    fn scaling_is_exact() {
        for (raw, scaler, text) in [
            (172_433_683, -1, "17243368.3"),
            (5, -4, "0.0005"),
            (-29912, -2, "-299.12"),
            (-1, -1, "-0.1"),
            (0, -1, "0.0"),
            (0, 3, "0"),
            (17, 3, "17000"),
            (i128::from(u64::MAX), 0, "18446744073709551615"),
            (i128::from(i64::MIN), -1, "-922337203685477580.8"),
        ] {
            assert_eq!(Decimal::scaled(raw, scaler).as_str(), text);
        }
    }

    #[test]
    fn only_numbers_are_decimals() {
        for text in ["", "-", ".", "1.", ".5", "1e3", "+1", "1.2.3", "--1", "0x1", "1 "] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        assert_eq!(Decimal::parse("00001.001").unwrap().as_str(), "00001.001");
    }

    #[test]
    fn multiples() {
        let multiple = |text, power| Decimal::parse(text).unwrap().is_multiple_of_ten_to(power);
        assert!(multiple("17000", 3) && multiple("17000.0", 3) && multiple("0", 3));
        assert!(!multiple("17000.1", 3) && !multiple("17100", 3) && !multiple("17", 3));
        assert!(multiple("00017.000", 0) && !multiple("17.001", 0));
    }
}
