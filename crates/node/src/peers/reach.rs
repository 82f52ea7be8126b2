//! The way to a peer on another node: directly where that works, else through the link.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use holm_model::id::AssignmentId;
use holm_model::tunnel::DIRECT_TIMEOUT;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Bytes both ways.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Opens tunnels through the orchestrator; the link does.
pub(crate) trait Upward: Debug + Send + Sync {
    /// A tunnel to `port` of the node that runs `instance`.
    fn connect(
        &self,
        instance: AssignmentId,
        port: u16,
    ) -> BoxFuture<'_, Result<Box<dyn Duplex>, UpwardError>>;

    /// A tunnel to the named volumes of `from`, whose successor `to` is ours.
    fn volumes(
        &self,
        from: AssignmentId,
        to: AssignmentId,
    ) -> BoxFuture<'_, Result<Box<dyn Duplex>, UpwardError>>;
}

/// No tunnel could be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UpwardError {
    #[error("there is no link to the orchestrator now")]
    NoLink,
    #[error("the orchestrator refused: {0}")]
    Refused(String),
    #[error("the link broke: {0}")]
    Broken(String),
}

/// A peer on another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) instance: AssignmentId,
    pub(crate) port: u16,
    /// To be tried, not trusted.
    pub(crate) direct: Vec<SocketAddr>,
}

/// What was learnt about the direct ways to one peer.
#[derive(Debug, Default)]
pub(crate) struct Ways(Mutex<Option<(Instant, Found)>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// This address answered last.
    Direct(SocketAddr),
    /// None did.
    Nothing,
}

/// How long a failure of all direct addresses is remembered.
const FORGET: Duration = Duration::from_secs(60);

// === impl Ways ===

impl Ways {
    /// Forgets what was learnt: the addresses are others now.
    pub(crate) fn forget(&self) {
        *self.known() = None;
    }

    /// A connection to `remote`.
    ///
    /// # Errors
    /// When neither a direct address nor the orchestrator leads there.
    pub(crate) async fn connect(
        &self,
        remote: &Remote,
        upward: &dyn Upward,
    ) -> Result<Box<dyn Duplex>, UpwardError> {
        for address in self.to_try(&remote.direct) {
            if let Ok(Ok(stream)) = timeout(DIRECT_TIMEOUT, TcpStream::connect(address)).await {
                // A matter of latency only.
                let _ = stream.set_nodelay(true);
                self.learn(Found::Direct(address));
                return Ok(Box::new(stream));
            }
        }
        if !remote.direct.is_empty() {
            self.learn(Found::Nothing);
        }
        upward.connect(remote.instance, remote.port).await
    }

    /// The address that answered last comes first; after a failure none is tried for a while.
    fn to_try(&self, direct: &[SocketAddr]) -> Vec<SocketAddr> {
        match *self.known() {
            Some((at, Found::Nothing)) if at.elapsed() < FORGET => Vec::new(),
            Some((_, Found::Direct(first))) if direct.contains(&first) => {
                std::iter::once(first).chain(direct.iter().copied().filter(|a| *a != first)).collect()
            }
            _ => direct.to_vec(),
        }
    }

    fn learn(&self, found: Found) {
        let mut known = self.known();
        // A failure that is remembered already is not prolonged by connections that tried nothing.
        let repeated = matches!(*known, Some((at, Found::Nothing)) if at.elapsed() < FORGET);
        if !(repeated && found == Found::Nothing) {
            *known = Some((Instant::now(), found));
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Found)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
