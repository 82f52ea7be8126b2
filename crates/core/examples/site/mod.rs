//! A machine with the shell's part played by an example: joins, facts, applications, and the time they take.
#![allow(dead_code, reason = "each example uses a part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use holm_core::orchestrator::command::{Actor, Command, Expected, Reply};
use holm_core::orchestrator::config::GENERATIONS;
use holm_core::orchestrator::{Config, Deadlines, Effect, Event, LinkId, Orchestrator, Ticket, Tier};
use holm_core::table::Snapshot;
use holm_model::fact::Fact;
use holm_model::id::MemberId;
use holm_model::member::{Aggregate, NodeClass, NodeFacts, NodeReport, Role, RuntimeFacts, Usage};
use holm_model::message::{Facts, FactsPart, Hello, PROTOCOL, READS, Up};
use holm_model::name::Name;
use holm_model::placement::Strategy;
use holm_model::record::Table;
use holm_model::resources::{Cpu, Memory, Resources};
use holm_model::service::{Application, ApplicationService, Replicas, ServiceSpec};
use holm_model::state::MemberState;
use holm_model::time::{Now, Time};
use holm_model::view::TokenRole;

/// A machine and what its shell would know.
pub(crate) struct Site {
    machine: Orchestrator,
    boot: Duration,
    links: u64,
    /// Placements written.
    pub(crate) placed: u64,
    /// Sizes of the rows that the store would have, if they are counted.
    pub(crate) store: Option<BTreeMap<(Table, String), usize>>,
}

/// Where time began.
pub(crate) struct Clock {
    wall: Instant,
    cpu: Duration,
}

/// Decisions per second of wall time, and of processor time.
pub(crate) struct Rate {
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
}

// === impl Site ===

impl Site {
    pub(crate) fn new(called: &str, tier: Tier) -> Self {
        let config = Config {
            sea: "sea".to_owned(),
            name: name(called),
            tier,
            deadlines: Deadlines::default(),
            strategy: Strategy::default(),
            generations: GENERATIONS,
            location: None,
            advertise: None,
            expose: None,
            schedulers: Default::default(),
        };
        let machine = Orchestrator::load(Snapshot::new(), config, 1).expect("an empty store");
        let boot = Duration::from_secs(100);
        Self { machine, boot, links: 0, placed: 0, store: Some(BTreeMap::new()) }
    }

