//! With what an instance proves who it is, and how it asks for it: through its node, of the orchestrator whose
//! member the node is.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::duration::Span;
use crate::time::Time;

/// What an instance wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Want {
    /// A JWT for one audience.
    Token { audience: String, life: Duration },
    /// A certificate for the instance's own key; the signing request in DER.
    Certificate { csr: ByteBuf, life: Duration },
}

/// What it gets. Debug shows no token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proof {
    Token {
        token: String,
        expires: Time,
    },
    /// The leaf first, up to but without the root; each in DER.
    Certificate {
        chain: Vec<ByteBuf>,
        expires: Time,
    },
}

/// What an instance wants is not given to anybody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WantError {
    #[error("`audience` says for whom the token is: 1 to {MOST_AUDIENCE} printable ASCII characters")]
    Audience,
    #[error("`ttl` is {} at least and {} at most, not {}", Span(LEAST_LIFE), Span(*.most), Span(*.asked))]
    Life { most: Duration, asked: Duration },
    #[error("a signing request has {MOST_CSR} bytes at most")]
    Request,
}

/// Of a token, unless something else is asked for.
pub const TOKEN_LIFE: Duration = Duration::from_secs(10 * 60);
pub const MOST_TOKEN_LIFE: Duration = Duration::from_secs(60 * 60);
/// Of a certificate, unless something else is asked for.
pub const CERTIFICATE_LIFE: Duration = Duration::from_secs(60 * 60);
/// A node may be without its orchestrator for a while.
pub const MOST_CERTIFICATE_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// What is shorter has expired before it is used.
pub const LEAST_LIFE: Duration = Duration::from_secs(10);
/// Characters.
pub const MOST_AUDIENCE: usize = 256;
/// Bytes; that of an RSA key of 8192 bits has about 2200.
pub const MOST_CSR: usize = 8 * 1024;

impl Want {
    /// Whether it is within the limits. Asked by the node, which can tell its instance, and by the orchestrator,
    /// which does not trust the node.
    ///
    /// # Errors
    /// See [`WantError`].
    pub fn check(&self) -> Result<(), WantError> {
        let (life, most) = match self {
            Self::Token { audience, life } => {
                if !is_audience(audience) {
                    return Err(WantError::Audience);
                }
                (*life, MOST_TOKEN_LIFE)
            }
            Self::Certificate { csr, .. } if csr.len() > MOST_CSR => return Err(WantError::Request),
            Self::Certificate { life, .. } => (*life, MOST_CERTIFICATE_LIFE),
        };
        let fits = (LEAST_LIFE..=most).contains(&life);
        if fits { Ok(()) } else { Err(WantError::Life { most, asked: life }) }
    }
}

fn is_audience(text: &str) -> bool {
    (1..=MOST_AUDIENCE).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Token { expires, .. } => write!(f, "Token(…, until {expires:?})"),
            Self::Certificate { expires, .. } => write!(f, "Certificate(…, until {expires:?})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(audience: &str, seconds: u64) -> Want {
        Want::Token { audience: audience.to_owned(), life: Duration::from_secs(seconds) }
    }

    #[test]
    fn only_what_is_within_the_limits_is_wanted() {
        assert_eq!(token("holm://sea", 600).check(), Ok(()));
        for audience in ["", "a b", "ä", &"x".repeat(257)] {
            assert_eq!(token(audience, 600).check(), Err(WantError::Audience), "{audience}");
        }
        let error = token("a", 3601).check().unwrap_err();
        assert_eq!(error.to_string(), "`ttl` is 10s at least and 1h at most, not 1h1s");
        assert!(token("a", 9).check().is_err());
        let certificate = |bytes, life| Want::Certificate { csr: ByteBuf::from(vec![0; bytes]), life };
        assert_eq!(certificate(MOST_CSR, MOST_CERTIFICATE_LIFE).check(), Ok(()));
        assert_eq!(certificate(MOST_CSR + 1, CERTIFICATE_LIFE).check(), Err(WantError::Request));
        assert!(certificate(1, MOST_CERTIFICATE_LIFE + LEAST_LIFE).check().is_err());
    }
}
