//! The rule by which a server is believed: it shows a chain that ends in the one root certificate
//! whose fingerprint the token carries, or somebody has pinned. Names and addresses are of no matter.
//!
//! The client looks at no revocation list: it has none. An orchestrator that lost its key is shut
//! out by the next token, which a new sea has signed.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

use ring::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring as provider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::error::SetupError;

/// SHA-256 of a sea's root certificate: what is pinned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

#[derive(Debug)]
struct Verifier {
    rule: Rule,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Rule {
    Pinned(Fingerprint),
    /// Believes whatever proves itself, and keeps its root's fingerprint: for asking people, never for a secret.
    Look(Seen),
}

/// What a server has shown.
pub(crate) type Seen = Arc<Mutex<Option<Fingerprint>>>;

/// TLS that believes exactly the sea with this fingerprint.
pub(crate) fn config(root: Fingerprint) -> ClientConfig {
    with(Rule::Pinned(root))
}

/// TLS that believes anybody, and tells whom.
pub(crate) fn look() -> (ClientConfig, Seen) {
    let seen = Seen::default();
    (with(Rule::Look(Arc::clone(&seen))), seen)
}

fn with(rule: Rule) -> ClientConfig {
    let provider = Arc::new(provider::default_provider());
    let verifier = Arc::new(Verifier { rule, provider: Arc::clone(&provider) });
    #[expect(clippy::expect_used, reason = "the provider has the suites of TLS 1.3")]
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3 is supported")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    // WebSockets and one request at a time: HTTP/2 would bring nothing.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

// === impl Fingerprint ===

impl Fingerprint {
    fn of(der: &[u8]) -> Option<Self> {
        digest::digest(&digest::SHA256, der).as_ref().try_into().ok().map(Self)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = SetupError;

    /// Hexadecimal, as `sha256:…` or with colons between its bytes, too.
    fn from_str(text: &str) -> Result<Self, SetupError> {
        let hex = text.trim().trim_start_matches("sha256:").replace(':', "");
        let bytes = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| SetupError::Fingerprint(text.chars().take(80).collect()))
    }
}

// === impl Rule ===

impl Rule {
    /// The certificate of the chain that has to have signed all the others.
    fn root<'a>(&self, chain: &'a [CertificateDer<'a>]) -> Option<&'a CertificateDer<'a>> {
        match self {
            Self::Pinned(root) => chain.iter().find(|der| Fingerprint::of(der) == Some(*root)),
            Self::Look(_) => chain.last(),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let root = self.rule.root(intermediates).ok_or(CertificateError::UnknownIssuer)?;
        let mut roots = RootCertStore::empty();
        roots.add(root.clone())?;
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        if let Rule::Look(seen) = &self.rule {
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = Fingerprint::of(root);
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_people_copy_them() {
        let plain = "ab".repeat(32);
        let expected: Fingerprint = plain.parse().unwrap();
        assert_eq!(expected.to_string(), plain);
        let colons = vec!["AB"; 32].join(":");
        for text in [format!(" {plain}\n"), plain.to_uppercase(), format!("sha256:{plain}"), colons] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for bad in ["", "ab", &"xy".repeat(32), &"ab".repeat(33)] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }
}
