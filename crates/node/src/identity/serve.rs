//! HTTP/1 over an instance's socket: one request per connection, a few at once, small and soon over.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::desk::Desk;
use crate::local_api::{Answer, problem};

/// Connections at once; further ones wait.
const AT_ONCE: usize = 8;
/// Bytes of a request's head at most; hyper takes no less.
const MOST_HEAD: usize = 8 * 1024;
/// Bytes of a request's body at most: a token with its chain fits.
const MOST_BODY: usize = 24 * 1024;
/// Until the head of a request is there.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// Of a connection, from beginning to end: longer than the orchestrator takes.
const TIME: Duration = Duration::from_secs(20);
/// After an error of the system, which may have no more file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is dropped, with all connections.
pub(super) async fn serve(listener: UnixListener, desk: Arc<Desk>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // It is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let desk = Arc::clone(&desk);
                connections.spawn(async move {
                    // Whoever is late hears nothing more.
                    let _ = timeout(TIME, connection(stream, desk)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "The socket of an instance's identity cannot accept a connection.");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(stream: UnixStream, desk: Arc<Desk>) {
    let service = service_fn(|request| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, Infallible>(answer(&desk, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MOST_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "A connection to an instance's identity broke.");
    }
}

async fn answer(desk: &Desk, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    match Limited::new(body, MOST_BODY).collect().await {
        Ok(body) => desk.answer(&head, &body.to_bytes()).await,
        Err(error) if error.is::<LengthLimitError>() => {
            problem(StatusCode::PAYLOAD_TOO_LARGE, &format!("a request has {} KiB at most", MOST_BODY / 1024))
        }
        Err(_) => problem(StatusCode::BAD_REQUEST, "the request broke off"),
    }
}
