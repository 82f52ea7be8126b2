//! The one-time token that lets a machine join: what to prove, and whom to believe.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ring::digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;

use crate::certificate::Fingerprint;
use crate::identity::Identity;

/// What somebody types on a new machine. Text form: `holm-join.<URL-safe base64>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    pub id: TokenId,
    pub secret: Secret,
    pub role: Role,
    /// Of the sea's root: the machine believes no server that cannot show a chain to it.
    pub fingerprint: Fingerprint,
    /// Who made the token: another orchestrator of the same sea is not told the secret.
    pub orchestrator: Identity,
}

/// What the machine is to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Node,
    Cluster,
}

/// Names a token at its orchestrator; hexadecimal as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId([u8; 8]);

/// 128 random bits; shown by no Debug. Its text, in requests, is hexadecimal.
#[derive(Clone)]
pub struct Secret([u8; 16]);

/// SHA-256 of a secret: what the orchestrator keeps. Fast hashing is enough for 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash([u8; 32]);

/// The text is not a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseTokenError {
    #[error("a join token starts with `{PREFIX}`; make one with `holm token create`")]
    Prefix,
    #[error("the join token is mistyped or cut off; copy it again")]
    Mistyped,
    #[error("the join token is of a newer version of holm; update holm on this machine")]
    Version,
}

const PREFIX: &str = "holm-join.";
const VERSION: u8 = 1;
/// Bytes of the hash at the end that tells typing errors.
const CHECK: usize = 4;

// === impl JoinToken ===

impl JoinToken {
    /// A new token with a random id and secret.
    pub fn generate(
        role: Role,
        fingerprint: Fingerprint,
        orchestrator: Identity,
    ) -> Result<Self, getrandom::Error> {
        let (mut id, mut secret) = ([0; 8], [0; 16]);
        getrandom::fill(&mut id)?;
        getrandom::fill(&mut secret)?;
        Ok(Self { id: TokenId(id), secret: Secret(secret), role, fingerprint, orchestrator })
    }

    /// The whole token, secret included, as one word to copy.
    #[must_use]
    pub fn to_text(&self) -> String {
        let role = match self.role {
            Role::Node => 0,
            Role::Cluster => 1,
        };
        let mut bytes = vec![VERSION, role];
        bytes.extend(self.id.0);
        bytes.extend(self.secret.0);
        bytes.extend(self.fingerprint.as_bytes());
        bytes.extend(self.orchestrator.to_string().into_bytes());
        let check = check(&bytes);
        bytes.extend(check);
        format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (role, rest) = bytes.split_first()?;
        let (id, rest) = rest.split_first_chunk()?;
        let (secret, rest) = rest.split_first_chunk()?;
        let (fingerprint, orchestrator) = rest.split_first_chunk()?;
        Some(Self {
            id: TokenId(*id),
            secret: Secret(*secret),
            role: match role {
                0 => Role::Node,
                1 => Role::Cluster,
                _ => return None,
            },
            fingerprint: Fingerprint::from_bytes(*fingerprint),
            orchestrator: std::str::from_utf8(orchestrator).ok()?.parse().ok()?,
        })
    }
}

impl FromStr for JoinToken {
    type Err = ParseTokenError;

    fn from_str(text: &str) -> Result<Self, ParseTokenError> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(ParseTokenError::Prefix)?;
        let bytes = BASE64URL_NOPAD.decode(body.as_bytes()).map_err(|_| ParseTokenError::Mistyped)?;
        let (content, sum) = bytes.split_last_chunk::<CHECK>().ok_or(ParseTokenError::Mistyped)?;
        if check(content) != *sum {
            return Err(ParseTokenError::Mistyped);
        }
        match content.split_first() {
            Some((&VERSION, fields)) => Self::from_bytes(fields).ok_or(ParseTokenError::Mistyped),
            _ => Err(ParseTokenError::Version),
        }
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

fn check(bytes: &[u8]) -> [u8; CHECK] {
    let [a, b, c, d, ..] = sha256(bytes);
    [a, b, c, d]
}

// === impl Secret ===

impl Secret {
    /// What the orchestrator keeps of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash(sha256(&self.0))
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

// === impl SecretHash ===

impl SecretHash {
    /// Whether `secret` is the one; takes the same time whether or not it is.
    #[must_use]
    pub fn matches(&self, secret: &Secret) -> bool {
        self.0.ct_eq(&secret.hash().0).into()
    }
}

/// Fixed bytes as hexadecimal text.
macro_rules! hex {
    ($($type:ident: $what:literal),*) => {$(
        impl $type {
            fn hex(&self) -> String {
                HEXLOWER.encode(&self.0)
            }

            fn from_hex(text: &str) -> Option<Self> {
                HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok().map(Self)
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.hex())
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                // The text is not repeated: it may be a secret.
                Self::from_hex(&text).ok_or_else(|| serde::de::Error::custom(concat!("no ", $what)))
            }
        }
    )*};
}

hex!(TokenId: "token id", Secret: "token secret", SecretHash: "hash of a token secret");

/// The text is not a token's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no token id (16 hexadecimal digits)")]
pub struct ParseTokenIdError(String);

impl FromStr for TokenId {
    type Err = ParseTokenIdError;

    fn from_str(text: &str) -> Result<Self, ParseTokenIdError> {
        Self::from_hex(text).ok_or_else(|| ParseTokenIdError(text.to_owned()))
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node",
            Self::Cluster => "cluster",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token() -> JoinToken {
        let orchestrator = "holm://sea/c1".parse().unwrap();
        JoinToken::generate(Role::Cluster, Fingerprint::of(b"root"), orchestrator).unwrap()
    }

    #[test]
    fn the_secret_is_never_shown_and_only_its_hash_is_needed() {
        let token = token();
        assert!(!format!("{token:?}").contains(&token.secret.hex()));
        assert!(token.secret.hash().matches(&token.secret));
        assert!(!token.secret.hash().matches(&super::Secret([0; 16])));
    }

    #[test]
    fn each_mistake_has_its_own_error() {
        let text = token().to_text();
        assert_eq!("holm".parse::<JoinToken>(), Err(ParseTokenError::Prefix));
        assert_eq!(text[..text.len() - 3].parse::<JoinToken>(), Err(ParseTokenError::Mistyped));
        let mut newer = vec![VERSION + 1, 1, 2, 3];
        newer.extend(check(&newer));
        let newer = format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&newer));
        assert_eq!(newer.parse::<JoinToken>(), Err(ParseTokenError::Version));
    }

    proptest! {
        #[test]
        fn text_survives_and_typing_errors_are_found(at: prop::sample::Index, typed in "[A-Za-z0-9_-]") {
            let token = token();
            let text = token.to_text();
            prop_assert_eq!(&text.parse::<JoinToken>().unwrap(), &token);
            let at = PREFIX.len() + at.index(text.len() - PREFIX.len());
            let mut wrong = text.clone();
            wrong.replace_range(at..=at, &typed);
            prop_assert_eq!(wrong.parse::<JoinToken>().is_ok(), wrong == text);
        }

        #[test]
        fn arbitrary_text_never_panics(text: String, bytes: Vec<u8>) {
            let _ = text.parse::<JoinToken>();
            let mut bytes = bytes;
            bytes.insert(0, VERSION);
            let sum = check(&bytes);
            bytes.extend(sum);
            let _ = format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes)).parse::<JoinToken>();
        }
    }
}
