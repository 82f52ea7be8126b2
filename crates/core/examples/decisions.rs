//! Decisions per second of first-fit, machines alone: `cargo run --release -p holm-core --example decisions`
//! (or one of the three: `… decisions sea`).
//!
//! | case | what |
//! | --- | --- |
//! | `cluster` | a cluster with 500 nodes fills them one after the other |
//! | `root` | a root with 100 clusters of 500 nodes each hands out shares |
//! | `sea` | both together: the root decides the cluster, that cluster the node; two decisions |
//!
//! A decision is a placement with its row and its item, ready to be committed and sent. Rates are given
//! for wall time and for the time that the machine really had a processor, medians of [`RUNS`].

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use holm_core::orchestrator::command::{Actor, Command, Expected, Reply};
use holm_core::orchestrator::{Config, Deadlines, Effect, Event, LinkId, Orchestrator, Ticket, Tier};
use holm_core::table::Snapshot;
use holm_model::fact::Fact;
use holm_model::id::MemberId;
use holm_model::member::{Aggregate, NodeClass, NodeFacts, NodeReport, Role, RuntimeFacts, Usage};
use holm_model::message::{Down, Facts, FactsPart, Hello, PROTOCOL, Up};
use holm_model::name::Name;
use holm_model::record::Table;
use holm_model::resources::{Cpu, Memory, Resources};
use holm_model::service::{Application, ApplicationService, Replicas, ServiceSpec};
use holm_model::state::MemberState;
use holm_model::time::{Now, Time};
use holm_model::view::TokenRole;

const NODES: u32 = 500;
const CLUSTERS: u32 = 100;
/// Applications in a run, and the instances of each.
const APPLICATIONS: u32 = 5;
const REPLICAS: u32 = 10_000;
const RUNS: usize = 5;

/// A machine and what its shell would know.
struct Site {
    machine: Orchestrator,
    boot: Duration,
    links: u64,
    /// Placements written.
    placed: u64,
    /// Sizes of the rows that the store would have, if they are counted.
    store: Option<BTreeMap<(Table, String), usize>>,
}

/// Where time began.
struct Clock {
    wall: Instant,
    cpu: Duration,
}

/// Decisions per second of wall time, and of processor time.
struct Rate {
    wall: f64,
    cpu: f64,
}

/// The word that selects it, its title, and one run; the first one describes memory and rows, too.
type Case = (&'static str, &'static str, fn(bool) -> Rate);

fn main() {
    let only = std::env::args().nth(1);
    let cases: [Case; 3] = [
        ("cluster", "cluster, 500 nodes", cluster),
        ("root", "root, 100 clusters", root),
        ("sea", "sea, 100 clusters x 500 nodes", sea),
    ];
    for (_, what, run) in cases.iter().filter(|(case, ..)| only.as_deref().is_none_or(|only| only == *case)) {
        let rates: Vec<Rate> = (0..RUNS).map(|number| run(number == 0)).collect();
        let wall = median(rates.iter().map(|rate| rate.wall));
        let cpu = median(rates.iter().map(|rate| rate.cpu));
        println!("{what}: {wall:.0} decisions per second, {cpu:.0} per second of processor time");
    }
}

// === the cases ===

fn cluster(verbose: bool) -> Rate {
    let slots = APPLICATIONS * REPLICAS / NODES;
    let mut site = Site::new("here", Tier::Cluster);
    let memory = resident();
    (0..NODES).for_each(|number| site.join_node(number, slots));
    if verbose {
        site.describe("a cluster, per node", NODES, memory);
    }
    site.fill()
}

fn root(verbose: bool) -> Rate {
    let slots = APPLICATIONS * REPLICAS / CLUSTERS / NODES;
    let mut site = Site::new("root", Tier::Root);
    let memory = resident();
    for number in 0..CLUSTERS {
        let (link, _) = site.join(number, Role::Cluster);
        site.tell(link, vec![Fact::Aggregate(aggregate(slots))]);
    }
    if verbose {
        site.describe("a root, per cluster that tells of no nodes", CLUSTERS, memory);
    }
    site.fill()
}

