//! This machine as a node of the orchestrator above, too, while its own is silent.
//!
//! ```text
//! silent ──► told above what runs here ──► invited ──► a second node, in a directory of its own
//!                                                         │ its own orchestrator is back:
//!                                                         └─ emptied and told from above to wipe itself
//! ```
//!
//! A node in the node: certificate, list, instances and files of both are apart, so that nothing of one is ever taken for
//! the other's. It offers what is not taken, and goes on over restarts of the agent until all of it has moved.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use holm_core::node::NodeMachine;
use holm_link::credentials::Credentials;
use holm_model::message::Invited;
use holm_model::name::Name;
use holm_model::resources::Resources;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::agent::{Input, Question};
use crate::config::NodeConfig;
use crate::link::chain;
use crate::run::{Ended, NodeError, run};

/// The second node; clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    /// Of the node that this machine is first.
    host: Arc<NodeConfig>,
    inputs: mpsc::Sender<Input>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
    stop: CancellationToken,
}

/// What the next start needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stay {
    name: Name,
    /// `host:port`
    orchestrator: String,
}

/// Below the data directory.
pub(crate) const DIR: &str = "guest";
const STAY: &str = "stay.json";
/// What people said about the machine itself holds for both, also when they say something else meanwhile.
const SHARED: [&str; 2] = ["allowed.json", "shell.json"];
/// What they said about the node holds as it was said before.
const COPIED: &str = "amendments.json";

// === impl Guest ===

impl Guest {
    pub(crate) fn new(host: &NodeConfig, inputs: mpsc::Sender<Input>, stop: &CancellationToken) -> Self {
        Self { host: Arc::new(host.clone()), inputs, task: Arc::default(), stop: stop.child_token() }
    }

    pub(crate) fn is_here(&self) -> bool {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        task.as_ref().is_some_and(|task| !task.is_finished())
    }

    /// Goes on where an earlier run of the agent was ended.
    pub(crate) async fn resume(self) {
        if let Some(stay) = read(&self.dir()) {
            self.start(stay, None).await;
        }
    }

    /// # Errors
    /// When the disk takes no writes.
    pub(crate) async fn come(&self, invited: Invited, orchestrator: &str) -> io::Result<()> {
        let (name, dir) = (invited.name, self.dir());
        let stay = Stay { name, orchestrator: orchestrator.to_owned() };
        prepare(&self.host.data_dir, &dir, &stay)?;
        self.start(stay, Some(invited.token.0)).await;
        Ok(())
    }

    /// After it was told to stop.
    pub(crate) async fn ended(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // A panic of it is no reason for ours.
            let _ = task.await;
        }
    }

    async fn start(&self, stay: Stay, token: Option<String>) {
        let taken = Question::ask(&self.inputs, taken).await.unwrap_or_default();
        let config = self.config(stay, token, taken);
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            *task = Some(tokio::spawn(stay_on(config, self.stop.clone())));
        }
    }

    fn config(
        &self,
        Stay { name, orchestrator }: Stay,
        token: Option<String>,
        taken: Resources,
    ) -> NodeConfig {
        let mut config = NodeConfig::clone(&self.host);
        config.data_dir = self.dir();
        (config.name, config.orchestrator) = (Some(name), orchestrator);
        (config.rejoin, config.token) = (token.is_some(), token);
        config.reserve += &taken;
        // Which units are taken, only those know who gave them.
        config.capabilities.retain(|counted| counted.units.is_none());
        config.ready = || {};
        config
    }

    fn dir(&self) -> PathBuf {
        self.host.data_dir.join(DIR)
    }
}

/// Whether the machine is, or was until its agent stopped, a node of the orchestrator above, too.
pub(crate) fn is_in(data_dir: &Path) -> bool {
    data_dir.join(DIR).exists()
}

/// Those of a node and of the second one that its machine may be.
pub fn data_dirs(data_dir: &Path) -> impl Iterator<Item = PathBuf> {
    let guest = data_dir.join(DIR);
    [data_dir.to_owned()].into_iter().chain(Some(guest).filter(|dir| dir.exists()))
}

/// By itself, the type of this future would contain itself.
fn node(config: NodeConfig, stop: CancellationToken) -> BoxFuture<'static, Result<Ended, NodeError>> {
    Box::pin(run(config, stop))
}

async fn stay_on(config: NodeConfig, stop: CancellationToken) {
    let (dir, orchestrator) = (config.data_dir.clone(), config.orchestrator.clone());
    tracing::info!(
        orchestrator,
        "This machine is a node of the orchestrator above, too, until its own is back."
    );
    match node(config, stop).await {
        Ok(Ended::Stopped) => return,
        Ok(Ended::Decommissioned) => {
            tracing::info!(
                orchestrator,
                "All has moved: this machine is a node of its own orchestrator only."
            );
        }
        Err(error) => {
            tracing::warn!(
                orchestrator,
                error = chain(&error),
                "This machine cannot be a node of the orchestrator above."
            );
            // What it still runs would be nobody's.
            if is_member(&dir) {
                return;
            }
        }
    }
    if let Err(error) = fs::remove_dir_all(&dir) {
        tracing::warn!(dir = %dir.display(), %error, "What is left of it cannot be removed.");
    }
}

fn is_member(dir: &Path) -> bool {
    !matches!(Credentials::load(dir), Ok(None))
}

/// A directory in which it can begin; whatever an earlier stay has left there is kept.
fn prepare(host: &Path, dir: &Path, stay: &Stay) -> io::Result<()> {
    holm_store::make_passable(dir)?;
    for shared in SHARED {
        match symlink(Path::new("..").join(shared), dir.join(shared)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    match fs::copy(host.join(COPIED), dir.join(COPIED)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let new = dir.join(STAY).with_extension("new");
    fs::write(&new, serde_json::to_vec(stay)?)?;
    fs::File::open(&new)?.sync_all()?;
    fs::rename(new, dir.join(STAY))
}

fn read(dir: &Path) -> Option<Stay> {
    serde_json::from_slice(&fs::read(dir.join(STAY)).ok()?).ok()
}

/// What is promised to instances of the first node.
fn taken(machine: &NodeMachine) -> Resources {
    machine.instances().filter_map(|(id, _)| machine.spec(id)).fold(Resources::default(), |mut sum, spec| {
        sum += &spec.resources;
        sum
    })
}
