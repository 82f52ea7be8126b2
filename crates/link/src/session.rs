//! A session: one connection that carries control frames and tunnels at the same time.
//!
//! ```text
//!   handles (sender, receiver, tunnels, incoming, each tunnel)
//!      │ open a stream                 ▲ streams, frames
//!      ▼                               │
//!   driver: the one task that polls yamux for ever ──── transport (TLS, or a pipe in tests)
//!
//!   open ──(all handles dropped, or `close`)──▶ draining ──(queue sent, or time up)──▶ closed
//!     └────(peer closed, vanished, refused us, or broke the protocol)────────────────▶ ended
//! ```
//!
//! The member is the yamux client; its first stream carries control frames both ways, every other
//! stream is a tunnel, opened by either side. Each stream has a window of its own, so a slow reader
//! stops its own writer only.

mod control;
mod driver;
mod gather;
mod tunnel;

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use self::control::{ControlReceiver, ControlSender, ReceiveError, SendError, TrySendError};
pub use self::tunnel::{IncomingTunnels, OpenError, Tunnel, Tunnels};

/// Whatever carries a session: a TLS stream, or an in-process pipe.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for T {}

/// The handles of an open session. When the last of them (and of the tunnels) is dropped, what is
/// queued is sent and the session closes.
#[derive(Debug)]
pub struct Session {
    pub sender: ControlSender,
    pub receiver: ControlReceiver,
    pub tunnels: Tunnels,
    pub incoming: IncomingTunnels,
}

/// What one session may use.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of one control frame at most, in both directions.
    pub max_frame: usize,
    /// Control frames that wait to be sent; then senders wait.
    pub queue: usize,
    /// Tunnels at one time, in each direction. Each can hold 256 KiB that nobody reads.
    pub max_tunnels: usize,
    /// For sending what is queued, and again for saying good-bye.
    pub close_time: Duration,
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionEnd {
    #[error("closed by this side")]
    Closed,
    #[error("closed by the peer")]
    ClosedByPeer,
    /// The usual end of a network: nobody said good-bye.
    #[error("the peer vanished: {0}")]
    Vanished(String),
    /// The TLS alert by which the peer refused our certificate.
    #[error("the peer refused us: {0}")]
    Refused(String),
    #[error("the peer broke the protocol: {0}")]
    Protocol(String),
}

/// What every handle holds. The driver sees the last one go when `opens` closes.
#[derive(Clone, Debug)]
struct Handle {
    opens: mpsc::Sender<oneshot::Sender<yamux::Stream>>,
    /// Cancelled by whoever wants the session to close.
    close: CancellationToken,
    /// Cancelled by the driver when the session is over.
    over: CancellationToken,
    end: watch::Receiver<Option<SessionEnd>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_frame: 16 << 20, queue: 64, max_tunnels: 128, close_time: Duration::from_secs(5) }
    }
}

impl Session {
    /// The member's side.
    pub fn client<IO: Transport>(transport: IO, limits: &Limits) -> Self {
        Self::start(transport, yamux::Mode::Client, limits)
    }

    /// The orchestrator's side.
    pub fn server<IO: Transport>(transport: IO, limits: &Limits) -> Self {
        Self::start(transport, yamux::Mode::Server, limits)
    }

    fn start<IO: Transport>(transport: IO, mode: yamux::Mode, limits: &Limits) -> Self {
        let (opens, opened) = mpsc::channel(limits.max_tunnels.max(1));
        let (inbound, incoming) = mpsc::channel(limits.max_tunnels.max(1));
        let (end, ended) = watch::channel(None);
        let (close, over) = (CancellationToken::new(), CancellationToken::new());
        let handle = Arc::new(Handle { opens, close: close.clone(), over: over.clone(), end: ended });

        let (control_stream, control) = oneshot::channel();
        let (writer, sender, receiver) = control::start(control, &handle, limits);
        let permits = Arc::new(Semaphore::new(limits.max_tunnels));
        let inbound = driver::Inbox { tunnels: inbound, permits: Arc::clone(&permits) };
        let driver =
            driver::Driver::new(transport, mode, control_stream, opened, inbound, limits.max_tunnels);
        tokio::spawn(driver.run(driver::Fate { close, over, end }, writer, limits.close_time));

        Self {
            sender,
            receiver,
            tunnels: Tunnels::new(handle.clone(), permits, limits.max_tunnels),
            incoming: IncomingTunnels::new(incoming, handle),
        }
    }
}

impl Handle {
    /// Waits for the end of the session.
    async fn ended(&self) -> SessionEnd {
        let mut end = self.end.clone();
        let end = end.wait_for(Option::is_some).await;
        // The driver always says how it ended, unless the runtime itself was shut down.
        end.ok().and_then(|end| end.clone()).unwrap_or(SessionEnd::Closed)
    }
}

#[cfg(test)]
#[path = "session/tests.rs"]
mod tests;
