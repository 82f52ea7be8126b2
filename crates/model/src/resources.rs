//! Quantities that a member has and an instance asks for.

use std::borrow::Cow;
use std::fmt;
use std::ops::{AddAssign, SubAssign};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::shorten;

/// CPU time in thousandths of a core. Text: `1.5` (cores) or `100m`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cpu(pub u64);

/// Memory or disk in bytes. Text: `32Mi`, `1.5Gi`, `500M`, or plain bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Memory(pub u64);

/// What an instance asks for, or what is free somewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// CPU to reserve (and the limit, where the runtime can enforce one); default 0: no reservation.
    #[serde(default)]
    pub cpu: Cpu,
    /// Memory to reserve (and the limit); default 0: no reservation.
    #[serde(default)]
    pub memory: Memory,
}

/// The text is not a quantity of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct QuantityError {
    text: String,
    expected: &'static str,
}

const CPU: &str = "an amount of CPU: cores as in `1.5`, or thousandths as in `100m`";
const MEMORY: &str = "an amount of memory: `32Mi`, `1.5Gi`, `500M` or bytes";

/// Larger amounts are typing errors, and sums of them would overflow.
const MOST: u64 = 1 << 50;

// === impl Cpu ===

impl FromStr for Cpu {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let thousandths = match text.strip_suffix('m') {
            Some(digits) => scaled(digits, 1),
            None => scaled(text, 1000),
        };
        thousandths.map(Self).ok_or_else(|| QuantityError { text: shorten(text), expected: CPU })
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1000) {
            f.pad(&(self.0 / 1000).to_string())
        } else {
            f.pad(&format!("{}m", self.0))
        }
    }
}

// === impl Memory ===

const UNITS: [(&str, u64); 9] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1_000),
    ("K", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
];

impl FromStr for Memory {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (digits, unit) = UNITS
            .iter()
            .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
            .unwrap_or((text, 1));
        scaled(digits, unit).map(Self).ok_or_else(|| QuantityError { text: shorten(text), expected: MEMORY })
    }
}

impl fmt::Display for Memory {
    /// Exact where a unit divides it; otherwise rounded down to three digits or more: what is shown as
    /// free must be free.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = || UNITS[..4].iter().rev();
        let exact = binary().find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit));
        let shown = match exact {
            // `7,340,031Ki` is exact, and nobody can read it.
            Some((_, unit)) if self.0 / unit < 10_000 => exact,
            _ => binary().find(|(_, unit)| self.0 >= 100 * *unit),
        };
        match shown {
            Some((suffix, unit)) => f.pad(&format!("{}{suffix}", self.0 / unit)),
            None => f.pad(&self.0.to_string()),
        }
    }
}

/// `digits` (with at most one point) times `unit`; `None` when it is no such number, too large, or
/// finer than the smallest unit can say.
fn scaled(digits: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) || digits.ends_with('.') || fraction.len() > 9 {
        return None;
    }
    let exponent = u32::try_from(fraction.len()).ok()?;
    let ten = 10_u128.pow(exponent);
    let number: u128 = format!("{whole}{fraction}").parse().ok()?;
    let amount = number.checked_mul(u128::from(unit))?;
    if amount % ten != 0 && unit <= 1000 {
        return None;
    }
    u64::try_from(amount / ten).ok().filter(|amount| *amount <= MOST)
}

// === impl Resources ===

impl Resources {
    #[must_use]
    pub const fn new(cpu: Cpu, memory: Memory) -> Self {
        Self { cpu, memory }
    }

    /// Whether `other` fits into `self`.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        self.cpu >= other.cpu && self.memory >= other.memory
    }

    /// What is left after taking `other`; zero where it asks for more than there is.
    #[must_use]
    pub const fn less(self, other: &Self) -> Self {
        Self {
            cpu: Cpu(self.cpu.0.saturating_sub(other.cpu.0)),
            memory: Memory(self.memory.0.saturating_sub(other.memory.0)),
        }
    }
}

impl AddAssign<&Self> for Resources {
    fn add_assign(&mut self, other: &Self) {
        self.cpu.0 = self.cpu.0.saturating_add(other.cpu.0);
        self.memory.0 = self.memory.0.saturating_add(other.memory.0);
    }
}

impl SubAssign<&Self> for Resources {
    fn sub_assign(&mut self, other: &Self) {
        *self = self.less(other);
    }
}

macro_rules! quantity {
    ($type:ident, $expected:expr, $pattern:literal) => {
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    // Exact: reading it again gives the same amount.
                    let exact = self.to_string();
                    if exact.parse() == Ok(*self) {
                        serializer.serialize_str(&exact)
                    } else {
                        serializer.serialize_str(&self.0.to_string())
                    }
                } else {
                    self.0.serialize(serializer)
                }
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<$type, E> {
                        self.visit_str(&number.to_string())
                    }
                    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<$type, E> {
                        self.visit_str(&number.to_string())
                    }
                }
                if deserializer.is_human_readable() {
                    deserializer.deserialize_any(Visitor)
                } else {
                    u64::deserialize(deserializer).map($type)
                }
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "description": $expected, "type": ["string", "number"], "pattern": $pattern })
            }
        }
    };
}

quantity!(Cpu, CPU, "^[0-9]+(\\.[0-9]+)?m?$");
quantity!(Memory, MEMORY, "^[0-9]+(\\.[0-9]+)?(Ki|Mi|Gi|Ti|k|K|M|G|T)?$");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn people_write_amounts() {
        assert_eq!("1.5".parse(), Ok(Cpu(1500)));
        assert_eq!("100m".parse(), Ok(Cpu(100)));
        assert_eq!("32Mi".parse(), Ok(Memory(32 << 20)));
        assert_eq!("1.5Gi".parse(), Ok(Memory(3 << 29)));
        assert_eq!("500M".parse(), Ok(Memory(500_000_000)));
        assert_eq!("77".parse(), Ok(Memory(77)));
    }

    #[test]
    fn nonsense_is_refused_with_what_was_expected() {
        for bad in ["", "-1", "1e3", "m", ".5", "1.", "0.0001", "999999999999999", "1 Gi", "0x1"] {
            assert!(bad.parse::<Cpu>().is_err(), "{bad}");
        }
        let error = "12 apples".parse::<Memory>().unwrap_err().to_string();
        assert_eq!(error, format!("`12 apples` is not {MEMORY}"));
    }

    #[test]
    fn free_memory_is_never_rounded_up() {
        assert_eq!(Memory((64 << 20) - 1).to_string(), "65535Ki");
        assert_eq!(Memory((512 << 20) - 1).to_string(), "511Mi");
        assert_eq!(Memory(64 << 20).to_string(), "64Mi");
    }

    proptest! {
        #[test]
        fn json_keeps_every_amount(cpu in 0..=MOST, memory in 0..=MOST) {
            let resources = Resources::new(Cpu(cpu), Memory(memory));
            let json = serde_json::to_string(&resources).unwrap();
            prop_assert_eq!(serde_json::from_str::<Resources>(&json).unwrap(), resources);
        }
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Cpu>();
            let _ = text.parse::<Memory>();
        }
    }
}
