//! The orchestrator's keys: its CA, its server certificate, its certificate as a member.

use std::path::Path;
use std::time::Duration;

use data_encoding::HEXLOWER;
use holm_link::UnixTime;
use holm_link::authority::{
    Authority, CreateAuthorityError, Issued, Leaf, LoadAuthorityError, ServerName, SignError,
};
use holm_link::backoff::Backoff;
use holm_link::certificate::{Fingerprint, SeaRoot, Serial, Usage};
use holm_link::clock::Clock;
use holm_link::credentials::{CredentialRequest, Credentials, InstallError, LoadCredentialsError};
use holm_link::identity::{Identity, IdentityError};
use holm_link::join::{self, JoinError};
use holm_link::token::{JoinToken, Role as TokenRole};
use holm_link::workload::Workload;
use holm_link::workload::signer::{SignTokenError, TokenSigner};
use holm_model::id::MemberId;
use holm_model::member::Role;
use holm_model::message::Proposal;
use holm_model::name::Name;

/// Signs for members and for our own server.
#[derive(Debug)]
pub struct Signer {
    authority: Authority,
    clock: Clock,
    /// How long a member's certificate is valid.
    life: Duration,
}

/// The keys of a cluster orchestrator.
#[derive(Debug)]
pub(crate) struct ClusterKeys {
    pub(crate) authority: Authority,
    /// With which it calls its parent.
    pub(crate) credentials: Credentials,
}

/// A member's certificates, fresh from the CA.
#[derive(Debug)]
pub(crate) struct Signed {
    pub(crate) identity: Identity,
    /// The leaf first, without the root.
    pub(crate) chain: Vec<Vec<u8>>,
    /// For a cluster: the chain of its authority.
    pub(crate) authority: Option<Vec<Vec<u8>>>,
    /// Of all that was signed here.
    pub(crate) serials: Vec<Serial>,
}

/// The orchestrator has no keys to work with.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error(transparent)]
    LoadAuthority(#[from] LoadAuthorityError),
    #[error(transparent)]
    LoadCredentials(#[from] LoadCredentialsError),
    #[error("the sea's CA cannot be made")]
    Create(#[from] CreateAuthorityError),
    #[error("the keys cannot be kept in {dir}; check free space and the owner of the directory")]
    Save { dir: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(
        "the store in {0} was used before, but its CA (ca.key, ca.pem) is gone; restore a backup of the keys"
    )]
    Lost(String),
    #[error(
        "the store in {dir} is of the sea with the fingerprint {theirs}, but the CA beside it (ca.key, ca.pem) is of \
         {ours}; put back the CA that belongs to it, or take the whole directory from a backup"
    )]
    OtherSea { dir: String, theirs: String, ours: String },
    #[error("this cluster has not joined yet; start it with a token (`holm token create --role cluster`)")]
    NoToken,
    #[error("the token is for joining a node; make one with `holm token create --role cluster`")]
    NodeToken,
    #[error("joining `{parent}` failed")]
    Join { parent: String, source: JoinError },
    #[error("the parent made no authority for this cluster; do both sides have the same version?")]
    NoAuthority,
    #[error("the system gives no random numbers")]
    Random(#[from] getrandom::Error),
}

/// The certificate for our own server could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ServerCertificateError {
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error(transparent)]
    Install(#[from] InstallError),
}

/// A member's certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SignMemberError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// Our own server's certificate lives so many times as long as a member's.
const SERVER_LIVES: u32 = 3;
/// Between attempts to join a parent that cannot be reached.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// The root's CA: the one in `dir`, or that of a new sea when the store is `fresh`, too.
pub(crate) fn root(
    dir: &Path,
    fresh: bool,
    sea: Option<&str>,
    clock: &Clock,
) -> Result<Authority, KeysError> {
    if let Some(authority) = Authority::load(dir)? {
        return Ok(authority);
    }
    if !fresh {
        return Err(KeysError::Lost(dir.display().to_string()));
    }
    let name = match sea {
        Some(sea) => sea.to_owned(),
        None => random_sea()?,
    };
    let authority = Authority::create_sea(&name, clock.now())?;
    authority.save(dir).map_err(|e| save_error(dir, e))?;
    Ok(authority)
}

