use std::collections::BTreeMap;

use holm_model::expose::{Expose, ExposedAt};
use holm_model::fact::InstanceStatus;
use holm_model::message::{READS, Up};
use holm_model::name::Name;
use holm_model::service::{Application, ApplicationService, Port, Replicas, ServiceSpec};
use holm_model::time::Time;
use holm_model::wish::AppKey;

use super::*;
use crate::orchestrator::command::{Command, Expected};
use crate::orchestrator::event::{Effect, Event, LinkId};
use crate::orchestrator::testing::Root;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// One instance on each node of `cluster`, with a port that is exposed at the root.
fn apply(root: &mut Root, application: &str, cluster: &str) -> AssignmentId {
    let mut spec = ServiceSpec::new(name("process"), vec!["x".to_owned()]);
    spec.placement.cluster = Some(name(cluster));
    spec.ports = BTreeMap::from([(name("http"), Port { host: None, container: None })]);
    if application == "shop" {
        let expose = Expose { port: 20_001, at: [ExposedAt::Root].into() };
        spec.expose = BTreeMap::from([(name("http"), expose)]);
    }
    let service = ApplicationService { spec, replicas: Replicas::PerNode };
    let services = BTreeMap::from([(name("web"), service)]);
    let application = Application { name: name(application), services };
    root.command(Command::Apply { project: name("default"), application, expected: Expected::Anything });
    root.0.placements.iter().map(|(id, _)| *id).max().unwrap()
}

/// A ready instance of `placement` as `on` tells of it.
fn report(root: &Root, placement: AssignmentId, id: AssignmentId, on: &str) -> InstanceReport {
    let part = root.0.placements.get(&placement).unwrap().part.clone();
    let status = InstanceStatus {
        state: InstanceState::Running,
        incarnation: 1,
        sequence: 1,
        reason: String::new(),
        since: Time(0),
        restarts: 0,
        exhausted: false,
        ports: BTreeMap::from([(name("http"), 9)]),
        readiness: None,
        usage: None,
        metric: None,
        copied: None,
        fetched: false,
    };
    let slot = SlotIndex::Node(vec![name(on), name("fl-1")]);
    let (app, wish, service, generation) = (part.app, part.wish, part.service, part.generation);
    let (runtime, node, share, held) = (name("process"), Vec::new(), Some(placement), false);
    InstanceReport { id, app, wish, service, slot, generation, runtime, node, share, held, status }
}

fn say(root: &mut Root, cluster: MemberId, report: InstanceReport) {
    let live = &root.0.live[&cluster];
    let (session, sequence) = (live.session, live.sequence + 1);
    let (part, revision, gone) = (FactsPart::Change, 0, Vec::new());
    let put = vec![Fact::Instance(Box::new(report))];
    let facts = Facts { session, sequence, part, revision, put, gone };
    let link = root.0.links.open.iter().find(|(_, member)| **member == cluster).map(|(link, _)| *link);
    root.step(Event::LinkMessage { link: link.unwrap(), message: Up::Facts(facts) });
}

fn of(share: AssignmentId, counter: u64) -> AssignmentId {
    let mut id = share;
    id.0.counter = counter;
    id
}

/// A root with two clusters, the share of `harmless` at the one, and that of `shop` at the other.
fn sea() -> (Root, [MemberId; 2], [AssignmentId; 2]) {
    let mut root = Root::new();
    root.0.config.expose = "20000-20100".parse().ok();
    let clusters = [(1, "kiosk"), (2, "vienna")].map(|(link, name)| {
        let cluster = root.join_named(Role::Cluster, name);
        root.call_as(link, cluster, Role::Cluster, READS);
        assert!(root.0.links.open.contains_key(&LinkId(link)));
        cluster
    });
    let shares = [apply(&mut root, "harmless", "kiosk"), apply(&mut root, "shop", "vienna")];
    (root, clusters, shares)
}

fn targets(root: &Root) -> Vec<AssignmentId> {
    let exposures = root.0.exposures();
    assert_eq!(exposures.len(), 1);
    exposures[0].exposure.targets.iter().map(|target| target.instance).collect()
}

#[test]
fn a_cluster_is_not_believed_that_its_instance_is_another_service() {
    let (mut root, [kiosk, vienna], [harmless, shop]) = sea();
    let honest = report(&root, shop, of(shop, 1_000), "vienna");
    say(&mut root, vienna, honest);
    assert_eq!(targets(&root), [of(shop, 1_000)]);

    let mut lie = report(&root, shop, of(harmless, 2_000), "vienna");
    lie.share = Some(harmless);
    let key = ServiceKey { wish: lie.wish, service: lie.service.clone() };
    say(&mut root, kiosk, lie);
    assert_eq!(targets(&root), [of(shop, 1_000)]);
    assert_eq!(root.0.instances_of(&key).count(), 1, "nor do those that connect to it get its address");
    let told = root.0.instances.get(&of(harmless, 2_000)).unwrap();
    assert_eq!((told.app.application.as_str(), told.slot.to_string().as_str()), ("harmless", "kiosk/fl-1"));
}

