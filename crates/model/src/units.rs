//! Capabilities that can be counted: a node with two GPUs has two units of `hardware/gpu`, and each service that
//! requires it takes some. One that nobody counted is there for everybody.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{AddAssign, SubAssign};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::capability::{Capability, CapabilityError};
use crate::name::shorten;

/// How many of each capability.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Units(BTreeMap<Capability, u32>);

/// A capability and perhaps a number. Text: `hardware/ble`, `hardware/gpu=2`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counted {
    pub capability: Capability,
    /// `None`: nobody counts.
    pub units: Option<u32>,
}

/// The text is not [`Counted`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CountedError {
    #[error(transparent)]
    Capability(#[from] CapabilityError),
    #[error("`{0}` is no number of units: 1 to {MOST_UNITS}, as in `hardware/gpu=2`")]
    Number(String),
}

/// Of one capability of a node.
pub const MOST_UNITS: u32 = 100_000;

// === impl Units ===

impl Units {
    /// Nothing is counted.
    pub const NONE: &Self = &Self(BTreeMap::new());

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `None`: it is not counted.
    #[must_use]
    pub fn get(&self, capability: &Capability) -> Option<u32> {
        self.0.get(capability).copied()
    }

    /// As [`Units::get`], where what is not counted is none.
    #[must_use]
    pub fn count(&self, capability: &Capability) -> u32 {
        self.get(capability).unwrap_or_default()
    }

    pub fn set(&mut self, capability: Capability, units: u32) {
        self.0.insert(capability, units);
    }

    pub fn remove(&mut self, capability: &Capability) {
        self.0.remove(capability);
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Capability, u32)> {
        self.0.iter().map(|(capability, units)| (capability, *units))
    }
}

impl FromIterator<(Capability, u32)> for Units {
    fn from_iter<I: IntoIterator<Item = (Capability, u32)>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

/// Without bound: what members and parents say may be any number.
impl AddAssign<&Self> for Units {
    fn add_assign(&mut self, other: &Self) {
        for (capability, units) in &other.0 {
            match self.0.get_mut(capability) {
                Some(sum) => *sum = sum.saturating_add(*units),
                None => self.set(capability.clone(), *units),
            }
        }
    }
}

/// What has none left is forgotten.
impl SubAssign<&Self> for Units {
    fn sub_assign(&mut self, other: &Self) {
        for (capability, units) in &other.0 {
            let left = self.count(capability).saturating_sub(*units);
            if left == 0 { self.remove(capability) } else { self.set(capability.clone(), left) }
        }
    }
}

// === impl Counted ===

impl FromStr for Counted {
    type Err = CountedError;

    fn from_str(text: &str) -> Result<Self, CountedError> {
        let Some((capability, number)) = text.split_once('=') else {
            return Ok(Self { capability: text.parse()?, units: None });
        };
        let digits = number.bytes().all(|b| b.is_ascii_digit());
        let units = number.parse().ok().filter(|units| digits && (1..=MOST_UNITS).contains(units));
        let units = units.ok_or_else(|| CountedError::Number(shorten(number)))?;
        Ok(Self { capability: capability.parse()?, units: Some(units) })
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.units {
            None => self.capability.fmt(f),
            Some(units) => write!(f, "{}={units}", self.capability),
        }
    }
}

impl Serialize for Counted {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Counted {
    fn schema_name() -> Cow<'static, str> {
        "Counted".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "What a node must be able to do, `type/name`, as in `hardware/zigbee`; with the number of units that it takes there, as in `hardware/gpu=2`.",
            "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(=[0-9]+)?$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_may_have_a_number() {
        for text in ["hardware/ble", "hardware/gpu=1", "hardware/gpu=100000"] {
            assert_eq!(text.parse::<Counted>().unwrap().to_string(), text);
        }
        for wrong in ["gpu=1", "hardware/gpu=", "hardware/gpu=0", "hardware/gpu=+1", "hardware/gpu=100001"] {
            assert!(wrong.parse::<Counted>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sums_neither_overflow_nor_keep_zeros() {
        let gpu: Capability = "hardware/gpu".parse().unwrap();
        let all = Units::from_iter([(gpu.clone(), u32::MAX)]);
        let mut sum = all.clone();
        sum += &all;
        assert_eq!(sum.count(&gpu), u32::MAX);
        sum -= &all;
        assert!(sum.is_empty());
        sum -= &all;
        assert!(sum.is_empty());
    }
}
