//! The runtime `container`: Docker's engine, or Podman's in its place, over a Unix socket.
//!
//! The engine is the supervisor: it keeps containers, logs and exit codes while the agent is away.
//! Which containers are this node's is in their labels ([`spec`]); one task reads the engine's events
//! and lists anew after a gap ([`events`]).

mod abandoned;
mod base;
mod build;
mod copy;
mod engine;
mod events;
mod exec;
mod image;
mod images;
mod ledger;
mod logs;
mod network;
mod own;
mod presence;
mod spec;
mod start;
mod steps;
mod usage;
mod volume;
mod wipe;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bollard::query_parameters::{KillContainerOptionsBuilder, StopContainerOptionsBuilder};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use holm_model::build::BuildWant;
use holm_model::id::AssignmentId;
use holm_model::image::ImageView;
use holm_model::member::RuntimeFacts;
use holm_model::name::Name;
use holm_model::service::{ServiceSpec, Signal};
use holm_model::time::Time;
use holm_model::tunnel::{CopyWay, LogLine, LogStream, Terminal};
use holm_model::wipe::WipeReport;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::{RunError, Step};
use crate::event::{RuntimeEvent, Survivor};
use crate::given::Access;
use crate::launch::Launch;
use crate::reading::Reading;
use crate::runtime::{OnProgress, Runtime};
use crate::stream::{Exec, LogLines, LogOptions};
use engine::{Engine, status};
use image::{AtOurs, Claim};
use ledger::Ledger;
pub use own::{BuildPass, OwnRegistry};
use presence::Presence;

/// What the driver is told by the agent.
#[derive(Clone, Debug)]
pub struct ContainerConfig {
    /// The engine's Unix socket.
    pub socket: PathBuf,
    /// Told apart by this label, several nodes may share an engine: one value per data directory.
    pub node: String,
    /// Bytes of log kept of one container.
    pub log_bytes: u64,
    /// Where it is written down what the engine was brought; `None`: nowhere.
    pub ledger: Option<PathBuf>,
    /// The platform's registry; `None`: it cannot be reached from here.
    pub own: Option<Arc<dyn OwnRegistry>>,
}

/// The driver.
#[derive(Debug)]
pub struct ContainerRuntime {
    shared: Arc<Shared>,
    /// Ends the watching, not the containers.
    _watching: DropGuard,
}

#[derive(Debug)]
struct Shared {
    config: ContainerConfig,
    engine: Engine,
    ledger: Ledger,
    known: Mutex<BTreeMap<AssignmentId, Known>>,
    samples: Mutex<BTreeMap<AssignmentId, (Instant, Duration)>>,
    presence: Presence,
    events: mpsc::Sender<RuntimeEvent>,
}

/// A container that runs, as far as this agent knows.
#[derive(Clone, Debug)]
struct Known {
    incarnation: u32,
    /// See [`Launch::step`].
    step: Option<u32>,
    paused: bool,
    /// Limits that the engine said it cannot enforce.
    notes: Vec<LogLine>,
}

const SOCKETS: [&str; 3] = ["/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock"];

/// The engine's share of a halt beyond the grace period.
const HALT_MARGIN: Duration = Duration::from_secs(30);

// === impl ContainerConfig ===

impl ContainerConfig {
    #[must_use]
    pub const fn new(socket: PathBuf, node: String) -> Self {
        Self { socket, node, log_bytes: 4 << 20, ledger: None, own: None }
    }

    /// The socket of an engine at one of its usual places, those of Podman for this user included.
    #[must_use]
    pub fn usual_socket() -> Option<PathBuf> {
        let own = std::env::var_os("XDG_RUNTIME_DIR").map(|dir| Path::new(&dir).join("podman/podman.sock"));
        SOCKETS.iter().map(PathBuf::from).chain(own).find(|socket| socket.exists())
    }
}

// === impl ContainerRuntime ===

impl ContainerRuntime {
    /// Must be called inside a tokio runtime. The engine need not be there yet. Events of instances
    /// go to `events`.
    #[must_use]
    pub fn new(config: ContainerConfig, events: mpsc::Sender<RuntimeEvent>) -> Self {
        let dropped = CancellationToken::new();
        let shared = Arc::new(Shared {
            engine: Engine::new(config.socket.clone()),
            ledger: Ledger::new(config.ledger.clone()),
            config,
            known: Mutex::default(),
            samples: Mutex::default(),
            presence: Presence::default(),
            events,
        });
        tokio::spawn(dropped.clone().run_until_cancelled_owned(events::watch(Arc::clone(&shared))));
        Self { shared, _watching: dropped.drop_guard() }
    }
}

