//! YAML as a tree whose every node knows its place. Scalars keep the text as it was written, so that
//! `1.10`, `on` and `0x10` are what the person wrote wherever a text is wanted.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Error, Location, MessageFormatter, Spanned, UserMessageFormatter};

use super::{ManifestError, Place};

/// One YAML node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Null,
    /// `quoted`: it was written as a text, so it is never a number.
    Scalar {
        text: String,
        quoted: bool,
    },
    List(Vec<Node>),
    /// Keys are unique; merge keys (`<<`) are resolved.
    Map(Vec<(Node, Node)>),
}

/// A manifest is flat; what is nested deeper was not written by a person.
const MOST_DEPTH: usize = 24;
const MOST_NODES: usize = 100_000;
const MOST_ALIASED: usize = 20_000;

/// Reads exactly one document.
pub(super) fn load(text: &str) -> Result<Node, ManifestError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MOST_DEPTH,
            max_nodes: MOST_NODES,
            max_anchors: 1_000,
            max_merge_keys: 1_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MOST_ALIASED,
            max_replay_stack_depth: MOST_DEPTH,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Merge,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        reject_unsupported_tags: true,
        emit_comments: false,
        with_snippet: false,
    };
    let raw: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = error.location().map_or(Place::START, Place::from);
        ManifestError::new(place, "", &reason(&error))
    })?;
    Ok(Node::new(raw, text))
}

/// In our words where the parser's would not help a person on.
fn reason(error: &Error) -> Cow<'_, str> {
    match error {
        Error::AliasError { error, .. } => reason(error),
        Error::MultipleDocuments { .. } => "a second document starts here; a manifest is exactly one".into(),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. } => {
            format!("too large or nested too deep: at most {MOST_DEPTH} levels, {MOST_NODES} values, and {MOST_ALIASED} through aliases").into()
        }
        Error::UnknownAnchor { .. } => "this alias has no anchor before it; quote the text if it is none".into(),
        Error::DuplicateMappingKey { .. } => UserMessageFormatter.format_message(error),
        _ => format!("not YAML: {}", UserMessageFormatter.format_message(error)).into(),
    }
}

/// What the parser hands out; numbers and booleans are cut out of the source afterwards.
enum Raw {
    Null,
    Text(String),
    /// A number or a boolean, by the parser's judgement; the value is the fallback for the text.
    Plain(String),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<Self>, Spanned<Self>)>),
}

// === impl Node ===

impl Node {
    fn new(raw: Spanned<Raw>, source: &str) -> Self {
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Text(text) => Value::Scalar { quoted: is_quoted(&raw.defined, source, &text), text },
            Raw::Plain(value) => {
                let text = written(&raw.defined, source).map_or(value, str::to_owned);
                Value::Scalar { text, quoted: false }
            }
            Raw::List(items) => Value::List(items.into_iter().map(|item| Self::new(item, source)).collect()),
            Raw::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| (Self::new(key, source), Self::new(value, source)))
                    .collect(),
            ),
        };
        Self { place: Place::from(raw.referenced), value }
    }

    /// The entries of a mapping whose keys are texts; empty for anything else.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &Self)> {
        let entries = if let Value::Map(entries) = &self.value { entries.as_slice() } else { &[] };
        entries.iter().filter_map(|(key, node)| match &key.value {
            Value::Scalar { text, .. } => Some((text.as_str(), node)),
            _ => None,
        })
    }

    /// The value of one key of a mapping.
    pub(super) fn child(&self, key: &str) -> Option<&Self> {
        self.pairs().find(|(name, _)| *name == key).map(|(_, node)| node)
    }
}

/// The source of the scalar at `location`.
fn written<'a>(location: &Location, source: &'a str) -> Option<&'a str> {
    let span = location.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let end = start.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
    source.get(start..end).map(str::trim).filter(|text| !text.is_empty())
}

/// Whether the person said that it is a text, by quotes or as a block.
fn is_quoted(location: &Location, source: &str, text: &str) -> bool {
    // The parser hands out a text: had it been plain, it would be a number or a boolean.
    let literal = text.parse::<f64>().is_ok() || matches!(text, "true" | "false");
    literal || written(location, source).is_some_and(|text| text.starts_with(['"', '\'', '|', '>']))
}

// === impl Place ===

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        // A place is never unknown: where the parser has none, it is the start.
        Self { line: location.line().max(1), column: location.column().max(1) }
    }
}

// === impl Raw ===

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Raw, E> {
        Err(E::custom("binary values have no place in a manifest"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}
