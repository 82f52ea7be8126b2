//! One connection: HTTP/1.1 or HTTP/2, as the client begins.
//!
//! ```text
//! a stranger's ──(a request is proved)──► served until it ends, or the API stops; a stranger's again in time
//!    ├── [`STRANGERS_TIME`] is over ──► asked to end, and cut soon after
//!    └── another connection needs its place ──► cut
//! ```

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures::TryFutureExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::ServiceExt as _;

use holm_orchestrator::OnHttp;

use crate::answer::keeping;
use crate::drain::Drained;
use crate::limits::visits::Visit;
use crate::peer::{Peer, place};
use crate::state::Api;

/// Until a request's headers are complete; also how long an idle HTTP/1 connection is kept.
const HEADER_TIME: Duration = Duration::from_secs(30);
/// Until a request has proved who sends it, whatever the protocol.
const STRANGERS_TIME: Duration = Duration::from_secs(30);
/// For what a stranger has asked when that time is over.
const LAST_ANSWERS: Duration = Duration::from_secs(10);
/// An HTTP/2 client that is silent for so long is asked whether it is there; it has as long to answer.
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
        let visit = match api.accounts().connection(peer) {
            Ok(visit) => visit,
            Err(full) => return api.attempts().crowded(peer, full),
        };
        drop(api.connections().spawn(serve_stream(stream, peer, visit, api.clone())));
    })
}

/// Serves the connection until it ends, or until the API stops: requests that have begun are
/// finished then.
async fn serve_stream<S>(stream: S, peer: Peer, visit: Arc<Visit>, api: Api)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stopped = api.stopped();
    let visitor = Arc::clone(&visit);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let asking = visitor.ask();
        request.extensions_mut().insert(asking.clone());
        let request = request.map(|body| Body::new(Drained::new(body, api.connections().clone())));
        api.router().oneshot(request).map_ok(|answer| keeping(asking, answer))
    });
    let builder = builder();
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = visit.dismissed() => return,
        () = overdue(&visit, STRANGERS_TIME) => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = visit.dismissed() => return,
                () = overdue(&visit, LAST_ANSWERS) => return,
            }
        }
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

/// Done when a stranger has not proved who they are in time; never otherwise.
async fn overdue(visit: &Visit, time: Duration) {
    tokio::time::sleep(time).await;
    if visit.is_known() {
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
        .keep_alive_timeout(PING)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_BYTES);
    builder
}
