//! Writing a multiplexer's short header together with the body behind it: by itself it would be a TLS
//! record, a system call and a packet of its own.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A transport whose short writes wait for the next write, or for a flush.
#[derive(Debug)]
pub(super) struct Gather<IO> {
    io: IO,
    held: BytesMut,
}

/// Bytes of what waits at most: a few headers.
const SHORT: usize = 64;

// === impl Gather ===

impl<IO> Gather<IO> {
    pub(super) fn new(io: IO) -> Self {
        Self { io, held: BytesMut::new() }
    }
}

impl<IO: AsyncWrite + Unpin> Gather<IO> {
    /// Writes what waits.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.held))?;
            self.take(written)?;
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, written: usize) -> io::Result<()> {
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.held.advance(written);
        Ok(())
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Gather<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.held.len() + bytes.len() <= SHORT {
            this.held.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        while !this.held.is_empty() {
            let parts = [IoSlice::new(&this.held), IoSlice::new(bytes)];
            let written = ready!(Pin::new(&mut this.io).poll_write_vectored(cx, &parts))?;
            let waited = this.held.len();
            this.take(written.min(waited))?;
            if written > waited {
                return Poll::Ready(Ok(written - waited));
            }
        }
        Pin::new(&mut this.io).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_held(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_held(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Gather<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    /// Takes at most `most` bytes at once and remembers each piece.
    struct Pieces {
        most: usize,
        all: Vec<Vec<u8>>,
    }

    impl AsyncWrite for Pieces {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.most);
            self.all.push(bytes[..taken].to_vec());
            Poll::Ready(Ok(taken))
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            parts: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let whole = parts.iter().flat_map(|part| part.iter().copied()).collect::<Vec<_>>();
            self.poll_write(cx, &whole)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_header_goes_with_its_body_and_nothing_waits_behind_a_flush() {
        let mut gather = Gather::new(Pieces { most: usize::MAX, all: Vec::new() });
        gather.write_all(b"header").await.unwrap();
        gather.write_all(&[7; 1000]).await.unwrap();
        assert_eq!(gather.io.all.len(), 1);
        gather.write_all(b"header").await.unwrap();
        assert_eq!(gather.io.all.len(), 1, "it waits");
        gather.flush().await.unwrap();
        assert_eq!(gather.io.all[1], b"header");
    }

    #[tokio::test]
    async fn every_byte_arrives_in_its_order_however_little_is_taken() {
        for most in [1, 5, 6, 7, 100] {
            let mut gather = Gather::new(Pieces { most, all: Vec::new() });
            let mut wanted = Vec::new();
            for round in 0..20_u8 {
                for part in [vec![round; 6], vec![round; 3], vec![100 + round; 200]] {
                    gather.write_all(&part).await.unwrap();
                    wanted.extend(part);
                }
            }
            gather.shutdown().await.unwrap();
            assert_eq!(gather.io.all.concat(), wanted, "{most} at once");
        }
    }
}
