//! What clients may call things, by the grammar of the specification. Only what is parsed here becomes a path.

use std::fmt;
use std::sync::Arc;

use data_encoding::HEXLOWER;

use crate::digest::{Digest, DigestError};

/// A repository: `project/anything/below`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// The first component of a repository's name: who pays for it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Project(Arc<str>);

/// A name that can move from one manifest to another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Arc<str>);

/// How a manifest is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// Whatever the tag names now.
    Tag(Tag),
    /// Exactly this one.
    Digest(Digest),
}

/// One session of an upload: a random UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId([u8; 16]);

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Characters or separators that a repository cannot have.
    #[error(
        "a repository is called a/b/c: each part of lower-case letters and digits, with single . or _, __ or any number of - between them"
    )]
    Repository,
    /// Longer than clients can handle.
    #[error("the name of a repository has at most {MAX_NAME} characters")]
    Long,
    /// Characters that a tag cannot have, or too many.
    #[error("a tag has at most 128 letters, digits, _, . or -, and begins with none of . and -")]
    Tag,
    /// Neither a tag nor a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

/// Clients count the host with it, up to 255.
const MAX_NAME: usize = 200;
const MAX_TAG: usize = 128;

// === impl Name ===

impl Name {
    /// Reads the name of a repository.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.len() > MAX_NAME {
            return Err(NameError::Long);
        }
        if text.split('/').all(is_component) { Ok(Self(text.into())) } else { Err(NameError::Repository) }
    }

    /// As clients write it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whose repository it is.
    #[must_use]
    pub fn project(&self) -> Project {
        Project(self.0.split('/').next().unwrap_or_default().into())
    }

    /// What comes behind the project: whose image it is there.
    #[must_use]
    pub fn within(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, rest)| rest)
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separates = |s: &str| matches!(s, "." | "_" | "__") || s.chars().all(|c| c == '-');
    let mut rest = text;
    loop {
        let after = rest.trim_start_matches(alphanumeric);
        if after.len() == rest.len() {
            return false;
        }
        if after.is_empty() {
            return true;
        }
        rest = after.trim_start_matches(|c| !alphanumeric(c));
        if !separates(&after[..after.len() - rest.len()]) {
            return false;
        }
    }
}

// === impl Tag ===

impl Tag {
    /// Reads a tag.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let inner = |c: u8| c.is_ascii_alphanumeric() || b"_.-".contains(&c);
        let first = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
        match text.as_bytes() {
            [head, rest @ ..] if first(*head) && rest.len() < MAX_TAG && rest.iter().all(|c| inner(*c)) => {
                Ok(Self(text.into()))
            }
            _ => Err(NameError::Tag),
        }
    }

    /// As clients write it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl Reference ===

impl Reference {
    /// Reads a tag or a digest.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.contains(':') {
            Ok(Self::Digest(Digest::parse(text)?))
        } else {
            Tag::parse(text).map(Self::Tag)
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

// === impl UploadId ===

impl UploadId {
    /// One that nobody can guess.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Ok(Self(bytes))
    }

    /// Reads a UUID as it is written here, and in no other way.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.replace('-', "");
        let id = Self(HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()?);
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = HEXLOWER.encode(&self.0);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

macro_rules! written_as_text {
    ($($kind:ident),*) => {$(
        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

written_as_text!(Name, Project, Tag);

impl Project {
    /// As clients write it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_named_by_the_grammar_of_the_specification() {
        for good in ["a", "0", "a/b", "a.b", "a_b", "a__b", "a-b", "a---b/c9.d", "blobs/uploads/manifests"] {
            assert_eq!(Name::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "", "/", "a/", "/a", "a//b", "A", "a/B", ".", "..", "a/..", "a/../b", "_a", "a_", "a___b",
            "a..b", "a._b", "-a", "a-", "a b", "a\0b", "ä", "a%2fb", "a\\b",
        ] {
            assert_eq!(Name::parse(bad), Err(NameError::Repository), "{bad:?}");
        }
        assert!(Name::parse(&"a".repeat(MAX_NAME)).is_ok());
        assert_eq!(Name::parse(&"a".repeat(MAX_NAME + 1)), Err(NameError::Long));
        assert_eq!(Name::parse("red/web/front").unwrap().project().as_str(), "red");
        assert_eq!(Name::parse("red").unwrap().project().as_str(), "red");
    }

    #[test]
    fn a_reference_is_a_tag_or_a_digest() {
        for good in ["latest", "_", "1.2-3_x", "V1", &"x".repeat(128)] {
            assert!(matches!(Reference::parse(good), Ok(Reference::Tag(_))), "{good}");
        }
        for bad in ["", ".", "..", ".a", "-a", "a/b", "a b", "ä", &"x".repeat(129)] {
            assert_eq!(Reference::parse(bad), Err(NameError::Tag), "{bad}");
        }
        let digest = Digest::of(b"");
        assert_eq!(Reference::parse(&digest.to_string()), Ok(Reference::Digest(digest)));
        assert_eq!(Reference::parse("sha256:bad"), Err(NameError::Digest(DigestError::Form)));
        assert_eq!(Reference::parse("a:b"), Err(NameError::Digest(DigestError::Algorithm)));
    }

    #[test]
    fn sessions_have_uuids() {
        let id = UploadId::random().unwrap();
        let text = id.to_string();
        assert_eq!(UploadId::parse(&text), Some(id));
        assert_eq!((text.len(), &text[14..15]), (36, "4"));
        for bad in ["", "..", &text[1..], &text.replace('-', ""), &text.to_uppercase()] {
            // A UUID without letters is the same in upper case.
            assert!(bad == text || UploadId::parse(bad).is_none(), "{bad}");
        }
    }
}
