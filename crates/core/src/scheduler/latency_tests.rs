use std::collections::{BTreeMap, BTreeSet};

use holm_model::capability::Capability;
use holm_model::coordinate::Coordinate;
use holm_model::id::MemberId;
use holm_model::member::{Aggregate, NodeClass};
use holm_model::message::READS;
use holm_model::resources::{Cpu, Memory, Resources};
use holm_model::service::ServiceSpec;
use holm_model::state::MemberState;
use holm_model::taint::Taints;
use holm_model::units::Units;

use super::super::{Taken, score};
use super::*;

fn at(x: i32, height: u32) -> Coordinate {
    Coordinate { at: [x, 0, 0], height, error: 100 }
}

fn bound(millis: u32, weight: Option<u32>) -> Option<Bound> {
    Some(Bound { latency: Latency(millis * 1_000), weight })
}

fn db(places: &[Coordinate], bound: Option<Bound>) -> Way {
    let spot = |place: &Coordinate| Spot { on: None, region: Some((*place).into()) };
    let at = places.iter().map(spot).collect();
    Way { to: Target::Service { name: Name::new("db").unwrap(), at }, bound }
}

/// What a node there, and a cluster of such a node, are said to be; and the node's score.
fn said(
    here: Option<Coordinate>,
    place: Option<&str>,
    ways: Vec<Way>,
) -> (Option<String>, Option<String>, (u32, u64)) {
    let name = Name::new("fl-1").unwrap();
    let capabilities: BTreeSet<Capability> = ["runtime/process".parse().unwrap()].into();
    let (labels, ports, taints) = (BTreeMap::new(), BTreeMap::new(), Taints::new());
    let plenty = Resources::new(Cpu(4000), Memory(1 << 30));
    let location = place.map(|place| Area::at(place.parse().unwrap()));
    let kind = Kind::Node {
        cluster: None,
        capabilities: &capabilities,
        units: Units::NONE,
        taken: Taken::NONE,
        taints: &taints,
        labels: &labels,
        runtimes: &[],
        location,
        coordinate: here,
        total: plenty,
        free: plenty,
        ports: &ports,
        reads: None,
    };
    let id = MemberId("1-000000000001-1".parse().unwrap());
    let node = Candidate {
        id,
        name: &name,
        state: MemberState::Online,
        silence: std::time::Duration::ZERO,
        frozen: false,
        cordoned: false,
        kind,
    };
    let class = NodeClass {
        capabilities: capabilities.clone(),
        free: plenty,
        largest: plenty,
        area: location,
        region: here.map(Region::from),
        ..NodeClass::default()
    };
    let aggregate = Aggregate { nodes: 1, online: 1, classes: vec![class], landmark: None };
    let (nodes, reports) = (BTreeSet::new(), BTreeMap::new());
    let kind = Kind::Cluster {
        aggregate: &aggregate,
        debit: Resources::default(),
        taken: Units::NONE,
        nodes: &nodes,
        reports: &reports,
        reads: Some(READS),
    };
    let cluster = Candidate { kind, ..node };
    let (spec, refused) =
        (ServiceSpec::new(Name::new("process").unwrap(), vec!["x".into()]), BTreeMap::new());
    let mut ask = Ask::new(&spec, &refused);
    ask.around.ways = ways;
    let words = |member: &Candidate<'_>| member.refuses(&ask).map(|reason| reason.to_string());
    let score = score(&ask, &holm_model::placement::Strategy::Latency, &node);
    (words(&node), words(&cluster), (score.unmet, score.rank))
}

#[test]
fn a_bound_is_kept_by_the_nearest_and_said_with_its_estimate() {
    let there = [at(30_000, 1_000), at(9_000, 1_000)];
    let far = "11ms to `db` by estimate, 10ms at most";
    let (node, cluster, _) = said(Some(at(0, 1_000)), None, vec![db(&there, bound(10, None))]);
    assert_eq!((node.as_deref(), cluster.as_deref()), (Some(far), Some(far)));
    let (node, cluster, score) = said(Some(at(0, 1_000)), None, vec![db(&there, bound(11, None))]);
    assert_eq!((node, cluster, score), (None, None, (0, 11_000)));
}

#[test]
fn who_does_not_know_where_it_is_keeps_no_bound_and_comes_last() {
    let way = || vec![db(&[at(0, 10)], bound(10, None))];
    let (node, cluster, score) = said(None, None, way());
    assert_eq!(node.as_deref(), Some("the latency to `db` is not known yet, 10ms at most"));
    assert_eq!((cluster, score), (None, (0, UNKNOWN)), "a cluster knows better itself");
    let nowhere = said(None, None, vec![db(&[], bound(10, None))]);
    assert_eq!(nowhere, (None, None, (0, 0)), "what has no place yet binds nobody");
}

#[test]
fn on_one_node_there_is_no_way() {
    let mut way = db(&[at(90_000, 5_000)], bound(1, None));
    if let Target::Service { at, .. } = &mut way.to {
        at[0].on = Some(MemberId("1-000000000001-1".parse().unwrap()));
    }
    assert_eq!(said(Some(at(90_000, 5_000)), None, vec![way]), (None, None, (0, 0)));
}

#[test]
fn of_what_is_nobody_knows_where_only_its_own_node_is_near() {
    let way = |on: Option<&str>| {
        let mut way = db(&[at(0, 10)], bound(10, None));
        if let Target::Service { at, .. } = &mut way.to {
            at[0] = Spot { on: on.map(|on| MemberId(on.parse().unwrap())), region: None };
        }
        way
    };
    let unknown = "the latency to `db` is not known yet, 10ms at most";
    let (node, cluster, _) = said(Some(at(0, 10)), None, vec![way(Some("1-000000000001-2"))]);
    assert_eq!((node.as_deref(), cluster), (Some(unknown), None), "a cluster may know better");
    assert_eq!(said(Some(at(0, 10)), None, vec![way(None)]).0.as_deref(), Some(unknown));
    assert_eq!(said(None, None, vec![way(Some("1-000000000001-1"))]), (None, None, (0, 0)));
}

#[test]
fn a_preferred_bound_refuses_nobody_and_weighs() {
    let ways = || vec![db(&[at(20_000, 0)], bound(10, Some(7))), db(&[at(5_000, 0)], None)];
    assert_eq!(said(Some(at(0, 0)), None, ways()), (None, None, (7, 25_000)));
}

#[test]
fn users_are_as_far_as_light_in_fibre_takes_and_the_access() {
    let users = |bound| vec![Way { to: Target::Users("48.2082,16.3738".parse().unwrap()), bound }];
    // Linz is 155 km away: 155 × 1.5 / 100, and the node's own 2 ms.
    let (node, _, (_, rank)) = said(Some(at(70_000, 2_000)), Some("48.3069,14.2858"), users(bound(4, None)));
    assert!(node.unwrap().starts_with("4.3ms to users at 48.2082,16.3738 by estimate"));
    assert!((4_300..4_400).contains(&rank), "{rank}");
    assert_eq!(said(Some(at(0, 0)), None, users(None)).2, (0, UNKNOWN), "it has no location");
}
