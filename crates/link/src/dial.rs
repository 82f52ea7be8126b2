//! The member's connection to its orchestrator, secured by TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::ahead::ReadAhead;
use crate::captive::{self, Answer, Captive};
use crate::clock::Clock;
use crate::credentials::Credentials;
use crate::listen::Channel;
use crate::proxy::Proxies;
use crate::reach;
use crate::revocation::Revocations;
use crate::tls::{self, TlsConfigError};
use crate::verify::{OrchestratorPolicy, PeerIdentity, VerifyError};

pub use crate::reach::ConnectError;

/// Calls one orchestrator with one set of credentials.
///
/// Cheap to make: after a renewal the next connection takes a new dialer, the open session goes on.
#[derive(Clone, Debug)]
pub struct Dialer {
    control: Arc<ClientConfig>,
    bulk: Arc<ClientConfig>,
    witness: Arc<ClientConfig>,
    policy: OrchestratorPolicy,
    clock: Clock,
    proxies: Proxies,
    time: Duration,
}

/// A connection to an orchestrator that has proved who it is.
///
/// Whether it accepts *us* shows with its first message: in TLS 1.3 a client is connected before the
/// server has seen its certificate.
#[derive(Debug)]
pub struct Connected {
    pub peer: PeerIdentity,
    pub stream: TlsStream<ReadAhead<TcpStream>>,
}

/// The credentials cannot be used for calling.
#[derive(Debug, thiserror::Error)]
pub enum DialerError {
    #[error("`{0}` is the root of the sea and has nobody to call")]
    Root(crate::identity::Identity),
    #[error(transparent)]
    Tls(#[from] TlsConfigError),
}

/// There is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("`{address}` is not the orchestrator of this member; check the address")]
    Untrusted { address: String, source: VerifyError },
    #[error("`{address}` refused the connection: {alert}")]
    Refused { address: String, alert: String },
    #[error("the TLS handshake with `{address}` failed; is it an orchestrator's port? Trying again")]
    Handshake { address: String, source: io::Error },
    #[error("`{address}` did not complete the TLS handshake within {limit:?}; trying again")]
    Late { address: String, limit: Duration },
}

/// For each of: connecting, the proxy's answer, the handshake.
const DIAL_TIME: Duration = Duration::from_secs(10);
/// Named in the handshake when the address has no host name of its own; nobody looks at it.
const ANY_NAME: &str = "holm.internal";

impl Dialer {
    /// Calls the parent of whom the credentials speak for.
    pub fn new(
        credentials: &Credentials,
        revocations: Revocations,
        clock: Clock,
    ) -> Result<Self, DialerError> {
        let identity = credentials.identity();
        let expected = identity.parent().ok_or_else(|| DialerError::Root(identity.clone()))?;
        Self::to(expected, credentials, revocations, clock)
    }

    /// Calls the orchestrator above the parent, for [`Channel::Witness`] only.
    pub fn above(
        credentials: &Credentials,
        revocations: Revocations,
        clock: Clock,
    ) -> Result<Self, DialerError> {
        let parent = credentials.identity().parent();
        let above = parent.as_ref().and_then(crate::identity::Identity::parent);
        let expected = above.ok_or_else(|| DialerError::Root(credentials.identity().clone()))?;
        Self::to(expected, credentials, revocations, clock)
    }

    fn to(
        expected: crate::identity::Identity,
        credentials: &Credentials,
        revocations: Revocations,
        clock: Clock,
    ) -> Result<Self, DialerError> {
        let policy = OrchestratorPolicy { root: credentials.root().clone(), expected, revocations };
        let config = |channel: Channel| {
            let config = tls::member_client(credentials, policy.clone(), &clock, channel.alpn())?;
            Ok::<_, TlsConfigError>(Arc::new(config))
        };
        let (control, bulk, witness) =
            (config(Channel::Control)?, config(Channel::Bulk)?, config(Channel::Witness)?);
        Ok(Self { control, bulk, witness, policy, clock, proxies: Proxies::of_process(), time: DIAL_TIME })
    }

    /// Replaces the rules of the process.
    #[must_use]
    pub fn with_proxies(mut self, proxies: Proxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Replaces the time limit (10 s) for each of connecting, the proxy's answer and the handshake.
    #[must_use]
    pub const fn with_time_limit(mut self, limit: Duration) -> Self {
        self.time = limit;
        self
    }

    /// Connects to `address` (`host:port`).
    pub async fn connect(&self, address: &str, channel: Channel) -> Result<Connected, DialError> {
        let config = match channel {
            Channel::Control => &self.control,
            Channel::Bulk => &self.bulk,
            Channel::Witness => &self.witness,
        };
        let stream = secured(config.clone(), address, &self.proxies, self.time).await?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let judged = self.policy.judge(chain, self.clock.now());
        let peer = judged.map_err(|source| DialError::Untrusted { address: address.to_owned(), source })?;
        Ok(Connected { peer, stream })
    }
}

/// Connects to `address` as `proxies` say, and shakes hands; each step within `limit`.
pub(crate) async fn secured(
    config: Arc<ClientConfig>,
    address: &str,
    proxies: &Proxies,
    limit: Duration,
) -> Result<TlsStream<ReadAhead<TcpStream>>, DialError> {
    let tcp = reach::connect(address, proxies, limit).await?;
    let ended = handshake(config, address, tcp, limit).await;
    if !matches!(&ended, Err(DialError::Handshake { source, .. }) if tls::is_garbage(source)) {
        return ended;
    }
    // What does not speak TLS is asked who it is.
    let Ok(tcp) = reach::connect(address, proxies, limit).await else { return ended };
    match captive::look(tcp, address).await {
        Some(answer) => Err(ConnectError::from(Captive { address: address.to_owned(), answer }).into()),
        None => ended,
    }
}

/// The client's half of a TLS handshake over `tcp`.
async fn handshake(
    config: Arc<ClientConfig>,
    address: &str,
    tcp: TcpStream,
    limit: Duration,
) -> Result<TlsStream<ReadAhead<TcpStream>>, DialError> {
    let handshake = TlsConnector::from(config).connect(server_name(address), ReadAhead::new(tcp));
    let address = address.to_owned();
    match timeout(limit, handshake).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(match (tls::verdict(&error), tls::alert(&error)) {
            (Some(VerifyError::Stranger { names }), _) => {
                ConnectError::from(Captive { address, answer: Answer::Certificate(names) }).into()
            }
            (Some(source), _) => DialError::Untrusted { address, source },
            (None, Some(alert)) => DialError::Refused { address, alert },
            (None, None) => DialError::Handshake { address, source: error },
        }),
        Err(_) => Err(DialError::Late { address, limit }),
    }
}

/// The name for SNI, by which front ends on port 443 choose; our verifier does not look at it.
fn server_name(address: &str) -> ServerName<'static> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned())
        .unwrap_or_else(|_| ServerName::DnsName(ANY_NAME.try_into().expect("the constant is a DNS name")))
}
