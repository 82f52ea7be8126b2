use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use holm_core::node::{Data, Outcome};
use holm_model::before::Step;
use holm_model::id::{Epoch, Uid, WishId};
use holm_model::item::Part;
use holm_model::member::RuntimeFacts;
use holm_model::name::Name;
use holm_model::service::{Replicas, ServiceSpec};
use holm_model::slot::SlotIndex;
use holm_model::state::RunState;
use holm_model::tunnel::{CopyWay, Terminal};
use holm_model::wish::{AppKey, SpecBytes, Version};
use holm_runtime::{
    Exec, LogLines, LogOptions, OnProgress, Outcome as End, Progress, Reading, RunError, Runtime,
    RuntimeEvent as Driver, Survivor as Found, SurvivorState as FoundState,
};

use super::*;
use crate::peers::reach::{Duplex, Upward, UpwardError};
use crate::tmpfs::Tmpfs;

/// A runtime whose preparations hang when they are told to, and whose instances never end.
#[derive(Debug, Default)]
struct Fake {
    hang: AtomicBool,
    survivors: Mutex<Vec<Found>>,
    /// The step, if it was one, and its command; with the lease it was given.
    started: Mutex<Vec<Started>>,
}

type Started = (Option<u32>, String, Option<Duration>);

impl Runtime for Fake {
    fn name(&self) -> &'static str {
        "process"
    }
    fn facts(&self) -> BoxFuture<'_, RuntimeFacts> {
        let facts = RuntimeFacts {
            name: name("process"),
            version: String::new(),
            unavailable: None,
            enforces: Vec::new(),
            leases: false,
            images: None,
            containers: None,
        };
        async { facts }.boxed()
    }
    fn prepare<'a>(
        &'a self,
        _: &'a holm_runtime::Launch,
        progress: OnProgress<'a>,
    ) -> BoxFuture<'a, Result<(), RunError>> {
        async move {
            progress(Progress { what: "pulling".into(), done: 1 << 20, total: 3 << 20 });
            if self.hang.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            Ok(())
        }
        .boxed()
    }
    fn start<'a>(&'a self, launch: &'a holm_runtime::Launch) -> BoxFuture<'a, Result<(), RunError>> {
        lock(&self.started).push((launch.step, launch.spec.command.join(" "), launch.lease));
        async { Ok(()) }.boxed()
    }
    fn halt(&self, id: AssignmentId, _: Duration) -> BoxFuture<'_, Result<(), RunError>> {
        async move { Err(RunError::NotRunning { id }) }.boxed()
    }
    fn signal(
        &self,
        id: AssignmentId,
        _: holm_model::service::Signal,
    ) -> BoxFuture<'_, Result<(), RunError>> {
        async move { Err(RunError::NotRunning { id }) }.boxed()
    }
    fn pause(&self, id: AssignmentId) -> BoxFuture<'_, Result<(), RunError>> {
        async move { Err(RunError::NotRunning { id }) }.boxed()
    }
    fn resume(&self, _: AssignmentId) -> BoxFuture<'_, Result<(), RunError>> {
        async { Ok(()) }.boxed()
    }
    fn remove(&self, _: AssignmentId) -> BoxFuture<'_, Result<(), RunError>> {
        async { Ok(()) }.boxed()
    }
    fn survivors(&self) -> BoxFuture<'_, Result<Vec<Found>, RunError>> {
        async { Ok(lock(&self.survivors).clone()) }.boxed()
    }
    fn usage(&self, _: AssignmentId) -> BoxFuture<'_, Result<Reading, RunError>> {
        async { Ok(Reading::default()) }.boxed()
    }
    fn logs(&self, id: AssignmentId, _: LogOptions) -> BoxFuture<'_, Result<LogLines, RunError>> {
        async move { Err(RunError::NotRunning { id }) }.boxed()
    }
    fn exec(
        &self,
        id: AssignmentId,
        _: Vec<String>,
        _: Option<Terminal>,
    ) -> BoxFuture<'_, Result<Exec, RunError>> {
        async move { Err(RunError::NotRunning { id }) }.boxed()
    }
    fn copy(&self, id: AssignmentId, _: String, _: CopyWay) -> BoxFuture<'_, Result<Exec, RunError>> {
        std::future::ready(Err(RunError::NotRunning { id })).boxed()
    }
    fn local_address(&self) -> BoxFuture<'_, Result<IpAddr, RunError>> {
        async { Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)) }.boxed()
    }
    fn files_path(&self, files: &Path) -> PathBuf {
        files.to_owned()
    }
}

