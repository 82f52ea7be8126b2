//! One of each kind, with values in every field.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holm_model::access::Role as PersonRole;
use holm_model::amendment::{Amendment, Amendments};
use holm_model::build::BuildWant;
use holm_model::capability::Capability;
use holm_model::coordinate::{Coordinate, Landmark};
use holm_model::expose::{Expose, ExposedAt};
use holm_model::fact::{
    Fact, FactKey, InstanceReport, InstanceStatus, Leaves, Reserved, ShareReport, Verdict,
};
use holm_model::health::{Check, Probe, Readiness};
use holm_model::id::{AssignmentId, Epoch, MemberId, StoreId, Uid, WishId};
use holm_model::identity::{Proof, Want};
use holm_model::image::{ImagesPrune, ImagesWant};
use holm_model::item::{
    Assignment, Carry, Digest, Endpoint, Endpoints, EndpointsKey, Item, ItemKey, Obeyed, PackedItem, Part,
    Reserve, Share, ShareSlots,
};
use holm_model::member::{Aggregate, NodeClass, NodeFacts, NodeReport, Role, RuntimeFacts, Usage};
use holm_model::message::{Down, Facts, FactsPart, Hello, LeaseGrant, LeaseRequest, ListChange, Up, Welcome};
use holm_model::name::Name;
use holm_model::project::{Allowance, Asked, Limits, ProjectReport};
use holm_model::resources::{Cpu, Memory, Resources};
use holm_model::service::{Connect, Placement, Port, Replicas, Restart, RestartPolicy, ServiceSpec, Volume};
use holm_model::slot::{ServiceKey, SlotIndex};
use holm_model::state::{InstanceState, MemberState, RunState};
use holm_model::time::Time;
use holm_model::transfer::Secret;
use holm_model::tunnel::{
    Answer, CopyWay, ExecIn, ExecOut, LogFilter, LogLine, LogStream, Purpose, Request, Terminal, WindowSize,
};
use holm_model::units::Units;
use holm_model::usage::{Flow, UsageHistory, UsagePoint};
use holm_model::wipe::WipeReport;
use holm_model::wish::{AppKey, SpecBytes, Version};
use serde_bytes::ByteBuf;

pub(crate) const UP_KINDS: usize = 12;
pub(crate) const DOWN_KINDS: usize = 14;

const EPOCH: Epoch = Epoch::new(3, 0x0123_4567_89ab);

pub(crate) fn up_name(up: &Up) -> &'static str {
    match up {
        // As it was before members said what they read.
        Up::Hello(hello) if hello.reads == 0 => "up-hello",
        Up::Hello(_) => "up-hello-reads",
        Up::Sync { .. } => "up-sync",
        Up::Holding { .. } => "up-holding",
        Up::Want { .. } => "up-want",
        Up::Facts(facts) => match facts.part {
            FactsPart::Change => "up-facts",
            FactsPart::Begin | FactsPart::More | FactsPart::End | FactsPart::Whole => "up-facts-snapshot",
        },
        Up::Alive { .. } => "up-alive",
        Up::Lease(_) => "up-lease",
        Up::Renew { .. } => "up-renew",
        Up::Wiped(_) => "up-wiped",
        Up::Leave => "up-leave",
        Up::Ping { .. } => "up-ping",
    }
}

pub(crate) fn down_name(down: &Down) -> &'static str {
    match down {
        Down::Welcome(welcome) if welcome.reads == 0 => "down-welcome",
        Down::Welcome(_) => "down-welcome-reads",
        Down::Catalog { .. } => "down-catalog",
        Down::Change(_) => "down-change",
        Down::Alive { .. } => "down-alive",
        Down::Lease(_) => "down-lease",
        Down::Thaw { .. } => "down-thaw",
        Down::Certificate { .. } => "down-certificate",
        Down::Bulk => "down-bulk",
        Down::Pong { .. } => "down-pong",
        Down::Landmarks { .. } => "down-landmarks",
        Down::Time { .. } => "down-time",
        Down::Above { .. } => "down-above",
        Down::Refused { .. } => "down-refused",
    }
}