impl Runtime for ContainerRuntime {
    fn name(&self) -> &'static str {
        "container"
    }

    fn facts(&self) -> BoxFuture<'_, RuntimeFacts> {
        self.shared.facts().boxed()
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        self.shared.presence.changed().boxed()
    }

    fn prepare<'a>(
        &'a self,
        launch: &'a Launch,
        progress: OnProgress<'a>,
    ) -> BoxFuture<'a, Result<(), RunError>> {
        async move {
            let image = launch.spec.image.as_deref().ok_or(RunError::NoImage)?;
            let login = launch.given.registry.as_ref();
            let claim = Claim { project: &launch.project, login, at_ours: AtOurs::Own, platform: None };
            image::ensure(&self.shared, image, claim, progress).await
        }
        .boxed()
    }

    fn start<'a>(&'a self, launch: &'a Launch) -> BoxFuture<'a, Result<(), RunError>> {
        self.shared.start(launch).boxed()
    }

    fn halt(&self, id: AssignmentId, grace: Duration) -> BoxFuture<'_, Result<(), RunError>> {
        self.shared.halt(id, grace).boxed()
    }

    fn access(&self, _: &Name, _: &ServiceSpec) -> Result<Access, RunError> {
        Ok(spec::ACCESS)
    }

    fn signal(&self, id: AssignmentId, signal: Signal) -> BoxFuture<'_, Result<(), RunError>> {
        async move {
            let client = self.shared.engine.client(Step::Signal).await?;
            let options = KillContainerOptionsBuilder::new().signal(&format!("SIG{}", signal.word())).build();
            let sent = client.kill_container(&spec::name(id), Some(options)).await;
            sent.map_err(|error| self.shared.engine.failed(Step::Signal, error))
        }
        .boxed()
    }

    fn pause(&self, id: AssignmentId) -> BoxFuture<'_, Result<(), RunError>> {
        async move {
            let client = self.shared.engine.client(Step::Pause).await?;
            let done = client.pause_container(&spec::name(id)).await;
            self.shared.engine.changed(id, Step::Pause, done, "already paused")
        }
        .boxed()
    }

    fn resume(&self, id: AssignmentId) -> BoxFuture<'_, Result<(), RunError>> {
        async move {
            let client = self.shared.engine.client(Step::Resume).await?;
            let done = client.unpause_container(&spec::name(id)).await;
            self.shared.engine.changed(id, Step::Resume, done, "is not paused")
        }
        .boxed()
    }

    fn remove(&self, id: AssignmentId) -> BoxFuture<'_, Result<(), RunError>> {
        async move {
            self.shared.samples().remove(&id);
            self.shared.remove(id).await
        }
        .boxed()
    }

    fn survivors(&self) -> BoxFuture<'_, Result<Vec<Survivor>, RunError>> {
        events::survivors(&self.shared).boxed()
    }

    fn usage(&self, id: AssignmentId) -> BoxFuture<'_, Result<Reading, RunError>> {
        usage::measure(&self.shared, id).boxed()
    }

    fn logs(&self, id: AssignmentId, options: LogOptions) -> BoxFuture<'_, Result<LogLines, RunError>> {
        async move {
            let client = self.shared.engine.client(Step::Logs).await?;
            let name = if options.previous { spec::previous(id) } else { spec::name(id) };
            // Lines come later than the word that there will be some: an engine that is gone, or has no
            // such container, must be known now.
            let there = engine::inspect(client, &name).await;
            there.map_err(|error| match status(Some(&error)) {
                Some(404) if options.previous => RunError::NoPrevious { id },
                _ => self.shared.engine.failed(Step::Logs, error),
            })?;
            // Those before the previous start are gone.
            let mut names = if options.previous { Vec::new() } else { self.shared.steps_before(id).await? };
            names.push(name);
            let known = self.shared.known().get(&id).map(|known| known.notes.clone());
            let notes = known.filter(|_| !options.previous).unwrap_or_default();
            // Some engines begin the answer with the first line.
            let patience = if options.follow { engine::PATIENCE } else { engine::ANSWER };
            Ok(logs::read(&client.clone().with_timeout(patience), names, options, notes))
        }
        .boxed()
    }

    fn exec(
        &self,
        id: AssignmentId,
        command: Vec<String>,
        terminal: Option<Terminal>,
    ) -> BoxFuture<'_, Result<Exec, RunError>> {
        async move {
            // What is known follows the engine's events, and they come later than its answer to `resume`.
            let told = self.shared.known().get(&id).is_some_and(|known| known.paused);
            if told && exec::is_paused(&self.shared.engine, id).await? {
                return Err(RunError::Paused { id });
            }
            exec::start(&self.shared.engine, id, command, terminal).await
        }
        .boxed()
    }

    fn copy(&self, id: AssignmentId, path: String, way: CopyWay) -> BoxFuture<'_, Result<Exec, RunError>> {
        async move {
            match way {
                CopyWay::Read => copy::read(&self.shared.engine, id, &path).await,
                CopyWay::Write => copy::write(&self.shared.engine, id, path).await,
            }
        }
        .boxed()
    }

    fn volume(&self, key: String) -> BoxFuture<'_, Result<PathBuf, RunError>> {
        async move { volume::place(&self.shared, key).await }.boxed()
    }

    fn discard(&self, key: String) -> BoxFuture<'_, Result<(), RunError>> {
        async move { volume::discard(&self.shared, &key).await }.boxed()
    }

    fn wipe(&self) -> BoxFuture<'_, WipeReport> {
        self.shared.wipe().boxed()
    }

    fn clean(&self, keep: usize) -> BoxFuture<'_, Result<Vec<String>, RunError>> {
        self.shared.clean(keep).boxed()
    }

    fn build(&self, want: BuildWant) -> Result<Exec, RunError> {
        self.shared.build(want)
    }

    fn images(&self) -> BoxFuture<'_, Result<Vec<ImageView>, RunError>> {
        self.shared.images().boxed()
    }

    fn remove_image(&self, name: String) -> BoxFuture<'_, Result<(), RunError>> {
        async move { self.shared.remove_image(&name).await }.boxed()
    }

    fn local_address(&self) -> BoxFuture<'_, Result<IpAddr, RunError>> {
        network::gateway(&self.shared.engine).boxed()
    }

    fn files_path(&self, _files: &Path) -> PathBuf {
        PathBuf::from(spec::FILES)
    }
}

