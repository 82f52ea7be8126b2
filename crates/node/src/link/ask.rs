//! What a running agent says of its link, over the socket in its data directory.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::LinkStatus;
use crate::local_api::SOCKET;

/// The agent gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("no agent listens in this data directory, or its socket belongs to another user")]
    Connect(#[source] io::Error),
    #[error("the agent did not answer within {0:?}; is it stopped or very busy?")]
    Late(Duration),
    #[error("the connection to the agent broke")]
    Broken(#[source] hyper::Error),
    #[error("the agent's answer cannot be understood; is it of another version?")]
    Answer,
}

/// As far as it is looked at here.
#[derive(Deserialize)]
struct Status {
    link: LinkStatus,
}

const LIMIT: Duration = Duration::from_secs(3);
const MAX_ANSWER: usize = 64 * 1024;

/// The link of the agent that runs on `data_dir`.
///
/// # Errors
/// See [`AskError`].
pub async fn ask(data_dir: &Path) -> Result<LinkStatus, AskError> {
    timeout(LIMIT, status(data_dir)).await.unwrap_or(Err(AskError::Late(LIMIT)))
}

async fn status(data_dir: &Path) -> Result<LinkStatus, AskError> {
    let stream = UnixStream::connect(data_dir.join(SOCKET)).await.map_err(AskError::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(AskError::Broken)?;
    let mut answer = std::pin::pin!(async {
        let request = Request::get("/status").header(http::header::HOST, "node").body(Empty::<Bytes>::new());
        let request = request.map_err(|_| AskError::Answer)?;
        let response = sender.send_request(request).await.map_err(AskError::Broken)?;
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|_| AskError::Answer)?.to_bytes();
        let status: Status = serde_json::from_slice(&body).map_err(|_| AskError::Answer)?;
        Ok(status.link)
    });
    tokio::select! {
        answer = &mut answer => answer,
        // The connection ends when the answer has come, or breaks; the answer tells which.
        _ = connection => answer.await,
    }
}
