//! rustls set up with our rules: verifiers, configurations, the replaceable server certificate.

use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    ServerConfig, SignatureScheme,
};

use crate::captive;
use crate::certificate::{Fingerprint, SeaRoot};
use crate::clock::Clock;
use crate::credentials::Credentials;
use crate::identity::Identity;
use crate::revocation::Revocations;
use crate::verify::{self, MemberPolicy, OrchestratorPolicy, PeerIdentity, VerifyError};

/// ALPN of a session between a member and its orchestrator.
pub const ALPN_CONTROL: &[u8] = b"holm/1";
/// ALPN of a second connection of a session, for its tunnels.
pub const ALPN_BULK: &[u8] = b"holm-bulk/1";
/// ALPN of what a node of a cluster says to the orchestrator above it.
pub(crate) const ALPN_WITNESS: &[u8] = b"holm-witness/1";

const ALPN_HTTP1: &[u8] = b"http/1.1";
const ALPN_HTTP2: &[u8] = b"h2";

/// A chain and its key are unusable for TLS.
#[derive(Debug, thiserror::Error)]
#[error("the credentials of `{identity}` cannot be used for TLS; join again")]
pub struct TlsConfigError {
    identity: Identity,
    source: Error,
}

/// The certificate a server shows; it can be replaced while the server runs.
#[derive(Clone)]
pub struct ServerCertificate {
    current: Arc<RwLock<Arc<CertifiedKey>>>,
}

/// Whose chain a pinned connection accepts: that of a sea whose root has the fingerprint.
#[derive(Clone, Debug)]
pub(crate) struct PinnedPolicy {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) expected: Identity,
}

/// Whose chain is looked at before anybody has been told whom to expect: that of any sea, whole in itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnySeaPolicy;

#[derive(Debug)]
struct MemberVerifier(Arc<MemberPolicy>);

#[derive(Debug)]
struct ServerVerifier<P>(P);

/// A rule by which a client accepts a server.
pub(crate) trait ServerPolicy: fmt::Debug + Send + Sync + 'static {
    fn judge_server(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<PeerIdentity, VerifyError>;
}

// === impl ServerCertificate ===

impl ServerCertificate {
    pub fn new(credentials: &Credentials) -> Result<Self, TlsConfigError> {
        Ok(Self { current: Arc::new(RwLock::new(Arc::new(certified(credentials)?))) })
    }

    /// Shows `credentials` in each handshake from now on.
    pub fn replace(&self, credentials: &Credentials) -> Result<(), TlsConfigError> {
        let new = Arc::new(certified(credentials)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// The chain with the root: whoever joins knows the root's fingerprint only.
fn certified(credentials: &Credentials) -> Result<CertifiedKey, TlsConfigError> {
    let (mut chain, key) = credentials.for_tls();
    chain.push(credentials.root().der().clone());
    CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())
        .map_err(|source| TlsConfigError { identity: credentials.identity().clone(), source })
}

// === configurations ===

/// Members: TLS 1.3, a client certificate is mandatory.
///
/// Nothing is resumed: a resumed session would show no certificate, so a revoked member could come
/// back with an old ticket.
pub(crate) fn member_server(
    certificate: &ServerCertificate,
    policy: Arc<MemberPolicy>,
    clock: &Clock,
    alpn: &[&[u8]],
) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_details(provider(), Arc::new(clock.clone()))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(MemberVerifier(policy)))
        .with_cert_resolver(Arc::new(certificate.clone()));
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Browsers, CLI, registry clients: never asked for a certificate.
pub(crate) fn http_server(certificate: &ServerCertificate, clock: &Clock) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_details(provider(), Arc::new(clock.clone()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificate.clone()));
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    Ok(config)
}

/// A member that calls its orchestrator.
pub(crate) fn member_client(
    credentials: &Credentials,
    policy: OrchestratorPolicy,
    clock: &Clock,
    alpn: &[u8],
) -> Result<ClientConfig, TlsConfigError> {
    let (chain, key) = credentials.for_tls();
    let build = || {
        let mut config = ClientConfig::builder_with_details(provider(), Arc::new(clock.clone()))
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ServerVerifier(policy)))
            .with_client_auth_cert(chain, key)?;
        config.alpn_protocols = vec![alpn.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(config)
    };
    build().map_err(|source| TlsConfigError { identity: credentials.identity().clone(), source })
}

