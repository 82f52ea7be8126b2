//! The runtime `process`: native programs.
//!
//! Each instance has a directory ([`dir`]), control groups where the host permits ([`cgroup`]) and a
//! supervisor ([`supervise`]) that is no part of the agent: restarting, upgrading or killing the agent
//! touches no program. Supervisors are forked by a process that the agent keeps for it ([`nursery`]); none
//! of them is the agent's child, so those that it started and those that it found are the same to it. It
//! learns of an end by a pidfd of the supervisor, then reads how it ended from the exit file.
//!
//! ```text
//! start ──order to the nursery──→ live ──pidfd──→ exit file read ──→ Exited
//!   agent restarts: lock held → live again; lock free → exit file, or Lost
//! ```

mod adopt;
pub mod cgroup;
mod dir;
mod exec;
mod given;
mod handover;
mod lease;
mod live;
mod logs;
mod nursery;
mod order;
mod plan;
pub(crate) mod proc;
mod program;
mod range;
mod record;
mod segments;
mod session;
mod shell;
mod start;
pub mod supervise;
mod sys;
mod terminal;
mod user;
mod users;
mod watch;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use holm_model::id::AssignmentId;
use holm_model::member::RuntimeFacts;
use holm_model::name::Name;
use holm_model::service::{ServiceSpec, Signal};
use holm_model::tunnel::{CopyWay, Terminal};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) use live::millis_of_core;
pub use range::{UserRange, UserRangeError};
pub use segments::LogLimits;
pub use shell::{own_user, shell};
pub use users::ProcessUsers;

use crate::error::{RunError, Step};
use crate::event::{EventKind, RuntimeEvent, Survivor};
use crate::given::Access;
use crate::launch::Launch;
use crate::reading::Reading;
use crate::runtime::{OnProgress, Runtime};
use crate::stream::{Exec, LogLines, LogOptions};
use cgroup::Cgroups;
use dir::InstanceDir;
use live::{Live, Table};
use nursery::Nursery;
use plan::Plan;
use users::Users;

/// What the driver is told by the agent.
#[derive(Clone, Debug)]
pub struct ProcessConfig {
    /// A directory of its own below the data directory; instances' users must be able to pass
    /// through those above it.
    pub root: PathBuf,
    /// What the first word `holm` of a command means: the agent's own program.
    pub executable: PathBuf,
    /// A program that calls [`supervise::main`] with the arguments behind these.
    pub supervisor: (PathBuf, Vec<String>),
    pub users: ProcessUsers,
    /// Which project has which user.
    pub users_file: PathBuf,
    pub logs: LogLimits,
    /// Processes and threads of one instance; 0: no limit.
    pub pids_max: u64,
}

/// The driver.
#[derive(Debug)]
pub struct ProcessRuntime {
    shared: Arc<Shared>,
    /// Ends the watching, not the instances.
    _watching: DropGuard,
}

#[derive(Debug)]
struct Shared {
    config: ProcessConfig,
    cgroups: Cgroups,
    users: Users,
    nursery: Nursery,
    live: Table,
    events: mpsc::Sender<RuntimeEvent>,
    dropped: CancellationToken,
}

/// How long the kernel may take to end a process that was sent SIGKILL.
const KILL_LIMIT: Duration = Duration::from_secs(15);

// === impl ProcessConfig ===

impl ProcessConfig {
    /// The defaults for an agent whose program is `executable` and hides the supervisor behind the
    /// subcommand `__supervise`.
    #[must_use]
    pub fn new(root: PathBuf, executable: PathBuf) -> Self {
        Self {
            users_file: root.with_file_name("process-users.json"),
            root,
            supervisor: (executable.clone(), vec!["__supervise".into()]),
            executable,
            users: ProcessUsers::default(),
            logs: LogLimits::default(),
            pids_max: 4096,
        }
    }

    /// Where a named volume is: beside the instances, which it outlives.
    pub(crate) fn volume(&self, key: &str) -> PathBuf {
        self.root.with_file_name("volumes").join(key)
    }
}

// === impl ProcessRuntime ===

impl ProcessRuntime {
    /// Must be called inside a tokio runtime. Events of instances go to `events`.
    #[must_use]
    pub fn new(config: ProcessConfig, cgroups: Cgroups, events: mpsc::Sender<RuntimeEvent>) -> Self {
        let dropped = CancellationToken::new();
        let watching = dropped.clone().drop_guard();
        let nursery = Nursery::new(config.supervisor.clone(), cgroups.refuges().to_vec());
        let users = Users::new(config.users.clone(), config.users_file.clone());
        let shared = Shared { config, cgroups, users, nursery, live: Table::default(), events, dropped };
        Self { shared: Arc::new(shared), _watching: watching }
    }