fn sea(verbose: bool) -> Rate {
    let slots = APPLICATIONS * REPLICAS / CLUSTERS / NODES;
    let (mut root, memory) = (Site::new("root", Tier::Root), resident());
    let mut clusters = BTreeMap::new();
    for number in 0..CLUSTERS {
        let mut cluster = Site::new(&format!("m-{number}"), Tier::Cluster);
        (0..NODES).for_each(|node| cluster.join_node(node, slots));
        let (link, _) = root.join(number, Role::Cluster);
        clusters.insert(link, cluster);
    }
    if verbose {
        println!("all clusters: {} bytes of memory per node", since(memory) / u64::from(CLUSTERS * NODES));
    }
    let memory = resident();
    for (link, cluster) in &mut clusters {
        connect(&mut root, *link, cluster);
    }
    if verbose {
        root.describe("their root and its links, per node below it", CLUSTERS * NODES, memory);
    }
    root.store = None;
    clusters.values_mut().for_each(|cluster| cluster.store = None);
    let clock = Clock::start();
    for number in 0..APPLICATIONS {
        let effects = root.apply(number);
        for (link, message) in effects.into_iter().filter_map(sent) {
            let Some(cluster) = clusters.get_mut(&link) else { continue };
            let effects = cluster.step(Event::ParentMessage(message));
            answer(&mut root, link, effects);
        }
    }
    let below: u64 = clusters.values().map(|cluster| cluster.placed).sum();
    assert_eq!((root.placed, below), (placements(), placements()), "everything found its place");
    clock.rate(root.placed + below)
}

/// Opens the link between two machines, and carries messages until both are silent.
fn connect(root: &mut Site, link: LinkId, cluster: &mut Site) {
    let mut effects = cluster.step(Event::ParentOpened);
    while !effects.is_empty() {
        let down = answer(root, link, effects);
        effects = down.into_iter().flat_map(|down| cluster.step(Event::ParentMessage(down))).collect();
    }
}

/// What the member sends goes to the root; the root's messages on that link come back.
fn answer(root: &mut Site, link: LinkId, effects: Vec<Effect>) -> Vec<Down> {
    let up = effects.into_iter().filter_map(|effect| match effect {
        Effect::SendParent(message) => Some(message),
        _ => None,
    });
    let down = up.flat_map(|message| root.step(Event::LinkMessage { link, message }));
    down.filter_map(sent).filter(|(to, _)| *to == link).map(|(_, message)| message).collect()
}

fn sent(effect: Effect) -> Option<(LinkId, Down)> {
    match effect {
        Effect::Send { link, message } => Some((link, message)),
        _ => None,
    }
}

fn placements() -> u64 {
    u64::from(APPLICATIONS * REPLICAS)
}

// === impl Site ===

impl Site {
    fn new(called: &str, tier: Tier) -> Self {
        let config =
            Config { sea: "sea".to_owned(), name: name(called), tier, deadlines: Deadlines::default() };
        let machine = Orchestrator::load(Snapshot::new(), config, 1).expect("an empty store");
        let boot = Duration::from_secs(100);
        Self { machine, boot, links: 0, placed: 0, store: Some(BTreeMap::new()) }
    }

    /// Steps and takes what would be committed and sent.
    fn step(&mut self, event: Event) -> Vec<Effect> {
        self.boot += Duration::from_micros(1);
        self.machine.step(Now { boot: self.boot, wall: Time(1_700_000_000_000) }, event);
        let batch = self.machine.journal_mut().take_batch();
        self.machine.journal_mut().committed();
        let behind = self.machine.take_behind();
        let placed = batch.writes.iter().filter(|write| write.table == Table::Placement).count();
        self.placed += u64::try_from(placed).expect("few");
        if let Some(store) = &mut self.store {
            for write in batch.writes.into_iter().chain(behind.writes) {
                let size = write.key.len() + write.value.map_or(0, |value| value.len());
                store.insert((write.table, write.key), size);
            }
        }
        self.machine.take_effects()
    }

    fn command(&mut self, command: Command) -> (Reply, Vec<Effect>) {
        let actor = Actor { who: "bench".to_owned(), from: "here".to_owned() };
        let effects = self.step(Event::Command { ticket: Ticket(1), actor, command });
        let reply = effects.iter().find_map(|effect| match effect {
            Effect::Reply { result, .. } => Some(result.clone().expect("a reply")),
            _ => None,
        });
        (reply.expect("a reply"), effects)
    }