/// A cluster's keys from earlier starts; none when it has not joined.
pub(crate) fn cluster(dir: &Path) -> Result<Option<ClusterKeys>, KeysError> {
    let (authority, credentials) = (Authority::load(dir)?, Credentials::load(dir)?);
    Ok(authority.zip(credentials).map(|(authority, credentials)| ClusterKeys { authority, credentials }))
}

/// Becomes a cluster of `parent`; while it cannot be reached, tries again for ever.
pub(crate) async fn join(
    dir: &Path,
    parent: &str,
    token: &JoinToken,
    name: &Name,
    clock: &Clock,
) -> Result<ClusterKeys, KeysError> {
    if token.role != TokenRole::Cluster {
        return Err(KeysError::NodeToken);
    }
    let mut backoff = Backoff::new(RETRY.0, RETRY.1);
    let joined = loop {
        match join::join(parent, token, proposal(name), clock).await {
            Ok(joined) => break joined,
            Err(JoinError::Unreachable(error)) => {
                tracing::warn!(parent, %error, "The parent cannot be reached; joining is tried again.");
                tokio::time::sleep(backoff.failed(getrandom::u64()?)).await;
            }
            Err(source) => return Err(KeysError::Join { parent: parent.to_owned(), source }),
        }
    };
    let authority = joined.authority.ok_or(KeysError::NoAuthority)?;
    joined.credentials.save(dir).map_err(|e| save_error(dir, e))?;
    authority.save(dir).map_err(|e| save_error(dir, e))?;
    Ok(ClusterKeys { authority, credentials: joined.credentials })
}

fn proposal(name: &Name) -> join::Proposal {
    let details = Proposal { role: Role::Cluster, name: name.clone(), facts: None, usage: None };
    join::Proposal {
        name: name.to_string(),
        host: String::new(),
        // Plain data; without it the parent would refuse with a reason.
        details: serde_json::to_value(details).unwrap_or_default(),
    }
}

fn random_sea() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 5];
    getrandom::fill(&mut bytes)?;
    Ok(format!("sea-{}", HEXLOWER.encode(&bytes)))
}

fn save_error(dir: &Path, source: impl std::error::Error + Send + Sync + 'static) -> KeysError {
    KeysError::Save { dir: dir.display().to_string(), source: Box::new(source) }
}

// === impl Signer ===

impl Signer {
    pub(crate) const fn new(authority: Authority, clock: Clock, life: Duration) -> Self {
        Self { authority, clock, life }
    }

    pub(crate) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// When the CA ends, and with it all that it signed.
    pub(crate) const fn expires_at(&self) -> UnixTime {
        self.authority.expires_at()
    }

