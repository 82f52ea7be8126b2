//! A real root in a directory of its own, with its API on a Unix socket and a free port.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(dead_code, unreachable_pub, reason = "each suite uses a part")]

use std::net::SocketAddr;
use std::time::Duration;

use holm_api::{Api, Limits, on_http};
use holm_client::{Client, Manifest};
use holm_model::name::Name;
use holm_model::view::{TokenRequest, TokenRole};
use holm_orchestrator::{Config, Handle, Role, Shell};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

pub struct Root {
    pub api: Api,
    pub handle: Handle,
    pub address: SocketAddr,
    pub dir: TempDir,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

/// A cluster of a root; it ends when it is dropped.
pub struct Cluster {
    pub api: Api,
    pub dir: TempDir,
    _stop: DropGuard,
}

/// Nothing in these tests takes longer, on a busy machine either.
pub const DEADLINE: Duration = Duration::from_secs(20);

impl Root {
    pub async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    pub async fn start_in(dir: TempDir) -> Self {
        Self::start_at(dir, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub async fn start_limited(limits: Limits) -> Self {
        Self::start_with(tempfile::tempdir().unwrap(), SocketAddr::from(([127, 0, 0, 1], 0)), limits).await
    }

    pub async fn start_at(dir: TempDir, listen: SocketAddr) -> Self {
        Self::start_with(dir, listen, Limits::default()).await
    }

    async fn start_with(dir: TempDir, listen: SocketAddr, limits: Limits) -> Self {
        let stop = CancellationToken::new();
        let name = Name::new("root").unwrap();
        let config = Config { listen, ..Config::new(dir.path().to_owned(), name, Role::Root { sea: None }) };
        let shell = Shell::start(config, stop.clone()).await.unwrap();
        let (api, address) = (Api::new(shell.handle().clone(), &[], limits, None), shell.address().unwrap());
        let (http, handle) = (on_http(api.clone()), shell.handle().clone());
        let serving = tokio::spawn(async move { shell.serve(http).await.unwrap() });
        Self { api, handle, address, dir, stop, serving }
    }

    /// Makes a cluster that joins by a token, over the port.
    pub async fn cluster(&self, name: &str) -> Cluster {
        self.cluster_limited(name, Limits::default()).await
    }

    pub async fn cluster_limited(&self, name: &str, limits: Limits) -> Cluster {
        self.cluster_at(name, SocketAddr::from(([127, 0, 0, 1], 0)), limits).await
    }

    /// A cluster whose own port others may know.
    pub async fn cluster_at(&self, name: &str, listen: SocketAddr, limits: Limits) -> Cluster {
        let request = TokenRequest::new(TokenRole::Cluster);
        let token = self.client().create_token(&request).await.unwrap().token;
        let role = Role::Cluster { parent: self.address.to_string(), token: Some(token.parse().unwrap()) };
        let (dir, stop) = (tempfile::tempdir().unwrap(), CancellationToken::new());
        let config = Config { listen, ..Config::new(dir.path().to_owned(), Name::new(name).unwrap(), role) };
        let shell = Shell::start(config, stop.clone()).await.unwrap();
        let api = Api::new(shell.handle().clone(), &[], limits, None);
        tokio::spawn(shell.serve(on_http(api.clone())));
        Cluster { api, dir, _stop: stop.drop_guard() }
    }

    pub fn client(&self) -> Client {
        Client::unix(self.dir.path().join("api.sock"))
    }

    pub async fn stop(self) -> TempDir {
        self.stop.cancel();
        tokio::time::timeout(DEADLINE, self.api.drained()).await.expect("connections end");
        tokio::time::timeout(DEADLINE, self.serving).await.expect("the root ends").unwrap();
        self.dir
    }
}

/// An application of one service with so many replicas.
pub fn manifest(name: &str, replicas: u32) -> Manifest {
    Manifest::Yaml(format!(
        "holm: v1\napplication: {name}\nservices:\n  web:\n    runtime: process\n    command: [sleep, \"60\"]\n    replicas: {replicas}\n"
    ))
}
