//! What a member can do that is not a quantity: `hardware/zigbee`, `runtime/container`, `arch/arm64`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::{Name, NameError};

/// `<type>/<name>`, both [`Name`]s.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability {
    /// `hardware`, `runtime`, `arch`, or any type people agree on.
    pub kind: Name,
    pub name: Name,
}

/// The text is not a [`Capability`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityError {
    #[error("`{0}` is not a capability: a type and a name are expected, as in `hardware/zigbee`")]
    NoType(String),
    #[error(transparent)]
    Name(#[from] NameError),
}

// === impl Capability ===

impl Capability {
    #[must_use]
    pub const fn new(kind: Name, name: Name) -> Self {
        Self { kind, name }
    }
}

impl FromStr for Capability {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        let (kind, name) =
            text.split_once('/').ok_or_else(|| CapabilityError::NoType(crate::name::shorten(text)))?;
        Ok(Self { kind: kind.parse()?, name: name.parse()? })
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl fmt::Debug for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Capability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Capability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Capability {
    fn schema_name() -> Cow<'static, str> {
        "Capability".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "What a node must be able to do, `type/name`, as in `hardware/zigbee`.",
            "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_has_a_type() {
        assert_eq!("hardware/zigbee".parse::<Capability>().unwrap().to_string(), "hardware/zigbee");
        assert!("zigbee".parse::<Capability>().is_err());
        assert!("hardware/../x".parse::<Capability>().is_err());
    }
}