    /// Whose orchestrator this is.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        self.authority.identity()
    }

    #[must_use]
    pub const fn root(&self) -> &SeaRoot {
        self.authority.root()
    }

    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.authority.fingerprint()
    }

    /// # Errors
    /// When the system gives no random numbers.
    pub(crate) fn sign_text(&self, purpose: &str, text: &[u8]) -> Result<Vec<u8>, SignError> {
        self.authority.sign_text(purpose, text)
    }

    /// Whether the sea's root signed it, or we ourselves.
    pub(crate) fn has_signed(&self, purpose: &str, text: &[u8], signature: &[u8]) -> bool {
        self.root().has_signed(purpose, text, signature)
            || self.authority.has_signed(purpose, text, signature)
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.clock.now()
    }

    /// By the clocks of those who call us and know no platform time: it may be far ahead, since our clock once was.
    pub(crate) fn earliest(&self) -> UnixTime {
        self.clock.earliest(self.root().since())
    }

    /// A new key and certificate for our own server.
    pub(crate) fn server(&self, names: &[ServerName]) -> Result<Credentials, ServerCertificateError> {
        let request = CredentialRequest::new()?;
        let leaf = Leaf {
            identity: self.identity().clone(),
            usage: Usage::Server,
            names: names.to_vec(),
            validity: self.life.saturating_mul(SERVER_LIVES),
        };
        let issued = self.authority.sign_leaf_since(request.csr(), &leaf, self.earliest(), self.now())?;
        Ok(request.install(issued.chain, self.root().clone())?)
    }

    /// Certificates for a member that joins, with an authority if it is a cluster.
    pub(crate) fn member(
        &self,
        member: &str,
        csr: &[u8],
        authority_csr: Option<&[u8]>,
    ) -> Result<Signed, SignMemberError> {
        let identity = self.identity().child(member)?;
        let leaf =
            Leaf { identity: identity.clone(), usage: Usage::Client, names: Vec::new(), validity: self.life };
        let own = self.authority.sign_leaf(csr, &leaf, self.now())?;
        let mut serials = vec![own.serial];
        let authority = match authority_csr {
            None => None,
            Some(csr) => {
                let issued = self.authority.sign_intermediate(csr, &identity, self.now())?;
                serials.push(issued.serial);
                Some(der(&issued.chain))
            }
        };
        Ok(Signed { identity, chain: der(&own.chain), authority, serials })
    }

    /// A certificate for an instance's own key.
    pub(crate) fn workload(&self, who: &Workload, csr: &[u8], life: Duration) -> Result<Issued, SignError> {
        let identity = who.identity().clone();
        let leaf = Leaf { identity, usage: Usage::Workload, names: Vec::new(), validity: life };
        self.authority.sign_leaf(csr, &leaf, self.now())
    }

    /// A new key for tokens of instances.
    pub(crate) fn token_signer(&self) -> Result<TokenSigner, SignTokenError> {
        TokenSigner::new(&self.authority, self.now())
    }

    /// A new certificate for a member that has one.
    pub(crate) fn renewal(&self, member: MemberId, csr: &[u8]) -> Result<Signed, SignMemberError> {
        self.member(&member.to_string(), csr, None)
    }
}

fn der<C: AsRef<[u8]>>(chain: &[C]) -> Vec<Vec<u8>> {
    chain.iter().map(|certificate| certificate.as_ref().to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use holm_link::clock::LocalClock;

    use super::*;
    use crate::config::CERTIFICATE_LIFE;

    /// A sea of now, at a root whose platform time is `days` ahead of its clock.
    fn ahead(days: u64) -> (Signer, UnixTime, UnixTime) {
        let authority = Authority::create_sea("sea", UnixTime::now()).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs() + 1));
        let later = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs() + days * 24 * 3600));
        let clock = Clock::new(LocalClock::told(move || now), later);
        (Signer::new(authority, clock, CERTIFICATE_LIFE), now, later)
    }

    #[test]
    fn a_root_whose_clock_was_ahead_shuts_nobody_out() {
        let (signer, now, later) = ahead(60);
        let own = signer.server(&[]).unwrap();
        assert!(own.not_before() <= now, "for those whose clock is right");
        assert!(own.expires_at() > later, "and for those who heard the platform time");
    }

    #[test]
    fn a_clock_that_is_evidently_wrong_dates_no_certificate() {
        let (signer, _, later) = ahead(60);
        let clock = Clock::new(LocalClock::told(|| UnixTime::since_unix_epoch(Duration::ZERO)), later);
        let signer = Signer { clock, ..signer };
        assert!(signer.earliest() >= later);
    }

    #[test]
    fn a_sea_is_made_once_and_a_lost_one_is_not_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::default();
        let first = root(dir.path(), true, None, &clock).unwrap();
        assert!(first.identity().sea().starts_with("sea-"));
        let second = root(dir.path(), false, Some("other"), &clock).unwrap();
        assert_eq!(first.fingerprint(), second.fingerprint());

        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(root(empty.path(), false, None, &clock), Err(KeysError::Lost(_))));
    }

    #[test]
    fn a_cluster_gets_two_certificates_and_both_serials_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::default();
        let signer =
            Signer::new(root(dir.path(), true, Some("sea"), &clock).unwrap(), clock, CERTIFICATE_LIFE);
        let request = CredentialRequest::new().unwrap();
        let authority = holm_link::authority::AuthorityRequest::new().unwrap();
        let signed = signer.member("1-0123456789ab-2", request.csr(), Some(authority.csr())).unwrap();
        assert_eq!(signed.serials.len(), 2);
        assert_eq!(signed.identity.to_string(), "holm://sea/1-0123456789ab-2");
        assert!(signer.member("x", b"no request", None).is_err());
    }
}