pub(crate) fn up() -> Vec<Up> {
    vec![
        Up::Hello(hello(0)),
        Up::Hello(hello(7)),
        Up::Sync { obeyed: Some(obeyed()), digest: digest() },
        Up::Holding { items: packed(), complete: true },
        Up::Want { keys: packed().into_iter().map(|item| item.key).collect() },
        Up::Facts(facts()),
        Up::Alive { revision: 17 },
        Up::Lease(LeaseRequest {
            sent: 4_217,
            held: vec![AssignmentId(uid(3))],
            wanted: vec![AssignmentId(uid(4))],
        }),
        Up::Renew { csr: ByteBuf::from([0x30, 0x82, 1, 2]) },
        Up::Wiped(WipeReport {
            volumes: ["holm-1-data".to_owned()].into(),
            images: ["web:1".to_owned()].into(),
            files: 12,
            bytes: 4_096,
            left: ["image base:2: in use".to_owned()].into(),
        }),
        Up::Leave,
        Up::Ping { stamp: 7 },
    ]
}

fn hello(reads: u32) -> Hello {
    Hello {
        protocol: (1, 1),
        version: "0.1.0".to_owned(),
        role: Role::Node,
        name: name("fl-1"),
        obeyed: Some(obeyed()),
        digest: digest(),
        reads,
    }
}

fn welcome(reads: u32) -> Welcome {
    Welcome {
        protocol: 1,
        version: "0.1.0".to_owned(),
        session: 9,
        member: member(2),
        name: name("fl-1"),
        path: vec![name("vienna")],
        store: StoreId(uid(1)),
        epoch: EPOCH,
        revision: 17,
        reigns: vec![(Epoch::new(2, 7), 11)],
        reads,
    }
}

pub(crate) fn down() -> Vec<Down> {
    let entries = packed().into_iter().map(|item| (item.key.clone(), ByteBuf::from(item.hash()))).collect();
    vec![
        Down::Welcome(welcome(0)),
        Down::Welcome(welcome(7)),
        Down::Catalog { revision: 17, entries },
        Down::Change(ListChange {
            store: StoreId(uid(1)),
            epoch: EPOCH,
            from: Some(16),
            to: 17,
            put: packed(),
            removed: vec![ItemKey::Share(AssignmentId(uid(99)))],
            digest: digest(),
        }),
        Down::Alive { revision: 17, digest: digest() },
        Down::Thaw { obeyed: obeyed() },
        Down::Certificate { chain: vec![ByteBuf::from([0x30, 1]), ByteBuf::from([0x30, 2])] },
        Down::Lease(LeaseGrant { sent: 4_217, leases: vec![(AssignmentId(uid(3)), 30_000)] }),
        Down::Bulk,
        Down::Pong { stamp: 7, coordinate: coordinate() },
        Down::Landmarks {
            landmarks: vec![Landmark {
                address: "192.0.2.7:7700".parse().unwrap(),
                coordinate: coordinate(),
            }],
        },
        Down::Time { now: 1_800_000_000 },
        Down::Above { addresses: vec!["root.example:7700".to_owned()] },
        Down::Refused { reason: "this certificate was revoked".to_owned() },
    ]
}