    /// Runs what touches files or starts processes where it may block; it is finished even when
    /// nobody waits for it any more.
    async fn blocking<T: Send + 'static>(
        &self,
        step: Step,
        work: impl FnOnce(&Arc<Shared>) -> Result<T, RunError> + Send + 'static,
    ) -> Result<T, RunError> {
        let shared = Arc::clone(&self.shared);
        let done = tokio::task::spawn_blocking(move || work(&shared)).await;
        done.unwrap_or_else(|panic| Err(RunError::System { step, source: io::Error::other(panic) }))
    }

    async fn set_paused(&self, id: AssignmentId, paused: bool) -> Result<(), RunError> {
        let step = if paused { Step::Pause } else { Step::Resume };
        let live = self.shared.live(id)?;
        if live.paused() == paused {
            return Ok(());
        }
        live.set_paused(paused).map_err(RunError::system(step))?;
        let kind = if paused { EventKind::Paused } else { EventKind::Resumed };
        let event = RuntimeEvent { id, incarnation: live.running.incarnation, kind };
        // Nobody listens: the agent is going down.
        let _ = self.shared.events.send(event).await;
        Ok(())
    }
}

impl Drop for ProcessRuntime {
    fn drop(&mut self) {
        // What watches instances may keep the rest for a moment longer, and who is told that this driver is
        // gone may remove its control groups.
        self.shared.nursery.end();
    }
}

impl Runtime for ProcessRuntime {
    fn name(&self) -> &'static str {
        "process"
    }

    fn facts(&self) -> BoxFuture<'_, RuntimeFacts> {
        let unavailable = self.shared.usable().err().map(|error| error.to_string());
        let facts = RuntimeFacts {
            #[expect(clippy::unwrap_used, reason = "a literal that is a name")]
            name: Name::new("process").unwrap(),
            version: env!("CARGO_PKG_VERSION").into(),
            unavailable,
            enforces: self.shared.cgroups.enforces(),
            leases: true,
            images: None,
            containers: None,
        };
        std::future::ready(facts).boxed()
    }

    fn prepare<'a>(
        &'a self,
        launch: &'a Launch,
        _progress: OnProgress<'a>,
    ) -> BoxFuture<'a, Result<(), RunError>> {
        let work = self.shared.dir(launch.id).work();
        let launch = launch.clone();
        let check = move |shared: &Arc<Shared>| plan::task(shared, &launch, &work).map(drop);
        self.blocking(Step::Prepare, check).boxed()
    }

    fn volume(&self, key: String) -> BoxFuture<'_, Result<PathBuf, RunError>> {
        self.blocking(Step::Volume, move |shared| {
            let path = shared.config.volume(&key);
            start::make_volume(&path).map_err(RunError::file(Step::Volume, &path))?;
            Ok(path)
        })
        .boxed()
    }

    fn discard(&self, key: String) -> BoxFuture<'_, Result<(), RunError>> {
        self.blocking(Step::Volume, move |shared| {
            let path = shared.config.volume(&key);
            match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(RunError::file(Step::Volume, &path)(error))
                }
                _ => Ok(()),
            }
        })
        .boxed()
    }

    fn start<'a>(&'a self, launch: &'a Launch) -> BoxFuture<'a, Result<(), RunError>> {
        async move {
            match self.shared.live.get(launch.id) {
                Some(live) if live.running.incarnation == launch.incarnation => return Ok(()),
                Some(_) => self.halt(launch.id, launch.spec.grace).await?,
                None => {}
            }
            let launch = launch.clone();
            self.blocking(Step::Start, move |shared| start::start(shared, &launch)).await
        }
        .boxed()
    }

    fn halt(&self, id: AssignmentId, grace: Duration) -> BoxFuture<'_, Result<(), RunError>> {
        async move {
            let Some(live) = self.shared.live.get(id) else { return Ok(()) };
            // Errors mean that the supervisor has ended, which is what is waited for.
            let _ = live.signal(supervise::TERMINATE);
            if live.paused() {
                let _ = live.set_paused(false);
            }
            if live.ends_within(grace).await {
                return Ok(());
            }
            let _ = live.signal(supervise::KILL);
            if live.ends_within(KILL_LIMIT).await { Ok(()) } else { Err(RunError::WillNotEnd { id }) }
        }
        .boxed()
    }

    fn access(&self, project: &Name, spec: &ServiceSpec) -> Result<Access, RunError> {
        let identity = user::identity(project, spec.user.as_deref(), &self.shared.users)?;
        Ok(Access::Shared { owner: identity.map(|identity| (identity.uid, identity.gid)) })
    }

    fn access_now(&self, id: AssignmentId) -> Option<Access> {
        let plan = dir::read_json::<Plan>(&self.shared.dir(id).plan()).ok()??;
        Some(Access::Shared { owner: plan.task.identity.map(|identity| (identity.uid, identity.gid)) })
    }

    fn lease(&self, id: AssignmentId, until: Duration) -> BoxFuture<'_, Result<(), RunError>> {
        self.blocking(Step::Lease, move |shared| {
            let dir = shared.dir(id);
            lease::write(&dir, until).map_err(RunError::file(Step::Lease, &dir.lease()))
        })
        .boxed()
    }

    fn signal(&self, id: AssignmentId, signal: Signal) -> BoxFuture<'_, Result<(), RunError>> {
        let tell = || self.shared.live(id)?.tell(signal).map_err(RunError::system(Step::Signal));
        std::future::ready(tell()).boxed()
    }

    fn pause(&self, id: AssignmentId) -> BoxFuture<'_, Result<(), RunError>> {
        self.set_paused(id, true).boxed()
    }

    fn resume(&self, id: AssignmentId) -> BoxFuture<'_, Result<(), RunError>> {
        self.set_paused(id, false).boxed()
    }

    fn remove(&self, id: AssignmentId) -> BoxFuture<'_, Result<(), RunError>> {
        async move {
            self.halt(id, Duration::ZERO).await?;
            self.blocking(Step::Remove, move |shared| shared.remove(id)).await
        }
        .boxed()
    }

    fn survivors(&self) -> BoxFuture<'_, Result<Vec<Survivor>, RunError>> {
        self.blocking(Step::Survivors, adopt::survivors).boxed()
    }

    fn usage(&self, id: AssignmentId) -> BoxFuture<'_, Result<Reading, RunError>> {
        self.blocking(Step::Usage, move |shared| Ok(shared.live(id)?.usage())).boxed()
    }

    fn logs(&self, id: AssignmentId, options: LogOptions) -> BoxFuture<'_, Result<LogLines, RunError>> {
        let dir = self.shared.dir(id);
        let lines = logs::read(&dir.0, options).map_err(RunError::file(Step::Logs, &dir.0));
        std::future::ready(lines).boxed()
    }

    fn exec(
        &self,
        id: AssignmentId,
        command: Vec<String>,
        terminal: Option<Terminal>,
    ) -> BoxFuture<'_, Result<Exec, RunError>> {
        let start = || {
            self.shared.awake(id)?;
            let role = if terminal.is_some() { "terminal" } else { "exec" };
            let mut helper = self.shared.helper(role, id);
            helper.args(terminal.as_ref().map(|terminal| &terminal.kind)).args(command);
            let started = match terminal {
                Some(terminal) => terminal::start(helper, terminal.size),
                None => exec::start(helper),
            };
            started.map_err(RunError::file(Step::Exec, &self.shared.config.supervisor.0))
        };
        std::future::ready(start()).boxed()
    }

    fn copy(&self, id: AssignmentId, path: String, way: CopyWay) -> BoxFuture<'_, Result<Exec, RunError>> {
        let start = || {
            self.shared.awake(id)?;
            let role = match way {
                CopyWay::Read => "pack",
                CopyWay::Write => "unpack",
            };
            let mut helper = self.shared.helper(role, id);
            helper.arg(path);
            exec::start(helper).map_err(RunError::file(Step::Copy, &self.shared.config.supervisor.0))
        };
        std::future::ready(start()).boxed()
    }

    fn local_address(&self) -> BoxFuture<'_, Result<IpAddr, RunError>> {
        std::future::ready(Ok(Ipv4Addr::LOCALHOST.into())).boxed()
    }

    fn files_path(&self, files: &Path) -> PathBuf {
        files.to_owned()
    }
}

