//! Clusters of before, which do not know of reservations.

use holm_model::coordinate::{Coordinate, Latency, Region};
use holm_model::fact::Fact;
use holm_model::id::MemberId;
use holm_model::item::{Item, Reserve};
use holm_model::member::{Aggregate, NodeClass, Role};
use holm_model::message::{Facts, FactsPart, READS, READS_RESERVING, Up};
use holm_model::name::Name;
use holm_model::placement::Bound;
use holm_model::resources::{Cpu, Memory, Resources};
use holm_model::service::{Application, ApplicationService, Connect, Port, Replicas, ServiceSpec};

use crate::orchestrator::command::{Command, Expected};
use crate::orchestrator::event::{Event, LinkId};
use crate::orchestrator::testing::Root;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// `web` near `db`, each as large as a cluster nearly.
fn shop() -> Command {
    let service = |connects: Vec<Connect>| {
        let mut spec = ServiceSpec::new(name("process"), vec!["x".to_owned()]);
        spec.resources.memory = Memory(200 << 20);
        spec.ports.insert(name("sql"), Port { host: None, container: None });
        spec.connects = connects;
        ApplicationService { spec, replicas: Replicas::Number(1) }
    };
    let bound = Some(Bound { latency: Latency(10_000), weight: None });
    let near = Connect { service: name("db"), port: name("sql"), bound };
    let services = [(name("db"), service(Vec::new())), (name("web"), service(vec![near]))].into();
    let application = Application { name: name("shop"), services };
    Command::Apply { project: name("default"), application, expected: Expected::Anything }
}

fn greets(root: &mut Root, link: u64, cluster: MemberId, reads: u32) {
    root.call_as(link, cluster, Role::Cluster, reads);
    let room = Resources::new(Cpu(4_000), Memory(256 << 20));
    let class = NodeClass {
        nodes: 1,
        capabilities: ["runtime/process".parse().unwrap()].into(),
        total: room,
        free: room,
        largest: room,
        region: Region::around(&[Coordinate { at: [0, 0, 0], height: 100, error: 100 }]),
        ..NodeClass::default()
    };
    let aggregate = Aggregate { nodes: 1, online: 1, classes: vec![class], landmark: None };
    let (put, gone, part) = (vec![Fact::Aggregate(aggregate)], Vec::new(), FactsPart::Whole);
    let session = root.0.live[&cluster].session;
    let facts = Facts { session, sequence: 1, part, revision: 0, put, gone };
    root.step(Event::LinkMessage { link: LinkId(link), message: Up::Facts(facts) });
}

#[test]
fn a_cluster_that_knows_of_no_reservations_is_asked_for_no_part_and_that_is_said() {
    let mut root = Root::new();
    let clusters = ["lisbon", "vienna"].map(|cluster| root.join_named(Role::Cluster, cluster));
    greets(&mut root, 1, clusters[0], READS);
    greets(&mut root, 2, clusters[1], READS_RESERVING - 1);
    root.command(shop());
    assert_eq!(root.0.placements.iter().count(), 0);
    let old = "vienna: its program is too old to keep room for a part of a group; upgrade holm there";
    let reasons: Vec<_> = root.0.slots.iter().map(|(_, _, slot)| slot.reason.clone()).collect();
    assert!(reasons.len() == 2 && reasons.iter().all(|reason| reason.ends_with(old)), "{reasons:#?}");
    let told = root.0.explain(&root.0.apps.keys().next().unwrap().clone(), "web/0").unwrap();
    let of = |cluster: &str| told.members.iter().find(|told| told.member == cluster).unwrap().reason.clone();
    assert!(of("lisbon").ends_with("but not with the others of its group"), "{}", of("lisbon"));
    assert!(of("vienna").ends_with("upgrade holm there"), "{}", of("vienna"));
    // Upgraded, it is asked.
    greets(&mut root, 3, clusters[1], READS);
    let asked = root.0.placements.iter().map(|(id, it)| it.item(*id));
    let asked: Vec<_> = asked.collect();
    let is_asked = |item: &Option<Item>| matches!(item, Some(Item::Share(share)) if share.reserve == Some(Reserve::Asked));
    assert!(asked.len() == 2 && asked.iter().all(is_asked), "{asked:#?}");
}
