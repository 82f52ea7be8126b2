//! `where:` of a manifest: a condition on nodes, in a subset of CEL (the Common Expression Language).
//!
//! A subset of our own, because a condition has to be more than CEL's libraries offer: every name and type is
//! checked when it is read, reading is bounded on any stack, and an orchestrator that knows only classes of
//! nodes gets "open" for an answer where it cannot know.
//!
//! | name | type | what |
//! | --- | --- | --- |
//! | `labels` | map | labels of the node: `labels.zone`, `labels["example.org/rack"]` |
//! | `runtimes` | map | versions of its ready runtimes by their names |
//! | `capabilities`, `caps` | list | as in `require`: `"hardware/ble" in caps` |
//! | `arch`, `os` | text | as in OCI |
//! | `name`, `cluster` | text | of the node; of its cluster, empty at the root itself |
//!
//! Operators are `&&`, `||`, `!`, `==`, `!=`, `in`, and `<`, `<=`, `>`, `>=` of numbers; functions are `has(labels.x)`,
//! `int(text)`, and `.startsWith`, `.endsWith` and `.contains` of texts.

mod eval;
mod lex;
mod parse;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use eval::{Facts, Truth};

/// A condition, checked. It is written as it was read.
#[derive(Clone, PartialEq, Eq)]
pub struct Condition {
    text: Box<str>,
    test: Test,
}

/// The text is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (character {} of the expression)", at + 1)]
pub struct ConditionError {
    /// Characters before the place.
    pub at: usize,
    pub message: String,
}

/// Bytes; what is longer was not written by a person.
pub const MOST_BYTES: usize = 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Is(bool),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
    Equal(Text, Text),
    Within(Text, Texts),
    /// The map has the key.
    Has(Map, Text),
    Affix(Affix, Text, Text),
    Same(Number, Number),
    Less(Number, Number),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Affix {
    Starts,
    Ends,
    Contains,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Text {
    Literal(String),
    Arch,
    Os,
    Name,
    Cluster,
    Entry(Map, String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Texts {
    List(Vec<Text>),
    Capabilities,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Map {
    Labels,
    Runtimes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Number {
    Literal(i64),
    /// `int(text)`
    Of(Text),
}

// === impl Condition ===

impl Condition {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        Ok(Self { text: text.into(), test: parse::parse(text)? })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({})", self.text)
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

// === impl ConditionError ===

impl ConditionError {
    fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }
}
