//! Worlds and wishes in few words.

use std::collections::BTreeMap;
use std::time::Duration;

use holm_core::orchestrator::command::{Command, Expected, Refusal, Reply};
use holm_core::orchestrator::config::Schedulers;
use holm_core::orchestrator::moving::Migration;
use holm_core::orchestrator::{Config, Deadlines, InstanceFilter, Tier};
use holm_model::healing::{OnNodeLoss, Reconcile};
use holm_model::id::MemberId;
use holm_model::member::{NodeFacts, Role};
use holm_model::name::Name;
use holm_model::placement::Strategy;
use holm_model::service::{
    Application, ApplicationService, Connect, Port, Replicas, Restart, RestartPolicy, SecretUse, ServiceSpec,
    Volume,
};
use holm_model::time::Time;
use holm_model::view::{InstanceView, TokenRole};
use holm_model::wish::{AppKey, Wish};

use crate::link::Dial;
use crate::member::{NodeSite, facts};
use crate::shell::OrchestratorSite;
use crate::world::{Happening, NodeAt, Orch, Who, World};

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// `default/<application>`.
pub(crate) fn key(application: &str) -> AppKey {
    AppKey { project: name("default"), application: name(application) }
}

/// Nodes `fl-1`, `fl-2`, … of 256 MiB.
pub(crate) fn nodes(number: usize) -> Vec<(String, NodeFacts)> {
    sized(&vec![256; number])
}

/// Nodes `fl-1`, `fl-2`, … of these sizes in MiB.
pub(crate) fn sized(mib: &[u64]) -> Vec<(String, NodeFacts)> {
    mib.iter().enumerate().map(|(i, mib)| (format!("fl-{}", i + 1), facts(*mib))).collect()
}

/// A service's specification, told step by step.
#[derive(Clone, Debug)]
pub(crate) struct Spec(pub(crate) ServiceSpec);

/// An application, told step by step.
#[derive(Clone, Debug)]
pub(crate) struct App(pub(crate) Application);

/// A world with one root, called `root`.
pub(crate) fn fleet() -> World {
    seeded(1)
}

pub(crate) fn seeded(seed: u64) -> World {
    let mut world = World::new(seed);
    world.add_orchestrator("root", Tier::Root);
    world
}

/// As [`fleet`], with the deadlines of life: a member may be silent for longer than a service waits, and still count as
/// online.
pub(crate) fn unhurried() -> World {
    let mut world = World::new(1);
    world.deadlines = Deadlines::default();
    world.add_orchestrator("root", Tier::Root);
    world
}

/// They answer as their names say; see `World::consult`.
fn schedulers() -> Schedulers {
    let names = ["last", "stranger", "broken", "silent"].map(name).into();
    Schedulers { names, patience: Duration::from_secs(2), required: false }
}

/// Shorter than the real ones, in the same proportions, so that worlds are small.
pub(crate) const DEADLINES: Deadlines = Deadlines {
    unknown: Duration::from_secs(3),
    offline: Duration::from_secs(6),
    replace: Duration::from_secs(12),
    lease: Duration::from_secs(10),
    lease_margin: Duration::from_secs(2),
    ask_again: Duration::from_secs(4),
    ask_at_most: Duration::from_secs(32),
    settle: Duration::from_secs(12),
    steady: Duration::from_secs(2),
};

// === impl Spec ===

/// A program that runs until it is ended.
pub(crate) fn steady() -> Spec {
    program(&["steady"])
}

/// `steady`, `crash <ms>` or `job <ms>`.
pub(crate) fn program(command: &[&str]) -> Spec {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    let mut spec = ServiceSpec::new(name("process"), command);
    let backoff = (Duration::from_millis(200), Duration::from_secs(2));
    spec.restart = Restart { policy: RestartPolicy::OnFailure, attempts: 3, backoff };
    spec.grace = Duration::from_secs(2);
    Spec(spec)
}

impl Spec {
    pub(crate) fn memory(mut self, amount: &str) -> Self {
        self.0.resources.memory = amount.parse().unwrap();
        self
    }

    pub(crate) fn in_cluster(mut self, cluster: &str) -> Self {
        self.0.placement.cluster = Some(name(cluster));
        self
    }

    pub(crate) fn on_node(mut self, node: &str) -> Self {
        self.0.placement.node = Some(name(node));
        self
    }

    pub(crate) fn ranked_by(mut self, scheduler: &str) -> Self {
        self.0.placement.scheduler = Some(name(scheduler));
        self
    }

    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        self.0.placement.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn secret(mut self, secret: &str) -> Self {
        self.0.secrets.insert(name(secret), SecretUse::Env("PASSWORD".to_owned()));
        self
    }

