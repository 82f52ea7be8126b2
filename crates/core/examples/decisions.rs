//! Decisions per second of first-fit, machines alone: `cargo run --release -p holm-core --example decisions`.
//!
//! A cluster with 500 nodes, and a root with 100 clusters of 500 nodes each, get applications whose
//! instances fill the nodes one after the other. A decision is a placement with its row and its item,
//! ready to be committed and sent.

use std::time::{Duration, Instant};

use holm_core::orchestrator::command::{Actor, Command, Reply};
use holm_core::orchestrator::{Config, Deadlines, Effect, Event, LinkId, Orchestrator, Ticket, Tier};
use holm_core::table::Snapshot;
use holm_model::fact::Fact;
use holm_model::id::MemberId;
use holm_model::member::{Aggregate, NodeClass, NodeFacts, Role, RuntimeFacts};
use holm_model::message::{Facts, FactsPart, Hello, PROTOCOL, Up};
use holm_model::name::Name;
use holm_model::record::Table;
use holm_model::resources::{Cpu, Memory, Resources};
use holm_model::service::{Application, ApplicationService, Replicas, ServiceSpec};
use holm_model::time::{Now, Time};
use holm_model::view::TokenRole;

const NODES: u32 = 500;
const CLUSTERS: u32 = 100;
/// Slots that fit on one node.
const PER_NODE: u32 = 100;
const REPLICAS: u32 = 10_000;

struct Bench {
    machine: Orchestrator,
    boot: Duration,
    links: u64,
}

fn main() {
    for (what, tier, members) in
        [("cluster, 500 nodes", Tier::Cluster, NODES), ("root, 100 clusters", Tier::Root, CLUSTERS)]
    {
        let mut bench = Bench::new(tier);
        for number in 0..members {
            bench.join(number, tier);
        }
        let mut total = 0;
        let begin = Instant::now();
        for number in 0..NODES * PER_NODE / REPLICAS {
            total += bench.apply(number);
        }
        let time = begin.elapsed();
        println!(
            "{what}: {total} decisions in {time:.2?}, {:.0} per second",
            f64::from(total) / time.as_secs_f64()
        );
    }
}

impl Bench {
    fn new(tier: Tier) -> Self {
        let config =
            Config { sea: "sea".to_owned(), name: name("here"), tier, deadlines: Deadlines::default() };
        let machine = Orchestrator::load(Snapshot::new(), config, 1).expect("an empty store");
        Self { machine, boot: Duration::from_secs(100), links: 0 }
    }

    /// Steps and takes what would be committed and sent.
    fn step(&mut self, event: Event) -> (Vec<Effect>, usize) {
        self.boot += Duration::from_millis(1);
        let now = Now { boot: self.boot, wall: Time(1_700_000_000_000) };
        self.machine.step(now, event);
        let batch = self.machine.journal_mut().take_batch();
        self.machine.journal_mut().committed();
        self.machine.take_behind();
        let placed = batch.writes.iter().filter(|write| write.table == Table::Placement).count();
        (self.machine.take_effects(), placed)
    }

    fn command(&mut self, command: Command) -> (Reply, usize) {
        let actor = Actor { who: "bench".to_owned(), from: "here".to_owned() };
        let (effects, placed) = self.step(Event::Command { ticket: Ticket(1), actor, command });
        let reply = effects.into_iter().find_map(|effect| match effect {
            Effect::Reply { result, .. } => Some(result.expect("a reply")),
            _ => None,
        });
        (reply.expect("a reply"), placed)
    }

    fn join(&mut self, number: u32, tier: Tier) {
        let (role, token) = match tier {
            Tier::Cluster => (Role::Node, TokenRole::Node),
            Tier::Root => (Role::Cluster, TokenRole::Cluster),
        };
        let (id, secret_hash) = (format!("t{number}"), "secret".to_owned());
        let expires = Time(i64::MAX);
        let create = Command::CreateToken {
            id: id.clone(),
            role: token,
            secret_hash: secret_hash.clone(),
            expires,
            uses: None,
        };
        self.command(create);
        let name = name(&format!("m-{number}"));
        let (reply, _) =
            self.command(Command::Join { token: id, secret_hash, role, name: name.clone(), facts: None });
        let Reply::Joined { member, .. } = reply else { unreachable!("joined") };
        self.links += 1;
        let link = LinkId(self.links);
        self.step(Event::LinkOpened { link, member, serial: number.to_string(), renew_only: false });
        let version = "bench".to_owned();
        let hello = Hello {
            protocol: PROTOCOL,
            version,
            role,
            name: name.clone(),
            obeyed: None,
            digest: Default::default(),
        };
        self.step(Event::LinkMessage { link, message: Up::Hello(hello) });
        self.step(Event::LinkMessage {
            link,
            message: Up::Sync { obeyed: None, digest: Default::default() },
        });
        let put = vec![match tier {
            Tier::Cluster => node_fact(member, name),
            Tier::Root => Fact::Aggregate(aggregate()),
        }];
        let session = self.links;
        let facts =
            Facts { session, sequence: 1, part: FactsPart::Whole, revision: 0, put, gone: Vec::new() };
        self.step(Event::LinkMessage { link, message: Up::Facts(facts) });
    }

    fn apply(&mut self, number: u32) -> u32 {
        let mut spec = ServiceSpec::new(name("process"), vec!["sleep".to_owned(), "1000".to_owned()]);
        spec.resources = Resources::new(Cpu(10), Memory(10 << 20));
        let service = ApplicationService { spec, replicas: Replicas::Number(REPLICAS) };
        let application =
            Application { name: name(&format!("a-{number}")), services: [(name("web"), service)].into() };
        let (_, placed) = self.command(Command::Apply { project: name("default"), application });
        u32::try_from(placed).expect("few")
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn size() -> Resources {
    Resources::new(Cpu(u64::from(PER_NODE) * 10), Memory(u64::from(PER_NODE) * (10 << 20)))
}

fn facts() -> NodeFacts {
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
        total: size(),
        allocatable: size(),
        runtimes: vec![runtime],
        ..NodeFacts::default()
    }
}

fn node_fact(member: MemberId, name: Name) -> Fact {
    let (state, usage) = (holm_model::state::MemberState::Online, Default::default());
    Fact::Node(Box::new(holm_model::member::NodeReport {
        path: vec![member],
        name,
        state,
        facts: facts(),
        usage,
    }))
}

fn aggregate() -> Aggregate {
    let mut all = Resources::default();
    (0..NODES).for_each(|_| all += &size());
    let facts = facts();
    let class = NodeClass {
        capabilities: facts.all_capabilities(),
        labels: facts.labels,
        nodes: NODES,
        total: all,
        free: all,
        largest: size(),
    };
    Aggregate { nodes: NODES, online: NODES, classes: vec![class] }
}
