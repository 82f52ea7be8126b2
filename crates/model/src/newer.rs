//! Kinds of a newer version: they are no reason to lose what stands beside them in a message.
//!
//! Our enums travel as one entry, kind and content, or as the kind alone. A kind that is not known here can be told
//! from content that is damaged: it fails before the content was looked at.
//!
//! This is the reader's half. The sender's is to hold back what the other side does not read: see
//! [`READS`](crate::message::READS).

use std::fmt;
use std::marker::PhantomData;

use ciborium::Value;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{
    DeserializeSeed, Error as _, IgnoredAny, IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Something of a kind that this version does not know, as it came.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Newer {
    kind: String,
    /// Kind and content as CBOR: whoever sent it wrote the same bytes, so that digests over them agree.
    bytes: Vec<u8>,
}

/// An enum that travels: how to read the kinds that this version knows.
pub(crate) trait Kinds: Sized {
    fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// Of a known kind, or not.
pub(crate) enum Either<T> {
    Known(T),
    Newer(Newer),
}

struct Read<T>(PhantomData<T>);

/// The entry of a kind that was read already.
struct Entry<'a, A> {
    kind: Option<&'a str>,
    map: &'a mut A,
    /// The content was looked at: the kind is known.
    opened: bool,
}

/// The known ones of a sequence.
struct Known<T>(PhantomData<T>);

/// Elements to make room for before they are there: a peer may announce any number.
const ROOM: usize = 1024;

/// Reads a sequence and passes over what is of a newer kind.
pub(crate) fn known<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Kinds,
{
    deserializer.deserialize_seq(Known(PhantomData))
}

// === impl Newer ===

impl Newer {
    /// As a newer version would write it.
    ///
    /// # Errors
    /// When `value` is neither a kind alone nor one entry of kind and content.
    pub fn new(value: &Value) -> Result<Self, String> {
        let kind = match value {
            Value::Text(kind) => kind,
            Value::Map(entries) => match &entries[..] {
                [(Value::Text(kind), _)] => kind,
                _ => return Err(format!("{} entries instead of kind and content", entries.len())),
            },
            _ => return Err("neither a kind nor an entry of kind and content".to_owned()),
        };
        let mut bytes = Vec::new();
        ciborium::into_writer(value, &mut bytes).map_err(|error| error.to_string())?;
        Ok(Self { kind: kind.clone(), bytes })
    }

    /// What the newer version calls it.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }
}

impl fmt::Debug for Newer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl Serialize for Newer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: Value = ciborium::from_reader(&self.bytes[..]).map_err(serde::ser::Error::custom)?;
        value.serialize(serializer)
    }
}

// === impl Either ===

impl<'de, T: Kinds> Deserialize<'de> for Either<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Read(PhantomData))
    }
}

impl<'de, T: Kinds> Visitor<'de> for Read<T> {
    type Value = Either<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a kind, or one entry of kind and content")
    }

    fn visit_str<E: serde::de::Error>(self, kind: &str) -> Result<Either<T>, E> {
        let deserializer: StrDeserializer<'_, E> = kind.into_deserializer();
        match T::known(deserializer) {
            Ok(known) => Ok(Either::Known(known)),
            Err(_) => Newer::new(&Value::Text(kind.to_owned())).map(Either::Newer).map_err(E::custom),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Either<T>, A::Error> {
        let Some(kind) = map.next_key::<String>()? else { return Err(A::Error::custom("there is no kind")) };
        let mut entry = Entry { kind: Some(&kind), map: &mut map, opened: false };
        let known = T::known(MapAccessDeserializer::new(&mut entry));
        let opened = entry.opened;
        let read = match known {
            Ok(known) => Either::Known(known),
            Err(error) if opened => return Err(error),
            Err(_) => {
                let value = Value::Map(vec![(Value::Text(kind), map.next_value()?)]);
                Either::Newer(Newer::new(&value).map_err(A::Error::custom)?)
            }
        };
        match map.next_key::<IgnoredAny>()? {
            None => Ok(read),
            Some(_) => Err(A::Error::custom("there is more than one kind")),
        }
    }
}

// === impl Entry ===

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entry<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let Some(kind) = self.kind.take() else { return Ok(None) };
        let deserializer: StrDeserializer<'_, A::Error> = kind.into_deserializer();
        seed.deserialize(deserializer).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.opened = true;
        self.map.next_value_seed(seed)
    }
}

// === impl Known ===

impl<'de, T: Kinds> Visitor<'de> for Known<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut all = Vec::with_capacity(seq.size_hint().unwrap_or_default().min(ROOM));
        while let Some(read) = seq.next_element::<Either<T>>()? {
            if let Either::Known(known) = read {
                all.push(known);
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
#[path = "newer_tests.rs"]
mod tests;
