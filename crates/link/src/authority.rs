//! A certificate authority: the root's, or a cluster's that signs only below itself.
//!
//! Nothing of a signing request but its public key is used; who a certificate speaks for, and for
//! how long, is decided by the signer.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, UnixTime};
use time::OffsetDateTime;

use crate::certificate::{CertificateError, Claims, Fingerprint, SeaRoot, Serial, Usage};
use crate::files::{self, FileError};
use crate::identity::{Identity, IdentityError};
use crate::workload::TOKENS_PURPOSE;

/// A CA key and the chain that proves what it may sign.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    identity: Identity,
    /// Nothing that is signed here is valid longer.
    not_after: UnixTime,
    /// The own certificate first, up to but without the root's; empty for the root itself.
    chain: Vec<CertificateDer<'static>>,
    root: SeaRoot,
}

/// A CA key that was made here and waits for its certificate.
#[derive(Debug)]
pub struct AuthorityRequest {
    key: KeyPair,
    csr: Vec<u8>,
}

/// What a leaf certificate is to say.
#[derive(Clone, Debug)]
pub struct Leaf {
    pub identity: Identity,
    pub usage: Usage,
    /// Under which names and addresses a browser or CLI finds this server; empty for clients.
    pub names: Vec<ServerName>,
    pub validity: Duration,
}

/// A name in a server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerName {
    Dns(String),
    Ip(IpAddr),
}

/// A certificate that was signed.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The new certificate first, up to but without the root.
    pub chain: Vec<CertificateDer<'static>>,
    pub serial: Serial,
    pub not_after: UnixTime,
}