pub(crate) fn requests() -> Vec<(&'static str, Request)> {
    let instance = AssignmentId(uid(5));
    let request = |purpose| Request { path: vec![member(1), member(2)], purpose };
    let since = Some(Time(1_800_000_000_000));
    let command = vec!["sh".to_owned(), "-c".to_owned(), "true".to_owned()];
    vec![
        ("tunnel-request-logs", request(Purpose::Logs { instance, tail: Some(10), since, follow: true })),
        (
            "tunnel-request-exec",
            request(Purpose::Exec { instance, command: command.clone(), terminal: None }),
        ),
        ("tunnel-request-terminal", request(Purpose::Exec { instance, command, terminal: Some(terminal()) })),
        ("tunnel-request-registry", request(Purpose::Registry)),
        ("tunnel-request-build", request(Purpose::Build(Box::new(build_want())))),
        ("tunnel-request-restart", request(Purpose::Restart { instance })),
        ("tunnel-request-volumes", request(Purpose::Volumes { instance, to: AssignmentId(uid(6)) })),
        ("tunnel-request-connect", request(Purpose::Connect { instance, port: 8080 })),
        ("tunnel-request-search", request(Purpose::Search { instance, filter: log_filter() })),
        ("tunnel-request-read", request(Purpose::Copy { instance, path: path(), way: CopyWay::Read })),
        ("tunnel-request-write", request(Purpose::Copy { instance, path: path(), way: CopyWay::Write })),
        ("tunnel-request-usage", request(Purpose::Usage { instance: Some(instance) })),
        ("tunnel-request-usage-node", request(Purpose::Usage { instance: None })),
        ("tunnel-request-images", request(Purpose::Images(ImagesWant::List))),
        (
            "tunnel-request-image-remove",
            request(Purpose::Images(ImagesWant::Remove("nginx:1.27".to_owned()))),
        ),
        ("tunnel-request-image-prune", request(Purpose::Images(ImagesWant::Prune(ImagesPrune { keep: 2 })))),
        (
            "tunnel-request-amend-capability",
            request(Purpose::Amend(Amendment::Capability {
                capability: "hardware/zigbee".parse().unwrap(),
                has: true,
            })),
        ),
        (
            "tunnel-request-amend-label",
            request(Purpose::Amend(Amendment::Label {
                key: "floor".to_owned(),
                value: Some("2".to_owned()),
            })),
        ),
        (
            "tunnel-request-amend-units",
            request(Purpose::Amend(Amendment::Units {
                capability: "hardware/gpu".parse().unwrap(),
                units: 2,
            })),
        ),
        (
            "tunnel-request-amend-taint",
            request(Purpose::Amend(Amendment::Taint {
                key: "dedicated".to_owned(),
                value: Some(String::new()),
            })),
        ),
        ("tunnel-request-invite", request(Purpose::Invite { node: name("fl-1"), who: "ada".to_owned() })),
        (
            "tunnel-request-empty",
            request(Purpose::Empty { node: MemberId(uid(7)), lose_volumes: true, who: "ada".to_owned() }),
        ),
        (
            "tunnel-request-transfer",
            request(Purpose::Transfer {
                address: "192.0.2.7:7700".to_owned(),
                token: Secret("holm-join.x".to_owned()),
            }),
        ),
        ("tunnel-request-shell", request(Purpose::Shell { terminal: terminal(), who: "ada".to_owned() })),
        (
            "tunnel-request-token",
            request(Purpose::Identity {
                instance: AssignmentId(uid(5)),
                want: Want::Token { audience: "holm://sea".to_owned(), life: Duration::from_secs(600) },
            }),
        ),
        (
            "tunnel-request-certificate",
            request(Purpose::Identity {
                instance: AssignmentId(uid(5)),
                want: Want::Certificate {
                    csr: ByteBuf::from(vec![0x30, 0]),
                    life: Duration::from_secs(3600),
                },
            }),
        ),
    ]
}

fn path() -> String {
    "/srv/data".to_owned()
}

pub(crate) fn usage_history() -> UsageHistory {
    let flow = Some(Flow { incoming: 4096, outgoing: 512 });
    let point = UsagePoint {
        at: Time(1_800_000_000_000),
        cpu_millis: 250,
        memory: 1 << 20,
        disk: flow,
        network: flow,
        disk_used: Some(1 << 30),
    };
    UsageHistory { step_seconds: 15, points: vec![point] }
}

fn build_want() -> BuildWant {
    BuildWant {
        image: "red/web:built-1".to_owned(),
        platform: "linux/arm64".to_owned(),
        dockerfile: "Dockerfile".to_owned(),
        bases: vec!["registry.holm/red/base:1".to_owned()],
        fresh: true,
        token: Secret("secret".to_owned()),
    }
}

fn log_filter() -> LogFilter {
    LogFilter {
        tail: Some(10),
        since: Some(Time(1_800_000_000_000)),
        until: Some(Time(1_800_000_060_000)),
        pattern: Some("err(or)?".to_owned()),
        previous: true,
        follow: false,
    }
}

fn terminal() -> Terminal {
    Terminal { kind: "xterm-256color".to_owned(), size: WindowSize { columns: 132, rows: 43 } }
}

pub(crate) fn proofs() -> Vec<(&'static str, Proof)> {
    let expires = Time(1_800_000_600_000);
    let chain = vec![ByteBuf::from(vec![0x30, 1]), ByteBuf::from(vec![0x30, 2])];
    vec![
        ("tunnel-proof-token", Proof::Token { token: "a.b.c".to_owned(), expires }),
        ("tunnel-proof-certificate", Proof::Certificate { chain, expires }),
    ]
}

