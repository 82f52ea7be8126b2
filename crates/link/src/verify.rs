//! The rule by which a chain is accepted. Pure: chain, root, revocations and time in, verdict out.
//!
//! 1. The path builder (webpki) finds a valid path from the leaf to the sea's root.
//! 2. Every certificate of that path names exactly one identity, and each lies below its issuer's —
//!    only a server's leaf may have its issuer's own identity: an orchestrator serving its members.
//! 3. No certificate of the path is revoked, by its serial number or by the id of its member.
//! 4. The leaf is no CA and says expressly that it may be used this way, and no other: an instance's, which may
//!    be used on both sides of a connection, is neither a member's nor an orchestrator's, whatever its name.
//! 5. A client's leaf that expired within the rejoin window is accepted, but marked.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use crate::certificate::{CertificateError, Claims, Fingerprint, SeaRoot, Serial, Usage, two_thirds};
use crate::identity::Identity;
use crate::revocation::Revocations;
use crate::workload::TOKENS_OID;

/// Who the other side is, as its chain proved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    pub identity: Identity,
    /// Of every certificate of the path but the root, the leaf's first.
    pub serials: Vec<Serial>,
    /// The certificate has expired within the rejoin window: good for asking for a new one only.
    pub expired: bool,
    pub not_before: UnixTime,
    pub not_after: UnixTime,
    /// When the sea was founded: its root is valid from then on.
    pub sea_since: UnixTime,
}

/// The chain is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("a certificate of the chain is unusable")]
    Certificate(#[from] CertificateError),
    #[error("the chain does not lead to the sea's root")]
    Path(#[source] webpki::Error),
    #[error("the certificate of `{identity}` has expired; it must be renewed, or the member join again")]
    Expired { identity: Identity },
    #[error("the certificate of `{identity}` is not valid yet; check the clocks")]
    NotYetValid { identity: Identity },
    #[error("`{issuer}` has signed for `{subject}`, which is not below it")]
    NotBelow { issuer: Identity, subject: Identity },
    #[error("the certificate of `{identity}` (serial {serial}) is revoked; the member must join again")]
    Revoked { identity: Identity, serial: Serial },
    #[error("the certificate of `{0}` is not made for this use")]
    Usage(Identity),
    #[error("expected `{expected}`, but the certificate is for `{found}`")]
    Unexpected { expected: Identity, found: Identity },
    #[error("`{found}` is not a member of `{parent}`")]
    NotMember { parent: Identity, found: Identity },
    #[error("no certificate shown has the fingerprint {0} of the sea's root; is it the right address?")]
    Fingerprint(Fingerprint),
    #[error("`{0}` does not show its sea's root")]
    Rootless(Identity),
    #[error("the certificate is of no sea, but of {names}")]
    Stranger { names: String },
}

/// Judges the members of one orchestrator.
#[derive(Clone, Debug)]
pub struct MemberPolicy {
    pub root: SeaRoot,
    /// The orchestrator itself: its members are the identities directly below.
    pub parent: Identity,
    pub revocations: Revocations,
    /// For how long an expired certificate still opens a renew-only session.
    pub rejoin_window: Duration,
    pub below: Below,
}

/// How far below an orchestrator somebody is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Below {
    /// A member.
    #[default]
    Directly,
    /// A member of a member.
    Members,
}

/// Judges the orchestrator that a member calls.
#[derive(Clone, Debug)]
pub struct OrchestratorPolicy {
    pub root: SeaRoot,
    /// The one orchestrator that is meant; its host name or address is of no matter.
    pub expected: Identity,
    pub revocations: Revocations,
}

/// The default of [`MemberPolicy::rejoin_window`].
pub const REJOIN_WINDOW: Duration = Duration::from_secs(400 * 24 * 60 * 60);

impl PeerIdentity {
    /// Until when the certificate need not be renewed yet.
    #[must_use]
    pub fn fresh_until(&self) -> UnixTime {
        two_thirds(self.not_before, self.not_after)
    }
}

