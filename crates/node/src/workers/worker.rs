//! The worker of one instance.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holm_core::node::{Data, Launch, NodeEvent, Outcome, RuntimeEvent};
use holm_model::id::AssignmentId;
use holm_model::name::Name;
use holm_model::service::OnChange;
use holm_runtime::{EventKind, Progress, RunError, Runtime, volume};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::{Order, Tools, carry, lock};
use crate::agent::Input;
use crate::directory::Entry;
use crate::given::Sorted;
use crate::identity::{At, Who};
use crate::launch::{PeersAt, compose};
use crate::{peers, ports, random, runtimes};

pub(super) struct Worker {
    pub(super) id: AssignmentId,
    pub(super) tools: Arc<Tools>,
    launching: Arc<Mutex<BTreeMap<AssignmentId, u32>>>,
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    /// Taken from the queue while something else was under way.
    pub(super) pending: VecDeque<Order>,
    /// The incarnation that runs, as far as we know.
    alive: Option<u32>,
}

/// Why an instance was not launched.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: String,
    pub(super) retry: bool,
}

/// How a launch without a failure ended.
pub(super) enum Prepared {
    Done,
    /// Its volumes are here, and that was all.
    Fetched,
    /// Something was ordered that makes the launch pointless.
    Cancelled,
    /// It took longer than its lease lasts: nothing was started.
    LeaseOver,
}

/// How long the runtime's own word about an end is waited for, after it has halted the instance.
pub(super) const WORD_TIME: Duration = Duration::from_secs(1);
/// Between two tellings of progress.
const PROGRESS_TIME: Duration = Duration::from_secs(1);

// === impl Worker ===

