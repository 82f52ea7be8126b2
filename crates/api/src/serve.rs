//! One connection: HTTP/1.1 or HTTP/2, as the client begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::ServiceExt as _;

use holm_orchestrator::OnHttp;

use crate::peer::{Peer, place};
use crate::state::Api;

/// Until a request's headers are complete; also how long an idle HTTP/1 connection is kept.
const HEADER_TIME: Duration = Duration::from_secs(30);
/// An HTTP/2 client that is silent for so long is asked whether it is there.
const PING: Duration = Duration::from_secs(20);
/// Bytes of a request's headers at most, and how many headers.
const HEADER_BYTES: u32 = 32 * 1024;
const HEADERS: usize = 64;
/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 64;

/// Serves the connections that an orchestrator's shell hands out, each in a task of its own.
#[must_use]
pub fn on_http(api: Api) -> OnHttp {
    Arc::new(move |stream, peer| {
        let place = match api.accounts().connection(peer) {
            Ok(place) => place,
            Err(full) => return api.attempts().crowded(peer, full),
        };
        let serving = serve_stream(stream, peer, api.clone());
        drop(api.connections().spawn(async move {
            serving.await;
            drop(place);
        }));
    })
}

/// Serves the connection until it ends, or until the API stops: requests that have begun are
/// finished then.
pub async fn serve_stream<S>(stream: S, peer: Peer, api: Api)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stopped = api.stopped();
    let asked = Arc::new(AtomicBool::new(false));
    let first = Arc::clone(&asked);
    let service = service_fn(move |mut request: Request<Incoming>| {
        first.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(peer);
        api.router().oneshot(request.map(Body::new))
    });
    let builder = builder();
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        // The library's own limit begins only when it knows which HTTP it is.
        () = silence(&asked) => return,
        () = stopped => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Whoever hangs up in the middle is no event.
        tracing::debug!(peer = place(peer), error = &*error, "An HTTP connection broke.");
    }
}

/// Done when nothing was asked for in time, whatever the protocol; never otherwise.
async fn silence(asked: &AtomicBool) {
    tokio::time::sleep(HEADER_TIME).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending().await
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_BYTES as usize)
        .max_headers(HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_BYTES);
    builder
}
