//! Lines of a log, until their end.

use std::io;

use futures::StreamExt as _;
use holm_runtime::LogLines;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::Broken;
use super::frames::{self, Source};

pub(super) async fn serve<T: AsyncRead + AsyncWrite>(tunnel: T, mut lines: LogLines) -> Result<(), Broken> {
    let (source, mut sink) = frames::split(tunnel);
    let send = async {
        while let Some(line) = lines.next().await {
            frames::send(&mut sink, &line?).await?;
        }
        Ok(sink.get_mut().shutdown().await?)
    };
    tokio::select! {
        sent = send => sent,
        gone = until_gone(source) => Err(gone.into()),
    }
}

/// Waits until the tunnel is reset. Whoever reads logs says nothing, but may close its own half.
async fn until_gone<T: AsyncRead>(mut source: Source<T>) -> io::Error {
    loop {
        match source.next().await {
            None => return std::future::pending().await,
            Some(Ok(_)) => {}
            Some(Err(error)) => return error,
        }
    }
}
