//! Who a certificate speaks for: a path below a sea, written as the URI `holm://sea/cluster/node`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A place in the sea: the sea itself (its root orchestrator), a member, or a member's member.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The sea's name first, then one segment per member; never empty.
    segments: Vec<String>,
}

/// The text is not an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("`{0}` does not start with `holm://`")]
    Scheme(String),
    #[error("`{0}` is not a segment of an identity: use 1 to {MAX_SEGMENT} of a-z, 0-9 and `-`")]
    Segment(String),
    #[error("an identity has at most {MAX_SEGMENTS} segments")]
    TooDeep,
}

/// Bytes of one segment at most.
pub const MAX_SEGMENT: usize = 64;
/// Segments at most, the sea's name included.
pub const MAX_SEGMENTS: usize = 8;

const SCHEME: &str = "holm://";

impl Identity {
    /// The root of the sea `name`.
    pub fn sea_root(name: &str) -> Result<Self, IdentityError> {
        Ok(Self { segments: vec![segment(name)?] })
    }

    /// The member `id` of the orchestrator that `self` is.
    pub fn child(&self, id: &str) -> Result<Self, IdentityError> {
        if self.segments.len() == MAX_SEGMENTS {
            return Err(IdentityError::TooDeep);
        }
        let mut segments = self.segments.clone();
        segments.push(segment(id)?);
        Ok(Self { segments })
    }

    /// The orchestrator whose member this is; none for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (_, above) = self.segments.split_last()?;
        (!above.is_empty()).then(|| Self { segments: above.to_vec() })
    }

    #[must_use]
    pub fn sea(&self) -> &str {
        &self.segments[0]
    }

    /// The members from the root down to this one; empty for the root.
    #[must_use]
    pub fn path(&self) -> &[String] {
        &self.segments[1..]
    }

    /// The last segment: the member's id at its orchestrator, or the sea's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.segments[self.segments.len() - 1]
    }

    /// Whether this is a member, at any depth, of what `above` is.
    #[must_use]
    pub fn is_below(&self, above: &Self) -> bool {
        self.segments.len() > above.segments.len() && self.segments.starts_with(&above.segments)
    }
}

fn segment(text: &str) -> Result<String, IdentityError> {
    let plain = text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if plain && (1..=MAX_SEGMENT).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err(IdentityError::Segment(text.to_owned()))
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let path = text.strip_prefix(SCHEME).ok_or_else(|| IdentityError::Scheme(text.to_owned()))?;
        let segments = path.split('/').map(segment).collect::<Result<Vec<_>, _>>()?;
        if segments.len() > MAX_SEGMENTS { Err(IdentityError::TooDeep) } else { Ok(Self { segments }) }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.segments.join("/"))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Identity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_one_text_means_an_identity() {
        for bad in [
            "",
            "holm:/",
            "holm://",
            "holm:///c",
            "holm://sea/",
            "holm://sea//n",
            "HOLM://sea",
            "holm://Sea",
            "holm://sea/c_1",
            "holm://sea/../x",
            "holm://sea?x",
            "holm://ö",
            "holm://1/2/3/4/5/6/7/8/9",
        ] {
            assert!(bad.parse::<Identity>().is_err(), "{bad}");
        }
        assert!(format!("holm://{}", "a".repeat(65)).parse::<Identity>().is_err());
    }

    #[test]
    fn below_means_whole_segments() {
        let at = |text: &str| text.parse::<Identity>().unwrap();
        assert!(at("holm://sea/c1/n1").is_below(&at("holm://sea/c1")));
        assert!(at("holm://sea/c1/n1").is_below(&at("holm://sea")));
        assert!(!at("holm://sea/c11").is_below(&at("holm://sea/c1")));
        assert!(!at("holm://sea/c1").is_below(&at("holm://sea/c1")));
        assert!(!at("holm://lake/c1").is_below(&at("holm://sea")));
        assert_eq!(at("holm://sea/c1").parent(), Some(at("holm://sea")));
        assert_eq!(at("holm://sea").parent(), None);
    }

    proptest! {
        #[test]
        fn text_survives(segments in prop::collection::vec("[a-z0-9-]{1,64}", 1..=MAX_SEGMENTS)) {
            let text = format!("holm://{}", segments.join("/"));
            let identity: Identity = text.parse().unwrap();
            prop_assert_eq!(identity.to_string(), text);
            prop_assert_eq!(identity.sea(), &segments[0]);
            prop_assert_eq!(identity.path(), &segments[1..]);
        }

        #[test]
        fn what_parses_prints_as_it_was(text in "(holm://)?[a-zA-Z0-9/.%-]{0,40}") {
            if let Ok(identity) = text.parse::<Identity>() {
                prop_assert_eq!(identity.to_string(), text);
            }
        }
    }
}