    /// Steps and takes what would be committed and sent.
    pub(crate) fn step(&mut self, event: Event) -> Vec<Effect> {
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

    pub(crate) fn command(&mut self, command: Command) -> (Reply, Vec<Effect>) {
        let actor = Actor { who: "bench".to_owned(), from: "here".to_owned() };
        let effects = self.step(Event::Command { ticket: Ticket(1), actor, command });
        let reply = effects.iter().find_map(|effect| match effect {
            Effect::Reply { result, .. } => Some(result.clone().expect("a reply")),
            _ => None,
        });
        (reply.expect("a reply"), effects)
    }

    /// A member with an open link.
    pub(crate) fn join(&mut self, number: u32, role: Role) -> (LinkId, MemberId) {
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
        let serial = number.to_string();
        self.step(Event::LinkOpened { link, member, from: None, serial, renew_only: false });
        let hello = Hello {
            protocol: PROTOCOL,
            version: "bench".to_owned(),
            role,
            name: member_name(number),
            obeyed: None,
            digest: Default::default(),
            reads: READS,
        };
        self.step(Event::LinkMessage { link, message: Up::Hello(hello) });
        let sync = Up::Sync { obeyed: None, digest: Default::default() };
        self.step(Event::LinkMessage { link, message: sync });
        (link, member)
    }

    pub(crate) fn join_node(&mut self, number: u32, slots: u32) {
        self.join_with(number, facts(slots));
    }

    /// A node with these facts.
    pub(crate) fn join_with(&mut self, number: u32, facts: NodeFacts) {
        let (link, member) = self.join(number, Role::Node);
        let report = NodeReport {
            path: vec![member],
            name: member_name(number),
            state: MemberState::Online,
            facts,
            usage: Usage::default(),
            frozen: false,
            revoked: false,
            cordoned: false,
            free: None,
            heard: None,
        };
        self.tell(link, vec![Fact::Node(Box::new(report))]);
    }

    /// The first facts of a member's session.
    pub(crate) fn tell(&mut self, link: LinkId, put: Vec<Fact>) {
        let (session, part) = (self.links, FactsPart::Whole);
        let facts = Facts { session, sequence: 1, part, revision: 0, put, gone: Vec::new() };
        self.step(Event::LinkMessage { link, message: Up::Facts(facts) });
    }

    /// An application of one service.
    pub(crate) fn apply(&mut self, number: u32, spec: ServiceSpec, replicas: u32) -> Vec<Effect> {
        self.apply_all(number, [(name("web"), spec)].into(), replicas)
    }

    /// An application of these services.
    pub(crate) fn apply_all(
        &mut self,
        number: u32,
        services: BTreeMap<Name, ServiceSpec>,
        replicas: u32,
    ) -> Vec<Effect> {
        let replicas = Replicas::Number(replicas);
        let service = |(name, spec)| (name, ApplicationService { spec, replicas });
        let services = services.into_iter().map(service).collect();
        let application = Application { name: name(&format!("a-{number}")), services };
        self.command(Command::Apply { project: name("default"), application, expected: Expected::Anything }).1
    }

    pub(crate) fn describe(&self, what: &str, members: u32, memory: u64) {
        let rows: usize = self.store.iter().flat_map(BTreeMap::values).sum();
        let (members, rows) = (u64::from(members), u64::try_from(rows).expect("few"));
        println!("{what}: {} bytes of memory, {} of rows", since(memory) / members, rows / members);
    }
}

// === impl Clock ===

impl Clock {
    pub(crate) fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu_time() }
    }

    pub(crate) fn rate(&self, decisions: u64) -> Rate {
        let of = |time: Duration| decisions as f64 / time.as_secs_f64();
        Rate { wall: of(self.wall.elapsed()), cpu: of(cpu_time().saturating_sub(self.cpu)) }
    }
}

/// How long this thread had a processor.
pub(crate) fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds = text.split(' ').next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}

/// Resident memory in bytes.
pub(crate) fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kibibytes << 10
}

pub(crate) fn since(memory: u64) -> u64 {
    resident().saturating_sub(memory)
}

pub(crate) fn median(rates: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = rates.collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

// === what members are like ===

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

pub(crate) fn member_name(number: u32) -> Name {
    name(&format!("m-{number}"))
}

/// A small program.
pub(crate) fn program() -> ServiceSpec {
    let mut spec = ServiceSpec::new(name("process"), vec!["sleep".to_owned(), "1000".to_owned()]);
    spec.resources = Resources::new(Cpu(10), Memory(10 << 20));
    spec
}

pub(crate) fn size(slots: u32) -> Resources {
    Resources::new(Cpu(u64::from(slots) * 10), Memory(u64::from(slots) * (10 << 20)))
}

pub(crate) fn facts(slots: u32) -> NodeFacts {
    let runtime = RuntimeFacts {
        name: name("process"),
        version: "1".to_owned(),
        unavailable: None,
        enforces: Vec::new(),
        leases: false,
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

/// Of a cluster of so many nodes.
pub(crate) fn aggregate(nodes: u32, slots: u32) -> Aggregate {
    let facts = facts(slots);
    let all = size(slots * nodes);
    let class = NodeClass {
        capabilities: facts.all_capabilities(),
        labels: facts.labels,
        nodes,
        total: all,
        free: all,
        largest: size(slots),
        ..NodeClass::default()
    };
    Aggregate { nodes, online: nodes, classes: vec![class], landmark: None }
}