// === impl Shared ===

impl Shared {
    fn dir(&self, id: AssignmentId) -> InstanceDir {
        InstanceDir(self.config.root.join(id.to_string()))
    }

    fn live(&self, id: AssignmentId) -> Result<Arc<Live>, RunError> {
        self.live.get(id).ok_or(RunError::NotRunning { id })
    }

    /// Whether something can join the instance: in a frozen group it would wait unheard.
    fn awake(&self, id: AssignmentId) -> Result<(), RunError> {
        if self.live(id)?.paused() { Err(RunError::Paused { id }) } else { Ok(()) }
    }

    /// The supervisor's program in one of its other roles.
    fn helper(&self, role: &str, id: AssignmentId) -> tokio::process::Command {
        let (program, arguments) = &self.config.supervisor;
        let mut helper = tokio::process::Command::new(program);
        helper.args(arguments).arg(role).arg(&self.dir(id).0);
        helper
    }

    fn usable(&self) -> Result<(), RunError> {
        let (supervisor, _) = &self.config.supervisor;
        supervisor.metadata().map(drop).map_err(RunError::file(Step::Start, supervisor))?;
        user::usable(&self.users, &self.config.root)
    }

    fn remove(&self, id: AssignmentId) -> Result<(), RunError> {
        let dir = self.dir(id);
        // A program of an instance whose supervisor was killed may still be there.
        let group = self.cgroups.group(&id.to_string());
        watch::kill_all(&group);
        group.remove().map_err(RunError::system(Step::Remove))?;
        match std::fs::remove_dir_all(&dir.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(RunError::file(Step::Remove, &dir.0)(error))
            }
            _ => Ok(()),
        }
    }
}

// === impl Live ===

impl Live {
    /// By the freezer where there is one, else by signals to the process group.
    fn set_paused(&self, paused: bool) -> io::Result<()> {
        if self.group.freeze(paused)? {
            return Ok(());
        }
        self.signal(if paused { supervise::STOP } else { supervise::CONTINUE })
    }
}
