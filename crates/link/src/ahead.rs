//! Reading ahead, below TLS: rustls asks for 4 KiB at a time, a system call each.
//!
//! ```text
//! idle: what is asked for is read ──(all of it came: there is more)──► busy: read ahead
//!   └◄─────────────────────(less came than was asked for)──────────────┘
//! ```
//!
//! Most connections are idle for hours: only a busy one has a buffer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

/// A connection that is read in large pieces while much comes; written as it is.
#[derive(Debug)]
pub struct ReadAhead<IO> {
    io: IO,
    ahead: BytesMut,
    busy: bool,
}

/// Bytes read at once while much comes.
const LARGE: usize = 64 * 1024;
/// Less than this is no sign of more: a message of its own.
const SMALL: usize = 4096;

// === impl ReadAhead ===

impl<IO> ReadAhead<IO> {
    pub fn new(io: IO) -> Self {
        Self { io, ahead: BytesMut::new(), busy: false }
    }

    pub const fn get_ref(&self) -> &IO {
        &self.io
    }
}

impl<IO: AsyncRead + Unpin> ReadAhead<IO> {
    fn poll_straight(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = into.remaining();
        ready!(Pin::new(&mut self.io).poll_read(cx, into))?;
        self.busy = room >= SMALL && into.remaining() == 0;
        Poll::Ready(Ok(()))
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ahead.reserve(LARGE);
        match poll_read_buf(Pin::new(&mut self.io), cx, &mut self.ahead) {
            Poll::Ready(read) => {
                self.busy = read? >= SMALL;
                Poll::Ready(Ok(()))
            }
            Poll::Pending => {
                // Nobody knows for how long.
                self.ahead = BytesMut::new();
                Poll::Pending
            }
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for ReadAhead<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            if !this.busy {
                return this.poll_straight(cx, into);
            }
            ready!(this.poll_fill(cx))?;
        }
        let amount = this.ahead.len().min(into.remaining());
        into.put_slice(&this.ahead[..amount]);
        this.ahead.advance(amount);
        if this.ahead.is_empty() && !this.busy {
            this.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for ReadAhead<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// Counts what is asked of it.
    struct Counted<IO>(IO, usize);

    impl<IO: AsyncRead + Unpin> AsyncRead for Counted<IO> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.1 += 1;
            Pin::new(&mut self.0).poll_read(cx, into)
        }
    }

    /// As rustls reads.
    async fn read(from: &mut (impl AsyncRead + Unpin), mut wanted: usize) -> Vec<u8> {
        let (mut all, mut piece) = (Vec::new(), [0; 4096]);
        while wanted > 0 {
            let read = from.read(&mut piece).await.unwrap();
            assert!(read > 0, "all is there");
            all.extend_from_slice(&piece[..read]);
            wanted -= read;
        }
        all
    }

    #[tokio::test]
    async fn much_is_read_at_once_and_nothing_is_kept_of_it() {
        let (mut near, far) = tokio::io::duplex(1 << 20);
        let mut ahead = ReadAhead::new(Counted(far, 0));
        let sent: Vec<u8> = (0..600_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
        near.write_all(&sent).await.unwrap();
        assert_eq!(read(&mut ahead, sent.len()).await, sent);
        assert!(ahead.io.1 < 20, "{} times asked", ahead.io.1);
        // A message of its own takes the straight way, and leaves no buffer behind.
        for _ in 0..3 {
            near.write_all(b"short").await.unwrap();
            assert_eq!(read(&mut ahead, 5).await, b"short");
        }
        assert!(!ahead.busy);
        assert_eq!(ahead.ahead.capacity(), 0);
        drop(near);
        assert_eq!(ahead.read(&mut [0; 8]).await.unwrap(), 0);
    }
}
