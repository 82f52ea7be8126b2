//! A registry that serves, and a client that says exactly what it is told.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use holm_registry::{
    Access, Action, Challenge, Change, Digest, Gate, Limits, Name, Project, Refusal, Registry, Upstream,
};
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) const SOON: Duration = Duration::from_secs(20);
pub(crate) const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub(crate) const LIMITS: Limits = Limits {
    manifest: 100_000,
    uploads: 4,
    idle: Duration::from_secs(3600),
    reserve: 0,
    loose: Duration::from_secs(60),
    untagged: Duration::from_secs(600),
};

/// Everybody may do everything, but nobody may touch what is `secret/…`, and who says `x-nobody` is not known.
#[derive(Debug, Default)]
pub(crate) struct Open {
    pub(crate) quota: Mutex<Option<u64>>,
    pub(crate) changes: Mutex<Vec<Change>>,
}

impl Gate for Open {
    fn admit<'a>(
        &'a self,
        request: &'a Parts,
        access: Option<&'a Access>,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(async move {
            if request.headers.contains_key("x-nobody") {
                return Err(Refusal::Unauthorized(Challenge::Basic { realm: "holm".into() }));
            }
            match access {
                Some(access) if access.repository.as_str().starts_with("secret/") => {
                    Err(Refusal::Denied("not yours".into()))
                }
                Some(access) if access.action == Action::Delete && request.headers.contains_key("x-keep") => {
                    Err(Refusal::Denied("you may not delete".into()))
                }
                _ => Ok(()),
            }
        })
    }

    fn quota<'a>(&'a self, _: &'a Project) -> BoxFuture<'a, Option<u64>> {
        let quota = *self.quota.lock().unwrap();
        Box::pin(async move { quota })
    }

    fn changed(&self, _: &Parts, change: &Change) {
        self.changes.lock().unwrap().push(change.clone());
    }
}

pub(crate) struct Server {
    pub(crate) registry: Registry,
    pub(crate) gate: Arc<Open>,
    pub(crate) address: SocketAddr,
    pub(crate) dir: std::path::PathBuf,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(dir: &Path, limits: Limits) -> Self {
        let gate = Arc::new(Open::default());
        let registry = Registry::open(dir, limits, gate.clone()).unwrap();
        Self::serve(registry, gate, dir).await
    }

    /// A cache of another one.
    pub(crate) async fn over(dir: &Path, upstream: Arc<dyn Upstream>) -> Self {
        let gate = Arc::new(Open::default());
        let registry = Registry::open(dir, LIMITS, gate.clone()).unwrap().over(dir, upstream).unwrap();
        Self::serve(registry, gate, dir).await
    }

    async fn serve(registry: Registry, gate: Arc<Open>, dir: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = registry.clone().router();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { registry, gate, address, task, dir: dir.to_owned() }
    }

    pub(crate) async fn new() -> (Self, TempDir) {
        let dir = tempfile::tempdir().unwrap();
        (Self::start(dir.path(), LIMITS).await, dir)
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "registry");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let driver = tokio::spawn(connection);
        let response = tokio::time::timeout(SOON, sender.send_request(request)).await.unwrap().unwrap();
        let answer = Answer::read(response).await;
        driver.abort();
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], "").await
    }

    /// Pushes a blob at once.
    pub(crate) async fn blob(&self, name: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        let answer = self.call("POST", &path, &[], bytes.to_vec()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        digest
    }

    /// Pushes an image of one layer.
    pub(crate) async fn image(&self, name: &str, tag: &str, layer: &[u8]) -> Digest {
        self.blob(name, b"{}").await;
        self.blob(name, layer).await;
        let text = image(layer, &json!({}));
        let answer = self.put(name, tag, OCI, &text).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        Digest::of(text.as_bytes())
    }

    pub(crate) async fn put(&self, name: &str, reference: &str, kind: &str, text: &str) -> Answer {
        let path = format!("/v2/{name}/manifests/{reference}");
        self.call("PUT", &path, &[("content-type", kind)], text.to_owned()).await
    }

    /// Begins an upload: its place.
    pub(crate) async fn begin(&self, name: &str) -> String {
        let answer = self.call("POST", &format!("/v2/{name}/blobs/uploads/"), &[], "").await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        answer.header("location").to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    async fn read(response: Response<hyper::body::Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// Status and code of an error as the specification has it.
    pub(crate) fn error(&self) -> (u16, String) {
        let code = self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned();
        (self.status.as_u16(), code)
    }
}

pub(crate) fn descriptor(bytes: &[u8], kind: &str) -> Value {
    json!({ "mediaType": kind, "digest": Digest::of(bytes).to_string(), "size": bytes.len() })
}

/// A manifest of one layer, with more fields.
pub(crate) fn image(layer: &[u8], more: &Value) -> String {
    let mut text = json!({
        "schemaVersion": 2,
        "mediaType": OCI,
        "config": descriptor(b"{}", "application/vnd.oci.image.config.v1+json"),
        "layers": [descriptor(layer, "application/vnd.oci.image.layer.v1.tar")],
    });
    text.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    text.to_string()
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}
