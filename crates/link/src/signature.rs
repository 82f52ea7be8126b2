//! Texts that the sea, or one of its clusters, has signed: with the key of its CA, so that whoever knows the
//! sea's root can check them, too, with nothing else at hand.
//!
//! What is signed begins with `holm:<purpose>` and a zero byte: it can be taken neither for a text of another
//! purpose nor for a certificate, whose signed part is a DER sequence.

use rcgen::{PublicKeyData as _, SigningKey as _};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::authority::{Authority, SignError};
use crate::certificate::SeaRoot;

impl Authority {
    /// ECDSA over P-256 with SHA-256, in ASN.1.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn sign_text(&self, purpose: &str, text: &[u8]) -> Result<Vec<u8>, SignError> {
        self.key().sign(&framed(purpose, text)).map_err(SignError::Write)
    }

    /// Whether this authority signed the text.
    #[must_use]
    pub fn has_signed(&self, purpose: &str, text: &[u8], signature: &[u8]) -> bool {
        is_signed(self.key().der_bytes(), purpose, text, signature)
    }
}

impl SeaRoot {
    /// Whether the sea's root signed the text.
    #[must_use]
    pub fn has_signed(&self, purpose: &str, text: &[u8], signature: &[u8]) -> bool {
        X509Certificate::from_der(self.der()).is_ok_and(|(_, certificate)| {
            is_signed(&certificate.public_key().subject_public_key.data, purpose, text, signature)
        })
    }
}

/// `point`: of the public key, uncompressed.
fn is_signed(point: &[u8], purpose: &str, text: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(&framed(purpose, text), signature).is_ok()
}

fn framed(purpose: &str, text: &[u8]) -> Vec<u8> {
    [b"holm:", purpose.as_bytes(), b"\0", text].concat()
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::UnixTime;

    use super::*;

    #[test]
    fn the_root_knows_what_its_authority_signed() {
        let sea = Authority::create_sea("sea", UnixTime::now()).unwrap();
        let other = Authority::create_sea("sea", UnixTime::now()).unwrap();
        let signature = sea.sign_text("token", b"text").unwrap();
        assert!(sea.root().has_signed("token", b"text", &signature));
        assert!(sea.has_signed("token", b"text", &signature));
        assert!(!sea.root().has_signed("token", b"texT", &signature));
        assert!(!sea.root().has_signed("ticket", b"text", &signature));
        assert!(!sea.root().has_signed("token", b"text", &signature[1..]));
        assert!(!other.root().has_signed("token", b"text", &signature));
    }
}
