//! API tokens and sessions: `holm-api.<base64url of JSON>.<base64url of a signature of that JSON>`.
//!
//! A token proves itself to every orchestrator of the sea whose root signed it, and to the one that signed it;
//! only whether it was made void meanwhile must be asked of the machine.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use holm_link::authority::SignError;
use holm_link::certificate::Fingerprint;
use holm_model::access::Grants;
use holm_model::time::Time;
use serde::{Deserialize, Serialize};

use crate::keys::Signer;

/// Signs and verifies the tokens of one orchestrator.
pub struct TokenSigner {
    signer: Arc<Signer>,
}

/// What a token says, once its signature was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// By which it is listed and made void.
    pub id: String,
    /// Whose it is: a person's name, or `admin` for whoever opened the socket.
    pub who: String,
    pub kind: Kind,
    pub grants: Grants,
    /// When it was made.
    pub iat: Time,
    pub exp: Time,
    pub sea: String,
    /// Of the sea's root: what a client pins.
    pub fp: Fingerprint,
}

/// What the token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// For programs; made by somebody who may do at least as much.
    Api,
    /// A person has logged in.
    Session,
    /// A person has logged in with a password that is to be changed, and may do nothing else.
    Renewal,
    /// The one-time link of the first start.
    Setup,
}

/// The token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error(
        "an API token starts with `{PREFIX}`; `holm login` gets one, or `holm token create --role viewer`"
    )]
    Form,
    #[error("the API token is mistyped, or of another sea; copy it again, or log in")]
    Signature,
    #[error("the API token has expired at {0}; log in again, or make a new one with `holm token create`")]
    Expired(Time),
    #[error("the API token was made void; log in again, or make a new one with `holm token create`")]
    Void,
}

const PREFIX: &str = "holm-api.";
/// What the signature is for.
const PURPOSE: &str = "api-token";
/// Bytes of a token at most: whatever is longer is not looked at.
const MAX_TOKEN: usize = 8192;

// === impl TokenSigner ===

impl TokenSigner {
    pub(crate) const fn new(signer: Arc<Signer>) -> Self {
        Self { signer }
    }

    /// A token's text.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub(crate) fn sign(&self, new: NewToken<'_>) -> Result<String, SignError> {
        let claims = Claims {
            id: new.id.to_owned(),
            who: new.who.to_owned(),
            kind: new.kind,
            grants: new.grants.clone(),
            iat: new.made,
            exp: new.expires,
            sea: self.signer.identity().sea().to_owned(),
            fp: self.signer.fingerprint(),
        };
        // Plain data with string keys: serializing it to memory cannot fail.
        #[expect(clippy::expect_used, reason = "see above")]
        let payload = serde_json::to_vec(&claims).expect("claims are plain data");
        let signature = self.signer.sign_text(PURPOSE, &payload)?;
        Ok(format!("{PREFIX}{}.{}", BASE64URL_NOPAD.encode(&payload), BASE64URL_NOPAD.encode(&signature)))
    }

    /// What the token says, if the sea or we ourselves signed it and it has not expired. Whether it was made
    /// void is not known here.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn verify(&self, text: &str, now: Time) -> Result<Claims, TokenError> {
        let SignedText { payload, signature } = text.parse()?;
        // Comparing curve points: takes the same time for every signature of the right form.
        if !self.signer.has_signed(PURPOSE, &payload, &signature) {
            return Err(TokenError::Signature);
        }
        let claims: Claims = serde_json::from_slice(&payload).map_err(|_| TokenError::Signature)?;
        if claims.sea != self.signer.identity().sea() || claims.fp != self.signer.fingerprint() {
            return Err(TokenError::Signature);
        }
        if now >= claims.exp {
            return Err(TokenError::Expired(claims.exp));
        }
        Ok(claims)
    }
}

/// What a token is to say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewToken<'a> {
    pub(crate) id: &'a str,
    pub(crate) who: &'a str,
    pub(crate) kind: Kind,
    pub(crate) grants: &'a Grants,
    pub(crate) made: Time,
    pub(crate) expires: Time,
}

impl fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSigner").field("sea", &self.signer.identity().sea()).finish_non_exhaustive()
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
    use std::time::Duration;

    use holm_link::UnixTime;
    use holm_link::authority::{Authority, AuthorityRequest};
    use holm_link::clock::{Clock, LocalClock};
    use holm_model::access::Role;

    use super::*;

    const EXPIRES: Time = Time(2_000_000_000_000);
    const NOW: Time = Time(1_900_000_000_000);

    fn tokens(authority: Authority) -> TokenSigner {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::open(dir.path(), LocalClock::default());
        TokenSigner::new(Arc::new(Signer::new(authority, clock, Duration::from_secs(60))))
    }

    fn sea(name: &str) -> Authority {
        Authority::create_sea(name, UnixTime::now()).unwrap()
    }

    fn cluster_of(root: &Authority) -> Authority {
        let request = AuthorityRequest::new().unwrap();
        let identity = root.identity().child("vienna").unwrap();
        let issued = root.sign_intermediate(request.csr(), &identity, UnixTime::now()).unwrap();
        request.install(issued.chain, root.root().clone()).unwrap()
    }

    fn token(of: &TokenSigner, grants: &Grants) -> String {
        let new = NewToken { id: "t1", who: "ada", kind: Kind::Api, grants, made: Time(0), expires: EXPIRES };
        of.sign(new).unwrap()
    }

    #[test]
    fn a_token_of_the_sea_is_good_at_every_orchestrator_until_it_expires() {
        let root = sea("sea");
        let cluster = tokens(cluster_of(&root));
        let grants = Grants::sea(Role::Viewer);
        let text = token(&tokens(root), &grants);
        let claims = cluster.verify(&text, NOW).unwrap();
        assert_eq!((claims.id.as_str(), claims.who.as_str(), &claims.grants), ("t1", "ada", &grants));
        assert_eq!(cluster.verify(&text, EXPIRES), Err(TokenError::Expired(EXPIRES)));
    }

    #[test]
    fn a_cluster_signs_for_itself_only() {
        let root = sea("sea");
        let cluster = tokens(cluster_of(&root));
        let neighbour = tokens(cluster_of(&root));
        let text = token(&cluster, &Grants::all());
        assert!(cluster.verify(&text, NOW).is_ok());
        assert_eq!(neighbour.verify(&text, NOW), Err(TokenError::Signature));
        assert_eq!(tokens(root).verify(&text, NOW), Err(TokenError::Signature));
    }

    #[test]
    fn a_changed_token_is_refused_at_every_byte() {
        let signer = tokens(sea("sea"));
        let text = token(&signer, &Grants::sea(Role::Viewer));
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
    fn a_wider_scope_under_an_old_signature_is_refused() {
        let signer = tokens(sea("sea"));
        let text = token(&signer, &Grants::sea(Role::Viewer));
        let (_, signature) = text.rsplit_once('.').unwrap();
        let mut claims = signer.verify(&text, NOW).unwrap();
        claims.grants = Grants::all();
        let payload = BASE64URL_NOPAD.encode(&serde_json::to_vec(&claims).unwrap());
        assert_eq!(signer.verify(&format!("{PREFIX}{payload}.{signature}"), NOW), Err(TokenError::Signature));
    }

    #[test]
    fn another_seas_token_is_refused() {
        let text = token(&tokens(sea("sea")), &Grants::all());
        assert_eq!(tokens(sea("sea")).verify(&text, NOW), Err(TokenError::Signature));
    }
}
