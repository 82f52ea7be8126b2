//! Orchestrators and a hand-made node, over real TLS on loopback.
#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code")]

pub(crate) mod node;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holm_core::orchestrator::command::Actor;
use holm_link::token::JoinToken;
use holm_model::access::Grants;
use holm_model::name::Name;
use holm_model::view::{TokenRequest, TokenRole};
use holm_orchestrator::{Config, Handle, HttpStream, OnHttp, Peer, Role, Shell};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// An orchestrator that serves until it is stopped or dropped.
pub(crate) struct Running {
    pub(crate) handle: Handle,
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn root_config(dir: &Path) -> Config {
    Config::new(dir.to_owned(), name("root"), Role::Root { sea: Some("sea".to_owned()) })
}

pub(crate) fn cluster_config(dir: &Path, parent: SocketAddr, token: Option<JoinToken>) -> Config {
    Config::new(dir.to_owned(), name("vienna"), Role::Cluster { parent: parent.to_string(), token })
}

pub(crate) async fn run(config: Config) -> Running {
    let stop = CancellationToken::new();
    let shell = Shell::start(config, stop.clone()).await.unwrap();
    let (handle, address) = (shell.handle().clone(), shell.address().unwrap());
    let on_http = joining(handle.clone());
    let served = tokio::spawn(async move { shell.serve(on_http).await.unwrap() });
    Running { handle, address, stop, served }
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.served.await.unwrap();
    }

    /// A join token for the role.
    pub(crate) async fn token(&self, role: TokenRole) -> JoinToken {
        let request = TokenRequest::new(role);
        self.handle.create_token(admin(), &Grants::all(), &request).await.unwrap().token.parse().unwrap()
    }
}

/// Who asks in these tests.
pub(crate) fn admin() -> Actor {
    Actor { who: "admin".to_owned(), from: "unix".to_owned() }
}

/// Waits until `check` says something.
pub(crate) async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(Instant::now() < deadline, "it never came true: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The one route that these tests need of the API.
fn joining(handle: Handle) -> OnHttp {
    Arc::new(move |stream: HttpStream, peer: Peer| {
        let handle = handle.clone();
        tokio::spawn(async move {
            let Peer::Tls(from) = peer else { return };
            let service = service_fn(|request| answer(handle.clone(), from, request));
            let connection = hyper::server::conn::http1::Builder::new();
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    })
}

async fn answer(
    handle: Handle,
    from: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let (status, body) = match handle.join(from, serde_json::from_slice(&body).unwrap()).await {
        Ok(answer) => (200, serde_json::to_value(answer).unwrap()),
        Err(error) => (403, serde_json::json!({ "detail": error.to_string() })),
    };
    let body = Full::new(Bytes::from(body.to_string()));
    Ok(Response::builder().status(status).body(body).unwrap())
}