#[derive(Debug)]
struct NoLink;

impl Upward for NoLink {
    fn connect(&self, _: AssignmentId, _: u16) -> BoxFuture<'_, Result<Box<dyn Duplex>, UpwardError>> {
        async { Err(UpwardError::NoLink) }.boxed()
    }

    fn volumes(
        &self,
        _: AssignmentId,
        _: AssignmentId,
    ) -> BoxFuture<'_, Result<Box<dyn Duplex>, UpwardError>> {
        async { Err(UpwardError::NoLink) }.boxed()
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn uid(counter: u64) -> Uid {
    Uid { epoch: Epoch::new(1, 7), counter }
}

const fn id() -> AssignmentId {
    AssignmentId(Uid { epoch: Epoch::new(1, 7), counter: 9 })
}

fn launch(incarnation: u32, runtime: &str) -> Order {
    launch_of(incarnation, ServiceSpec::new(name(runtime), vec!["x".into()]))
}

fn launch_of(incarnation: u32, spec: ServiceSpec) -> Order {
    let part = Part {
        app: AppKey { project: name("default"), application: name("building") },
        wish: WishId(uid(1)),
        version: Version { epoch: Epoch::new(1, 7), generation: 1 },
        service: name("web"),
        generation: 1,
        spec: SpecBytes::encode(&spec),
        replicas: Replicas::Number(1),
        run: RunState::Run,
        restarts: 0,
        run_of: None,
    };
    let (slot, ports) = (SlotIndex::Number(0), BTreeMap::new());
    Order::Launch(Box::new(Launch {
        id: id(),
        incarnation,
        part,
        slot,
        spec,
        ports,
        contents: BTreeMap::new(),
        lease: None,
        data: Data::Here,
    }))
}

struct Bench {
    fake: Arc<Fake>,
    workers: Workers,
    connections: Connections,
    inputs: mpsc::Receiver<Input>,
    _node: watch::Sender<NodeSelf>,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let fake = Arc::new(Fake::default());
        let (inputs, inbox) = mpsc::channel(64);
        let (node, node_seen) = watch::channel(NodeSelf::default());
        let dir = tempfile::tempdir().unwrap();
        let connections = Connections::default();
        let tools = Tools {
            runtimes: Runtimes::new([fake.clone() as Arc<dyn Runtime>]),
            directory: Directory::default(),
            connections: connections.clone(),
            ports: Mutex::default(),
            tmpfs: Tmpfs::below(dir.path()),
            identities: crate::identity::tests::none(),
            owner: Owner::of(dir.path()),
            peers: Peers::start(dir.path().to_owned(), Arc::new(NoLink)),
            upward: Arc::new(NoLink),
            node: node_seen,
            inputs,
        };
        let workers = Workers::new(Arc::new(tools));
        Self { fake, workers, connections, inputs: inbox, _node: node, _dir: dir }
    }

    /// What the agent hears next; usage and such are never sent here.
    async fn heard(&mut self) -> (u32, RuntimeEvent) {
        let input = tokio::time::timeout(Duration::from_secs(10), self.inputs.recv()).await.unwrap();
        match input.unwrap() {
            Input::Machine(NodeEvent::Runtime { incarnation, event, .. }) => (incarnation, event),
            other => panic!("{other:?}"),
        }
    }
}

fn preparing() -> RuntimeEvent {
    RuntimeEvent::Preparing { progress: "pulling (1 of 3 MiB)".into() }
}

fn starting() -> RuntimeEvent {
    RuntimeEvent::Starting { ports: BTreeMap::new() }
}

#[tokio::test]
async fn halting_cancels_a_preparation() {
    let mut bench = Bench::new();
    bench.fake.hang.store(true, Ordering::Relaxed);
    bench.workers.order(id(), launch(1, "process"));
    assert_eq!(bench.heard().await, (1, preparing()));
    bench
        .workers
        .order(id(), Order::Halt { incarnation: 1, drain: Duration::ZERO, grace: Duration::from_secs(3600) });
    // The launch ended, and then there was nothing to halt.
    assert_eq!(bench.heard().await, (1, RuntimeEvent::Exited(Outcome::default())));
    assert_eq!(bench.heard().await, (1, RuntimeEvent::Exited(Outcome::default())));
    bench.fake.hang.store(false, Ordering::Relaxed);
    bench.workers.order(id(), launch(2, "process"));
    assert_eq!(bench.heard().await, (2, preparing()));
    assert_eq!(bench.heard().await, (2, starting()));
    assert_eq!(bench.heard().await, (2, RuntimeEvent::Running));
}

