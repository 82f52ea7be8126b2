//! A listener on this machine that leads to a port of one instance on another node.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::plan::ProxyKey;
use super::reach::{Remote, Upward, Ways};

/// It listens until it is dropped; connections that are open end with it.
#[derive(Debug)]
pub(super) struct Proxy {
    address: SocketAddr,
    target: Arc<Target>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Target {
    remote: Mutex<Remote>,
    ways: Ways,
    upward: Arc<dyn Upward>,
}

/// No port was free to listen on.
#[derive(Debug, thiserror::Error)]
#[error("no proxy can listen on {listen}, ports {} to {}", PORTS.start(), PORTS.end())]
pub(super) struct ProxyError {
    listen: IpAddr,
    source: io::Error,
}

/// Ports for proxies: below those of instances.
const PORTS: RangeInclusive<u16> = 15_000..=19_999;
/// Ports tried before giving up.
const TRIES: u16 = 200;
/// Connections through one proxy at once; more wait in the listener's backlog.
const MOST_CONNECTIONS: usize = 256;
/// After an accept that failed (no file descriptors left).
const PAUSE: Duration = Duration::from_millis(100);

// === impl Proxy ===

impl Proxy {
    pub(super) async fn start(
        key: ProxyKey,
        remote: Remote,
        upward: Arc<dyn Upward>,
    ) -> Result<Self, ProxyError> {
        let (listener, address) = listen(key).await?;
        let stop = CancellationToken::new();
        let target = Arc::new(Target { remote: Mutex::new(remote), ways: Ways::default(), upward });
        let serving = serve(listener, Arc::clone(&target));
        tokio::spawn(stop.clone().run_until_cancelled_owned(serving));
        Ok(Self { address, target, _stop: stop.drop_guard() })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The peer has other addresses now; open connections go on.
    pub(super) fn aim(&self, remote: Remote) {
        let mut current = self.target.remote.lock().unwrap_or_else(PoisonError::into_inner);
        if *current != remote {
            *current = remote;
            self.target.ways.forget();
        }
    }
}

/// The port follows from the peer, so that it is the same after a restart of the agent, and instances
/// that read their peers only once go on.
async fn listen(key: ProxyKey) -> Result<(TcpListener, SocketAddr), ProxyError> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for port in candidates(&key) {
        let tried = async {
            let listener = TcpListener::bind((key.listen, port)).await?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        match tried.await {
            Ok(found) => return Ok(found),
            Err(error) => last = error,
        }
    }
    Err(ProxyError { listen: key.listen, source: last })
}

fn candidates(key: &ProxyKey) -> impl Iterator<Item = u16> + use<> {
    let count = PORTS.end() - PORTS.start() + 1;
    let bytes = format!("{} {}", key.instance, key.port);
    // FNV-1a: the same in each version, unlike the standard library's hasher.
    let hash = bytes.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let first = u16::try_from(hash % u64::from(count)).unwrap_or(0);
    (0..TRIES).map(move |step| PORTS.start() + (first + step) % count)
}

async fn serve(listener: TcpListener, target: Arc<Target>) {
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // Never closed, so there is always a permit in the end.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let target = Arc::clone(&target);
                connections.spawn(async move {
                    target.serve(stream).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "A proxy cannot accept a connection.");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

// === impl Target ===

impl Target {
    /// Copies both ways until both sides have ended; each end is handed on by itself (half-close).
    async fn serve(&self, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let remote = self.remote.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match self.ways.connect(&remote, &*self.upward).await {
            // A connection that breaks half-way is the application's affair.
            Ok(mut peer) => drop(copy_bidirectional(&mut stream, &mut peer).await),
            Err(error) => tracing::debug!(%error, peer = %remote.instance, "A peer cannot be reached."),
        }
    }
}