    /// `None`: any free port.
    pub(crate) fn port(mut self, port: &str, host: Option<u16>) -> Self {
        self.0.ports.insert(name(port), Port { host, container: None });
        self
    }

    pub(crate) fn connects(mut self, service: &str, port: &str) -> Self {
        self.0.connects.push(Connect { service: name(service), port: name(port), bound: None });
        self
    }

    /// It is never started again by itself.
    pub(crate) fn once(mut self) -> Self {
        self.0.restart.policy = RestartPolicy::Never;
        self
    }

    /// Seconds.
    pub(crate) fn replaced_after(mut self, silence: u64) -> Self {
        self.0.healing.on_node_loss = OnNodeLoss::ReplaceAfter(Duration::from_secs(silence));
        self
    }

    pub(crate) fn waits_for_return(mut self) -> Self {
        self.0.healing.on_node_loss = OnNodeLoss::WaitForReturn;
        self
    }

    pub(crate) fn reconcile(mut self, rule: Reconcile) -> Self {
        self.0.healing.reconcile = rule;
        self
    }

    pub(crate) fn exclusive(mut self) -> Self {
        self.0.healing.exclusive = true;
        self
    }

    pub(crate) fn volume(mut self, volume: &str) -> Self {
        let (source, target) = (volume.to_owned(), "/data".to_owned());
        self.0.volumes.push(Volume { source, target, read_only: false });
        self
    }

    pub(crate) fn version(mut self, version: &str) -> Self {
        self.0.env.insert("VERSION".to_owned(), version.to_owned());
        self
    }
}

// === impl App ===

pub(crate) fn app(application: &str) -> App {
    App(Application { name: name(application), services: BTreeMap::new() })
}

impl App {
    pub(crate) fn service(mut self, service: &str, spec: Spec, replicas: u32) -> Self {
        let wanted = ApplicationService { spec: spec.0, replicas: Replicas::Number(replicas) };
        self.0.services.insert(name(service), wanted);
        self
    }

    pub(crate) fn per_node(mut self, service: &str, spec: Spec) -> Self {
        let wanted = ApplicationService { spec: spec.0, replicas: Replicas::PerNode };
        self.0.services.insert(name(service), wanted);
        self
    }
}

// === impl World: building ===

impl World {
    /// A cluster under the root.
    pub(crate) fn cluster(mut self, cluster: &str, nodes: Vec<(String, NodeFacts)>) -> Self {
        self.join_cluster(cluster).unwrap();
        for (node, facts) in nodes {
            self.join_node(cluster, &node, facts).unwrap();
        }
        self.run_for(Duration::from_secs(3));
        self
    }

    /// A node directly under the root.
    pub(crate) fn node(mut self, node: &str) -> Self {
        self.join_node("root", node, facts(256)).unwrap();
        self.run_for(Duration::from_secs(3));
        self
    }

    pub(crate) fn add_orchestrator(&mut self, orchestrator: &str, tier: Tier) -> Orch {
        let config = Config {
            sea: "sea".to_owned(),
            name: name(orchestrator),
            tier,
            deadlines: self.deadlines,
            strategy: Strategy::default(),
            location: None,
            advertise: None,
            generations: 4,
            expose: "20000-20100".parse().ok(),
            schedulers: schedulers(),
        };
        let orch = self.orchestrators.len();
        self.orchestrators.push(OrchestratorSite::new(config, self.now));
        self.start_orchestrator(orch);
        self.plan(Duration::from_millis(700), Happening::Tick(orch));
        self.plan(Duration::from_millis(300), Happening::KeepAlive(Who::Orchestrator(orch)));
        orch
    }

    pub(crate) fn join_cluster(&mut self, cluster: &str) -> Result<Orch, Refusal> {
        let (id, serial) = self.join(0, Role::Cluster, cluster, None)?;
        let orch = self.add_orchestrator(cluster, Tier::Cluster);
        self.dial(Dial::new(Who::Orchestrator(orch), 0, id, serial));
        Ok(orch)
    }

    pub(crate) fn join_node(
        &mut self,
        parent: &str,
        node: &str,
        facts: NodeFacts,
    ) -> Result<NodeAt, Refusal> {
        let orch = self.orch(parent);
        let (id, serial) = self.join(orch, Role::Node, node, Some(&facts))?;
        let path = format!("{parent}/{node}");
        let at = self.nodes.len();
        self.nodes.push(NodeSite::new(name(node), orch, path, facts, self.now));
        self.dial(Dial::new(Who::Node(at), orch, id, serial));
        self.start_node(at);
        self.plan(Duration::from_millis(500), Happening::KeepAlive(Who::Node(at)));
        Ok(at)
    }

