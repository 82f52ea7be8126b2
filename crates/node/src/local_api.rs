//! The node's own API on a Unix socket: what `holm node status` shows when no orchestrator can.
//!
//! Whoever may open the socket (its owner) may ask. `GET /status`, `GET /instances`: JSON; `GET /metrics`: text.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use holm_core::node::{InstanceRecord, NodeMachine};
use holm_model::id::AssignmentId;
use holm_model::time::Time;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::agent::{Input, Question};
use crate::facts::disk;
use crate::history::History;
use crate::launch::NodeSelf;
use crate::link::{Link, LinkStatus};
use crate::metrics::{Counted, Known};
use crate::{clock, metrics};

/// Answers questions about this node.
#[derive(Debug)]
pub(crate) struct LocalApi {
    pub(crate) node: watch::Receiver<NodeSelf>,
    pub(crate) link: Link,
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) history: History,
    pub(crate) data_dir: PathBuf,
}

/// `GET /status`
#[derive(Debug, Serialize)]
struct Status {
    name: String,
    /// Empty before the orchestrator has spoken for the first time.
    id: String,
    cluster: String,
    version: &'static str,
    link: LinkStatus,
    /// The orchestrator is behind what this node obeyed last; see `holm adopt`.
    frozen: bool,
    /// Of the list that is obeyed.
    revision: u64,
    instances: usize,
}

/// One row of `GET /instances`.
#[derive(Debug, Serialize)]
struct Instance {
    id: String,
    application: String,
    service: String,
    slot: String,
    state: String,
    reason: String,
    since: Time,
    runtime: Option<String>,
    incarnation: u32,
    restarts: u32,
    ports: BTreeMap<String, u16>,
}

/// The file name of the socket in the data directory.
pub const SOCKET: &str = "node.sock";

pub(crate) type Answer = Response<Full<Bytes>>;

/// Takes the place of a socket that an earlier agent left; the caller holds the data directory's lock.
pub(crate) fn bind(data_dir: &Path) -> io::Result<(UnixListener, PathBuf)> {
    let path = data_dir.join(SOCKET);
    let new = data_dir.join("node.sock.new");
    let _ = fs::remove_file(&new);
    let listener = UnixListener::bind(&new)?;
    fs::set_permissions(&new, Permissions::from_mode(0o600))?;
    fs::rename(&new, &path)?;
    Ok((listener, path))
}

// === impl LocalApi ===

impl LocalApi {
    /// Serves until it is dropped.
    pub(crate) async fn serve(self, listener: UnixListener) {
        let api = Arc::new(self);
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((stream, _)) => drop(connections.spawn(Arc::clone(&api).connection(stream))),
                Err(error) => {
                    tracing::warn!(%error, "The local API cannot accept a connection.");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: UnixStream) {
        let service = service_fn(|request| {
            let api = Arc::clone(&self);
            async move { Ok::<_, Infallible>(api.answer(&request).await) }
        });
        let served =
            http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        if let Err(error) = served.await {
            tracing::debug!(%error, "A connection to the local API broke.");
        }
    }

    async fn answer<B: Send>(&self, request: &Request<B>) -> Answer {
        if request.method() != Method::GET {
            return problem(StatusCode::METHOD_NOT_ALLOWED, "only GET is known here");
        }
        let answer = match request.uri().path() {
            "/status" => self.status().await.map(|status| json(&status)),
            "/instances" => self.instances().await.map(|instances| json(&instances)),
            "/metrics" => self.metrics().await,
            _ => Some(problem(StatusCode::NOT_FOUND, "known are /status, /instances and /metrics")),
        };
        answer.unwrap_or_else(|| problem(StatusCode::SERVICE_UNAVAILABLE, "the node is being stopped"))
    }

    async fn status(&self) -> Option<Status> {
        let look = |machine: &NodeMachine| {
            (machine.is_frozen(), machine.held().revision(), machine.instances().count())
        };
        let (frozen, revision, instances) = Question::ask(&self.inputs, look).await?;
        let NodeSelf { name, id, cluster, .. } = self.node.borrow().clone();
        let (version, link) = (env!("CARGO_PKG_VERSION"), self.link.status());
        Some(Status { name, id, cluster, version, link, frozen, revision, instances })
    }

    async fn metrics(&self) -> Option<Answer> {
        let look = |machine: &NodeMachine| {
            let instances: Vec<_> = machine.instances().map(|(_, record)| Counted::of(record)).collect();
            (machine.is_frozen(), machine.held().revision(), instances)
        };
        let (frozen, revision, instances) = Question::ask(&self.inputs, look).await?;
        let known = Known {
            node: self.node.borrow().clone(),
            link: self.link.status(),
            frozen,
            revision,
            instances,
            usage: self.history.of_node(clock::now()).points.pop(),
            disk: disk(&self.data_dir),
            process: holm_metrics::Process::look(),
        };
        let text = holm_metrics::text(&metrics::families(&known));
        Some(response(StatusCode::OK, holm_metrics::CONTENT_TYPE, text.into_bytes()))
    }

    async fn instances(&self) -> Option<Vec<Instance>> {
        let look = |machine: &NodeMachine| {
            machine.instances().map(|(id, record)| Instance::new(id, record)).collect()
        };
        Question::ask(&self.inputs, look).await
    }
}

// === impl Counted ===

impl Counted {
    fn of(record: &InstanceRecord) -> Self {
        Self {
            project: record.identity.app.project.to_string(),
            application: record.identity.app.application.to_string(),
            service: record.identity.service.to_string(),
            state: record.state,
            restarts: record.restarts,
        }
    }
}

// === impl Instance ===

impl Instance {
    fn new(id: AssignmentId, record: &InstanceRecord) -> Self {
        Self {
            id: id.to_string(),
            application: record.identity.app.to_string(),
            service: record.identity.service.to_string(),
            slot: format!("{}/{}", record.identity.service, record.identity.slot),
            state: record.state.to_string(),
            reason: record.reason.clone(),
            since: record.since,
            runtime: record.runtime.as_ref().map(ToString::to_string),
            incarnation: record.incarnation,
            restarts: record.restarts,
            ports: record.ports.iter().map(|(name, port)| (name.to_string(), *port)).collect(),
        }
    }
}

pub(crate) fn json<T: Serialize>(body: &T) -> Answer {
    match serde_json::to_vec(body) {
        Ok(bytes) => response(StatusCode::OK, "application/json", bytes),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// RFC 9457.
pub(crate) fn problem(status: StatusCode, detail: &str) -> Answer {
    let title = status.canonical_reason().unwrap_or("error");
    let body = serde_json::json!({ "title": title, "status": status.as_u16(), "detail": detail });
    response(status, "application/problem+json", body.to_string().into_bytes())
}

pub(crate) fn response(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
