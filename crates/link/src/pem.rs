//! Certificates and signing requests as text, for programs of others.

use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject as _;

use crate::files;

/// A certificate of DER as one PEM block.
#[must_use]
pub fn certificate(der: &[u8]) -> String {
    files::pem("CERTIFICATE", der)
}

/// The DER of the first signing request in a text; none when there is none.
#[must_use]
pub fn signing_request(text: &[u8]) -> Option<Vec<u8>> {
    CertificateSigningRequestDer::from_pem_slice(text).ok().map(|request| request.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_found_in_its_text_and_nothing_else_is() {
        let text = files::pem("CERTIFICATE REQUEST", b"der");
        assert_eq!(signing_request(text.as_bytes()).unwrap(), b"der");
        for bad in ["", "der", "-----BEGIN CERTIFICATE REQUEST-----\n", &certificate(b"der")] {
            assert_eq!(signing_request(bad.as_bytes()), None, "{bad}");
        }
    }
}
