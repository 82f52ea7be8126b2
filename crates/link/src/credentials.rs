//! A key with the chain that proves whose it is: a member's, or an orchestrator's as a server.

use std::path::Path;
use std::time::Duration;

use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use tokio::time::Instant;

use crate::authority::{SignError, key_and_request};
use crate::certificate::{CertificateError, Claims, SeaRoot, Serial, two_thirds};
use crate::files::{self, FileError};
use crate::identity::Identity;

/// A key and its certificate chain. Debug does not show the key.
#[derive(Debug)]
pub struct Credentials {
    key: KeyPair,
    /// The leaf first, up to but without the root.
    chain: Vec<CertificateDer<'static>>,
    root: SeaRoot,
    leaf: Claims,
    /// When they came as a renewal, by a clock that nobody sets; none of those that were on the disk.
    renewed_at: Option<Instant>,
}

/// A key that was made here and waits for its certificate.
#[derive(Debug)]
pub struct CredentialRequest {
    key: KeyPair,
    csr: Vec<u8>,
}

/// The certificate that was received cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("the certificate received is unusable; ask for another")]
    Certificate(#[from] CertificateError),
    #[error("the certificate received is for another key; ask for another")]
    OtherKey,
    #[error("the certificate received is for `{found}`, this is `{expected}`; ask for another")]
    OtherIdentity { expected: Identity, found: Identity },
}

