//! One port, two protocols, told apart by the ClientHello's ALPN.
//!
//! `holm/1` and `holm-bulk/1` are members: a client certificate is mandatory. Everything else —
//! `h2`, `http/1.1`, no ALPN — is HTTP and never asked for one: an optional request would make
//! browsers show a dialogue. A client that offers both kinds is a member.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::Acceptor as HelloReader;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::ahead::ReadAhead;
use crate::clock::Clock;
use crate::door::{Door, Guest};
use crate::places::neighbourhood;
use crate::session::Transport;
pub use crate::tls::ServerCertificate;
use crate::tls::{self, ALPN_BULK, ALPN_CONTROL, ALPN_WITNESS};
use crate::verify::{Below, MemberPolicy, PeerIdentity, VerifyError};

/// Turns connections into members and HTTP clients.
#[derive(Debug)]
pub struct Acceptor {
    members: Arc<ServerConfig>,
    witnesses: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
    policy: Arc<MemberPolicy>,
    /// Of members' members.
    further: Arc<MemberPolicy>,
    clock: Clock,
    /// Of [`Self::serve`]: while it has no permit, further connections wait in the kernel.
    room: Arc<Semaphore>,
    limits: HandshakeLimits,
}

/// What a stranger may cost before it has proved anything.
#[derive(Clone, Debug)]
pub struct HandshakeLimits {
    /// Handshakes at one time; further connections wait in the kernel's queue.
    pub concurrent: usize,
    /// Those of one address; a silent one gives way to the next, and where all are busy that is closed, so that
    /// nobody shuts the door for others by standing in it.
    pub each: usize,
    /// For the ClientHello, and again for the rest of the handshake.
    pub time: Duration,
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub enum Accepted<IO> {
    Member { peer: PeerIdentity, channel: Channel, stream: Box<TlsStream<ReadAhead<IO>>> },
    Http { stream: Box<TlsStream<ReadAhead<IO>>> },
}

/// What a member's connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Control messages.
    Control,
    /// Tunnels of a session that is open already.
    Bulk,
    /// A member of a member says what it runs.
    Witness,
}

