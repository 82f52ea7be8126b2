//! What the shell counts while it runs, for [`metrics`](crate::metrics).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use holm_link::UnixTime;
use holm_metrics::{Counter, Histogram};
use holm_model::time::Time;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock;

/// Shared by all tasks of an orchestrator.
#[derive(Debug)]
pub(crate) struct Meter {
    pub(crate) started: Time,
    /// From the moment when somebody asks until the owner looks at it.
    pub(crate) waits: Histogram,
    pub(crate) commits: Histogram,
    pub(crate) failed_commits: Counter,
    /// Links of members that were opened, and those of them whose member had one before in this run.
    pub(crate) sessions: Counter,
    pub(crate) reconnects: Counter,
    /// Links to our own parent.
    pub(crate) calls: Counter,
    pub(crate) traffic: Arc<Traffic>,
    /// Of our server's certificate, in Unix seconds; 0 before there is one.
    server_expires: AtomicU64,
}

/// Bytes on links, up and down, as TLS hands them on.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) received: Counter,
    pub(crate) sent: Counter,
}

/// A connection whose bytes are counted.
#[derive(Debug)]
pub(crate) struct Counted<IO> {
    inner: IO,
    traffic: Arc<Traffic>,
}

// === impl Meter ===

impl Default for Meter {
    fn default() -> Self {
        Self {
            started: clock::wall(),
            waits: Histogram::default(),
            commits: Histogram::default(),
            failed_commits: Counter::default(),
            sessions: Counter::default(),
            reconnects: Counter::default(),
            calls: Counter::default(),
            traffic: Arc::default(),
            server_expires: AtomicU64::new(0),
        }
    }
}

impl Meter {
    pub(crate) fn server_expires_at(&self, at: UnixTime) {
        self.server_expires.store(at.as_secs(), Relaxed);
    }

    pub(crate) fn server_expires(&self) -> u64 {
        self.server_expires.load(Relaxed)
    }
}

// === impl Counted ===

impl<IO> Counted<IO> {
    pub(crate) fn new(inner: IO, traffic: &Arc<Traffic>) -> Self {
        Self { inner, traffic: Arc::clone(traffic) }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Counted<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        self.traffic.received.add((buffer.filled().len() - before) as u64);
        polled
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Counted<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = polled {
            self.traffic.sent.add(written as u64);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn bytes_are_counted_both_ways() {
        let (near, mut far) = tokio::io::duplex(64);
        let traffic = Arc::new(Traffic::default());
        let mut near = Counted::new(near, &traffic);
        near.write_all(b"hello").await.unwrap();
        far.write_all(b"you").await.unwrap();
        let mut answer = [0; 3];
        near.read_exact(&mut answer).await.unwrap();
        assert_eq!((traffic.sent.get(), traffic.received.get()), (5, 3));
    }
}
