//! A sea for tests: a root, clusters, members, and certificates that no honest authority signs.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

pub mod orchestrator;

use std::time::Duration;

use holm_link::UnixTime;
use holm_link::authority::{Authority, AuthorityRequest, Issued, Leaf, ServerName};
use holm_link::certificate::Usage;
use holm_link::credentials::{CredentialRequest, Credentials};
use holm_link::identity::Identity;
use holm_link::revocation::Revocations;
use holm_link::verify::{MemberPolicy, OrchestratorPolicy};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::pki_types::CertificateDer;

pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub type Chain = Vec<CertificateDer<'static>>;

pub fn id(text: &str) -> Identity {
    text.parse().unwrap()
}

/// A time some days after the sea was made.
pub fn day(days: u32) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000) + DAY * days)
}

pub fn sea() -> Authority {
    Authority::create_sea("sea", day(0)).unwrap()
}

pub fn cluster(root: &Authority, who: &str) -> (Authority, Issued) {
    let request = AuthorityRequest::new().unwrap();
    let issued = root.sign_intermediate(request.csr(), &id(who), day(0)).unwrap();
    (request.install(issued.chain.clone(), root.root().clone()).unwrap(), issued)
}

pub fn leaf(who: &str, usage: Usage) -> Leaf {
    let names = match usage {
        Usage::Client | Usage::Workload | Usage::Tokens => Vec::new(),
        Usage::Server => {
            vec![ServerName::Dns("localhost".into()), ServerName::Ip([127, 0, 0, 1].into())]
        }
    };
    Leaf { identity: id(who), usage, names, validity: DAY * 30 }
}

/// Credentials for `who`, valid for 30 days from `now`.
pub fn credentials(authority: &Authority, who: &str, usage: Usage, now: UnixTime) -> Credentials {
    let request = CredentialRequest::new().unwrap();
    let issued = authority.sign_leaf(request.csr(), &leaf(who, usage), now).unwrap();
    request.install(issued.chain, authority.root().clone()).unwrap()
}

pub fn issue(authority: &Authority, who: &str, usage: Usage) -> Issued {
    let request = CredentialRequest::new().unwrap();
    authority.sign_leaf(request.csr(), &leaf(who, usage), day(0)).unwrap()
}

/// A member's chain with the key in hand.
pub fn honest(authority: &Authority, who: &str) -> (Chain, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap();
    (authority.sign_leaf(csr.der(), &leaf(who, Usage::Client), day(0)).unwrap().chain, key)
}

pub fn members_of(root: &Authority, parent: &str, revocations: &Revocations) -> MemberPolicy {
    MemberPolicy {
        root: root.root().clone(),
        parent: id(parent),
        revocations: revocations.clone(),
        rejoin_window: DAY * 400,
        below: holm_link::verify::Below::Directly,
    }
}

pub fn calls(root: &Authority, expected: &str) -> OrchestratorPolicy {
    OrchestratorPolicy {
        root: root.root().clone(),
        expected: id(expected),
        revocations: Revocations::default(),
    }
}

/// A CA key in the wrong hands: it signs whatever it is asked.
pub struct Rogue {
    issuer: Issuer<'static, KeyPair>,
    chain: Chain,
}

impl Rogue {
    /// The cluster `who`, honestly signed by `root`.
    pub fn cluster(root: &Authority, who: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let csr = CertificateParams::default().serialize_request(&key).unwrap();
        let chain = root.sign_intermediate(csr.der(), &id(who), day(0)).unwrap().chain;
        Self { issuer: Issuer::from_ca_cert_der(&chain[0], key).unwrap(), chain }
    }

    pub fn sign(&self, params: &CertificateParams) -> (Chain, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        let chain = [signed.der().clone()].into_iter().chain(self.chain.iter().cloned()).collect();
        (chain, key)
    }

    /// A CA below this one, for whatever path.
    pub fn intermediate(&self, uris: &[&str]) -> Self {
        let mut params = params(uris, Usage::Client);
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.extended_key_usages.clear();
        let (chain, key) = self.sign(&params);
        Self { issuer: Issuer::from_ca_cert_der(&chain[0], key).unwrap(), chain }
    }
}

/// A leaf with these URI names, valid for 30 days.
pub fn params(uris: &[&str], usage: Usage) -> CertificateParams {
    let mut params = CertificateParams::default();
    for uri in uris {
        params.subject_alt_names.push(SanType::URI((*uri).try_into().unwrap()));
    }
    params.is_ca = IsCa::ExplicitNoCa;
    params.not_before = date(day(0));
    params.not_after = date(day(30));
    if usage.allows_client() {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    }
    if usage.allows_server() {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    params
}

fn date(time: UnixTime) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(time.as_secs().try_into().unwrap()).unwrap()
}
