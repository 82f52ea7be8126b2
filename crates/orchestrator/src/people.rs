//! API tokens: `holm-api.<base64url of JSON>.<base64url of an Ed25519 signature of that JSON>`.
//!
//! A token proves itself; only whether it was revoked must be asked of the machine.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use holm_link::certificate::Fingerprint;
use holm_model::time::Time;
use holm_model::view::TokenRole;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::secret::{self, SecretFileError};

/// Signs and verifies the API tokens of one orchestrator.
pub struct TokenSigner {
    key: Ed25519KeyPair,
    sea: String,
    fingerprint: Fingerprint,
}

/// What a token says, once its signature was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// By which it is listed and revoked.
    pub id: String,
    pub role: TokenRole,
    pub exp: Time,
    pub sea: String,
    /// Of the sea's root: what a client pins.
    pub fp: Fingerprint,
}

/// The key that signs API tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenKeyError {
    #[error(transparent)]
    File(#[from] SecretFileError),
    #[error("{0} holds no usable key; restore it from a backup, or remove it (all API tokens are void then)")]
    Damaged(String),
    #[error("the system gives no random numbers")]
    Random,
}

/// The token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("an API token starts with `{PREFIX}`; make one with `holm token create --role admin`")]
    Form,
    #[error("the API token is mistyped, or of another sea; copy it again or make a new one")]
    Signature,
    #[error("the API token has expired at {0}; make a new one with `holm token create --role admin`")]
    Expired(Time),
    #[error("the API token was revoked; make a new one with `holm token create --role admin`")]
    Revoked,
}

const PREFIX: &str = "holm-api.";
const FILE: &str = "token.key";
/// Bytes of a token at most: whatever is longer is not looked at.
const MAX_TOKEN: usize = 2048;

// === impl TokenSigner ===

impl TokenSigner {
    /// The signer whose key lies in `dir`; the key is made when there is none.
    ///
    /// # Errors
    /// When the key cannot be read, made or kept.
    pub fn open(dir: &Path, sea: &str, fingerprint: Fingerprint) -> Result<Self, TokenKeyError> {
        let path = dir.join(FILE);
        let der = match secret::read(&path)? {
            Some(der) => der,
            None => {
                let new = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
                    .map_err(|_| TokenKeyError::Random)?;
                secret::write(&path, new.as_ref())?;
                new.as_ref().to_vec()
            }
        };
        let key = Ed25519KeyPair::from_pkcs8(&der)
            .map_err(|_| TokenKeyError::Damaged(path.display().to_string()))?;
        Ok(Self { key, sea: sea.to_owned(), fingerprint })
    }

    /// A token's text. It is valid once the machine knows its id.
    #[must_use]
    pub fn sign(&self, id: &str, role: TokenRole, expires: Time) -> String {
        let claims =
            Claims { id: id.to_owned(), role, exp: expires, sea: self.sea.clone(), fp: self.fingerprint };
        // Plain data with string keys: serializing it to memory cannot fail.
        #[expect(clippy::expect_used, reason = "see above")]
        let payload = serde_json::to_vec(&claims).expect("claims are plain data");
        let signature = self.key.sign(&payload);
        format!("{PREFIX}{}.{}", BASE64URL_NOPAD.encode(&payload), BASE64URL_NOPAD.encode(signature.as_ref()))
    }

    /// What the token says, if we signed it and it has not expired. Whether it was revoked is not
    /// known here.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn verify(&self, text: &str, now: Time) -> Result<Claims, TokenError> {
        let SignedText { payload, signature } = text.parse()?;
        // Comparing curve points: takes the same time for every signature of the right form.
        UnparsedPublicKey::new(&ED25519, self.key.public_key().as_ref())
            .verify(&payload, &signature)
            .map_err(|_| TokenError::Signature)?;
        let claims: Claims = serde_json::from_slice(&payload).map_err(|_| TokenError::Signature)?;
        if claims.sea != self.sea || claims.fp != self.fingerprint {
            return Err(TokenError::Signature);
        }
        if now >= claims.exp {
            return Err(TokenError::Expired(claims.exp));
        }
        Ok(claims)
    }
}

impl fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSigner").field("sea", &self.sea).finish_non_exhaustive()
    }
}

/// A token's two parts; nothing of them is verified.
struct SignedText {
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl FromStr for SignedText {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        if text.len() > MAX_TOKEN {
            return Err(TokenError::Form);
        }
        let body = text.strip_prefix(PREFIX).ok_or(TokenError::Form)?;
        let (payload, signature) = body.split_once('.').ok_or(TokenError::Form)?;
        let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| TokenError::Signature);
        Ok(Self { payload: decode(payload)?, signature: decode(signature)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPIRES: Time = Time(2_000_000_000_000);
    const NOW: Time = Time(1_900_000_000_000);

    fn signer(dir: &Path, sea: &str) -> TokenSigner {
        TokenSigner::open(dir, sea, Fingerprint::of(sea.as_bytes())).unwrap()
    }

    #[test]
    fn a_token_is_good_until_it_expires_and_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let text = signer(dir.path(), "sea").sign("t1", TokenRole::Admin, EXPIRES);
        let signer = signer(dir.path(), "sea");
        let claims = signer.verify(&text, NOW).unwrap();
        assert_eq!((claims.id.as_str(), claims.role), ("t1", TokenRole::Admin));
        assert_eq!(signer.verify(&text, EXPIRES), Err(TokenError::Expired(EXPIRES)));
    }

    #[test]
    fn a_changed_token_is_refused_at_every_byte() {
        let dir = tempfile::tempdir().unwrap();
        let signer = signer(dir.path(), "sea");
        let text = signer.sign("t1", TokenRole::Admin, EXPIRES);
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(signer.verify(&String::from_utf8(changed).unwrap(), NOW).is_err(), "byte {at}");
        }
        for bad in ["", "holm-api.", "holm-api..", "holm-api.ä.b", &"holm-api.".repeat(1000)] {
            assert!(signer.verify(bad, NOW).is_err(), "{bad}");
        }
    }

    #[test]
    fn another_seas_token_is_refused() {
        let (mine, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let text = signer(other.path(), "sea").sign("t1", TokenRole::Admin, EXPIRES);
        assert_eq!(signer(mine.path(), "sea").verify(&text, NOW), Err(TokenError::Signature));
        let renamed = signer(mine.path(), "lake").sign("t1", TokenRole::Admin, EXPIRES);
        assert_eq!(signer(mine.path(), "sea").verify(&renamed, NOW), Err(TokenError::Signature));
    }

    #[test]
    fn a_damaged_key_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), b"no key").unwrap();
        let error = TokenSigner::open(dir.path(), "sea", Fingerprint::of(b"")).unwrap_err();
        assert!(error.to_string().contains(FILE), "{error}");
    }
}