    fn dial(&mut self, dial: Dial) {
        let link = self.dials.len();
        self.dials.push(dial);
        self.plan(Duration::from_millis(10), Happening::Connect { link });
    }

    fn join(
        &mut self,
        orch: Orch,
        role: Role,
        member: &str,
        facts: Option<&NodeFacts>,
    ) -> Result<(MemberId, String), Refusal> {
        self.tickets += 1;
        let token = format!("token-{}", self.tickets);
        let kind = if role == Role::Node { TokenRole::Node } else { TokenRole::Cluster };
        self.create_token(orch, &token, kind, 1)?;
        let joined = self.show_token(orch, &token, role, member, facts)?;
        let serial = format!("{:04x}", self.tickets);
        self.command(orch, Command::Issued { member: joined, serial: serial.clone() })?;
        Ok((joined, serial))
    }

    /// The machine of a node of a cluster becomes a node of the root, too; its path there.
    pub(crate) fn take_in(&mut self, cluster: &str, node: &str) -> Result<String, Refusal> {
        let [in_cluster, in_root] = [format!("{cluster}/{node}"), format!("root/{cluster}-{node}")];
        let (home, called) = ((self.member_id(cluster), self.member_id(&in_cluster)), name(node));
        self.tickets += 1;
        let token = format!("token-{}", self.tickets);
        let now = self.orchestrators[0].clock.at(self.now).wall;
        let (id, secret_hash, expires) = (token.clone(), token.clone(), Time(now.0 + 600_000));
        let (cluster_id, node_id) = home;
        let command =
            Command::TakeIn { id, secret_hash, expires, cluster: cluster_id, node: node_id, called };
        self.command(0, command)?;
        let member = format!("{cluster}-{node}");
        let facts = facts(256);
        let id = self.show_token(0, &token, Role::Node, &member, Some(&facts))?;
        let serial = format!("{:04x}", self.tickets);
        self.command(0, Command::Issued { member: id, serial: serial.clone() })?;
        let at = self.nodes.len();
        self.nodes.push(NodeSite::new(name(&member), 0, in_root.clone(), facts, self.now));
        self.dial(Dial::new(Who::Node(at), 0, id, serial));
        self.start_node(at);
        self.plan(Duration::from_millis(500), Happening::KeepAlive(Who::Node(at)));
        self.run_for(Duration::from_secs(3));
        Ok(in_root)
    }

    /// A token that is valid for an hour; its secret is its name.
    pub(crate) fn create_token(
        &mut self,
        orch: Orch,
        token: &str,
        role: TokenRole,
        uses: u32,
    ) -> Result<Reply, Refusal> {
        let now = self.orchestrators[orch].clock.at(self.now).wall;
        let (id, secret_hash) = (token.to_owned(), token.to_owned());
        let expires = Time(now.0 + 3_600_000);
        let uses = Some(uses);
        self.command(orch, Command::CreateToken { id, role, secret_hash, expires, uses, grants: None })
    }

    pub(crate) fn show_token(
        &mut self,
        orch: Orch,
        token: &str,
        role: Role,
        member: &str,
        facts: Option<&NodeFacts>,
    ) -> Result<MemberId, Refusal> {
        let facts = facts.cloned().map(Box::new);
        let (token, secret_hash) = (token.to_owned(), token.to_owned());
        let command = Command::Join { token, secret_hash, role, name: name(member), facts };
        match self.command(orch, command)? {
            Reply::Joined { member, .. } => Ok(member),
            other => panic!("{other:?}"),
        }
    }
}

// === impl World: asking and looking ===

impl World {
    pub(crate) fn orch(&self, orchestrator: &str) -> Orch {
        let found = self.orchestrators.iter().position(|site| site.config.name == *orchestrator);
        found.unwrap_or_else(|| panic!("no orchestrator {orchestrator}"))
    }

    /// By its path: `vienna/fl-1`.
    pub(crate) fn node_at(&self, path: &str) -> NodeAt {
        let found = self.nodes.iter().position(|site| site.path == path);
        found.unwrap_or_else(|| panic!("no node {path}"))
    }

    /// An orchestrator by name, or a node by its path.
    pub(crate) fn who(&self, name: &str) -> Who {
        if name.contains('/') { Who::Node(self.node_at(name)) } else { Who::Orchestrator(self.orch(name)) }
    }

