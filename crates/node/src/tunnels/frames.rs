//! Frames of a tunnel: a big-endian length, then so many bytes of CBOR.

use bytes::Bytes;
use futures::SinkExt as _;
use holm_link::cbor;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use super::Broken;

/// Frames to whoever opened the tunnel.
pub(super) type Sink<T> = FramedWrite<WriteHalf<T>, LengthDelimitedCodec>;
/// Frames from whoever opened the tunnel.
pub(super) type Source<T> = FramedRead<ReadHalf<T>, LengthDelimitedCodec>;

/// Bytes of one frame at most.
pub(super) const MOST: usize = 1 << 20;

pub(super) fn split<T: AsyncRead + AsyncWrite>(tunnel: T) -> (Source<T>, Sink<T>) {
    let codec = || LengthDelimitedCodec::builder().max_frame_length(MOST).new_codec();
    let (read, write) = tokio::io::split(tunnel);
    (FramedRead::new(read, codec()), FramedWrite::new(write, codec()))
}

/// Waits while the other end reads slowly.
pub(super) async fn send<T: AsyncWrite, M: Serialize>(to: &mut Sink<T>, message: &M) -> Result<(), Broken> {
    Ok(to.send(Bytes::from(cbor::encode(message)?)).await?)
}