impl Worker {
    pub(super) fn new(
        id: AssignmentId,
        tools: Arc<Tools>,
        launching: Arc<Mutex<BTreeMap<AssignmentId, u32>>>,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> Self {
        let known = tools.directory.get(id).filter(|entry| entry.alive);
        let alive = known.map(|entry| entry.incarnation);
        Self { id, tools, launching, orders, pending: VecDeque::new(), alive }
    }

    pub(super) async fn run(mut self) {
        while let Some(order) = self.next().await {
            match order {
                Order::Launch(launch) => self.launch(*launch).await,
                Order::Refresh(launch) => self.refresh(*launch).await,
                Order::Halt { incarnation, drain, grace } => self.halt(incarnation, drain, grace).await,
                Order::Lease { until } => self.lease(until).await,
                Order::Pause { incarnation } => self.pause(incarnation).await,
                Order::Resume { incarnation } => self.resume(incarnation).await,
                Order::Remove { incarnation } => self.remove(incarnation).await,
                Order::Discard { incarnation, what } => self.discard(incarnation, what).await,
                Order::Happened { incarnation, kind } => self.happened(incarnation, kind).await,
            }
        }
    }

    async fn next(&mut self) -> Option<Order> {
        match self.pending.pop_front() {
            Some(order) => Some(order),
            None => self.orders.recv().await,
        }
    }

    pub(super) async fn tell(&self, incarnation: u32, event: RuntimeEvent) {
        self.tools.tell_of(self.id, incarnation, event).await;
    }

    fn runtime(&self) -> Option<Arc<dyn Runtime>> {
        Some(self.tools.directory.get(self.id)?.runtime)
    }

    async fn launch(&mut self, launch: Launch) {
        let incarnation = launch.incarnation;
        let result = self.try_launch(launch).await;
        lock(&self.launching).retain(|id, launching| *id != self.id || *launching != incarnation);
        let event = match result {
            Ok(Prepared::Done) => {
                self.alive = Some(incarnation);
                RuntimeEvent::Running
            }
            Ok(Prepared::Cancelled) => {
                self.tools.tmpfs.remove(self.id);
                RuntimeEvent::Exited(Outcome::default())
            }
            Ok(Prepared::Fetched) => {
                self.ended(incarnation);
                RuntimeEvent::Fetched
            }
            Ok(Prepared::LeaseOver) => {
                self.ended(incarnation);
                RuntimeEvent::Exited(Outcome { lease: true, ..Outcome::default() })
            }
            Err(Failure { reason, retry }) => {
                self.ended(incarnation);
                RuntimeEvent::LaunchFailed { reason, retry }
            }
        };
        self.tell(incarnation, event).await;
    }

    async fn try_launch(&mut self, launch: Launch) -> Result<Prepared, Failure> {
        let (id, incarnation) = (self.id, launch.incarnation);
        let tools = Arc::clone(&self.tools);
        let runtime = tools.runtimes.get(&launch.spec.runtime).ok_or_else(|| {
            let (wanted, there) = (&launch.spec.runtime, tools.runtimes.names());
            Failure::lasting(format!("this node has no runtime `{wanted}`; it has {there}"))
        })?;
        tools.owner.agrees(&launch.spec).map_err(Failure::of)?;
        let (data, volumes) = (launch.data, volume::keys(launch.part.wish, &launch.spec));
        if data == Data::Fetched {
            carry::settle(&volumes, &**runtime).await?;
        }
        let ports = self.assign_ports(&launch)?;
        let mut launch = self.compose(launch, &ports, &**runtime).await?;
        if matches!(self.prepare(&launch, &**runtime).await?, Prepared::Cancelled) {
            return Ok(Prepared::Cancelled);
        }
        if let Data::From(from) = data {
            return self.fetch(from, (incarnation, volumes), &**runtime).await;
        }
        let entry = Entry { runtime: Arc::clone(runtime), incarnation, alive: true, ports: ports.clone() };
        if !launch.spec.before.is_empty() {
            // Their logs can be read; nobody is sent to them.
            tools.directory.put(id, Entry { alive: false, ports: BTreeMap::new(), ..entry.clone() });
            let ran = self.run_steps(&mut launch, &**runtime).await?;
            if !matches!(ran, Prepared::Done) {
                return Ok(ran);
            }
        }
        self.tell(incarnation, RuntimeEvent::Starting { ports }).await;
        tools.directory.put(id, entry);
        tools.connections.begin(id);
        match runtime.start(&launch).await {
            Err(RunError::LeaseOver { .. }) => Ok(Prepared::LeaseOver),
            started => Ok(started.map(|()| Prepared::Done)?),
        }
    }

    fn assign_ports(&self, launch: &Launch) -> Result<BTreeMap<Name, u16>, Failure> {
        let mut ports = self.tools.ports();
        let assigned = ports.assign(self.id, &launch.spec.ports, &launch.ports, random(), ports::probe);
        assigned.map_err(|error| Failure { reason: error.to_string(), retry: true })
    }

    async fn compose(
        &self,
        mut launch: Launch,
        ports: &BTreeMap<Name, u16>,
        runtime: &dyn Runtime,
    ) -> Result<holm_runtime::Launch, Failure> {
        let given = Sorted::new(&launch.spec, mem::take(&mut launch.contents)).map_err(Failure::of)?;
        let node = self.tools.node.borrow().clone();
        let connects = !launch.spec.connects.is_empty();
        let known = if connects { self.tools.peers.describe(self.id).await } else { Default::default() };
        let dir = self.tools.peers.dir(self.id);
        let file = runtime.files_path(&dir).join(peers::FILE);
        let socket = self.socket(&launch)?;
        let at = PeersAt { peers: &known, dir: &dir, file: &file };
        let mut launch = compose(launch, &node, ports, connects.then_some(at)).map_err(Failure::of)?;
        let access = runtime.access(&launch.project, &launch.spec)?;
        let dir = self.tools.tmpfs.place(self.id, &given, access);
        let dir = dir.map_err(|error| Failure { reason: error.to_string(), retry: true })?;
        given.tell(&mut launch, dir.as_deref(), access);
        if let Some(at) = socket {
            at.tell(&mut launch);
        }
        Ok(launch)
    }

    /// Where the instance can ask who it is, if its service has an identity.
    fn socket(&self, launch: &Launch) -> Result<Option<At>, Failure> {
        if !launch.spec.identity {
            return Ok(None);
        }
        let opened = self.tools.identities.open(Who::new(self.id, &launch.part), &launch.spec);
        opened.map(Some).map_err(|error| Failure { reason: error.to_string(), retry: true })
    }

    /// Secrets and files were set anew under an instance that runs.
    async fn refresh(&self, launch: Launch) {
        if self.alive != Some(launch.incarnation) {
            return;
        }
        let incarnation = launch.incarnation;
        if let Err(Failure { reason, .. }) = self.try_refresh(launch).await {
            self.tell(incarnation, RuntimeEvent::RefreshFailed { reason }).await;
        }
    }

    async fn try_refresh(&self, launch: Launch) -> Result<(), Failure> {
        let Launch { spec, contents, part, .. } = launch;
        let Some(runtime) = self.runtime() else { return Ok(()) };
        let access = match runtime.access_now(self.id) {
            Some(access) => access,
            None => runtime.access(&part.app.project, &spec)?,
        };
        let given = Sorted::new(&spec, contents).map_err(Failure::of)?;
        self.tools.tmpfs.refresh(self.id, &given, access).map_err(Failure::of)?;
        match spec.on_change {
            OnChange::Signal(signal) => Ok(runtime.signal(self.id, signal).await?),
            OnChange::Restart | OnChange::Nothing => Ok(()),
        }
    }

    /// Nothing of it executes any more, so nobody needs what it was given.
    fn ended(&self, incarnation: u32) {
        self.tools.directory.ended(self.id, incarnation);
        self.tools.tmpfs.remove(self.id);
    }

    /// Watches the queue meanwhile: an order to end what is not there yet takes effect at once.
    async fn prepare(
        &mut self,
        launch: &holm_runtime::Launch,
        runtime: &dyn Runtime,
    ) -> Result<Prepared, Failure> {
        let progress = Reporter::new(self.id, launch.incarnation, self.tools.inputs.clone());
        let on_progress = |step| progress.report(&step);
        let mut prepare = runtime.prepare(launch, &on_progress);
        loop {
            tokio::select! {
                biased;
                done = &mut prepare => {
                    done?;
                    return Ok(Prepared::Done);
                }
                Some(order) = self.orders.recv() => {
                    let ends = order.ends_launch();
                    self.pending.push_back(order);
                    if ends {
                        return Ok(Prepared::Cancelled);
                    }
                }
            }
        }
    }

    /// `None`: something was ordered that makes the launch pointless, and the work was dropped.
    pub(super) async fn unless_ended<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                Some(order) = self.orders.recv() => {
                    let ends = order.ends_launch();
                    self.pending.push_back(order);
                    if ends {
                        return None;
                    }
                }
            }
        }
    }

    async fn halt(&mut self, incarnation: u32, drain: Duration, grace: Duration) {
        self.drain(incarnation, drain).await;
        let halted = match self.runtime() {
            Some(runtime) => runtime.halt(self.id, grace).await,
            None => Ok(()),
        };
        match halted {
            Ok(()) | Err(RunError::NotRunning { .. }) => self.await_end(incarnation).await,
            Err(error) => {
                self.tools.connections.begin(self.id);
                self.tell(incarnation, RuntimeEvent::HaltFailed { reason: error.to_string() }).await
            }
        }
    }

    /// Waits for the instance's connections while it can serve them: somebody who talks to a program that has ended,
    /// or that is paused, waits in vain.
    async fn drain(&mut self, incarnation: u32, most: Duration) {
        let most = if self.alive == Some(incarnation) { most } else { Duration::ZERO };
        let tools = Arc::clone(&self.tools);
        let mut drained = std::pin::pin!(tools.connections.drain(self.id, most));
        let mut serves = !self.pending.iter().any(Order::ends_service);
        while serves {
            tokio::select! {
                biased;
                () = &mut drained => return,
                Some(order) = self.orders.recv() => {
                    serves = !order.ends_service();
                    self.pending.push_back(order);
                }
            }
        }
        // No new ones are let in.
        tools.connections.drain(self.id, Duration::ZERO).await;
    }

    /// The runtime says how the instance ended; if it does not, nobody saw it.
    async fn await_end(&mut self, incarnation: u32) {
        let deadline = Instant::now() + WORD_TIME;
        while self.alive == Some(incarnation) {
            let pending = self.pending.iter().position(Order::is_end);
            let order = match pending.and_then(|at| self.pending.remove(at)) {
                Some(order) => order,
                None => match timeout_at(deadline, self.orders.recv()).await {
                    Ok(Some(order)) => order,
                    Ok(None) | Err(_) => break,
                },
            };
            match order {
                Order::Happened { incarnation, kind: kind @ EventKind::Exited(_) } => {
                    self.happened(incarnation, kind).await;
                    // Told; a second word would say less.
                    if self.alive.is_none() {
                        return;
                    }
                }
                other => self.pending.push_back(other),
            }
        }
        self.alive = None;
        self.ended(incarnation);
        self.tell(incarnation, RuntimeEvent::Exited(Outcome::default())).await;
    }

    /// One that is not there has nothing to lease; its next launch brings its own.
    async fn lease(&self, until: Duration) {
        let Some(runtime) = self.runtime().filter(|_| self.alive.is_some()) else { return };
        if let Err(error) = runtime.lease(self.id, until).await {
            tracing::warn!(instance = %self.id, %error, "A lease cannot be renewed; the instance ends with it.");
        }
    }

    async fn pause(&self, incarnation: u32) {
        let paused = match self.runtime() {
            Some(runtime) => runtime.pause(self.id).await,
            None => Err(RunError::NotRunning { id: self.id }),
        };
        let failed = |error: RunError| RuntimeEvent::PauseFailed { reason: error.to_string() };
        self.tell(incarnation, paused.map_or_else(failed, |()| RuntimeEvent::Paused)).await;
    }

    async fn resume(&self, incarnation: u32) {
        let resumed = match self.runtime() {
            Some(runtime) => runtime.resume(self.id).await,
            None => Err(RunError::NotRunning { id: self.id }),
        };
        let failed = |error: RunError| RuntimeEvent::PauseFailed { reason: error.to_string() };
        self.tell(incarnation, resumed.map_or_else(failed, |()| RuntimeEvent::Running)).await;
    }

    async fn remove(&mut self, incarnation: u32) {
        self.remove_traces().await;
        self.tell(incarnation, RuntimeEvent::Removed).await;
    }

    pub(super) async fn remove_traces(&mut self) {
        if let Some(runtime) = self.runtime()
            && let Err(error) = runtime.remove(self.id).await
        {
            // What is left is a survivor at the next start, and removed then.
            tracing::warn!(instance = %self.id, %error, "Traces of an instance are left; the next start removes them.");
        }
        self.alive = None;
        self.tools.directory.remove(self.id);
        self.tools.connections.forget(self.id);
        self.tools.tmpfs.remove(self.id);
        self.tools.ports().release(self.id);
    }

    async fn happened(&mut self, incarnation: u32, kind: EventKind) {
        let event = match kind {
            EventKind::Exited(how) => {
                if self.alive == Some(incarnation) {
                    self.alive = None;
                    self.tools.tmpfs.remove(self.id);
                }
                self.tools.directory.ended(self.id, incarnation);
                RuntimeEvent::Exited(runtimes::outcome(&how))
            }
            EventKind::Paused => RuntimeEvent::Paused,
            EventKind::Resumed => RuntimeEvent::Running,
        };
        self.tell(incarnation, event).await;
    }
}

