//! Tunnels: byte streams inside a session.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};
use tokio_util::sync::{DropGuard, WaitForCancellationFutureOwned};

use super::driver::Inbound;
use super::{Handle, SessionEnd};

/// Opens tunnels.
#[derive(Clone, Debug)]
pub struct Tunnels {
    pub(super) handle: Arc<Handle>,
    permits: Arc<Semaphore>,
    /// Of the peer's tunnels.
    inbound: Arc<Semaphore>,
    most: usize,
}

/// Accepts the tunnels that the peer opens. When it is dropped, they are reset.
#[derive(Debug)]
pub struct IncomingTunnels {
    inbound: mpsc::Receiver<Inbound>,
    handle: Arc<Handle>,
}

/// A byte stream with a window of its own: a writer waits for a slow reader.
///
/// The end of the stream is the peer's `shutdown`; a tunnel that was dropped without it, or whose
/// session ended, gives `ConnectionReset` — except after this side's own `shutdown`, where both
/// look alike: there the content must tell its end.
pub struct Tunnel {
    stream: Compat<yamux::Stream>,
    over: Pin<Box<WaitForCancellationFutureOwned>>,
    shut_down: bool,
    _permit: OwnedSemaphorePermit,
    _handle: Arc<Handle>,
}

/// There is no new tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("the session is over; connect again")]
    Over,
    #[error("the session has as many tunnels as it may; close some or try again later")]
    TooMany,
}

impl Tunnels {
    /// `inbound` counts the peer's tunnels; either side may have `most`.
    pub(super) fn new(handle: Arc<Handle>, inbound: Arc<Semaphore>, most: usize) -> Self {
        Self { handle, permits: Arc::new(Semaphore::new(most)), inbound, most }
    }

    /// How many tunnels are open, this side's and the peer's.
    #[must_use]
    pub fn in_use(&self) -> usize {
        2 * self.most - self.permits.available_permits() - self.inbound.available_permits()
    }

    /// Closes the session when it is dropped; tunnels that are open do not hold it.
    pub(crate) fn close_on_drop(&self) -> DropGuard {
        self.handle.close.clone().drop_guard()
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.handle, &other.handle)
    }

    /// Opens a tunnel. The peer hears of it with the first bytes written: its header.
    pub async fn open(&self) -> Result<Tunnel, OpenError> {
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| OpenError::TooMany)?;
        let (open, opened) = oneshot::channel();
        self.handle.opens.send(open).await.map_err(|_| OpenError::Over)?;
        let stream = tokio::select! {
            biased;
            stream = opened => stream.map_err(|_| OpenError::Over)?,
            () = self.handle.over.cancelled() => return Err(OpenError::Over),
        };
        Ok(Tunnel::new(stream, permit, self.handle.clone()))
    }

    /// Closes the session: queued control frames are sent, tunnels are reset.
    pub fn close(&self) {
        self.handle.close.cancel();
    }

    /// Waits for the end of the session and tells why it ended. This handle keeps it open meanwhile.
    pub async fn ended(&self) -> SessionEnd {
        self.handle.ended().await
    }
}

impl IncomingTunnels {
    pub(super) const fn new(inbound: mpsc::Receiver<Inbound>, handle: Arc<Handle>) -> Self {
        Self { inbound, handle }
    }

    /// The next tunnel that the peer opens; none when the session is over. Safe to cancel.
    pub async fn accept(&mut self) -> Option<Tunnel> {
        let (stream, permit) = self.inbound.recv().await?;
        Some(Tunnel::new(stream, permit, self.handle.clone()))
    }
}

impl Tunnel {
    fn new(stream: yamux::Stream, permit: OwnedSemaphorePermit, handle: Arc<Handle>) -> Self {
        let over = Box::pin(handle.over.clone().cancelled_owned());
        Self { stream: stream.compat(), over, shut_down: false, _permit: permit, _handle: handle }
    }

    /// Ready when the session is over; this side's own closing wakes no stream by itself.
    fn poll_over<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.over.as_mut().poll(cx));
        Poll::Ready(Err(reset()))
    }
}

fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the tunnel was reset or its session ended")
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Pending => self.poll_over(cx),
            // A stream whose other half is open ends by FIN only; it is closed by a reset.
            Poll::Ready(Ok(()))
                if buffer.filled().len() == before
                    && buffer.remaining() > 0
                    && !self.shut_down
                    && self.stream.get_ref().is_closed() =>
            {
                Poll::Ready(Err(reset()))
            }
            ready => ready,
        }
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Pending => self.poll_over(cx),
            ready => ready,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Pending => self.poll_over(cx),
            ready => ready,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut_down = true;
        match Pin::new(&mut self.stream).poll_shutdown(cx) {
            Poll::Pending => self.poll_over(cx),
            ready => ready,
        }
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tunnel").field(&self.stream.get_ref().id().val()).finish()
    }
}