    /// A member with an open link.
    fn join(&mut self, number: u32, role: Role) -> (LinkId, MemberId) {
        let token = match role {
            Role::Node => TokenRole::Node,
            Role::Cluster => TokenRole::Cluster,
        };
        let (id, secret_hash, expires) = (format!("t{number}"), "secret".to_owned(), Time(i64::MAX));
        let hash = secret_hash.clone();
        self.command(Command::CreateToken {
            id: id.clone(),
            role: token,
            secret_hash: hash,
            expires,
            uses: None,
            grants: None,
        });
        let join = Command::Join { token: id, secret_hash, role, name: member_name(number), facts: None };
        let (reply, _) = self.command(join);
        let Reply::Joined { member, .. } = reply else { unreachable!("joined") };
        self.links += 1;
        let link = LinkId(self.links);
        self.step(Event::LinkOpened { link, member, serial: number.to_string(), renew_only: false });
        let hello = Hello {
            protocol: PROTOCOL,
            version: "bench".to_owned(),
            role,
            name: member_name(number),
            obeyed: None,
            digest: Default::default(),
        };
        self.step(Event::LinkMessage { link, message: Up::Hello(hello) });
        let sync = Up::Sync { obeyed: None, digest: Default::default() };
        self.step(Event::LinkMessage { link, message: sync });
        (link, member)
    }

    fn join_node(&mut self, number: u32, slots: u32) {
        let (link, member) = self.join(number, Role::Node);
        let report = NodeReport {
            path: vec![member],
            name: member_name(number),
            state: MemberState::Online,
            facts: facts(slots),
            usage: Usage::default(),
            frozen: false,
        };
        self.tell(link, vec![Fact::Node(Box::new(report))]);
    }

    /// The first facts of a member's session.
    fn tell(&mut self, link: LinkId, put: Vec<Fact>) {
        let (session, part) = (self.links, FactsPart::Whole);
        let facts = Facts { session, sequence: 1, part, revision: 0, put, gone: Vec::new() };
        self.step(Event::LinkMessage { link, message: Up::Facts(facts) });
    }

    fn apply(&mut self, number: u32) -> Vec<Effect> {
        let mut spec = ServiceSpec::new(name("process"), vec!["sleep".to_owned(), "1000".to_owned()]);
        spec.resources = Resources::new(Cpu(10), Memory(10 << 20));
        let service = ApplicationService { spec, replicas: Replicas::Number(REPLICAS) };
        let services = [(name("web"), service)].into();
        let application = Application { name: name(&format!("a-{number}")), services };
        self.command(Command::Apply { project: name("default"), application, expected: Expected::Anything }).1
    }

    /// Fills all members with applications.
    fn fill(&mut self) -> Rate {
        self.store = None;
        let clock = Clock::start();
        (0..APPLICATIONS).for_each(|number| drop(self.apply(number)));
        assert_eq!(self.placed, placements(), "everything found its place");
        clock.rate(self.placed)
    }

    fn describe(&self, what: &str, members: u32, memory: u64) {
        let rows: usize = self.store.iter().flat_map(BTreeMap::values).sum();
        let (members, rows) = (u64::from(members), u64::try_from(rows).expect("few"));
        println!("{what}: {} bytes of memory, {} of rows", since(memory) / members, rows / members);
    }
}

// === impl Clock ===

impl Clock {
    fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu_time() }
    }

    fn rate(&self, decisions: u64) -> Rate {
        let of = |time: Duration| decisions as f64 / time.as_secs_f64();
        Rate { wall: of(self.wall.elapsed()), cpu: of(cpu_time().saturating_sub(self.cpu)) }
    }
}

/// How long this thread had a processor.
fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds = text.split(' ').next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}

/// Resident memory in bytes.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kibibytes << 10
}

fn since(memory: u64) -> u64 {
    resident().saturating_sub(memory)
}

fn median(rates: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = rates.collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

// === what members are like ===

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn member_name(number: u32) -> Name {
    name(&format!("m-{number}"))
}

fn size(slots: u32) -> Resources {
    Resources::new(Cpu(u64::from(slots) * 10), Memory(u64::from(slots) * (10 << 20)))
}

fn facts(slots: u32) -> NodeFacts {
    let runtime = RuntimeFacts {
        name: name("process"),
        version: "1".to_owned(),
        unavailable: None,
        enforces: Vec::new(),
        images: None,
        containers: None,
    };
    NodeFacts {
        arch: "amd64".to_owned(),
        os: "linux".to_owned(),
        total: size(slots),
        allocatable: size(slots),
        runtimes: vec![runtime],
        ..NodeFacts::default()
    }
}

fn aggregate(slots: u32) -> Aggregate {
    let facts = facts(slots);
    let all = size(slots * NODES);
    let class = NodeClass {
        capabilities: facts.all_capabilities(),
        labels: facts.labels,
        nodes: NODES,
        total: all,
        free: all,
        largest: size(slots),
    };
    Aggregate { nodes: NODES, online: NODES, classes: vec![class] }
}