    pub(crate) fn member_id(&self, name: &str) -> MemberId {
        self.dials[self.dial_of(self.who(name)).expect("a member")].id
    }

    pub(crate) fn apply(&mut self, application: App) {
        let command = Command::Apply {
            project: name("default"),
            application: application.0,
            expected: Expected::Anything,
        };
        self.command(0, command).unwrap();
    }

    pub(crate) fn scale(&mut self, application: &str, service: &str, replicas: u32) {
        let (app, service) = (key(application), Some(name(service)));
        let patch = Command::Patch {
            app,
            service,
            replicas: Some(replicas),
            run: None,
            restart: false,
            expected: Expected::Anything,
        };
        self.command(0, patch).unwrap();
    }

    pub(crate) fn delete(&mut self, application: &str) {
        self.command(0, Command::Delete { app: key(application), expected: Expected::Anything }).unwrap();
    }

    pub(crate) fn cut(&mut self, member: &str) {
        let link = self.dial_of(self.who(member)).unwrap();
        self.set_cut(link, true);
    }

    pub(crate) fn heal(&mut self, member: &str) {
        let link = self.dial_of(self.who(member)).unwrap();
        self.set_cut(link, false);
    }

    /// By names as people use them; at the root.
    pub(crate) fn migrate(&mut self, slot: &str, to: Option<&str>) -> Result<Reply, Refusal> {
        self.migrate_at(0, slot, to)
    }

    pub(crate) fn migrate_at(&mut self, orch: Orch, slot: &str, to: Option<&str>) -> Result<Reply, Refusal> {
        let (app, slot, to) = (key("shop"), slot.to_owned(), to.map(name));
        self.command(orch, Command::Migrate(Migration { app, slot, to, lose_volume: false }))
    }

    /// The rows of `holm get instances` at the root.
    pub(crate) fn rows(&self) -> Vec<InstanceView> {
        self.orchestrators[0].up().instances(&InstanceFilter::default())
    }

    /// An orchestrator's rows of a service.
    pub(crate) fn rows_of(&self, orch: Orch, wish: &Wish, service: &Name) -> Vec<InstanceView> {
        let (application, service) = (Some(wish.id.to_string()), Some(service.to_string()));
        let filter = InstanceFilter { application, service, ..InstanceFilter::default() };
        self.orchestrators[orch].up().instances(&filter)
    }

    /// `web/0 RUNNING vienna/fl-1`, one line per row.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |row: InstanceView| {
            let place = [row.cluster, row.node].into_iter().flatten().collect::<Vec<_>>().join("/");
            let held = if row.held { " held" } else { "" };
            format!("{} {} {place}{held}", row.slot, row.state).trim_end().to_owned()
        };
        self.rows().into_iter().map(line).collect()
    }

    /// The state and reason of the only row of a slot.
    pub(crate) fn slot(&self, slot: &str) -> InstanceView {
        let mut rows: Vec<_> = self.rows().into_iter().filter(|row| row.slot == slot).collect();
        assert_eq!(rows.len(), 1, "{slot}: {rows:#?}");
        rows.remove(0)
    }

    /// Where processes of a service run: `vienna/fl-1`, one entry for each.
    pub(crate) fn processes(&self, service: &str) -> Vec<String> {
        let of = |site: &NodeSite| {
            let live = site.runtimes.processes.values().filter(|p| p.is_live() && p.part.service == *service);
            live.map(|_| site.path.clone()).collect::<Vec<_>>()
        };
        self.nodes.iter().flat_map(of).collect()
    }

    /// Lets time pass until it is so.
    pub(crate) fn run_until(&mut self, what: &str, so: impl Fn(&Self) -> bool) {
        for _ in 0..1200 {
            if so(self) {
                return;
            }
            self.run_for(Duration::from_millis(100));
        }
        panic!("not within two minutes: {what}; there is {:#?}", self.lines());
    }

    /// Lets time pass until these are the root's rows.
    pub(crate) fn run_until_lines(&mut self, lines: &[&str]) {
        self.run_until(&format!("{lines:#?}"), |world| world.lines() == lines);
    }

    /// Lets time pass until the root shows so many rows as RUNNING, and no others.
    pub(crate) fn run_until_running(&mut self, number: usize) {
        self.run_until(&format!("{number} run"), |world| {
            let rows = world.rows();
            rows.len() == number && rows.iter().all(|row| row.state == "RUNNING")
        });
    }

    pub(crate) fn run_secs(&mut self, seconds: u64) {
        self.run_for(Duration::from_secs(seconds));
    }
}