#[test]
fn a_cluster_is_not_believed_about_what_others_were_given() {
    let (mut root, [kiosk, _], [harmless, shop]) = sea();
    let mut lie = report(&root, harmless, shop, "kiosk");
    lie.status.state = InstanceState::Failed;
    say(&mut root, kiosk, lie);
    assert!(root.0.instances.get(&shop).is_none());
    let mut lie = report(&root, harmless, of(harmless, 2_000), "kiosk");
    lie.slot = SlotIndex::Number(7);
    say(&mut root, kiosk, lie);
    assert!(root.0.instances.get(&of(harmless, 2_000)).is_none(), "its nodes have no such slot");
}

#[test]
fn only_what_happens_to_a_service_has_those_who_take_its_connections_looked_for_anew() {
    let (mut root, [kiosk, vienna], [harmless, shop]) = sea();
    let honest = report(&root, shop, of(shop, 1_000), "vienna");
    say(&mut root, vienna, honest);
    let known = |root: &Root| root.0.exposures()[0].exposure.targets.clone();
    let before = known(&root);
    let other = report(&root, harmless, of(harmless, 2_000), "kiosk");
    say(&mut root, kiosk, other);
    assert!(std::sync::Arc::ptr_eq(&before, &known(&root)));
    let more = report(&root, shop, of(shop, 1_001), "vienna");
    say(&mut root, vienna, more);
    assert_eq!((before.len(), known(&root).len()), (1, 2));
}

#[test]
fn what_became_of_a_port_is_heard_of_whoever_has_it_now() {
    let (mut root, ..) = sea();
    let leads_to = |application: &str| {
        let app = AppKey { project: name("default"), application: name(application) };
        (app, name("web"), name("http"))
    };
    for (application, outcome) in [("gone", None), ("shop", Some(Ok(())))] {
        root.step(Event::Exposed { port: 20_001, leads_to: leads_to(application), outcome: Ok(()) });
        assert_eq!(root.0.exposures()[0].outcome, outcome);
    }
}

/// Sends facts as they stand; whether the link is closed for that.
fn send(root: &mut Root, link: u64, (session, sequence): (u64, u64), gone: Vec<FactKey>) -> bool {
    let facts = Facts { session, sequence, part: FactsPart::Change, revision: 0, put: Vec::new(), gone };
    let effects = root.step(Event::LinkMessage { link: LinkId(link), message: Up::Facts(facts) });
    effects.iter().any(|effect| matches!(effect, Effect::Close { .. }))
}

#[test]
fn facts_of_another_session_doubled_or_out_of_order_change_nothing_and_a_gap_ends_the_link() {
    let (mut root, [_, vienna], [_, shop]) = sea();
    let honest = report(&root, shop, of(shop, 1_000), "vienna");
    say(&mut root, vienna, honest);
    let (session, sequence) = (root.0.live[&vienna].session, root.0.live[&vienna].sequence);
    let gone = || vec![FactKey::Instance(of(shop, 1_000))];
    for odd in [(session - 1, sequence + 1), (session + 1, sequence + 1), (session, sequence), (session, 0)] {
        assert!(!send(&mut root, 2, odd, gone()), "{odd:?}");
        assert_eq!(targets(&root), [of(shop, 1_000)], "{odd:?}");
    }
    // Nobody knows what was between.
    assert!(send(&mut root, 2, (session, sequence + 2), gone()));
    assert!(root.0.instances.contains(&of(shop, 1_000)));
}

#[test]
fn a_snapshot_ends_what_it_does_not_tell_of_when_it_is_whole() {
    let (mut root, [_, vienna], [_, shop]) = sea();
    let honest = report(&root, shop, of(shop, 1_000), "vienna");
    say(&mut root, vienna, honest);
    let mut tell = |part, there: bool| {
        let live = &root.0.live[&vienna];
        let (session, sequence) = (live.session, live.sequence + 1);
        let put = vec![Fact::Instance(Box::new(report(&root, shop, of(shop, 1_001), "vienna")))];
        let facts = Facts { session, sequence, part, revision: 0, put, gone: Vec::new() };
        root.step(Event::LinkMessage { link: LinkId(2), message: Up::Facts(facts) });
        assert_eq!(root.0.instances.contains(&of(shop, 1_000)), there, "{part:?}");
        assert!(root.0.instances.contains(&of(shop, 1_001)), "{part:?}");
    };
    tell(FactsPart::Begin, true);
    tell(FactsPart::More, true);
    tell(FactsPart::End, false);
}
