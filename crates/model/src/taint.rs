//! What keeps new work away from a node, except for services that say they can bear it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::amendment::{is_key, is_value};
use crate::name::shorten;

/// Of a node: keys, and values that may be empty.
pub type Taints = BTreeMap<String, String>;

/// What a service bears. Text: `dedicated`, or with one value only `dedicated=radio`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Toleration {
    key: String,
    /// `None`: any.
    value: Option<String>,
}

/// The text is no taint and no [`Toleration`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no taint: `key` or `key=value` is expected, a key as of a label")]
pub struct TaintError(String);

/// A taint of `taints` that none of `tolerations` bears.
#[must_use]
pub fn unborne<'a>(taints: &'a Taints, tolerations: &BTreeSet<Toleration>) -> Option<(&'a str, &'a str)> {
    let mut all = taints.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    all.find(|(key, value)| !tolerations.iter().any(|toleration| toleration.bears(key, value)))
}

/// A taint as people write it.
#[must_use]
pub fn written(key: &str, value: &str) -> String {
    if value.is_empty() { key.to_owned() } else { format!("{key}={value}") }
}

// === impl Toleration ===

impl Toleration {
    #[must_use]
    pub fn bears(&self, key: &str, value: &str) -> bool {
        self.key == key && self.value.as_deref().is_none_or(|only| only == value)
    }
}

impl FromStr for Toleration {
    type Err = TaintError;

    fn from_str(text: &str) -> Result<Self, TaintError> {
        let (key, value) = text.split_once('=').map_or((text, None), |(key, value)| (key, Some(value)));
        if !is_key(key) || !value.is_none_or(is_value) {
            return Err(TaintError(shorten(text)));
        }
        Ok(Self { key: key.to_owned(), value: value.map(str::to_owned) })
    }
}

impl fmt::Display for Toleration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            None => f.write_str(&self.key),
            Some(value) => write!(f, "{}={value}", self.key),
        }
    }
}

impl Serialize for Toleration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Toleration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Toleration {
    fn schema_name() -> Cow<'static, str> {
        "Toleration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A taint of nodes that it bears: `dedicated`, or with one value only `dedicated=radio`.",
            "pattern": "^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?(=.*)?$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_taint_has_to_be_borne() {
        let taints = Taints::from([("dedicated".into(), "radio".into()), ("old".into(), String::new())]);
        let first = |tolerations: &[&str]| {
            let all: BTreeSet<Toleration> = tolerations.iter().map(|text| text.parse().unwrap()).collect();
            unborne(&taints, &all).map(|(key, value)| written(key, value))
        };
        assert_eq!(first(&[]).as_deref(), Some("dedicated=radio"));
        assert_eq!(first(&["dedicated"]).as_deref(), Some("old"));
        assert_eq!(first(&["dedicated=gpu", "old"]).as_deref(), Some("dedicated=radio"));
        assert_eq!(first(&["dedicated=radio", "old"]), None);
        assert_eq!(unborne(&Taints::new(), &BTreeSet::new()), None);
    }

    #[test]
    fn what_is_no_taint_is_refused() {
        for text in ["dedicated", "example.org/radio=yes", "old="] {
            assert_eq!(text.parse::<Toleration>().unwrap().to_string(), text);
        }
        for wrong in ["", "=x", "a b", "a=x\ny", "-a"] {
            assert!(wrong.parse::<Toleration>().is_err(), "{wrong}");
        }
    }
}
