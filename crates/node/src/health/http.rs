//! One request without a body, on a connection of its own. Redirects are answers like others.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// There is no good answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("{}", .0.as_u16())]
    Status(StatusCode),
    #[error("the answer is no HTTP")]
    NoHttp,
    #[error("it closed the connection without an answer")]
    Closed,
    #[error("the path cannot be asked for")]
    Path,
}

/// Bytes of an answer that are read, so that its sender is not cut off in the middle.
const MOST: usize = 64 * 1024;
/// How long they are waited for.
const LINGER: Duration = Duration::from_millis(100);

/// The status, if it is one of 200 to 299.
pub(super) async fn get(stream: TcpStream, path: &str) -> Result<StatusCode, HttpError> {
    let request = Request::get(path)
        .header(header::HOST, "localhost")
        .header(header::USER_AGENT, concat!("holm/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| HttpError::Path)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| why(&e))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|e| why(&e))?;
        let status = response.status();
        // The status is the answer, whatever follows, and however long that takes.
        let _ = timeout(LINGER, Limited::new(response.into_body(), MOST).collect()).await;
        if status.is_success() { Ok(status) } else { Err(HttpError::Status(status)) }
    };
    tokio::pin!(exchange);
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        _ = connection => exchange.await,
    }
}

fn why(error: &hyper::Error) -> HttpError {
    if error.is_parse() { HttpError::NoHttp } else { HttpError::Closed }
}