pub(crate) fn answers() -> Vec<(&'static str, Answer)> {
    let refused = Answer::Refused("no such port".to_owned());
    vec![("tunnel-answer-granted", Answer::Granted), ("tunnel-answer-refused", refused)]
}

pub(crate) fn log_line() -> LogLine {
    LogLine { at: Time(1_800_000_000_123), stream: LogStream::Stderr, text: b"caf\xc3\xa9 \xff".to_vec() }
}

pub(crate) fn exec_in() -> Vec<(&'static str, ExecIn)> {
    vec![
        ("exec-in-stdin", ExecIn::Stdin(b"a\n".to_vec())),
        ("exec-in-end", ExecIn::StdinEnd),
        ("exec-in-resize", ExecIn::Resize(terminal().size)),
        ("exec-in-signal", ExecIn::Signal(15)),
    ]
}

pub(crate) fn exec_out() -> Vec<(&'static str, ExecOut)> {
    vec![
        ("exec-out-stdout", ExecOut::Stdout(b"a".to_vec())),
        ("exec-out-stderr", ExecOut::Stderr(b"b".to_vec())),
        ("exec-out-exit", ExecOut::Exit(137)),
    ]
}

/// What packed items hold: they travel as opaque bytes.
pub(crate) fn items() -> Vec<(&'static str, Item)> {
    let id = AssignmentId(uid(5));
    let direct = vec!["192.0.2.7:8080".parse().unwrap(), "[2001:db8::7]:8080".parse().unwrap()];
    let slot = SlotIndex::Node(vec![name("vienna"), name("fl-1")]);
    let endpoint = Endpoint {
        instance: id,
        slot: slot.clone(),
        node: vec![member(1), member(2)],
        port: 8080,
        direct,
        unready: false,
        coordinate: None,
    };
    let unready = Endpoint { unready: true, ..endpoint.clone() };
    let located = Endpoint { coordinate: Some(coordinate()), ..endpoint.clone() };
    let assigned = |carry| {
        Item::Assignment(Assignment { id, part: part(), slot: slot.clone(), held: false, carry: Some(carry) })
    };
    vec![
        (
            "item-share",
            Item::Share(Share {
                id,
                part: part(),
                slots: ShareSlots::Number(2),
                failures: 1,
                held: false,
                reserve: None,
            }),
        ),
        (
            "item-share-per-node",
            Item::Share(Share {
                id,
                part: part(),
                slots: ShareSlots::PerNode,
                failures: 0,
                held: true,
                reserve: None,
            }),
        ),
        (
            "item-share-reserved",
            Item::Share(Share {
                id,
                part: part(),
                slots: ShareSlots::Number(2),
                failures: 0,
                held: false,
                reserve: Some(Reserve::Asked),
            }),
        ),
        (
            "item-assignment",
            Item::Assignment(Assignment { id, part: part(), slot: slot.clone(), held: false, carry: None }),
        ),
        (
            "item-assignment-checked",
            Item::Assignment(Assignment {
                id,
                part: checked(),
                slot: slot.clone(),
                held: false,
                carry: None,
            }),
        ),
        ("item-assignment-fetches", assigned(Carry::From(AssignmentId(uid(4))))),
        ("item-assignment-gives", assigned(Carry::Gives)),
        ("item-assignment-given", assigned(Carry::Given)),
        ("item-endpoints", Item::Endpoints(Endpoints { endpoints: vec![endpoint] })),
        ("item-endpoints-unready", Item::Endpoints(Endpoints { endpoints: vec![unready] })),
        ("item-endpoints-located", Item::Endpoints(Endpoints { endpoints: vec![located] })),
        ("item-revocation", Item::Revocation),
        ("item-project", Item::Project(allowance())),
        ("item-decommission", Item::Decommission),
    ]
}

pub(crate) fn fact_of_an_instance() -> Fact {
    instance(None)
}

pub(crate) fn fact_of_a_ready_instance() -> Fact {
    instance(Some(Readiness { ready: true, answer: "GET /healthz: 200".to_owned() }))
}

