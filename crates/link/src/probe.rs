//! Looks at a link from outside, for people: nothing here opens a session or disturbs one.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::certificate::Fingerprint;
use crate::clock::Clock;
use crate::credentials::Credentials;
use crate::dial::{self, ConnectError, DialError, Dialer, DialerError};
use crate::listen::Channel;
use crate::proxy::{Proxies, Proxy, ProxyError};
use crate::reach;
use crate::revocation::Revocations;
use crate::tls::{self, AnySeaPolicy, PinnedPolicy, ServerPolicy as _};
use crate::token::JoinToken;
use crate::verify::PeerIdentity;

/// What an orchestrator makes of a member's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Accepted,
    /// The alert by which it refuses, as `CertificateRevoked`.
    Refused(String),
}

/// An orchestrator, as it shows itself to whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduced {
    pub peer: PeerIdentity,
    /// Of its sea's root.
    pub fingerprint: Fingerprint,
}

/// The orchestrator cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error(transparent)]
    Dialer(#[from] DialerError),
    #[error("TLS cannot be set up (a bug)")]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Dial(#[from] DialError),
}

/// For each step.
const LIMIT: Duration = Duration::from_secs(5);
/// A refusal comes in TLS 1.3 after the handshake, with the first answer.
const VERDICT: Duration = Duration::from_secs(2);

/// Whether `proxy` lets us through to `address`.
///
/// # Errors
/// Why it does not.
pub async fn proxy(proxy: &Proxy, address: &str) -> Result<(), ProxyError> {
    crate::proxy::connect(proxy, address, LIMIT).await.map(drop)
}

/// Whether `address` can be reached, by whichever way the rules say.
///
/// # Errors
/// Why it cannot.
pub async fn reach(address: &str, proxies: &Proxies) -> Result<(), ConnectError> {
    reach::connect(address, proxies, LIMIT).await.map(drop)
}

/// Who answers at `address`: accepted only if it is the parent of whom the credentials speak for. It is
/// asked as a browser would, without a certificate of ours, so that no session is opened.
///
/// # Errors
/// Nobody answers, or somebody else.
pub async fn parent(
    address: &str,
    credentials: &Credentials,
    clock: &Clock,
    proxies: &Proxies,
) -> Result<PeerIdentity, ProbeError> {
    let identity = credentials.identity();
    let expected = identity.parent().ok_or_else(|| DialerError::Root(identity.clone()))?;
    let pinned = PinnedPolicy { fingerprint: credentials.root().fingerprint(), expected };
    let config = tls::pinned_client(pinned.clone(), clock)?;
    let stream = dial::secured(config.into(), address, proxies, LIMIT).await?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let judged = pinned.judge_server(chain, clock.now());
    Ok(judged.map_err(|source| DialError::Untrusted { address: address.to_owned(), source })?)
}

/// Who answers at `address` to a machine that has not joined: accepted only if it is who made `token`, or, without
/// one, anybody of a sea, whose fingerprint people may compare. Nothing of the token is sent.
///
/// # Errors
/// Nobody answers, or somebody else.
pub async fn stranger(
    address: &str,
    token: Option<&JoinToken>,
    clock: &Clock,
    proxies: &Proxies,
) -> Result<Introduced, ProbeError> {
    let config = match token {
        Some(token) => {
            let (fingerprint, expected) = (token.fingerprint, token.orchestrator.clone());
            tls::pinned_client(PinnedPolicy { fingerprint, expected }, clock)?
        }
        None => tls::pinned_client(AnySeaPolicy, clock)?,
    };
    let stream = dial::secured(config.into(), address, proxies, LIMIT).await?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let untrusted = |source| DialError::Untrusted { address: address.to_owned(), source };
    let peer = AnySeaPolicy.judge_server(chain, clock.now()).map_err(untrusted)?;
    let fingerprint = AnySeaPolicy::root(chain).map_err(untrusted)?.fingerprint();
    Ok(Introduced { peer, fingerprint })
}

/// Whether the orchestrator at `address` accepts the certificate. Only while no agent of the member runs:
/// the connection is one for tunnels, which an orchestrator closes when there is no session.
///
/// # Errors
/// There is no connection to the right orchestrator.
pub async fn standing(
    address: &str,
    credentials: &Credentials,
    clock: &Clock,
    proxies: &Proxies,
) -> Result<Standing, ProbeError> {
    let dialer = Dialer::new(credentials, Revocations::default(), clock.clone())?;
    let dialer = dialer.with_time_limit(LIMIT).with_proxies(proxies.clone());
    let mut connected = match dialer.connect(address, Channel::Bulk).await {
        Err(DialError::Refused { alert, .. }) => return Ok(Standing::Refused(alert)),
        connected => connected?,
    };
    let said = timeout(VERDICT, connected.stream.read_u8()).await;
    let alert = said.ok().and_then(Result::err).as_ref().and_then(tls::alert);
    Ok(alert.map_or(Standing::Accepted, Standing::Refused))
}