// === impl Shared ===

impl Shared {
    async fn halt(&self, id: AssignmentId, grace: Duration) -> Result<(), RunError> {
        let client = self.engine.client(Step::Halt).await?;
        let name = spec::name(id);
        if self.known().get(&id).is_some_and(|known| known.paused) {
            // A paused container takes no signal; an error here shows again below.
            let _ = client.unpause_container(&name).await;
        }
        // The engine knows whole seconds only.
        let seconds = i32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        let patient = client.clone().with_timeout(grace + HALT_MARGIN);
        let stopped = patient.stop_container(&name, Some(options)).await;
        match status(stopped.as_ref().err()) {
            // Stopped already, or not there.
            Some(304 | 404) => Ok(()),
            _ => stopped.map_err(|error| self.engine.failed(Step::Halt, error)),
        }
    }

    async fn facts(&self) -> RuntimeFacts {
        let mut facts = RuntimeFacts {
            #[expect(clippy::unwrap_used, reason = "a literal that is a name")]
            name: Name::new("container").unwrap(),
            version: String::new(),
            unavailable: None,
            enforces: Vec::new(),
            leases: false,
            images: None,
            containers: None,
        };
        let info = match self.engine.client(Step::Look).await {
            Ok(client) => client.info().await.map_err(|error| self.engine.failed(Step::Look, error)),
            Err(error) => Err(error),
        };
        match info {
            Err(error) => facts.unavailable = Some(error.to_string()),
            Ok(info) => {
                let limits = [(info.cpu_cfs_quota, "cpu"), (info.memory_limit, "memory")];
                let held = limits.iter().filter(|(held, _)| *held == Some(true));
                facts.enforces = held.map(|(_, limit)| (*limit).to_owned()).collect();
                facts.version = info.server_version.unwrap_or_default();
                facts.images = info.images.and_then(|count| u64::try_from(count).ok());
                facts.containers = info.containers.and_then(|count| u64::try_from(count).ok());
            }
        }
        facts
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<AssignmentId, Known>> {
        // Nothing is changed in two steps: a panic elsewhere leaves it whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn samples(&self) -> MutexGuard<'_, BTreeMap<AssignmentId, (Instant, Duration)>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note(warning: String) -> LogLine {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let at = Time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    LogLine { at, stream: LogStream::Node, text: warning.into_bytes() }
}
