//! What a request is about: its path, read from the end, since repositories have slashes in their names. Pure.

use crate::digest::{Digest, DigestError};
use crate::names::{Name, NameError, Reference, UploadId};

/// One thing below `/v2/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `/v2/` alone.
    Root,
    /// `<name>/blobs/<digest>`
    Blob(Name, Digest),
    /// `<name>/blobs/uploads/`
    Uploads(Name),
    /// `<name>/blobs/uploads/<session>`; `None` if that is none of ours.
    Upload(Name, Option<UploadId>),
    /// `<name>/manifests/<reference>`. One that is malformed cannot be pushed, and is nowhere.
    Manifest(Name, Result<Reference, NameError>),
    /// `<name>/tags/list`
    Tags(Name),
    /// `<name>/referrers/<digest>`
    Referrers(Name, Digest),
}

/// Why a path is about nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No endpoint of the specification.
    #[error("there is no such endpoint")]
    Unknown,
    /// The repository cannot be called so.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The content cannot be called so.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

// === impl Target ===

impl Target {
    /// Reads the path of a request, as it stands in its first line. Of what can be written in percent, only the colon of
    /// a digest is read so.
    ///
    /// # Errors
    /// When it is about nothing.
    pub fn parse(path: &str) -> Result<Self, PathError> {
        let path = path.replace("%3A", ":").replace("%3a", ":");
        if matches!(path.as_str(), "/v2" | "/v2/") {
            return Ok(Self::Root);
        }
        let parts: Vec<_> = path.strip_prefix("/v2/").ok_or(PathError::Unknown)?.split('/').collect();
        let name = |parts: &[&str]| Ok::<_, PathError>(Name::parse(&parts.join("/"))?);
        match parts.as_slice() {
            [of @ .., "manifests", text] => Ok(Self::Manifest(name(of)?, Reference::parse(text))),
            [of @ .., "tags", "list"] => Ok(Self::Tags(name(of)?)),
            [of @ .., "referrers", text] => Ok(Self::Referrers(name(of)?, Digest::parse(text)?)),
            [of @ .., "blobs", "uploads"] | [of @ .., "blobs", "uploads", ""] => Ok(Self::Uploads(name(of)?)),
            [of @ .., "blobs", "uploads", id] => Ok(Self::Upload(name(of)?, UploadId::parse(id))),
            [of @ .., "blobs", text] => Ok(Self::Blob(name(of)?, Digest::parse(text)?)),
            _ => Err(PathError::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_from_its_end() {
        let digest = Digest::of(b"x");
        let name = |text: &str| Name::parse(text).unwrap();
        let id = UploadId::random().unwrap();
        let tag = |text: &str| Ok(Reference::parse(text).unwrap());
        for (path, target) in [
            ("/v2".to_owned(), Target::Root),
            ("/v2/".to_owned(), Target::Root),
            (format!("/v2/a/b/blobs/{digest}"), Target::Blob(name("a/b"), digest)),
            (format!("/v2/a/blobs/{digest}").replace(':', "%3A"), Target::Blob(name("a"), digest)),
            ("/v2/a/blobs/uploads/".to_owned(), Target::Uploads(name("a"))),
            ("/v2/a/blobs/uploads".to_owned(), Target::Uploads(name("a"))),
            (format!("/v2/a/blobs/uploads/{id}"), Target::Upload(name("a"), Some(id))),
            ("/v2/a/blobs/uploads/..".to_owned(), Target::Upload(name("a"), None)),
            (
                "/v2/a/blobs/uploads/manifests/x".to_owned(),
                Target::Manifest(name("a/blobs/uploads"), tag("x")),
            ),
            ("/v2/a/manifests/.x".to_owned(), Target::Manifest(name("a"), Err(NameError::Tag))),
            ("/v2/tags/list/tags/list".to_owned(), Target::Tags(name("tags/list"))),
            (format!("/v2/a/referrers/{digest}"), Target::Referrers(name("a"), digest)),
        ] {
            assert_eq!(Target::parse(&path), Ok(target), "{path}");
        }
    }

    #[test]
    fn no_path_leaves_the_repositories() {
        for path in [
            "/v2/../manifests/x",
            "/v2//tags/list",
            "/v2/tags/list",
            "/v2/a/%2e%2e/tags/list",
            "/v2/A/tags/list",
        ] {
            assert_eq!(Target::parse(path), Err(PathError::Name(NameError::Repository)), "{path}");
        }
        for path in ["/", "/v1/", "/v2/a", "/v2/a/tags", "/v2/_catalog", "/v2/a/tags/list/"] {
            assert_eq!(Target::parse(path), Err(PathError::Unknown), "{path}");
        }
        assert_eq!(Target::parse("/v2/a/blobs/sha256:x"), Err(PathError::Digest(DigestError::Form)));
        assert_eq!(Target::parse("/v2/a/referrers/x"), Err(PathError::Digest(DigestError::Algorithm)));
    }
}