fn instance(readiness: Option<Readiness>) -> Fact {
    let status = InstanceStatus {
        state: InstanceState::Running,
        incarnation: 2,
        sequence: 7,
        reason: "started".to_owned(),
        since: Time(1_800_000_000_000),
        restarts: 1,
        exhausted: false,
        ports: BTreeMap::from([(name("http"), 8080)]),
        usage: Some(Usage { cpu_millis: 12, memory: 4096 }),
        readiness,
        metric: None,
        copied: None,
        fetched: false,
    };
    Fact::Instance(Box::new(InstanceReport {
        id: AssignmentId(uid(5)),
        app: app(),
        wish: WishId(uid(4)),
        service: name("web"),
        slot: SlotIndex::Number(2),
        generation: 3,
        runtime: name("process"),
        node: vec![member(1), member(2)],
        share: Some(AssignmentId(uid(6))),
        held: false,
        status,
    }))
}

fn allowance() -> Allowance {
    let limits = Limits { cpu: Some(1500), memory: Some(32 << 20), instances: Some(3), ports: Some(0) };
    let roles = BTreeMap::from([(name("shop"), BTreeMap::from([(name("web"), PersonRole::Viewer)]))]);
    Allowance { limits, roles }
}

/// Kinds that came later than the messages that hold them.
pub(crate) fn later_facts() -> Vec<(&'static str, Fact)> {
    let asked = Asked { cpu: 1500, memory: 32 << 20, instances: 3, ports: 1 };
    let reserved = Reserved { reserve: Reserve::Kept, coordinate: Some(coordinate()) };
    let share = ShareReport {
        id: AssignmentId(uid(6)),
        verdict: Verdict::Taken,
        unfilled: Vec::new(),
        nodes: None,
        reserved: Some(reserved),
        leaves: None,
    };
    let reason = "35.2ms to `db` by estimate, 10ms at most".to_owned();
    let leaving = ShareReport { reserved: None, leaves: Some(Leaves { times: 2, reason }), ..share.clone() };
    let asked_fact = Fact::Project(ProjectReport { project: name("blue"), applications: 2, asked });
    vec![
        ("fact-project", asked_fact),
        ("fact-share-reserved", Fact::Share(share)),
        ("fact-share-leaves", Fact::Share(leaving)),
    ]
}

fn facts() -> Facts {
    let refused = Verdict::Refused {
        reason: "64 MiB free, 128 MiB asked".to_owned(),
        failed: false,
        done: false,
        together: false,
    };
    let share = |verdict| {
        Fact::Share(ShareReport {
            id: AssignmentId(uid(6)),
            verdict,
            unfilled: Vec::new(),
            nodes: None,
            reserved: None,
            leaves: None,
        })
    };
    let gone = vec![
        FactKey::Node(vec![member(3)]),
        FactKey::Instance(AssignmentId(uid(7))),
        FactKey::Share(AssignmentId(uid(8))),
        FactKey::Aggregate,
    ];
    let put = vec![node(), fact_of_an_instance(), share(Verdict::Taken), share(refused), aggregate()];
    Facts { session: 9, sequence: 4, part: FactsPart::Change, revision: 17, put, gone }
}

fn node() -> Fact {
    let facts = NodeFacts {
        hostname: "fl-1.example".to_owned(),
        addresses: vec!["192.0.2.7".parse().unwrap()],
        arch: "arm64".to_owned(),
        os: "linux".to_owned(),
        os_version: "Debian 13".to_owned(),
        kernel: "6.12".to_owned(),
        cpu_model: "Cortex-A72".to_owned(),
        total: resources(),
        allocatable: resources(),
        disk_total: Memory(1 << 34),
        disk_free: Memory(1 << 33),
        gpus: vec!["none".to_owned()],
        devices: vec!["/dev/ttyUSB0".to_owned()],
        runtimes: vec![RuntimeFacts {
            name: name("process"),
            version: "1".to_owned(),
            unavailable: Some("no cgroups".to_owned()),
            enforces: vec!["memory".to_owned()],
            leases: false,
            images: Some(3),
            containers: Some(2),
        }],
        capabilities: capabilities(),
        units: Units::default(),
        labels: labels(),
        location: None,
        coordinate: None,
        version: "0.1.0".to_owned(),
        boot_id: "b00t".to_owned(),
        crowded: None,
        amendments: Amendments::default(),
    };
    let usage = Usage { cpu_millis: 250, memory: 1 << 20 };
    let (path, state) = (vec![member(1), member(2)], MemberState::Online);
    let (free, heard) = (None, None);
    Fact::Node(Box::new(NodeReport {
        path,
        name: name("fl-1"),
        state,
        facts,
        usage,
        frozen: false,
        revoked: false,
        cordoned: false,
        free,
        heard,
    }))
}

