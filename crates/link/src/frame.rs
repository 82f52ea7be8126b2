//! Frames: a big-endian `u32` length, then that many bytes.

use std::io;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::codec::LengthDelimitedCodec;

use crate::cbor;

/// Bytes of a tunnel's header at most.
pub const MAX_HEADER: usize = 64 * 1024;

/// A tunnel without a header after this time is of no use.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// Bytes of the length.
const LENGTH: usize = 4;

/// A tunnel's header could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum WriteHeaderError {
    #[error("the tunnel's header cannot be encoded (a bug)")]
    Encode(#[from] cbor::EncodeError),
    #[error("a tunnel's header of {0} bytes is more than the {MAX_HEADER} allowed")]
    TooLarge(usize),
    #[error("the tunnel ended before its header was sent; the session is gone, try again")]
    Io(#[from] io::Error),
}

/// A tunnel's header did not come as it should.
#[derive(Debug, thiserror::Error)]
pub enum ReadHeaderError {
    #[error("the tunnel's header is wrong; refuse the tunnel")]
    Decode(#[from] cbor::DecodeError),
    #[error("a tunnel's header of {0} bytes is more than the {MAX_HEADER} allowed; refuse the tunnel")]
    TooLarge(usize),
    #[error("the tunnel ended before its header")]
    Io(#[from] io::Error),
    #[error("the tunnel's header did not come within {} s", HEADER_TIME.as_secs())]
    Late,
}

/// `payload` as a frame, in one piece.
///
/// Length and payload go out in one write: two writes would be two packets and two wake-ups.
pub(crate) fn frame(payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(LENGTH + payload.len());
    // Callers have limited the payload to far less than 4 GiB.
    bytes.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
    bytes.put_slice(payload);
    bytes.freeze()
}

/// Reads frames of at most `limit` bytes.
pub(crate) fn codec(limit: usize) -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .big_endian()
        .length_field_length(LENGTH)
        .max_frame_length(limit)
        .new_codec()
}

/// Sends the first frame of a tunnel: what the stream is for.
///
/// The opener writes first: the peer does not hear of a tunnel before.
pub async fn write_header<W, T>(tunnel: &mut W, header: &T) -> Result<(), WriteHeaderError>
where
    W: AsyncWrite + Unpin,
    T: Serialize,
{
    let payload = cbor::encode(header)?;
    if payload.len() > MAX_HEADER {
        return Err(WriteHeaderError::TooLarge(payload.len()));
    }
    tunnel.write_all(&frame(&payload)).await?;
    Ok(tunnel.flush().await?)
}

/// Reads the first frame of a tunnel and not a byte more.
pub async fn read_header<R, T>(tunnel: &mut R) -> Result<T, ReadHeaderError>
where
    R: AsyncRead + Unpin,
    T: DeserializeOwned,
{
    timeout(HEADER_TIME, read_payload(tunnel)).await.map_err(|_| ReadHeaderError::Late)?.and_then(|payload| {
        let header = cbor::decode(&payload, MAX_HEADER)?;
        Ok(header)
    })
}

async fn read_payload<R: AsyncRead + Unpin>(tunnel: &mut R) -> Result<Vec<u8>, ReadHeaderError> {
    let length = tunnel.read_u32().await? as usize;
    if length > MAX_HEADER {
        return Err(ReadHeaderError::TooLarge(length));
    }
    let mut payload = vec![0; length];
    tunnel.read_exact(&mut payload).await?;
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio_util::codec::Decoder;

    #[tokio::test]
    async fn a_header_is_read_to_its_last_byte_only() {
        let mut wire = Vec::new();
        write_header(&mut wire, &("logs", 7)).await.unwrap();
        wire.extend_from_slice(b"body");
        let mut rest = &wire[..];
        assert_eq!(read_header::<_, (String, u8)>(&mut rest).await.unwrap(), ("logs".to_owned(), 7));
        assert_eq!(rest, b"body");
    }

    #[tokio::test]
    async fn a_huge_header_is_refused_unread() {
        let mut wire = &[0xff, 0xff, 0xff, 0xff, 0][..];
        assert!(matches!(read_header::<_, u8>(&mut wire).await, Err(ReadHeaderError::TooLarge(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_header_that_never_comes_is_given_up() {
        let (_peer, mut tunnel) = tokio::io::duplex(64);
        assert!(matches!(read_header::<_, u8>(&mut tunnel).await, Err(ReadHeaderError::Late)));
    }

    proptest! {
        #[test]
        fn frames_survive_any_cut(payload: Vec<u8>, cut: prop::sample::Index) {
            let wire = frame(&payload);
            let cut = cut.index(wire.len());
            let mut codec = codec(1 << 20);
            let mut buffer = BytesMut::from(&wire[..cut]);
            prop_assert!(codec.decode(&mut buffer).unwrap().is_none());
            buffer.extend_from_slice(&wire[cut..]);
            prop_assert_eq!(codec.decode(&mut buffer).unwrap().unwrap(), payload);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let mut codec = codec(1024);
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(frame)) = codec.decode(&mut buffer) {
                prop_assert!(frame.len() <= 1024);
            }
        }
    }
}