/// A new sea or cluster authority could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateAuthorityError {
    #[error("the sea cannot have this name")]
    Name(#[from] IdentityError),
    #[error("making the CA's key or certificate failed")]
    Sign(#[from] SignError),
    #[error("the certificate received for the CA is unusable; join again")]
    Certificate(#[from] CertificateError),
    #[error("the certificate received for the CA is for another key; join again")]
    OtherKey,
}

/// A certificate was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    #[error("the signing request is malformed, not signed by its own key, or has an unknown key type")]
    Request(#[source] rcgen::Error),
    #[error("`{subject}` is not below `{issuer}`, which may sign only below itself")]
    NotBelow { issuer: Identity, subject: Identity },
    #[error("`{0}` is no DNS name")]
    DnsName(String),
    #[error("the certificate cannot be written (a bug)")]
    Write(#[source] rcgen::Error),
    #[error("the CA's own certificate has expired; it needs a new one from its parent")]
    Expired,
    #[error("a time is out of the range of certificates")]
    Time,
    #[error("the system gives no random numbers")]
    Random(#[from] getrandom::Error),
}

/// An authority on disk is unusable.
#[derive(Debug, thiserror::Error)]
pub enum LoadAuthorityError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the CA's certificate on disk is unusable; restore it from a backup")]
    Certificate(#[from] CertificateError),
    #[error("the CA's key and certificate on disk do not belong together; restore both from a backup")]
    OtherKey,
    #[error("the CA's key on disk is unusable; restore it from a backup")]
    Key(#[source] rcgen::Error),
}

/// Clocks of members may be behind by this much; a short life is not stretched by it.
const BACKDATE: Duration = Duration::from_secs(5 * 60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const ROOT_YEARS: u32 = 20;
const INTERMEDIATE_YEARS: u32 = 10;

const KEY_FILE: &str = "ca.key";
/// The CA's chain and then the root; written after the key, so a CA is there once this file is.
const CHAIN_FILE: &str = "ca.pem";

// === impl Authority ===

impl Authority {
    /// A new sea: its self-signed root, valid for 20 years.
    pub fn create_sea(sea: &str, now: UnixTime) -> Result<Self, CreateAuthorityError> {
        let identity = Identity::sea_root(sea)?;
        let key = KeyPair::generate().map_err(SignError::Write)?;
        let (mut params, _) = params(&identity, now, now_plus(now, YEAR * ROOT_YEARS))?;
        authority_params(&mut params, &identity);
        let root = params.self_signed(&key).map_err(SignError::Write)?;
        let root = SeaRoot::from_der(root.der().clone())?;
        Self::assemble(key, Vec::new(), root)
    }

    /// An authority for the orchestrator `identity`, valid for ten years.
    pub fn sign_intermediate(
        &self,
        csr: &[u8],
        identity: &Identity,
        now: UnixTime,
    ) -> Result<Issued, SignError> {
        self.check_below(identity)?;
        let until = self.until(now, YEAR * INTERMEDIATE_YEARS)?;
        let (mut params, serial) = params(identity, now, until)?;
        authority_params(&mut params, identity);
        self.sign(csr, &params, serial, until)
    }

    /// A certificate for a member below this authority, for this authority's own orchestrator (whose identity
    /// is the authority's), or for an instance.
    pub fn sign_leaf(&self, csr: &[u8], leaf: &Leaf, now: UnixTime) -> Result<Issued, SignError> {
        self.sign_leaf_since(csr, leaf, now, now)
    }

    /// As [`Self::sign_leaf`], good since an earlier time: for those whose clock is behind `now`.
    ///
    /// # Errors
    /// As for [`Self::sign_leaf`].
    pub fn sign_leaf_since(
        &self,
        csr: &[u8],
        leaf: &Leaf,
        since: UnixTime,
        now: UnixTime,
    ) -> Result<Issued, SignError> {
        if !leaf.usage.may_sign(&self.identity, &leaf.identity) {
            return Err(self.not_below(&leaf.identity));
        }
        let until = self.until(now, leaf.validity)?;
        let (mut params, serial) = params(&leaf.identity, since.min(now), until)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if leaf.usage.allows_client() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        if leaf.usage.allows_server() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        if leaf.usage == Usage::Tokens {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::Other(TOKENS_PURPOSE.to_vec()));
        }
        for name in &leaf.names {
            params.subject_alt_names.push(alternative_name(name)?);
        }
        self.sign(csr, &params, serial, until)
    }

    pub(crate) fn key(&self) -> &KeyPair {
        self.issuer.key()
    }

    /// Whose authority this is.
    #[must_use]
    pub const fn expires_at(&self) -> UnixTime {
        self.not_after
    }

    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    #[must_use]
    pub const fn root(&self) -> &SeaRoot {
        &self.root
    }

    /// The fingerprint of the sea's root.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.root.fingerprint()
    }

    /// Writes key and chain into `dir`, the key in the file `ca.key`, readable by its owner only.
    pub fn save(&self, dir: &Path) -> Result<(), FileError> {
        let key = files::pem("PRIVATE KEY", self.issuer.key().serialized_der());
        files::write_secret(&dir.join(KEY_FILE), &key)?;
        let chain = self.chain.iter().chain([self.root.der()]);
        let chain: String = chain.map(|der| files::pem("CERTIFICATE", der)).collect();
        files::write_secret(&dir.join(CHAIN_FILE), &chain)
    }

    /// The authority that was saved in `dir`; none when there was none.
    pub fn load(dir: &Path) -> Result<Option<Self>, LoadAuthorityError> {
        let (key_path, chain_path) = (dir.join(KEY_FILE), dir.join(CHAIN_FILE));
        let Some(chain) = files::read(&chain_path)? else { return Ok(None) };
        let mut chain = files::certificates(&chain_path, &chain)?;
        let root = SeaRoot::from_der(chain.pop().ok_or(CertificateError::Encoding)?)?;
        let key = files::read(&key_path)?.ok_or_else(|| FileError::Missing { path: key_path.clone() })?;
        let key = files::key(&key_path, &key)?;
        let key = KeyPair::try_from(key.secret_pkcs8_der()).map_err(LoadAuthorityError::Key)?;
        match Self::assemble(key, chain, root) {
            Ok(authority) => Ok(Some(authority)),
            Err(CreateAuthorityError::Certificate(e)) => Err(e.into()),
            Err(_) => Err(LoadAuthorityError::OtherKey),
        }
    }

    fn assemble(
        key: KeyPair,
        chain: Vec<CertificateDer<'static>>,
        root: SeaRoot,
    ) -> Result<Self, CreateAuthorityError> {
        let own = chain.first().unwrap_or(root.der());
        let claims = Claims::parse(own)?;
        if !claims.is_ca {
            return Err(CertificateError::Root("it is no CA certificate").into());
        }
        if claims.public_key != key.subject_public_key_info() {
            return Err(CreateAuthorityError::OtherKey);
        }
        let issuer = Issuer::from_ca_cert_der(own, key).map_err(|_| CertificateError::Encoding)?;
        Ok(Self { issuer, identity: claims.identity, not_after: claims.not_after, chain, root })
    }

    fn check_below(&self, subject: &Identity) -> Result<(), SignError> {
        if subject.is_below(&self.identity) { Ok(()) } else { Err(self.not_below(subject)) }
    }

    fn not_below(&self, subject: &Identity) -> SignError {
        SignError::NotBelow { issuer: self.identity.clone(), subject: subject.clone() }
    }

    fn until(&self, now: UnixTime, validity: Duration) -> Result<UnixTime, SignError> {
        if now >= self.not_after {
            return Err(SignError::Expired);
        }
        Ok(now_plus(now, validity).min(self.not_after))
    }

    fn sign(
        &self,
        csr: &[u8],
        params: &CertificateParams,
        serial: Serial,
        not_after: UnixTime,
    ) -> Result<Issued, SignError> {
        let csr = CertificateSigningRequestDer::from(csr);
        let request = CertificateSigningRequestParams::from_der(&csr).map_err(SignError::Request)?;
        let signed = params.signed_by(&request.public_key, &self.issuer).map_err(SignError::Write)?;
        let chain = [signed.der().clone()].into_iter().chain(self.chain.iter().cloned()).collect();
        Ok(Issued { chain, serial, not_after })
    }
}

// === impl AuthorityRequest ===

impl AuthorityRequest {
    /// A new key and the request to sign it; the key never leaves this machine.
    pub fn new() -> Result<Self, SignError> {
        let (key, csr) = key_and_request()?;
        Ok(Self { key, csr })
    }

    /// The signing request in DER.
    #[must_use]
    pub fn csr(&self) -> &[u8] {
        &self.csr
    }

    /// The authority, once the parent has signed.
    pub fn install(
        self,
        chain: Vec<CertificateDer<'static>>,
        root: SeaRoot,
    ) -> Result<Authority, CreateAuthorityError> {
        Authority::assemble(self.key, chain, root)
    }
}

/// A new key and the request to sign its public half.
pub(crate) fn key_and_request() -> Result<(KeyPair, Vec<u8>), SignError> {
    let key = KeyPair::generate().map_err(SignError::Write)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let csr = params.serialize_request(&key).map_err(SignError::Write)?;
    Ok((key, csr.der().to_vec()))
}

fn params(
    identity: &Identity,
    now: UnixTime,
    until: UnixTime,
) -> Result<(CertificateParams, Serial), SignError> {
    let serial = Serial::random()?;
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(serial.as_bytes()));
    let life = until.as_secs().saturating_sub(now.as_secs());
    let backdate = BACKDATE.as_secs().min(life / 10);
    params.not_before = date(now.as_secs().saturating_sub(backdate))?;
    params.not_after = date(until.as_secs())?;
    params.distinguished_name = subject(identity);
    params.use_authority_key_identifier_extension = true;
    let uri = identity.to_string().try_into().map_err(SignError::Write)?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    Ok((params, serial))
}

fn authority_params(params: &mut CertificateParams, identity: &Identity) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // A CA has another name than the leaf of the same orchestrator: a leaf whose issuer has its own
    // name looks self-signed to some browsers.
    params.distinguished_name = subject(identity);
    params.distinguished_name.push(DnType::OrganizationalUnitName, "CA");
}

fn subject(identity: &Identity) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, identity.sea());
    name.push(DnType::CommonName, identity.name());
    name
}

fn alternative_name(name: &ServerName) -> Result<SanType, SignError> {
    match name {
        ServerName::Ip(ip) => Ok(SanType::IpAddress(*ip)),
        ServerName::Dns(name) => {
            let text = name.clone().try_into().map_err(|_| SignError::DnsName(name.clone()))?;
            Ok(SanType::DnsName(text))
        }
    }
}

fn now_plus(now: UnixTime, span: Duration) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()).saturating_add(span))
}

fn date(seconds: u64) -> Result<OffsetDateTime, SignError> {
    let seconds = i64::try_from(seconds).map_err(|_| SignError::Time)?;
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| SignError::Time)
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;
