//! Frames of a tunnel: a big-endian length, then so many bytes of CBOR.

use std::io;

use bytes::Bytes;
use futures::SinkExt as _;
use holm_link::cbor;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

/// Frames to whoever opened the tunnel.
pub(crate) type Sink<T> = FramedWrite<WriteHalf<T>, LengthDelimitedCodec>;
/// Frames from whoever opened the tunnel.
pub(crate) type Source<T> = FramedRead<ReadHalf<T>, LengthDelimitedCodec>;

/// Bytes of one frame at most.
pub(crate) const MOST: usize = 1 << 20;

pub(crate) fn split<T: AsyncRead + AsyncWrite>(tunnel: T) -> (Source<T>, Sink<T>) {
    let codec = || LengthDelimitedCodec::builder().max_frame_length(MOST).new_codec();
    let (read, write) = tokio::io::split(tunnel);
    (FramedRead::new(read, codec()), FramedWrite::new(write, codec()))
}

/// Waits while the other end reads slowly.
pub(crate) async fn send<T: AsyncWrite, M: Serialize>(to: &mut Sink<T>, message: &M) -> io::Result<()> {
    let bytes = cbor::encode(message).map_err(io::Error::other)?;
    to.send(Bytes::from(bytes)).await
}
