//! Epochs and ids.
//!
//! An id is a pair (reign, counter): whoever makes ids needs a durable counter and nothing random,
//! so the pure core can make them, and two orchestrators that never met cannot make the same one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One reign of an orchestrator, committed at every start before anything is sent.
///
/// Epochs are ordered by number; the random holder breaks ties between two reigns that were
/// started from copies of one store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// Counts the starts of one orchestrator, from 1.
    pub number: u32,
    /// 48 random bits drawn at the start of the reign.
    pub holder: u64,
}

/// A unique id: the `counter`-th id made in the reign `epoch`.
///
/// Text form: `<number>-<holder, 12 hex digits>-<counter>`, safe in host names, file names and URIs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid {
    pub epoch: Epoch,
    pub counter: u64,
}

/// The text is not an epoch or id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct ParseIdError {
    text: String,
    expected: &'static str,
}

/// Bits of [`Epoch::holder`] that are used.
pub const HOLDER_BITS: u32 = 48;

// === impl Epoch ===

impl Epoch {
    /// Before any reign; lower than every real epoch.
    pub const NONE: Self = Self { number: 0, holder: 0 };

    /// The epoch with this number, held by the low 48 bits of `random`.
    #[must_use]
    pub const fn new(number: u32, random: u64) -> Self {
        Self { number, holder: random & ((1 << HOLDER_BITS) - 1) }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:012x}", self.number, self.holder)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Epoch {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = || ParseIdError { text: text.to_owned(), expected: "an epoch (`3-0123456789ab`)" };
        let (number, holder) = text.split_once('-').ok_or_else(error)?;
        Ok(Self { number: decimal(number).ok_or_else(error)?, holder: hex48(holder).ok_or_else(error)? })
    }
}

// === impl Uid ===

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.counter)
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uid {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = || ParseIdError { text: text.to_owned(), expected: "an id (`3-0123456789ab-17`)" };
        let (epoch, counter) = text.rsplit_once('-').ok_or_else(error)?;
        Ok(Self { epoch: epoch.parse().map_err(|_| error())?, counter: decimal(counter).ok_or_else(error)? })
    }
}

/// Plain digits only: `+1` and `01` are other texts for the same number and refused, so that an id
/// has exactly one text.
fn decimal<T: FromStr + fmt::Display>(text: &str) -> Option<T> {
    let number: T = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn hex48(text: &str) -> Option<u64> {
    let plain = text.len() == 12 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    plain.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// Serializes as the text form for people and as a compact tuple on the wire.
macro_rules! text_for_people {
    ($type:ty, $tuple:ty, $to:expr, $from:expr) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    let to: fn(&$type) -> $tuple = $to;
                    to(self).serialize(serializer)
                }
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    let from: fn($tuple) -> $type = $from;
                    Ok(from(<$tuple>::deserialize(deserializer)?))
                }
            }
        }
    };
}

text_for_people!(Epoch, (u32, u64), |e| (e.number, e.holder), |(n, h)| Epoch::new(n, h));
text_for_people!(Uid, (u32, u64, u64), |u| (u.epoch.number, u.epoch.holder, u.counter), |(n, h, c)| Uid {
    epoch: Epoch::new(n, h),
    counter: c
});

/// Typed ids, so that an instance is never taken for a member.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.parse().map(Self)
            }
        }
    )*};
}

ids! {
    /// A member (node or cluster) of one orchestrator; given at joining.
    MemberId;
    /// One creation of an application: deleting and applying again makes another one.
    WishId;
    /// One assignment of a slot: to a node it is the instance's id, to a cluster the share's.
    AssignmentId;
    /// One store of one orchestrator; a new data directory is a new store.
    StoreId;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_one_text_means_an_id() {
        for bad in ["", "1", "1-2", "01-0123456789ab-1", "1-0123456789AB-1", "1-0123456789ab-+1", "1-123-1"] {
            assert!(bad.parse::<Uid>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn ids_survive_text_json_and_cbor(number: u32, random: u64, counter: u64) {
            let id = Uid { epoch: Epoch::new(number, random), counter };
            prop_assert_eq!(id.to_string().parse::<Uid>().unwrap(), id);
            let json = serde_json::to_string(&id).unwrap();
            prop_assert_eq!(serde_json::from_str::<Uid>(&json).unwrap(), id);
            let mut cbor = Vec::new();
            ciborium::into_writer(&id, &mut cbor).unwrap();
            prop_assert_eq!(ciborium::from_reader::<Uid, _>(&cbor[..]).unwrap(), id);
        }
    }
}