/// The acceptor cannot be made: the TLS library refuses its parts (a bug).
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up for the listener")]
pub struct AcceptorError(#[from] rustls::Error);

/// A connection came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Browsers open connections in advance, so this is no failure.
    #[error("the client went away before the handshake was done")]
    Gone,
    #[error("no ClientHello came within {0:?}")]
    HelloLate(Duration),
    #[error("what came first is no TLS ClientHello")]
    Hello(#[source] io::Error),
    #[error("the handshake was not done within {0:?}")]
    Late(Duration),
    #[error("the handshake failed")]
    Handshake(#[source] io::Error),
    #[error("the member's certificate is not accepted")]
    Member(#[from] VerifyError),
}

/// How long to wait when the system has no file descriptor left.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// What a refused client may still send while it reads the reason.
const LINGER_BYTES: u64 = 64 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(1);

impl Default for HandshakeLimits {
    fn default() -> Self {
        Self { concurrent: 256, each: 128, time: Duration::from_secs(10) }
    }
}

impl Channel {
    pub(crate) const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Control => ALPN_CONTROL,
            Self::Bulk => ALPN_BULK,
            Self::Witness => ALPN_WITNESS,
        }
    }

    fn of(alpn: &[u8]) -> Option<Self> {
        [Self::Control, Self::Bulk, Self::Witness].into_iter().find(|channel| channel.alpn() == alpn)
    }
}

impl Acceptor {
    /// `certificate` may be replaced, and `policy.revocations` grow, while the acceptor is used.
    pub fn new(
        certificate: &ServerCertificate,
        policy: MemberPolicy,
        clock: Clock,
        limits: HandshakeLimits,
    ) -> Result<Self, AcceptorError> {
        let further = Arc::new(MemberPolicy { below: Below::Members, ..policy.clone() });
        let policy = Arc::new(MemberPolicy { below: Below::Directly, ..policy });
        let member = |policy: &Arc<MemberPolicy>, alpn: &[&[u8]]| {
            tls::member_server(certificate, policy.clone(), &clock, alpn).map(Arc::new)
        };
        Ok(Self {
            members: member(&policy, &[ALPN_CONTROL, ALPN_BULK])?,
            witnesses: member(&further, &[ALPN_WITNESS])?,
            http: Arc::new(tls::http_server(certificate, &clock)?),
            policy,
            further,
            clock,
            room: Arc::new(Semaphore::new(limits.concurrent)),
            limits,
        })
    }

    /// Does the handshake of one connection.
    pub async fn accept<IO: Transport>(&self, io: IO) -> Result<Accepted<IO>, AcceptError> {
        self.accept_from(io, &AtomicBool::new(false)).await
    }

    /// As [`Self::accept`]; it `spoke` when its ClientHello is there.
    async fn accept_from<IO: Transport>(
        &self,
        io: IO,
        spoke: &AtomicBool,
    ) -> Result<Accepted<IO>, AcceptError> {
        let time = self.limits.time;
        let hello = LazyConfigAcceptor::new(HelloReader::default(), ReadAhead::new(io));
        let hello = timeout(time, hello).await.map_err(|_| AcceptError::HelloLate(time))?;
        let hello = hello.map_err(|e| gone_or(e, AcceptError::Hello))?;
        spoke.store(true, Ordering::Relaxed);
        let channels = || hello.client_hello().alpn().into_iter().flatten().filter_map(Channel::of);
        let member = channels().next().is_some();
        let config = match channels().all(|channel| channel == Channel::Witness) {
            _ if !member => &self.http,
            true => &self.witnesses,
            false => &self.members,
        };
        let stream = timeout(time, hello.into_stream(config.clone()).into_fallible());
        match stream.await {
            Ok(Ok(stream)) if member => self.member(Box::new(stream)),
            Ok(Ok(stream)) => Ok(Accepted::Http { stream: Box::new(stream) }),
            Ok(Err((error, io))) => {
                linger(io).await;
                Err(gone_or(error, AcceptError::Handshake))
            }
            Err(_) => Err(AcceptError::Late(time)),
        }
    }

    /// Accepts connections until it is dropped, and hands each to `handle` when its handshake is
    /// done. `handle` must not block: it starts a task.
    pub async fn serve<H>(self: Arc<Self>, listener: TcpListener, handle: H)
    where
        H: Fn(Accepted<TcpStream>, SocketAddr) + Clone + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        let mut door = Door::new(self.limits.each, self.limits.concurrent);
        loop {
            while tasks.try_join_next().is_some() {}
            // The semaphore is never closed.
            let Ok(permit) = self.room.clone().acquire_owned().await else { return };
            let (stream, address) = match listener.accept().await {
                Ok(connection) => connection,
                Err(error) => {
                    tracing::warn!(%error, "A connection could not be accepted.");
                    sleep(EXHAUSTED).await;
                    continue;
                }
            };
            let (from, since) = (neighbourhood(address.ip()), Instant::now());
            if !door.room(from, since) {
                tracing::debug!(%address, "A connection was closed: its address has many unfinished ones.");
                continue;
            }
            let spoke = Arc::new(AtomicBool::new(false));
            let (heard, acceptor, handle) = (Arc::clone(&spoke), self.clone(), handle.clone());
            let task = tasks.spawn(async move {
                let _until_done = permit;
                // Only a matter of latency: a failure changes nothing else.
                let _ = stream.set_nodelay(true);
                match acceptor.accept_from(stream, &heard).await {
                    Ok(accepted) => handle(accepted, address),
                    Err(AcceptError::Gone) => {}
                    Err(error) => {
                        let reason = with_sources(&error);
                        tracing::info!(%address, reason, "A connection was refused.");
                    }
                }
            });
            door.enter(from, Guest { task, since, spoke });
        }
    }

    /// Who the member is: judged again, because the TLS library keeps the chain but not the verdict.
    fn member<IO>(&self, stream: Box<TlsStream<ReadAhead<IO>>>) -> Result<Accepted<IO>, AcceptError> {
        let (_, connection) = stream.get_ref();
        let channel = connection.alpn_protocol().and_then(Channel::of).unwrap_or(Channel::Control);
        let chain = connection.peer_certificates().unwrap_or_default();
        let policy = if channel == Channel::Witness { &self.further } else { &self.policy };
        let peer = policy.judge(chain, self.clock.now())?;
        Ok(Accepted::Member { peer, channel, stream })
    }
}

/// Lets the client read the alert: closing with unread bytes would reset the connection, and the
/// member would never learn why it was refused.
async fn linger<IO: Transport>(mut io: IO) {
    let goodbye = async {
        let _ = io.shutdown().await;
        let _ = tokio::io::copy(&mut io.take(LINGER_BYTES), &mut tokio::io::sink()).await;
    };
    let _ = timeout(LINGER_TIME, goodbye).await;
}

fn gone_or(error: io::Error, other: impl FnOnce(io::Error) -> AcceptError) -> AcceptError {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match error.kind() {
        UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe => AcceptError::Gone,
        _ => other(error),
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
