//! The member's connection to its orchestrator.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::clock::Clock;
use crate::credentials::Credentials;
use crate::listen::Channel;
use crate::revocation::Revocations;
use crate::tls::{self, TlsConfigError};
use crate::verify::{OrchestratorPolicy, PeerIdentity, VerifyError};

/// Calls one orchestrator with one set of credentials.
///
/// Cheap to make: after a renewal the next connection takes a new dialer, the open session goes on.
#[derive(Clone, Debug)]
pub struct Dialer {
    control: Arc<ClientConfig>,
    bulk: Arc<ClientConfig>,
    policy: OrchestratorPolicy,
    clock: Clock,
    time: Duration,
}

/// A connection to an orchestrator that has proved who it is.
///
/// Whether it accepts *us* shows with its first message: in TLS 1.3 a client is connected before the
/// server has seen its certificate.
#[derive(Debug)]
pub struct Connected {
    pub peer: PeerIdentity,
    pub stream: TlsStream<TcpStream>,
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

/// No address could be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("`{address}` is not `host:port` or cannot be resolved; check the address and DNS")]
    Resolve { address: String, source: io::Error },
    #[error("`{address}` cannot be reached; check the address, the firewall, and whether it runs")]
    Unreachable { address: String, source: io::Error },
}

/// For connecting, and again for the handshake.
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
        let policy = OrchestratorPolicy { root: credentials.root().clone(), expected, revocations };
        let config = |channel: Channel| {
            let config = tls::member_client(credentials, policy.clone(), &clock, channel.alpn())?;
            Ok::<_, TlsConfigError>(Arc::new(config))
        };
        let (control, bulk) = (config(Channel::Control)?, config(Channel::Bulk)?);
        Ok(Self { control, bulk, policy, clock, time: DIAL_TIME })
    }

    /// Replaces the time limit (10 s) for connecting and for the handshake.
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
        };
        let tcp = connect_tcp(address, self.time).await?;
        let stream = handshake(config.clone(), address, tcp, self.time).await?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let judged = self.policy.judge(chain, self.clock.now());
        let peer = judged.map_err(|source| DialError::Untrusted { address: address.to_owned(), source })?;
        Ok(Connected { peer, stream })
    }
}

/// A TCP connection to the first address of `address` that answers, within `limit` in all.
pub(crate) async fn connect_tcp(address: &str, limit: Duration) -> Result<TcpStream, ConnectError> {
    let deadline = Instant::now() + limit;
    let resolve = |source| ConnectError::Resolve { address: address.to_owned(), source };
    let found = timeout_at(deadline, lookup_host(address)).await;
    let found: Vec<SocketAddr> = found.map_err(|e| resolve(e.into()))?.map_err(resolve)?.collect();
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
    for (done, address) in found.iter().enumerate() {
        // What is left is shared fairly, so that one silent address does not use up all the time.
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(found.len() - done).unwrap_or(u32::MAX);
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Only a matter of latency: a failure changes nothing else.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(late) => last = late.into(),
        }
    }
    Err(ConnectError::Unreachable { address: address.to_owned(), source: last })
}

/// The client's half of a TLS handshake over `tcp`.
pub(crate) async fn handshake(
    config: Arc<ClientConfig>,
    address: &str,
    tcp: TcpStream,
    limit: Duration,
) -> Result<TlsStream<TcpStream>, DialError> {
    let handshake = TlsConnector::from(config).connect(server_name(address), tcp);
    let address = address.to_owned();
    match timeout(limit, handshake).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(match (tls::verdict(&error), tls::alert(&error)) {
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