fn aggregate() -> Fact {
    let class = NodeClass {
        capabilities: capabilities(),
        labels: labels(),
        nodes: 2,
        total: resources(),
        free: resources(),
        largest: resources(),
        ..NodeClass::default()
    };
    Fact::Aggregate(Aggregate { nodes: 3, online: 2, classes: vec![class], landmark: None })
}

fn part() -> Part {
    Part {
        app: app(),
        wish: WishId(uid(4)),
        version: Version { epoch: EPOCH, generation: 3 },
        service: name("web"),
        generation: 3,
        spec: SpecBytes::encode(&spec()),
        replicas: Replicas::Number(3),
        run: RunState::Run,
        restarts: 1,
        run_of: None,
    }
}

/// Its service is asked whether it works, and is reached from outside.
fn checked() -> Part {
    let http = Probe::Http { port: name("http"), path: "/healthz".to_owned() };
    let exposed = Expose { port: 20_080, at: [ExposedAt::Cluster, ExposedAt::Root].into() };
    let spec = ServiceSpec {
        health: Some(Check::new(http)),
        ready: Some(Check::new(Probe::Exec(vec!["ready".to_owned()]))),
        drain: Some(Duration::from_secs(5)),
        expose: BTreeMap::from([(name("http"), exposed)]),
        ..spec()
    };
    Part { spec: SpecBytes::encode(&spec), ..part() }
}

fn spec() -> ServiceSpec {
    ServiceSpec {
        image: Some("registry.example/web:1".to_owned()),
        env: BTreeMap::from([("A".to_owned(), "b".to_owned())]),
        workdir: Some("/srv".to_owned()),
        user: Some("www-data".to_owned()),
        volumes: vec![Volume { source: "data".to_owned(), target: "/data".to_owned(), read_only: true }],
        ports: BTreeMap::from([(name("http"), Port { host: Some(8080), container: Some(80) })]),
        resources: resources(),
        placement: Placement {
            cluster: Some(name("vienna")),
            node: Some(name("fl-1")),
            require: capabilities(),
            labels: labels(),
            ..Placement::default()
        },
        restart: Restart {
            policy: RestartPolicy::Always,
            attempts: 5,
            backoff: (Duration::from_millis(50), Duration::from_secs(60)),
        },
        grace: Duration::from_secs(10),
        connects: vec![Connect { service: name("db"), port: name("sql"), bound: None }],
        ..ServiceSpec::new(name("container"), vec!["serve".to_owned()])
    }
}

fn packed() -> Vec<PackedItem> {
    let key =
        EndpointsKey { service: ServiceKey { wish: WishId(uid(4)), service: name("db") }, port: name("sql") };
    vec![
        Item::Endpoints(Endpoints::default()).pack(ItemKey::Endpoints(key)),
        Item::Revocation.pack(ItemKey::Revocation("0a1b".to_owned())),
    ]
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn uid(counter: u64) -> Uid {
    Uid { epoch: EPOCH, counter }
}

fn member(counter: u64) -> MemberId {
    MemberId(uid(counter))
}

fn app() -> AppKey {
    AppKey { project: name("default"), application: name("building") }
}

fn obeyed() -> Obeyed {
    Obeyed { store: StoreId(uid(1)), epoch: EPOCH, revision: 16 }
}

fn digest() -> Digest {
    Digest::of(&packed().into_iter().map(|item| (item.key.clone(), item)).collect())
}

fn resources() -> Resources {
    Resources::new(Cpu(1500), Memory(32 << 20))
}

fn capabilities() -> BTreeSet<Capability> {
    [Capability::new(name("hardware"), name("ble"))].into()
}

fn coordinate() -> Coordinate {
    Coordinate { at: [12_000, -3_000, 0], height: 1_500, error: 120 }
}

fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([("zone".to_owned(), "indoor".to_owned())])
}

pub(crate) fn testimony() -> holm_model::message::Testimony {
    holm_model::message::Testimony { runs: vec![AssignmentId(uid(3)), AssignmentId(uid(4))], asks: None }
}
