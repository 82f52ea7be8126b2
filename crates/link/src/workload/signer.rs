//! The key with which an orchestrator signs tokens of instances. It signs nothing else and lies on no disk: at
//! every start there is a new one, whose certificate travels inside the tokens.

use std::fmt;
use std::time::Duration;

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustls::pki_types::UnixTime;
use serde::Serialize;

use super::Workload;
use super::token::{ALGORITHM, Claims, Header, MOST_LIFE, TYPE};
use crate::authority::{Authority, Leaf, SignError, key_and_request};
use crate::certificate::Usage;
use crate::identity::Identity;

/// Debug does not show the key.
pub struct TokenSigner {
    key: EcdsaKeyPair,
    issuer: Identity,
    /// The header of every token, encoded.
    header: String,
    not_after: UnixTime,
}

/// Of whom a token is to speak.
#[derive(Clone, Debug)]
pub struct Subject {
    pub workload: Workload,
    pub instance: String,
    pub node: Identity,
}

/// A token with the time at which it expires.
pub struct SignedToken {
    pub text: String,
    pub expires: UnixTime,
}

/// A token was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignTokenError {
    #[error("the key for tokens has no certificate")]
    Certificate(#[from] SignError),
    #[error("the key for tokens cannot be used (a bug)")]
    Key,
    #[error("the system gives no random numbers")]
    Random(#[from] getrandom::Error),
}

/// Of the key and its certificate.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

// === impl TokenSigner ===

impl TokenSigner {
    /// A new key, certified by the orchestrator's authority.
    ///
    /// # Errors
    /// See [`SignTokenError`].
    pub fn new(authority: &Authority, now: UnixTime) -> Result<Self, SignTokenError> {
        let (key, csr) = key_and_request()?;
        let issuer = authority.identity().clone();
        let leaf = Leaf { identity: issuer.clone(), usage: Usage::Tokens, names: Vec::new(), validity: LIFE };
        let issued = authority.sign_leaf(&csr, &leaf, now)?;
        let pkcs8 = key.serialize_der();
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &random);
        let header = Header {
            alg: ALGORITHM.to_owned(),
            typ: TYPE.to_owned(),
            x5c: issued.chain.iter().map(|der| BASE64.encode(der)).collect(),
        };
        let not_after = issued.not_after;
        Ok(Self { key: key.map_err(|_| SignTokenError::Key)?, issuer, header: encoded(&header), not_after })
    }

    /// Whether a token made now can live as long as any may.
    #[must_use]
    pub fn is_fresh(&self, now: UnixTime) -> bool {
        now.as_secs().saturating_add(MOST_LIFE.as_secs()) <= self.not_after.as_secs()
    }

    /// A token for `audience`. It lives no longer than the signer's certificate, and an hour at most.
    ///
    /// # Errors
    /// See [`SignTokenError`].
    pub fn sign(
        &self,
        subject: Subject,
        audience: &str,
        life: Duration,
        now: UnixTime,
    ) -> Result<SignedToken, SignTokenError> {
        let Subject { workload, instance, node } = subject;
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        let (iat, life) = (now.as_secs(), life.min(MOST_LIFE).as_secs());
        let exp = iat.saturating_add(life).min(self.not_after.as_secs());
        let claims = Claims {
            iss: self.issuer.clone(),
            sub: workload,
            aud: audience.to_owned(),
            iat,
            nbf: iat,
            exp,
            jti: HEXLOWER.encode(&random),
            instance,
            node,
        };
        let text = self.sign_claims(&claims)?;
        Ok(SignedToken { text, expires: UnixTime::since_unix_epoch(Duration::from_secs(exp)) })
    }

    pub(super) fn sign_claims(&self, claims: &Claims) -> Result<String, SignTokenError> {
        let signed = format!("{}.{}", self.header, encoded(claims));
        let signature =
            self.key.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_| SignTokenError::Key)?;
        Ok(format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_ref())))
    }
}

impl fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSigner").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl fmt::Debug for SignedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedToken").field("expires", &self.expires).finish_non_exhaustive()
    }
}

fn encoded<T: Serialize>(part: &T) -> String {
    // Plain data with string keys: writing it to memory cannot fail.
    BASE64URL_NOPAD.encode(&serde_json::to_vec(part).unwrap_or_default())
}
