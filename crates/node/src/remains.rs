//! What a stopped node has left on its machine, and its end: processes, containers, control groups, and what
//! instances were given in memory.

use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use holm_model::id::AssignmentId;
use holm_runtime::process::cgroup::Cgroups;
use holm_runtime::{RunError, Runtime, Survivor};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::config::RuntimesConfig;
use crate::drivers;
use crate::identity::Sockets;
use crate::runtimes::Runtimes;
use crate::tmpfs::Tmpfs;

/// Of a node that does not run.
#[derive(Debug)]
pub struct Remains {
    runtimes: Runtimes,
    cgroups: Cgroups,
    tmpfs: Tmpfs,
    sockets: Sockets,
}

/// What becomes of the directories of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// A later agent finds them, and starts the instance there again.
    Keep,
    Remove,
}

/// An instance could not be ended, or not be removed.
#[derive(Debug, thiserror::Error)]
pub enum RemainError {
    #[error("the runtime `{runtime}` does not tell what it has")]
    Unknown { runtime: &'static str, source: RunError },
    #[error("the {runtime} instance {id} cannot be removed")]
    Remove { runtime: &'static str, id: AssignmentId, source: RunError },
}

/// How long supervisors may take to follow their programs.
const FOLLOW: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);

// === impl Remains ===

impl Remains {
    /// None when nothing was ever started from this directory. Must be called inside a tokio runtime.
    #[must_use]
    pub fn of(data_dir: &Path, config: &RuntimesConfig) -> Option<Self> {
        let label = std::fs::read_to_string(data_dir.join("label")).ok()?;
        // Nobody listens: what ends here is ended by us.
        let (events, _) = mpsc::channel(1);
        let runtimes = Runtimes::new(drivers::start(config, data_dir, &label, events));
        let (tmpfs, sockets) = (Tmpfs::new(&label), Sockets::new(&label));
        Some(Self { runtimes, cgroups: Cgroups::detect(&label), tmpfs, sockets })
    }

    /// Ends all of it, those that run with `grace`; returns what went wrong. The node must not run.
    pub async fn end(self, grace: Duration, files: Files) -> Vec<RemainError> {
        let ends = self.runtimes.all().map(|runtime| end(&**runtime, grace, files));
        let failed: Vec<_> = join_all(ends).await.into_iter().flatten().collect();
        self.tmpfs.retire();
        self.sockets.retire();
        let give_up = Instant::now() + FOLLOW;
        while !self.cgroups.retire() && Instant::now() < give_up {
            sleep(LOOK).await;
        }
        failed
    }
}

async fn survivors(runtime: &dyn Runtime) -> Result<Vec<Survivor>, RemainError> {
    // Without an engine there are no containers either.
    if runtime.facts().await.unavailable.is_some() {
        return Ok(Vec::new());
    }
    let unknown = |source| RemainError::Unknown { runtime: runtime.name(), source };
    runtime.survivors().await.map_err(unknown)
}

async fn end(runtime: &dyn Runtime, grace: Duration, files: Files) -> Vec<RemainError> {
    let found = match survivors(runtime).await {
        Ok(found) => found,
        Err(error) => return vec![error],
    };
    let name = runtime.name();
    let end_one = async |id| {
        let halted = runtime.halt(id, grace).await;
        // A container keeps nothing that a later one would find.
        let ended = if files == Files::Keep && name == "process" { halted } else { runtime.remove(id).await };
        ended.err().map(|source| RemainError::Remove { runtime: name, id, source })
    };
    join_all(found.iter().map(|survivor| end_one(survivor.id))).await.into_iter().flatten().collect()
}