/// Credentials on disk are unusable.
#[derive(Debug, thiserror::Error)]
pub enum LoadCredentialsError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the key on disk is unusable; restore it from a backup or join again")]
    Key(#[source] rcgen::Error),
    #[error("key and certificate on disk do not fit; restore them from a backup or join again")]
    Install(#[from] InstallError),
}

/// Key, chain and root in one file, so that a renewal replaces all of them or nothing.
const FILE: &str = "credentials.pem";

// === impl CredentialRequest ===

impl CredentialRequest {
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

    /// The credentials, once the orchestrator has signed (`chain` without the root).
    pub fn install(
        self,
        chain: Vec<CertificateDer<'static>>,
        root: SeaRoot,
    ) -> Result<Credentials, InstallError> {
        Credentials::assemble(self.key, chain, root)
    }
}

// === impl Credentials ===

impl Credentials {
    /// These credentials with the key and chain of a renewal; they must be for the same identity.
    pub fn renewed(
        &self,
        request: CredentialRequest,
        chain: Vec<CertificateDer<'static>>,
    ) -> Result<Self, InstallError> {
        let new = request.install(chain, self.root.clone())?;
        if new.identity() == self.identity() {
            return Ok(Self { renewed_at: Some(Instant::now()), ..new });
        }
        let (expected, found) = (self.identity().clone(), new.identity().clone());
        Err(InstallError::OtherIdentity { expected, found })
    }

    /// Whom these credentials speak for.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.leaf.identity
    }

    #[must_use]
    pub const fn serial(&self) -> &Serial {
        &self.leaf.serial
    }

    #[must_use]
    pub const fn root(&self) -> &SeaRoot {
        &self.root
    }

    #[must_use]
    pub const fn not_before(&self) -> UnixTime {
        self.leaf.not_before
    }

    #[must_use]
    pub const fn expires_at(&self) -> UnixTime {
        self.leaf.not_after
    }

    /// When to ask for new ones: at two thirds of the lifetime, so that an orchestrator may be away
    /// for the last third.
    #[must_use]
    pub fn renew_at(&self) -> UnixTime {
        two_thirds(self.leaf.not_before, self.leaf.not_after)
    }

    /// When they came as a renewal, if they did since this process began.
    pub(crate) const fn renewed_at(&self) -> Option<Instant> {
        self.renewed_at
    }

    /// How long they are valid in all.
    pub(crate) fn life(&self) -> Duration {
        Duration::from_secs(self.leaf.not_after.as_secs().saturating_sub(self.leaf.not_before.as_secs()))
    }

    /// Writes everything into `dir`, readable by its owner only; after a power cut the old or the
    /// new credentials are there.
    pub fn save(&self, dir: &Path) -> Result<(), FileError> {
        let mut text = files::pem("PRIVATE KEY", self.key.serialized_der());
        for certificate in self.chain.iter().chain([self.root.der()]) {
            text.push_str(&files::pem("CERTIFICATE", certificate));
        }
        files::write_secret(&dir.join(FILE), &text)
    }

    /// The credentials that were saved in `dir`; none when there were none.
    pub fn load(dir: &Path) -> Result<Option<Self>, LoadCredentialsError> {
        let path = dir.join(FILE);
        let Some(text) = files::read(&path)? else { return Ok(None) };
        let key = files::key(&path, &text)?;
        let key = KeyPair::try_from(key.secret_pkcs8_der()).map_err(LoadCredentialsError::Key)?;
        let mut chain = files::certificates(&path, &text)?;
        let root = chain.pop().ok_or(CertificateError::Encoding).and_then(SeaRoot::from_der);
        let root = root.map_err(InstallError::from)?;
        Ok(Some(Self::assemble(key, chain, root)?))
    }

    /// The chain for a TLS handshake and its key.
    pub(crate) fn for_tls(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        (self.chain.clone(), key.into())
    }

    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    fn assemble(
        key: KeyPair,
        chain: Vec<CertificateDer<'static>>,
        root: SeaRoot,
    ) -> Result<Self, InstallError> {
        let leaf = Claims::parse(chain.first().ok_or(CertificateError::Encoding)?)?;
        if leaf.public_key != key.subject_public_key_info() {
            return Err(InstallError::OtherKey);
        }
        Ok(Self { key, chain, root, leaf, renewed_at: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::{Authority, Leaf};
    use crate::certificate::Usage;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn at(days: u32) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000) + DAY * days)
    }

    fn sign(
        sea: &Authority,
        request: &CredentialRequest,
        who: &str,
        day: u32,
    ) -> Vec<CertificateDer<'static>> {
        let leaf = Leaf {
            identity: who.parse().unwrap(),
            usage: Usage::Client,
            names: Vec::new(),
            validity: DAY * 30,
        };
        sea.sign_leaf(request.csr(), &leaf, at(day)).unwrap().chain
    }

    #[test]
    fn credentials_survive_on_disk_and_are_renewed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Credentials::load(dir.path()).unwrap().is_none());
        let sea = Authority::create_sea("sea", at(0)).unwrap();
        let request = CredentialRequest::new().unwrap();
        let chain = sign(&sea, &request, "holm://sea/n1", 0);
        let first = request.install(chain, sea.root().clone()).unwrap();
        first.save(dir.path()).unwrap();
        let loaded = Credentials::load(dir.path()).unwrap().unwrap();
        assert_eq!(loaded.serial(), first.serial());
        assert_eq!(loaded.root().fingerprint(), sea.fingerprint());
        assert_eq!(loaded.expires_at(), at(30));
        assert!(loaded.renew_at() > at(19) && loaded.renew_at() <= at(20));

        let request = CredentialRequest::new().unwrap();
        let chain = sign(&sea, &request, "holm://sea/n1", 20);
        let second = loaded.renewed(request, chain).unwrap();
        assert_eq!(second.expires_at(), at(50));
        assert_ne!(second.serial(), first.serial());
    }

    #[test]
    fn certificates_for_others_are_not_installed() {
        let sea = Authority::create_sea("sea", at(0)).unwrap();
        let request = CredentialRequest::new().unwrap();
        let chain = sign(&sea, &request, "holm://sea/n1", 0);
        let mine = request.install(chain.clone(), sea.root().clone()).unwrap();

        let request = CredentialRequest::new().unwrap();
        assert!(matches!(request.install(chain, sea.root().clone()), Err(InstallError::OtherKey)));
        let request = CredentialRequest::new().unwrap();
        let other = sign(&sea, &request, "holm://sea/n2", 0);
        assert!(matches!(mine.renewed(request, other), Err(InstallError::OtherIdentity { .. })));
    }
}
