//! Secrets and plain files of a project: what instances are given beside their specification.
//!
//! A service only names them. The bytes travel as items of their own, to members that have something
//! placed whose specification names them, so that no specification, view or history ever holds a secret.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::id::Uid;
use crate::name::Name;

/// Most bytes of one secret or file.
pub const MOST_BYTES: usize = 64 * 1024;

/// Which of the two; the difference is who may see the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContentKind {
    /// Written by people, read by instances only; sealed at rest.
    Secret,
    /// Readable for whoever may read the project.
    File,
}

/// Which secret or file. As text: `secret/<project>/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContentKey {
    pub kind: ContentKind,
    pub project: Name,
    pub name: Name,
}

/// The text names no secret and no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `secret/<project>/<name>` or `file/<project>/<name>`")]
pub struct ContentKeyError;

/// The bytes; every change of them has another stamp. Not shown by Debug.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    pub stamp: Uid,
    pub bytes: ByteBuf,
}

/// What a registry asks for: the value of a secret that a service names in `registry`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryLogin {
    /// `registry.example.com`; without it, the registry of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    pub user: String,
    pub password: String,
}

// === impl ContentKind ===

impl ContentKind {
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::File => "file",
        }
    }
}

// === impl ContentKey ===

impl fmt::Display for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind.word(), self.project, self.name)
    }
}

impl FromStr for ContentKey {
    type Err = ContentKeyError;

    fn from_str(text: &str) -> Result<Self, ContentKeyError> {
        let mut parts = text.split('/');
        let (kind, project, name) = (parts.next(), parts.next(), parts.next());
        let kind = match kind {
            Some("secret") => ContentKind::Secret,
            Some("file") => ContentKind::File,
            _ => return Err(ContentKeyError),
        };
        let name_of = |text: Option<&str>| Name::new(text.unwrap_or_default()).map_err(|_| ContentKeyError);
        let key = Self { kind, project: name_of(project)?, name: name_of(name)? };
        if parts.next().is_none() { Ok(key) } else { Err(ContentKeyError) }
    }
}

// === impl Content ===

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, {}", self.bytes.len(), self.stamp)
    }
}

// === impl RegistryLogin ===

impl RegistryLogin {
    /// # Errors
    /// When the bytes are not such a JSON; the error does not show them.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let what = "expected JSON as `{\"server\": …, \"user\": …, \"password\": …}`";
        serde_json::from_slice(bytes).map_err(|error| format!("{what}: line {}", error.line()))
    }
}

impl fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryLogin")
            .field("server", &self.server)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Epoch;

    #[test]
    fn keys_survive_as_text() {
        for text in ["secret/default/db-password", "file/blue/app-conf"] {
            assert_eq!(text.parse::<ContentKey>().unwrap().to_string(), text);
        }
        for bad in ["", "secret", "secret/default", "secret/default/a/b", "thing/default/a", "secret//a"] {
            assert!(bad.parse::<ContentKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_that_is_printed_shows_a_secret() {
        let stamp = Uid { epoch: Epoch::new(1, 2), counter: 3 };
        let content = Content { stamp, bytes: ByteBuf::from(b"hunter2".to_vec()) };
        assert!(!format!("{content:?}").contains("hunter"));
        let login = RegistryLogin::parse(br#"{"user":"ada","password":"hunter2"}"#).unwrap();
        assert!(!format!("{login:?}").contains("hunter"));
        let error = RegistryLogin::parse(br#"{"user":"ada","passwort":"hunter2"}"#).unwrap_err();
        assert!(!error.contains("hunter"), "{error}");
    }
}