#[tokio::test]
async fn an_end_is_told_after_the_start() {
    let mut bench = Bench::new();
    bench.workers.order(id(), launch(1, "process"));
    let Driver { id, incarnation, kind } =
        Driver { id: id(), incarnation: 1, kind: EventKind::Exited(End::code(3)) };
    bench.workers.order(id, Order::Happened { incarnation, kind });
    for expected in [preparing(), starting(), RuntimeEvent::Running, RuntimeEvent::Exited(Outcome::exited(3))]
    {
        assert_eq!(bench.heard().await, (1, expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_halt_waits_for_clients_of_nobody_who_has_ended_or_is_paused() {
    for kind in [EventKind::Exited(End::code(3)), EventKind::Paused] {
        let mut bench = Bench::new();
        bench.workers.order(id(), launch(1, "process"));
        while bench.heard().await.1 != RuntimeEvent::Running {}
        let begun = tokio::time::Instant::now();
        let _client = bench.connections.enter(id()).unwrap();
        let drain = Duration::from_secs(3600);
        bench.workers.order(id(), Order::Halt { incarnation: 1, drain, grace: Duration::ZERO });
        bench.workers.order(id(), Order::Happened { incarnation: 1, kind });
        while !matches!(bench.heard().await.1, RuntimeEvent::Exited(_)) {}
        assert!(begun.elapsed() < drain / 2, "{:?}", begun.elapsed());
        assert!(bench.connections.enter(id()).is_none(), "it is stopped");
    }
}

#[tokio::test]
async fn after_a_halt_the_runtimes_own_word_counts() {
    let mut bench = Bench::new();
    bench.workers.order(id(), launch(1, "process"));
    bench.workers.order(id(), Order::Halt { incarnation: 1, drain: Duration::ZERO, grace: Duration::ZERO });
    bench.workers.order(id(), Order::Happened { incarnation: 1, kind: EventKind::Exited(End::code(7)) });
    bench.workers.order(id(), Order::Remove { incarnation: 1 });
    for expected in [preparing(), starting(), RuntimeEvent::Exited(Outcome::exited(7))] {
        let mut heard = bench.heard().await.1;
        // Whether the halt came while it was prepared or later is a matter of speed.
        if heard == RuntimeEvent::Running {
            heard = bench.heard().await.1;
        }
        assert_eq!(heard, expected);
    }
    assert_eq!(bench.heard().await, (1, RuntimeEvent::Removed));
}

#[tokio::test]
async fn a_runtime_that_is_not_there_is_named() {
    let mut bench = Bench::new();
    bench.workers.order(id(), launch(1, "wasm"));
    let reason = "this node has no runtime `wasm`; it has process".to_owned();
    assert_eq!(bench.heard().await, (1, RuntimeEvent::LaunchFailed { reason, retry: false }));
}

#[tokio::test]
async fn survivors_and_launches_under_way_are_listed() {
    let mut bench = Bench::new();
    bench.fake.hang.store(true, Ordering::Relaxed);
    bench.workers.order(id(), launch(4, "process"));
    assert_eq!(bench.heard().await, (4, preparing()));
    let other = AssignmentId(uid(10));
    let found =
        Found { id: other, incarnation: 2, state: FoundState::Running, ports: BTreeMap::new(), lease: None };
    lock(&bench.fake.survivors).push(found);
    bench.workers.list_survivors(1, None);
    let Some(Input::Listed(1, NodeEvent::Survivors { found: listed, .. })) = bench.inputs.recv().await else {
        panic!()
    };
    let listed: Vec<_> = listed.into_iter().map(|s| (s.id, s.incarnation, s.state)).collect();
    assert_eq!(listed, [(id(), 4, SurvivorState::Launching), (other, 2, SurvivorState::Running)]);
}

fn with_steps(commands: &[&str]) -> Order {
    let mut spec = ServiceSpec::new(name("process"), vec!["program".into()]);
    let step = |word: &&str| Step {
        command: vec![(*word).to_owned(), "{{slot.index}}".to_owned()],
        timeout: Duration::from_secs(60),
    };
    spec.before = commands.iter().map(step).collect();
    launch_of(1, spec)
}

fn ends(outcome: End) -> Order {
    Order::Happened { incarnation: 1, kind: EventKind::Exited(outcome) }
}

fn step_of(progress: &str) -> RuntimeEvent {
    RuntimeEvent::Preparing { progress: progress.to_owned() }
}

#[tokio::test]
async fn steps_run_one_after_the_other_and_then_the_program() {
    let mut bench = Bench::new();
    bench.workers.order(id(), with_steps(&["first", "second"]));
    assert_eq!(bench.heard().await, (1, preparing()));
    assert_eq!(bench.heard().await, (1, step_of("step 1 of 2 before the start: first 0")));
    let until = Duration::from_secs(99);
    bench.workers.order(id(), Order::Lease { until });
    bench.workers.order(id(), ends(End::code(0)));
    assert_eq!(bench.heard().await, (1, step_of("step 2 of 2 before the start: second 0")));
    bench.workers.order(id(), ends(End::code(0)));
    assert_eq!(bench.heard().await, (1, starting()));
    assert_eq!(bench.heard().await, (1, RuntimeEvent::Running));
    let started = lock(&bench.fake.started).clone();
    let expected = [
        (Some(1), "first 0".to_owned(), None),
        (Some(2), "second 0".to_owned(), Some(until)),
        (None, "program".to_owned(), Some(until)),
    ];
    assert_eq!(started, expected, "with the lease that was heard of meanwhile");
}

#[tokio::test]
async fn a_step_that_fails_is_a_failed_start() {
    let mut bench = Bench::new();
    bench.workers.order(id(), with_steps(&["first", "second"]));
    assert_eq!(bench.heard().await, (1, preparing()));
    assert_eq!(bench.heard().await, (1, step_of("step 1 of 2 before the start: first 0")));
    bench.workers.order(id(), ends(End::code(3)));
    let reason = "step 1 of 2 before the start (`first`) exited with code 3; see its output in the logs";
    let failed = RuntimeEvent::LaunchFailed { reason: reason.into(), retry: true };
    assert_eq!(bench.heard().await, (1, failed));
    assert_eq!(lock(&bench.fake.started).len(), 1, "nothing runs behind it");
}

#[tokio::test(start_paused = true)]
async fn a_step_has_its_time() {
    let mut bench = Bench::new();
    bench.workers.order(id(), with_steps(&["first"]));
    let begun = tokio::time::Instant::now();
    let reason = loop {
        // Longer than `heard` waits.
        if let Input::Machine(NodeEvent::Runtime {
            event: RuntimeEvent::LaunchFailed { reason, retry: true },
            ..
        }) = bench.inputs.recv().await.unwrap()
        {
            break reason;
        }
    };
    assert_eq!(
        reason,
        "step 1 of 1 before the start (`first`) was stopped after its timeout of 1m; see its output in the logs"
    );
    assert!(begun.elapsed() >= Duration::from_secs(60));
}

#[tokio::test]
async fn halting_ends_a_step() {
    let mut bench = Bench::new();
    bench.workers.order(id(), with_steps(&["first", "second"]));
    assert_eq!(bench.heard().await, (1, preparing()));
    assert_eq!(bench.heard().await, (1, step_of("step 1 of 2 before the start: first 0")));
    bench.workers.order(id(), Order::Halt { incarnation: 1, drain: Duration::ZERO, grace: Duration::ZERO });
    bench.workers.order(id(), ends(End { end: holm_runtime::End::Signal(15), ..End::code(0) }));
    // The launch ended, and then there was nothing to halt.
    assert_eq!(bench.heard().await, (1, RuntimeEvent::Exited(Outcome::default())));
    assert_eq!(bench.heard().await, (1, RuntimeEvent::Exited(Outcome::default())));
    bench.workers.order(id(), Order::Remove { incarnation: 1 });
    assert_eq!(bench.heard().await, (1, RuntimeEvent::Removed), "nothing is told of the step's own end");
    assert_eq!(lock(&bench.fake.started).len(), 1);
}
