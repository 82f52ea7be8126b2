//! Tokens of instances: JSON web tokens (RFC 7519) that bring their signer's chain along (`x5c`, RFC 7515).
//!
//! Whoever knows the sea's root certificate can verify one, with nothing else at hand. A token is good when
//!
//! 1. its header says `ES256` and the type of these tokens, nothing else: the key is never chosen by `alg`;
//! 2. the chain leads to the sea's root, none of it is revoked, and its leaf is made to sign tokens — the
//!    certificate of a node or of an instance, which leads there as well, is not;
//! 3. the leaf's key has signed it, and the leaf is the issuer's;
//! 4. it is for this audience, for an instance of this sea, begins before now, ends after, and lives an hour at
//!    most.

use std::time::Duration;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use rustls::pki_types::{CertificateDer, UnixTime};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Workload;
use crate::certificate::{SeaRoot, Usage};
use crate::identity::Identity;
use crate::revocation::Revocations;
use crate::verify::{self, VerifyError};

/// What a token says. Times in Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The orchestrator that signed it.
    pub iss: Identity,
    pub sub: Workload,
    /// For whom it is; the API's is `holm://<sea>`.
    pub aud: String,
    pub iat: u64,
    pub nbf: u64,
    pub exp: u64,
    /// Of this token alone.
    pub jti: String,
    /// The instance that asked for it.
    pub instance: String,
    /// The node on which it ran then.
    pub node: Identity,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) typ: String,
    /// DER in Base64, the signer's first, without the root's.
    pub(super) x5c: Vec<String>,
}

/// The token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("it is no token of an instance: {0}")]
    Form(&'static str),
    #[error("it is not of this sea, or its signer may sign no tokens (any more): {}", chain(.0))]
    Signer(#[from] VerifyError),
    #[error("its signature is wrong; it was changed, or is not of this sea")]
    Signature,
    #[error("it is for `{found}`, not for `{expected}`; ask for one with this `audience`")]
    Audience { expected: String, found: String },
    #[error("it has expired; the instance must ask for a new one")]
    Expired,
    #[error("it is not valid yet; check the clocks")]
    NotYetValid,
    #[error("the node of its instance was revoked")]
    Node,
    #[error("what it says of itself cannot be: {0}")]
    Claims(&'static str),
}

pub(super) const ALGORITHM: &str = "ES256";
/// Other tokens of the same kind of key are told apart by it (RFC 8725, 3.11).
pub(super) const TYPE: &str = "holm-identity+jwt";

/// The longest life of a token; one that claims more was not made by an orchestrator of ours.
pub const MOST_LIFE: Duration = Duration::from_secs(60 * 60);
/// By so much the verifier's clock may be behind the signer's.
const LEEWAY: u64 = 60;
/// Bytes of a token at most: whatever is longer is not looked at.
const MOST: usize = 16 * 1024;
/// Certificates of a chain at most.
const MOST_CERTIFICATES: usize = 8;

/// What the token says, if it is good for `audience` at `now`.
///
/// # Errors
/// See [`TokenError`].
pub fn verify(
    text: &str,
    audience: &str,
    root: &SeaRoot,
    revocations: &Revocations,
    now: UnixTime,
) -> Result<Claims, TokenError> {
    let parts = Parts::split(text)?;
    let chain = parts.chain()?;
    let leaf = verify::leaf(&chain)?;
    let signer = verify::judge(root, revocations, &chain, leaf, Usage::Tokens, now)?;
    parts.check_signature(&chain)?;
    let claims: Claims = json(parts.claims)?;
    if claims.iss != signer.identity {
        return Err(TokenError::Claims("its issuer is not its signer"));
    }
    if claims.sub.sea() != root.identity().sea() {
        return Err(TokenError::Claims("it is for an instance of another sea"));
    }
    if revocations.voids(&claims.node) {
        return Err(TokenError::Node);
    }
    claims.check_times(now.as_secs())?;
    if claims.aud != audience {
        return Err(TokenError::Audience { expected: audience.to_owned(), found: claims.aud });
    }
    Ok(claims)
}

impl Claims {
    fn check_times(&self, now: u64) -> Result<(), TokenError> {
        if self.exp.saturating_sub(self.nbf.min(self.iat)) > MOST_LIFE.as_secs() {
            return Err(TokenError::Claims("it would live for more than an hour"));
        }
        if now >= self.exp {
            return Err(TokenError::Expired);
        }
        let begins = self.nbf.max(self.iat);
        if begins > now.saturating_add(LEEWAY) { Err(TokenError::NotYetValid) } else { Ok(()) }
    }
}

/// The three parts of a token as text.
struct Parts<'a> {
    /// Header and claims with the point between them.
    signed: &'a str,
    header: &'a str,
    claims: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > MOST {
            return Err(TokenError::Form("it is too long"));
        }
        let form = TokenError::Form("expected three parts with points between them");
        let (signed, signature) = text.rsplit_once('.').ok_or(form.clone())?;
        let (header, claims) = signed.split_once('.').ok_or(form.clone())?;
        if claims.contains('.') { Err(form) } else { Ok(Self { signed, header, claims, signature }) }
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TokenError> {
        let header: Header = json(self.header)?;
        if header.alg != ALGORITHM {
            return Err(TokenError::Form("its `alg` is not ES256"));
        }
        if header.typ != TYPE {
            return Err(TokenError::Form("its `typ` is not holm-identity+jwt"));
        }
        if header.x5c.len() > MOST_CERTIFICATES {
            return Err(TokenError::Form("its chain is too long"));
        }
        let der = |text: &String| BASE64.decode(text.as_bytes()).map(CertificateDer::from);
        let chain: Result<_, _> = header.x5c.iter().map(der).collect();
        chain.map_err(|_| TokenError::Form("its chain is not in Base64"))
    }

    fn check_signature(&self, chain: &[CertificateDer<'_>]) -> Result<(), TokenError> {
        let signature = decoded(self.signature)?;
        let leaf = chain.first().ok_or(TokenError::Signature)?;
        let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| TokenError::Signature)?;
        let point = &leaf.public_key().subject_public_key.data;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(self.signed.as_bytes(), &signature)
            .map_err(|_| TokenError::Signature)
    }
}

fn decoded(part: &str) -> Result<Vec<u8>, TokenError> {
    BASE64URL_NOPAD
        .decode(part.as_bytes())
        .map_err(|_| TokenError::Form("a part is not in Base64 for addresses"))
}

fn json<T: DeserializeOwned>(part: &str) -> Result<T, TokenError> {
    serde_json::from_slice(&decoded(part)?)
        .map_err(|_| TokenError::Form("a part is not the JSON it should be"))
}

/// An error with its causes.
fn chain(error: &VerifyError) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests;