/// A machine that joins.
pub(crate) fn pinned_client(policy: impl ServerPolicy, clock: &Clock) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_details(provider(), Arc::new(clock.clone()))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ServerVerifier(policy)))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_HTTP1.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Named, so that nothing depends on which provider the process has installed.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The verdict that ended a handshake, when that is why it failed.
pub(crate) fn verdict(error: &io::Error) -> Option<VerifyError> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::InvalidCertificate(CertificateError::Other(OtherError(why))) => why.downcast_ref().cloned(),
        _ => None,
    }
}

/// What the other side said when it refused us.
pub(crate) fn alert(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::AlertReceived(alert) => Some(format!("{alert:?}")),
        _ => None,
    }
}

/// Whether what came was not TLS at all.
pub(crate) fn is_garbage(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    matches!(cause, Some(Error::InvalidMessage(_)))
}

// === policies ===

impl ServerPolicy for OrchestratorPolicy {
    fn judge_server(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<PeerIdentity, VerifyError> {
        self.judge(chain, now)
    }
}

impl PinnedPolicy {
    /// The root among what the server has shown.
    pub(crate) fn root(&self, chain: &[CertificateDer<'_>]) -> Result<SeaRoot, VerifyError> {
        let root = chain.iter().find(|der| Fingerprint::of(der) == self.fingerprint);
        let root = root.ok_or(VerifyError::Fingerprint(self.fingerprint))?;
        Ok(SeaRoot::from_der(root.clone().into_owned())?)
    }
}

impl ServerPolicy for PinnedPolicy {
    fn judge_server(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<PeerIdentity, VerifyError> {
        let policy = OrchestratorPolicy {
            root: self.root(chain)?,
            expected: self.expected.clone(),
            revocations: Revocations::default(),
        };
        policy.judge(chain, now)
    }
}

impl AnySeaPolicy {
    /// The root that the server has shown.
    pub(crate) fn root(chain: &[CertificateDer<'_>]) -> Result<SeaRoot, VerifyError> {
        let leaf = verify::leaf(chain)?;
        let roots = chain.iter().filter_map(|der| SeaRoot::from_der(der.clone().into_owned()).ok());
        let root = roots.into_iter().find(|root| root.identity().sea() == leaf.identity.sea());
        root.ok_or(VerifyError::Rootless(leaf.identity))
    }
}

impl ServerPolicy for AnySeaPolicy {
    fn judge_server(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<PeerIdentity, VerifyError> {
        let expected = verify::leaf(chain)?.identity;
        let (root, revocations) = (Self::root(chain)?, Revocations::default());
        OrchestratorPolicy { root, expected, revocations }.judge(chain, now)
    }
}

// === verifiers ===

fn chain<'a>(leaf: &CertificateDer<'a>, others: &[CertificateDer<'a>]) -> Vec<CertificateDer<'a>> {
    [leaf].into_iter().chain(others).cloned().collect()
}

/// The alert that tells a member why it is refused: revoked, expired, or another sea's.
fn refusal(error: VerifyError) -> Error {
    let plain = match error {
        VerifyError::Revoked { .. } => CertificateError::Revoked,
        VerifyError::Expired { .. } => CertificateError::Expired,
        VerifyError::NotYetValid { .. } => CertificateError::NotValidYet,
        VerifyError::Path(_) => CertificateError::UnknownIssuer,
        VerifyError::Usage(_) => CertificateError::InvalidPurpose,
        VerifyError::NotBelow { .. } | VerifyError::NotMember { .. } => {
            CertificateError::ApplicationVerificationFailure
        }
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    Error::InvalidCertificate(plain)
}

fn schemes() -> Vec<SignatureScheme> {
    provider().signature_verification_algorithms.supported_schemes()
}

impl ClientCertVerifier for MemberVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.judge(&chain(leaf, others), now).map_err(refusal)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

impl<P: ServerPolicy> ServerCertVerifier for ServerVerifier<P> {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The verdict itself travels in the error: `verdict` finds it for the caller.
        let wrap =
            |e| Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::<VerifyError>::new(e))));
        let chain = chain(leaf, others);
        self.0.judge_server(&chain, now).map_err(|error| {
            wrap(captive::strangers(&chain).map_or(error, |names| VerifyError::Stranger { names }))
        })?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}
