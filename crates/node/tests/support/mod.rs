//! A hand-made orchestrator on loopback, and a node that calls it.

#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod parent;
mod signing;

use std::path::{Path, PathBuf};
use std::time::Duration;

use holm_link::backoff::Backoff;
use holm_model::id::{AssignmentId, Epoch, Uid, WishId};
use holm_model::item::{Assignment, Item, ItemKey, PackedItem, Part};
use holm_model::name::Name;
use holm_model::service::{Replicas, ServiceSpec};
use holm_model::slot::SlotIndex;
use holm_model::state::RunState;
use holm_model::wish::{AppKey, SpecBytes, Version};
use holm_node::{Ended, LinkTimes, NodeConfig, NodeError, ProcessUsers};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use parent::Parent;

/// Nothing here takes longer; a test that does hangs.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LONG, future).await.expect("takes too long")
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn uid(counter: u64) -> Uid {
    Uid { epoch: Epoch::new(1, 7), counter }
}

pub(crate) fn instance(counter: u64) -> AssignmentId {
    AssignmentId(uid(counter))
}

/// A native program run by a shell.
pub(crate) fn shell(script: &str) -> ServiceSpec {
    let command = ["/bin/sh", "-c", script].map(str::to_owned);
    ServiceSpec::new(name("process"), command.into())
}

pub(crate) fn part(service: &str, spec: &ServiceSpec) -> Part {
    Part {
        app: AppKey { project: name("default"), application: name("building") },
        wish: WishId(uid(1)),
        version: Version { epoch: Epoch::new(1, 7), generation: 1 },
        service: name(service),
        generation: 1,
        spec: SpecBytes::encode(spec),
        replicas: Replicas::Number(1),
        run: RunState::Run,
        restarts: 0,
        run_of: None,
    }
}

pub(crate) fn assignment(counter: u64, part: Part) -> PackedItem {
    let id = instance(counter);
    let assignment = Assignment { id, part, slot: SlotIndex::Number(0), held: false, carry: None };
    Item::Assignment(assignment).pack(ItemKey::Assignment(id))
}

/// A running agent.
pub(crate) struct Node {
    pub(crate) stop: CancellationToken,
    task: JoinHandle<Result<Ended, NodeError>>,
}

impl Node {
    pub(crate) fn start(config: NodeConfig) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(holm_node::run(config, stop.clone()));
        Self { stop, task }
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        assert_eq!(soon(self.task).await.unwrap().unwrap(), Ended::Stopped);
    }

    /// How it ends by itself.
    pub(crate) async fn outcome(self) -> Result<Ended, NodeError> {
        soon(self.task).await.unwrap()
    }
}

/// A node of `parent` in `dir`, quick to call again.
pub(crate) fn config(dir: &Path, parent: &Parent) -> NodeConfig {
    let supervisor = PathBuf::from(env!("CARGO_BIN_EXE_holm-node-supervise"));
    let mut config = NodeConfig::new(dir.to_owned(), parent.address.to_string(), supervisor.clone());
    config.runtimes.supervisor = Some((supervisor, Vec::new()));
    config.runtimes.process_users = ProcessUsers::One("root".to_owned());
    config.runtimes.engine = Some(dir.join("no-engine.sock"));
    config.name = Some(name("fl-1"));
    config.interval = Duration::from_millis(200);
    config.link = LinkTimes {
        keep_alive: Duration::from_millis(100),
        backoff: Backoff::new(Duration::from_millis(10), Duration::from_millis(100)),
        refused: Duration::from_millis(200),
        ..LinkTimes::default()
    };
    config
}

/// What the local API answers.
pub(crate) async fn ask(dir: &Path, path: &str) -> serde_json::Value {
    let mut stream = tokio::net::UnixStream::connect(dir.join(holm_node::SOCKET)).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    soon(stream.read_to_string(&mut text)).await.unwrap();
    serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap()
}
