//! What holds for every request, before anybody asks who sends it.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use tokio::time::timeout;

use crate::authentication::peer;
use crate::peer::Peer;
use crate::problem::{Fault, Kind};
use crate::registry;
use crate::state::Api;

/// For an answer that is no stream: ten times what the slowest commit seen took.
const TIME: Duration = Duration::from_secs(30);

/// Names under which plain HTTP is served; a page of another site that has made its own name point
/// to this machine (DNS rebinding) is told apart by them.
const LOOPBACK_NAMES: [&str; 4] = ["localhost", "127.0.0.1", "[::1]", "holm.localhost"];

const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    ),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Checks names and origins, turns panics into problems, adds headers against browsers' mistakes.
pub(crate) async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let mut response = match admit(&api, &request) {
        Err(fault) => fault.into_response(),
        Ok(()) => survive(next.run(request)).await,
    };
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

/// Ends what takes too long. Not for streams.
pub(crate) async fn limit_time(request: Request, next: Next) -> Result<Response, Fault> {
    let late = |_| {
        let detail = format!(
            "no answer was ready within {} s; look whether it was carried out before sending it again",
            TIME.as_secs()
        );
        Fault::new(Kind::Late, detail)
    };
    timeout(TIME, next.run(request)).await.map_err(late)
}

/// A panic ends the request and nothing else: what handlers share is behind locks that survive it.
async fn survive(answer: impl Future<Output = Response>) -> Response {
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|panic| bug(&*panic))
}

fn bug(panic: &(dyn Any + Send)) -> Response {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
    tracing::error!(panic = text, "A request met a bug.");
    Fault::new(Kind::Internal, "the request met a bug; please report what the orchestrator's log says")
        .into_response()
}

fn admit(api: &Api, request: &Request) -> Result<(), Fault> {
    let peer = peer(request.extensions())?;
    if matches!(peer, Peer::Member(_)) && !request.uri().path().starts_with(registry::PREFIX) {
        return Err(Fault::new(Kind::Forbidden, "members reach the registry so, and nothing else"));
    }
    let host = host(request);
    if matches!(peer, Peer::Plain(_)) && !host.as_deref().is_some_and(|host| is_ours(host, api.names())) {
        let names = LOOPBACK_NAMES.join("`, `");
        return Err(Fault::new(Kind::Host, format_args!("plain HTTP is served as `{names}` only")));
    }
    if peer != Peer::Unix && changes(request) && is_foreign(request.headers(), host.as_deref()) {
        return Err(Fault::new(Kind::Origin, "a browser sent this for a page of another origin"));
    }
    Ok(())
}

/// HTTP/2 has the name in its target, HTTP/1 in a header.
fn host(request: &Request) -> Option<String> {
    let target = request.uri().authority().map(ToString::to_string);
    target.or_else(|| Some(request.headers().get(header::HOST)?.to_str().ok()?.to_owned()))
}

fn is_ours(host: &str, configured: &[String]) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.to_ascii_lowercase();
    LOOPBACK_NAMES.contains(&name.as_str()) || configured.contains(&name)
}

/// WebSockets are requests that read, but their streams write.
pub(crate) fn changes(request: &Request) -> bool {
    !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS)
        || request.headers().contains_key(header::UPGRADE)
}

/// Whether a browser says that a page of another origin sends it. Programs say nothing.
fn is_foreign(headers: &HeaderMap, host: Option<&str>) -> bool {
    let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or("null"));
    let same = origin.is_none_or(|origin| {
        let site = origin.split_once("://").map(|(_, site)| site);
        site.is_some() && site == host
    });
    let fetched = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    !same || matches!(fetched, Some("cross-site" | "same-site"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_problem() {
        let response = survive(async { panic!("secret") }).await;
        assert_eq!(response.status(), axum::http::StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn only_names_of_this_machine_are_ours() {
        let configured = ["holm.factory".to_owned()];
        for ours in ["localhost", "LOCALHOST:80", "127.0.0.1:7701", "[::1]:80", "[::1]", "holm.factory:1"] {
            assert!(is_ours(ours, &configured), "{ours}");
        }
        for foreign in ["", "evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "localhost:x"] {
            assert!(!is_ours(foreign, &configured), "{foreign}");
        }
    }

    #[test]
    fn pages_of_other_origins_are_foreign() {
        let with = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
        };
        assert!(!is_foreign(&HeaderMap::new(), Some("localhost:1")));
        assert!(!is_foreign(&with("origin", "http://localhost:1"), Some("localhost:1")));
        assert!(is_foreign(&with("origin", "http://localhost:2"), Some("localhost:1")));
        assert!(is_foreign(&with("origin", "null"), Some("null")));
        assert!(is_foreign(&with("sec-fetch-site", "cross-site"), Some("localhost:1")));
    }
}
