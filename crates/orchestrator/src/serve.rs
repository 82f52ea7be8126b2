//! Where people and members come in: the port, the Unix socket, plain HTTP on loopback.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use holm_link::listen::{Accepted, Acceptor, Channel};
use holm_link::session::Transport;
use holm_link::verify::PeerIdentity;
use holm_model::id::MemberId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};

use crate::config::{Config, Limits};
use crate::handle::Inputs;
use crate::links::{Arrival, Links};
use crate::meter::Counted;
use crate::tunnels::Router;

/// A connection on which HTTP is expected.
pub type HttpStream = Box<dyn Duplex>;

/// Bytes both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Where a connection comes from, and so what it may do without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Tls(SocketAddr),
    /// Loopback, without TLS.
    Plain(SocketAddr),
    /// Who can open the socket is administrator.
    Unix,
    /// Through its link: to pull from the registry, nothing else.
    Member(MemberId),
}

/// Serves one connection. Must not block: it starts a task.
pub type OnHttp = Arc<dyn Fn(HttpStream, Peer) + Send + Sync>;

/// The open doors.
#[derive(Debug)]
pub(crate) struct Doors {
    pub(crate) port: TcpListener,
    pub(crate) unix: UnixListener,
    pub(crate) plain: Option<TcpListener>,
}

/// A door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("cannot listen on {address}; is another program there, or is the port below 1024?")]
    Tcp { address: SocketAddr, source: io::Error },
    #[error("plain HTTP is served on loopback only, not on {0}; use TLS (`--listen`) from other machines")]
    NotLoopback(SocketAddr),
    #[error("cannot listen on {}; check the owner of the data directory, and that its path is short", path.display())]
    Unix { path: PathBuf, source: io::Error },
}

/// The administrator's socket in the data directory.
pub const SOCKET: &str = "api.sock";
/// How long to wait when the system has no file descriptor left.
const EXHAUSTED: Duration = Duration::from_millis(100);

// === impl Doors ===

impl Doors {
    pub(crate) async fn open(config: &Config) -> Result<Self, BindError> {
        let plain = match config.http {
            None => None,
            Some(address) if address.ip().is_loopback() => Some(bind(address).await?),
            Some(address) => return Err(BindError::NotLoopback(address)),
        };
        let path = config.data_dir.join(SOCKET);
        let unix = bind_unix(&path).map_err(|source| BindError::Unix { path, source })?;
        Ok(Self { port: bind(config.listen).await?, unix, plain })
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError::Tcp { address, source })
}

/// The data directory is locked by us: a socket that lies there is left over.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let unfinished = path.with_extension("new");
    for old in [path, &unfinished] {
        match std::fs::remove_file(old) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    let listener = UnixListener::bind(&unfinished)?;
    // Nobody can open it by its name before it is ours alone.
    std::fs::set_permissions(&unfinished, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&unfinished, path)?;
    Ok(listener)
}

// === serving ===

/// Where members go.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    pub(crate) links: Arc<Links>,
    pub(crate) inputs: Inputs,
    pub(crate) router: Router,
    pub(crate) limits: Limits,
}

/// Members become links, everything else is HTTP. Ends when it is dropped.
pub(crate) async fn port(listener: TcpListener, acceptor: Arc<Acceptor>, members: Members, on_http: OnHttp) {
    let handle = move |accepted: Accepted<TcpStream>, address: SocketAddr| match accepted {
        Accepted::Http { stream } => on_http(stream, Peer::Tls(address)),
        Accepted::Member { peer, channel, stream } => {
            members.clone().arrive(peer, channel, stream, address);
        }
    };
    acceptor.serve(listener, handle).await;
}

impl Members {
    fn arrive<IO: Transport>(self, peer: PeerIdentity, channel: Channel, stream: IO, address: SocketAddr) {
        let identity = peer.identity.clone();
        let stream = Counted::new(stream, self.links.traffic());
        if channel == Channel::Witness {
            let transfers = self.router.transfers().clone();
            return self.router.witnesses().start(peer, stream, self.inputs, transfers, self.limits);
        }
        match Arrival::new(peer, address.ip(), stream, &self.limits) {
            Some(arrival) if channel == Channel::Bulk => self.links.carry(arrival, self.router),
            Some(arrival) => {
                tracing::info!(%identity, %address, "A member has opened its link.");
                self.links.start(arrival, self.inputs, self.router, self.limits);
            }
            None => tracing::warn!(%identity, %address, "A certificate is for no member of ours."),
        }
    }
}

/// Ends when it is dropped.
pub(crate) async fn unix(listener: UnixListener, on_http: OnHttp) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => on_http(Box::new(stream), Peer::Unix),
            Err(error) => pause(&error).await,
        }
    }
}

/// Ends when it is dropped; at once when there is no such door.
pub(crate) async fn plain(listener: Option<TcpListener>, on_http: OnHttp) {
    let Some(listener) = listener else { return };
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Only a matter of latency: a failure changes nothing else.
                let _ = stream.set_nodelay(true);
                on_http(Box::new(stream), Peer::Plain(address));
            }
            Err(error) => pause(&error).await,
        }
    }
}

async fn pause(error: &io::Error) {
    tracing::warn!(%error, "A connection could not be accepted.");
    tokio::time::sleep(EXHAUSTED).await;
}