impl MemberPolicy {
    /// Judges a client's `chain` (leaf first) at `now`.
    pub fn judge(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<PeerIdentity, VerifyError> {
        let leaf = leaf(chain)?;
        let expired = now > leaf.not_after;
        let since = now.as_secs().saturating_sub(leaf.not_after.as_secs());
        if expired && since > self.rejoin_window.as_secs() {
            return Err(VerifyError::Expired { identity: leaf.identity });
        }
        // An expired chain is judged as of its last moment: it was a good one then.
        let time = if expired { leaf.not_after } else { now };
        let peer = judge(&self.root, &self.revocations, chain, leaf, Usage::Client, time)?;
        let above = match self.below {
            Below::Directly => peer.identity.parent(),
            Below::Members => peer.identity.parent().and_then(|parent| parent.parent()),
        };
        if above.as_ref() != Some(&self.parent) {
            return Err(VerifyError::NotMember { parent: self.parent.clone(), found: peer.identity });
        }
        Ok(PeerIdentity { expired, ..peer })
    }
}

impl OrchestratorPolicy {
    /// Judges a server's `chain` (leaf first) at `now`.
    ///
    /// A machine whose clock starts in 1970 must be able to join: what the sea has signed proves
    /// that it is not earlier than the signature, so the newest not-before moves `now` up.
    pub fn judge(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<PeerIdentity, VerifyError> {
        let leaf = leaf(chain)?;
        let signed = chain.iter().filter_map(|der| Claims::parse(der).ok()).map(|c| c.not_before).max();
        let time = signed.map_or(now, |signed| signed.max(now));
        let peer = judge(&self.root, &self.revocations, chain, leaf, Usage::Server, time)?;
        if peer.identity != self.expected {
            let (expected, found) = (self.expected.clone(), peer.identity);
            return Err(VerifyError::Unexpected { expected, found });
        }
        Ok(peer)
    }
}

pub(crate) fn leaf(chain: &[CertificateDer<'_>]) -> Result<Claims, VerifyError> {
    Ok(Claims::parse(chain.first().ok_or(CertificateError::Encoding)?)?)
}

/// Rules 1 to 4.
pub(crate) fn judge(
    root: &SeaRoot,
    revocations: &Revocations,
    chain: &[CertificateDer<'_>],
    leaf: Claims,
    usage: Usage,
    time: UnixTime,
) -> Result<PeerIdentity, VerifyError> {
    check_usage(&leaf, usage)?;
    let path = verified_path(root, chain, &leaf, usage, time)?;
    let mut subject = &leaf;
    for issuer in &path {
        check_below(&issuer.identity, subject, usage)?;
        check_revoked(revocations, subject)?;
        subject = issuer;
    }
    check_below(root.identity(), subject, usage)?;
    check_revoked(revocations, subject)?;
    let serials = [&leaf].into_iter().chain(&path).map(|c| c.serial.clone()).collect();
    Ok(PeerIdentity {
        identity: leaf.identity,
        serials,
        expired: false,
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        sea_since: root.since(),
    })
}

/// The certificates between leaf and root, upwards, that webpki has verified. What else the peer
/// sent does not count.
fn verified_path(
    root: &SeaRoot,
    chain: &[CertificateDer<'_>],
    leaf: &Claims,
    usage: Usage,
    time: UnixTime,
) -> Result<Vec<Claims>, VerifyError> {
    let error = |e| match e {
        webpki::Error::CertExpired { .. } => VerifyError::Expired { identity: leaf.identity.clone() },
        webpki::Error::CertNotValidYet { .. } => VerifyError::NotYetValid { identity: leaf.identity.clone() },
        other => VerifyError::Path(other),
    };
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let usage = match usage {
        Usage::Client | Usage::Workload => KeyUsage::client_auth(),
        Usage::Server => KeyUsage::server_auth(),
        // Authorities name no usage; that the leaf names this one is checked already.
        Usage::Tokens => KeyUsage::required_if_present(TOKENS_OID),
    };
    let (first, others) = chain.split_first().ok_or(CertificateError::Encoding)?;
    let end_entity = EndEntityCert::try_from(first).map_err(error)?;
    let anchors = [root.anchor().clone()];
    let path = end_entity
        .verify_for_usage(algorithms.all, &anchors, others, time, usage, None, None)
        .map_err(error)?;
    let claims = path.intermediate_certificates().map(|certificate| Claims::parse(&certificate.der()));
    Ok(claims.collect::<Result<_, _>>()?)
}

fn check_usage(leaf: &Claims, usage: Usage) -> Result<(), VerifyError> {
    let fits = leaf.usage == Some(usage) && !leaf.is_ca;
    if fits { Ok(()) } else { Err(VerifyError::Usage(leaf.identity.clone())) }
}

/// `usage`: of the leaf; an authority signs only below itself.
fn check_below(issuer: &Identity, subject: &Claims, usage: Usage) -> Result<(), VerifyError> {
    let identity = &subject.identity;
    let may = if subject.is_ca { identity.is_below(issuer) } else { usage.may_sign(issuer, identity) };
    if may {
        return Ok(());
    }
    Err(VerifyError::NotBelow { issuer: issuer.clone(), subject: subject.identity.clone() })
}

fn check_revoked(revocations: &Revocations, claims: &Claims) -> Result<(), VerifyError> {
    // An instance's name may look like a member's, and is none.
    let names_member = claims.usage != Some(Usage::Workload);
    if revocations.contains(&claims.serial) || names_member && revocations.voids(&claims.identity) {
        let (identity, serial) = (claims.identity.clone(), claims.serial.clone());
        return Err(VerifyError::Revoked { identity, serial });
    }
    Ok(())
}
