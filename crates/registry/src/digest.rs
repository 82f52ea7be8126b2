//! The name of content: `sha256:` and 64 hexadecimal digits. Other algorithms are refused.

use std::fmt;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

/// The SHA-256 of a blob or manifest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// Why a text names no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Another algorithm, or none.
    #[error("only sha256 digests are kept here")]
    Algorithm,
    /// Not 64 lower-case hexadecimal digits.
    #[error("a digest is sha256: and 64 hexadecimal digits in lower case")]
    Form,
}

const PREFIX: &str = "sha256:";

// === impl Digest ===

impl Digest {
    /// Reads `sha256:…`.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let hex = text.strip_prefix(PREFIX).ok_or(DigestError::Algorithm)?;
        Self::from_hex(hex).ok_or(DigestError::Form)
    }

    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    pub(crate) fn finish(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }

    /// As files are named.
    #[must_use]
    pub fn hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }

    #[cfg(test)]
    pub(crate) fn first(&self) -> u8 {
        self.0[0]
    }

    pub(crate) fn from_hex(hex: &str) -> Option<Self> {
        let bytes = HEXLOWER.decode(hex.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_it_is_written_and_in_no_other_way() {
        let digest = Digest::of(b"{}");
        let text = digest.to_string();
        assert_eq!(text, "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
        assert_eq!(Digest::parse(&text), Ok(digest));
        assert_eq!(Digest::parse(&text.replace("sha256", "sha512")), Err(DigestError::Algorithm));
        for wrong in
            ["sha256:", "sha256:44", &text.to_uppercase().replace("SHA256", "sha256"), "sha256:../../x"]
        {
            assert_eq!(Digest::parse(wrong), Err(DigestError::Form), "{wrong}");
        }
        assert_eq!(Digest::parse(&format!("{text}0")), Err(DigestError::Form));
    }
}
