//! What a stopped node has left on its machine, and its end: processes, containers, control groups, and what
//! instances were given in memory.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::join_all;
use holm_core::node::InstanceRecord;
use holm_core::table::{LoadError, Rows};
use holm_model::id::AssignmentId;
use holm_model::record::Table;
use holm_runtime::process::cgroup::Cgroups;
use holm_runtime::{RunError, Runtime, Survivor};
use holm_store::{Kind, OpenError, Store};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::config::RuntimesConfig;
use crate::drivers;
use crate::identity::Sockets;
use crate::runtimes::Runtimes;
use crate::tmpfs::Tmpfs;

/// Of a node that does not run.
#[derive(Debug)]
pub struct Remains {
    data_dir: PathBuf,
    runtimes: Runtimes,
    /// A socket is there, so whoever listens must answer.
    engine: bool,
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

/// What takes longer than people would wait without a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// A runtime has not told yet what it has.
    Answer { runtime: &'static str, limit: Duration },
    /// Instances have not ended yet.
    End { runtime: &'static str, number: usize },
}

/// An instance could not be ended, or not be removed; or nobody knows whether there is one.
#[derive(Debug, thiserror::Error)]
pub enum RemainError {
    #[error("the runtime `{runtime}` does not tell what it has; what this node runs there may still run")]
    Unknown { runtime: &'static str, source: RunError },
    #[error(
        "the runtime `{runtime}` gave no answer within {limit:?}; what this node runs there may still run"
    )]
    Silent { runtime: &'static str, limit: Duration },
    #[error("the store does not tell whether the runtime `{runtime}` was used")]
    Store { runtime: &'static str, source: Box<OpenError> },
    #[error("the store does not tell whether the runtime `{runtime}` was used")]
    Record { runtime: &'static str, source: LoadError },
    #[error("the {runtime} instance {id} cannot be removed")]
    Remove { runtime: &'static str, id: AssignmentId, source: RunError },
}

/// For a runtime to tell what it has, each container looked at.
const ANSWER: Duration = Duration::from_secs(30);
/// How long supervisors may take to follow their programs.
const FOLLOW: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);
/// Then people are told what is waited for.
const SOON: Duration = Duration::from_millis(700);

// === impl Remains ===

impl Remains {
    /// None when nothing was ever started from this directory. Must be called inside a tokio runtime.
    #[must_use]
    pub fn of(data_dir: &Path, config: &RuntimesConfig) -> Option<Self> {
        let label = std::fs::read_to_string(data_dir.join("label")).ok()?;
        // Nobody listens: what ends here is ended by us.
        let (events, _) = mpsc::channel(1);
        let runtimes = Runtimes::new(drivers::start(config, data_dir, &label, None, events));
        let (tmpfs, sockets) = (Tmpfs::new(&label), Sockets::new(&label));
        let engine = drivers::engine(config).exists();
        let (data_dir, cgroups) = (data_dir.to_owned(), Cgroups::detect(&label));
        Some(Self { data_dir, runtimes, engine, cgroups, tmpfs, sockets })
    }

    /// Ends all of it, those that run with `grace`; returns what went wrong, and tells `waits` what takes long. The
    /// node must not run.
    pub async fn end(self, grace: Duration, files: Files, waits: &impl Fn(Waiting)) -> Vec<RemainError> {
        let ends = self.runtimes.all().map(|runtime| self.end_at(&**runtime, grace, files, waits));
        let failed: Vec<_> = join_all(ends).await.into_iter().flatten().collect();
        self.tmpfs.retire();
        self.sockets.retire();
        let give_up = Instant::now() + FOLLOW;
        while !self.cgroups.retire() && Instant::now() < give_up {
            sleep(LOOK).await;
        }
        failed
    }

    async fn end_at(
        &self,
        runtime: &dyn Runtime,
        grace: Duration,
        files: Files,
        waits: &impl Fn(Waiting),
    ) -> Vec<RemainError> {
        let name = runtime.name();
        let answer = Waiting::Answer { runtime: name, limit: ANSWER };
        let found = match told(self.survivors(runtime), || waits(answer)).await {
            Ok(found) => found,
            Err(error) => return vec![error],
        };
        let end_one = async |id| {
            let halted = runtime.halt(id, grace).await;
            // A container keeps nothing that a later one would find.
            let ended =
                if files == Files::Keep && name == "process" { halted } else { runtime.remove(id).await };
            ended.err().map(|source| RemainError::Remove { runtime: name, id, source })
        };
        let ends = join_all(found.iter().map(|survivor| end_one(survivor.id)));
        let number = found.len();
        let ended = told(ends, || waits(Waiting::End { runtime: name, number })).await;
        ended.into_iter().flatten().collect()
    }

    async fn survivors(&self, runtime: &dyn Runtime) -> Result<Vec<Survivor>, RemainError> {
        let name = runtime.name();
        let unknown = match timeout(ANSWER, runtime.survivors()).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(source)) => RemainError::Unknown { runtime: name, source },
            Err(_) => RemainError::Silent { runtime: name, limit: ANSWER },
        };
        // Most nodes have no engine, and never had one.
        let never_there = name == "container" && !self.engine && !self.used(name).await?;
        if never_there { Ok(Vec::new()) } else { Err(unknown) }
    }

    /// Whether the node has launched an instance there that it has not seen go.
    async fn used(&self, runtime: &'static str) -> Result<bool, RemainError> {
        let opened = Store::open(&self.data_dir, Kind::Node).await;
        let (store, mut snapshot) =
            opened.map_err(|source| RemainError::Store { runtime, source: Box::new(source) })?;
        let records = Rows::<AssignmentId, InstanceRecord>::load(Table::Instance, &mut snapshot);
        store.close().await;
        let records = records.map_err(|source| RemainError::Record { runtime, source })?;
        let there = |record: &InstanceRecord| {
            record.incarnation > 0 && record.runtime.as_ref().is_some_and(|name| name.as_str() == runtime)
        };
        Ok(records.values().any(there))
    }
}

/// The outcome of `work`; `tell` is called when it does not come soon.
async fn told<T>(work: impl Future<Output = T>, tell: impl FnOnce()) -> T {
    let mut work = std::pin::pin!(work);
    if let Ok(done) = timeout(SOON, &mut work).await {
        return done;
    }
    tell();
    work.await
}

// === impl Waiting ===

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer { runtime, limit } => {
                write!(f, "the runtime `{runtime}` to tell what it has, {} s at most", limit.as_secs())
            }
            Self::End { runtime, number: 1 } => write!(f, "an instance of the runtime `{runtime}` to end"),
            Self::End { runtime, number } => {
                write!(f, "{number} instances of the runtime `{runtime}` to end")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::error::Error as _;
    use std::sync::Mutex;

    use holm_core::node::Identity;
    use holm_model::id::{Epoch, Uid, WishId};
    use holm_model::name::Name;
    use holm_model::record::{Batch, Write};
    use holm_model::slot::SlotIndex;
    use holm_model::state::InstanceState;
    use holm_model::time::Time;
    use holm_model::wish::AppKey;
    use tempfile::TempDir;
    use tokio::net::UnixListener;

    use super::*;

    /// The directory of a node that has been started, and no engine at `engine.sock`.
    fn node() -> (TempDir, RuntimesConfig) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("label"), format!("{:016x}", crate::random())).unwrap();
        let mut config = RuntimesConfig::new("/bin/true".into());
        config.engine = Some(dir.path().join("engine.sock"));
        (dir, config)
    }