// === impl Order ===

impl Order {
    pub(super) const fn ends_launch(&self) -> bool {
        matches!(self, Self::Launch(_) | Self::Halt { .. } | Self::Remove { .. })
    }

    /// It answers nobody from now on.
    const fn ends_service(&self) -> bool {
        matches!(self, Self::Happened { kind: EventKind::Exited(_) | EventKind::Paused, .. })
    }

    const fn is_end(&self) -> bool {
        matches!(self, Self::Happened { kind: EventKind::Exited(_), .. })
    }
}

// === impl Failure ===

impl Failure {
    pub(super) const fn lasting(reason: String) -> Self {
        Self { reason, retry: false }
    }

    #[expect(clippy::needless_pass_by_value, reason = "errors are given away")]
    pub(super) fn of(error: impl ToString) -> Self {
        Self::lasting(error.to_string())
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self { reason: error.to_string(), retry: error.retry() }
    }
}

/// Tells the progress of a preparation, not too often.
struct Reporter {
    id: AssignmentId,
    incarnation: u32,
    inputs: mpsc::Sender<Input>,
    last: Mutex<Option<Instant>>,
}

// === impl Reporter ===

impl Reporter {
    const fn new(id: AssignmentId, incarnation: u32, inputs: mpsc::Sender<Input>) -> Self {
        Self { id, incarnation, inputs, last: Mutex::new(None) }
    }

    fn report(&self, step: &Progress) {
        let mut last = lock(&self.last);
        if last.is_some_and(|last| last.elapsed() < PROGRESS_TIME) {
            return;
        }
        *last = Some(Instant::now());
        let event = RuntimeEvent::Preparing { progress: text(step) };
        let event = NodeEvent::Runtime { id: self.id, incarnation: self.incarnation, event };
        // One that finds no room is not missed: the next one says more.
        let _ = self.inputs.try_send(Input::Machine(event));
    }
}

fn text(step: &Progress) -> String {
    const MIB: u64 = 1 << 20;
    match step.total {
        0 => step.what.clone(),
        total => format!("{} ({} of {} MiB)", step.what, step.done / MIB, total.div_ceil(MIB)),
    }
}