    async fn end(dir: &TempDir, config: &RuntimesConfig) -> Vec<RemainError> {
        Remains::of(dir.path(), config).unwrap().end(Duration::ZERO, Files::Remove, &|_| {}).await
    }

    /// As the agent keeps an instance that it has launched.
    async fn launched(dir: &TempDir, runtime: &str) {
        let uid = Uid { epoch: Epoch::new(1, 7), counter: 9 };
        let name = |text| Name::new(text).unwrap();
        let record = InstanceRecord {
            identity: Identity {
                app: AppKey { project: name("default"), application: name("shop") },
                wish: WishId(uid),
                service: name("web"),
                slot: SlotIndex::Number(0),
            },
            generation: 1,
            spec: None,
            runtime: Some(name(runtime)),
            state: InstanceState::Running,
            incarnation: 1,
            sequence: 1,
            reason: String::new(),
            since: Time(0),
            restarts: 0,
            attempts: 0,
            exhausted: false,
            restarts_seen: 0,
            again: false,
            ports: BTreeMap::new(),
            drain: Duration::ZERO,
            readiness: None,
            grace: Duration::ZERO,
            boot: String::new(),
            given: Vec::new(),
            begun: None,
            fetched: false,
            discards: Vec::new(),
            unused: false,
        };
        let (store, _) = Store::open(dir.path(), Kind::Node).await.unwrap();
        let value = Some(serde_json::to_vec(&record).unwrap());
        let write = Write { table: Table::Instance, key: AssignmentId(uid).to_string(), value };
        store.commit(&Batch { writes: vec![write], ..Batch::default() }).await.unwrap();
        store.close().await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_does_not_answer_may_have_anything() {
        let (dir, config) = node();
        let _mute = UnixListener::bind(dir.path().join("engine.sock")).unwrap();
        let (begun, waited) = (Instant::now(), Mutex::new(Vec::new()));
        let waits = |waiting: Waiting| waited.lock().unwrap().push((begun.elapsed(), waiting.to_string()));
        let failed =
            Remains::of(dir.path(), &config).unwrap().end(Duration::ZERO, Files::Remove, &waits).await;
        assert!(matches!(failed[..], [RemainError::Unknown { runtime: "container", .. }]), "{failed:?}");
        let reason = failed[0].source().unwrap().to_string();
        assert!(reason.contains("engine.sock") && reason.contains("answer"), "{reason}");
        let waited = waited.into_inner().unwrap();
        let [(after, what)] = &waited[..] else { panic!("{waited:?}") };
        assert!(*after < Duration::from_secs(1), "{after:?}");
        assert_eq!(what, "the runtime `container` to tell what it has, 30 s at most");
    }

    #[tokio::test]
    async fn an_engine_that_has_gone_matters_if_the_node_used_it() {
        let (dir, config) = node();
        assert!(end(&dir, &config).await.is_empty(), "there never was one");
        launched(&dir, "process").await;
        assert!(end(&dir, &config).await.is_empty());
        launched(&dir, "container").await;
        let failed = end(&dir, &config).await;
        assert!(matches!(failed[..], [RemainError::Unknown { runtime: "container", .. }]), "{failed:?}");
        let reason = failed[0].source().unwrap().to_string();
        assert!(reason.contains("engine.sock"), "{reason}");
    }

    #[tokio::test]
    async fn a_socket_where_nobody_listens_is_an_engine_that_is_down() {
        let (dir, config) = node();
        drop(UnixListener::bind(dir.path().join("engine.sock")).unwrap());
        let failed = end(&dir, &config).await;
        assert!(matches!(failed[..], [RemainError::Unknown { runtime: "container", .. }]), "{failed:?}");
    }
}
