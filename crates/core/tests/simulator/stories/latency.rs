//! Bounds of latency, and the strategy that makes ways short.

use std::time::Duration;

use holm_model::coordinate::{Coordinate, Latency};
use holm_model::member::NodeFacts;
use holm_model::placement::{Bound, Company, Consequence, NearUsers, Scope, Strategy};

use super::choosing::finds;
use crate::fleet::{Spec, app, fleet, name, nodes, steady};
use crate::world::World;

/// Nodes that are so many milliseconds along a line.
pub(super) fn along(millis: &[i32]) -> Vec<(String, NodeFacts)> {
    let mut nodes = nodes(millis.len());
    for ((_, facts), at) in nodes.iter_mut().zip(millis) {
        facts.coordinate = Some(Coordinate { at: [at * 1_000, 0, 0], height: 100, error: 100 });
    }
    nodes
}

fn db() -> Spec {
    steady().memory("16Mi").port("sql", None)
}

fn web(millis: u32) -> Spec {
    bound_to("db", millis)
}

pub(super) fn bound_to(service: &str, millis: u32) -> Spec {
    let mut spec = steady().memory("16Mi").connects(service, "sql");
    spec.0.connects[0].bound = Some(Bound { latency: Latency(millis * 1_000), weight: None });
    spec
}

fn shortest(mut spec: Spec) -> Spec {
    spec.0.placement.strategy = Some(Strategy::Latency);
    spec
}

fn runs_on(fleet: &World, slot: &str, node: &str) -> bool {
    fleet.lines().contains(&format!("{slot} RUNNING {node}"))
}

/// The node is elsewhere in the network now.
pub(super) fn shift(fleet: &mut World, node: &str, millis: i32) {
    let coordinate = Coordinate { at: [millis * 1_000, 0, 0], height: 100, error: 100 };
    finds(fleet, node, |facts| facts.coordinate = Some(coordinate));
}

/// What the root's history says of bounds, in order.
fn said_of_bounds(fleet: &World) -> Vec<(String, String, String)> {
    let told = fleet.orchestrators.iter().flat_map(|site| &site.disk.history);
    let told = told.filter(|change| ["violated", "kept"].contains(&change.to.as_str()));
    told.map(|change| (change.slot.clone(), change.to.clone(), change.reason.clone())).collect()
}

#[test]
fn a_bound_that_is_broken_later_is_told_and_so_is_its_end() {
    let mut fleet = fleet().cluster("vienna", along(&[0, 5]));
    let web = web(10).on_node("fl-2");
    fleet.apply(app("shop").service("db", db().on_node("fl-1"), 1).service("web", web, 1));
    fleet.run_until_running(2);
    shift(&mut fleet, "vienna/fl-1", 40);
    fleet.run_for(Duration::from_secs(50));
    assert_eq!(said_of_bounds(&fleet), [], "estimates waver");
    fleet.run_for(Duration::from_secs(20));
    let why = "35.2ms to `db` by estimate, 10ms at most, for 1m";
    let violated = ("web/0".to_owned(), "violated".to_owned(), why.to_owned());
    assert_eq!(said_of_bounds(&fleet), std::slice::from_ref(&violated));
    fleet.run_for(Duration::from_secs(200));
    assert_eq!(said_of_bounds(&fleet), [violated], "once");
    assert!(runs_on(&fleet, "web/0", "vienna/fl-2"), "an event is no order");
    shift(&mut fleet, "vienna/fl-1", 0);
    fleet.run_for(Duration::from_secs(10));
    assert_eq!(said_of_bounds(&fleet).last().unwrap().1, "kept");
}

#[test]
fn a_service_that_says_so_moves_to_where_its_bound_is_kept() {
    let mut fleet = fleet().cluster("vienna", along(&[0, 5, 45]));
    let mut web = web(10);
    web.0.placement.violated.then = Consequence::Migrate;
    web.0.placement.apart.push(Company { service: name("db"), on: Scope::Node, weight: None });
    fleet.apply(app("shop").service("db", db().on_node("fl-1"), 1).service("web", web, 1));
    fleet.run_until_running(2);
    assert!(runs_on(&fleet, "web/0", "vienna/fl-2"), "{:?}", fleet.lines());
    shift(&mut fleet, "vienna/fl-1", 40);
    fleet.run_until("it is near again", |fleet| runs_on(fleet, "web/0", "vienna/fl-3"));
    fleet.run_for(Duration::from_secs(10));
    assert_eq!(fleet.processes("web"), ["vienna/fl-3"]);
    assert_eq!(said_of_bounds(&fleet).len(), 1, "{:?}", said_of_bounds(&fleet));
}

#[test]
fn a_service_stays_where_nobody_else_is_nearer_and_says_why() {
    let mut fleet = fleet().cluster("vienna", along(&[0, 5]));
    let mut web = web(10);
    web.0.placement.violated.then = Consequence::Migrate;
    web.0.placement.apart.push(Company { service: name("db"), on: Scope::Node, weight: None });
    fleet.apply(app("shop").service("db", db().on_node("fl-1"), 1).service("web", web, 1));
    fleet.run_until_running(2);
    shift(&mut fleet, "vienna/fl-1", 40);
    fleet.run_for(Duration::from_secs(200));
    let said = said_of_bounds(&fleet);
    assert_eq!(said.len(), 2, "the cluster, and the root: {said:?}");
    assert!(said[0].2.ends_with("; it stays: no place: vienna: has it now"), "{said:?}");
    assert!(said[1].2.contains("here is no place: fl-1: "), "{said:?}");
    assert!(runs_on(&fleet, "web/0", "vienna/fl-2"));
}

/// `web` runs 5 ms from `db`, and goes where `db` has gone to.
fn follows() -> Spec {
    let mut web = web(10);
    web.0.placement.violated.then = Consequence::Migrate;
    web.0.placement.apart.push(Company { service: name("db"), on: Scope::Node, weight: None });
    web
}

#[test]
fn where_no_node_of_the_cluster_is_near_enough_the_root_finds_another_cluster() {
    let mut fleet = fleet().cluster("vienna", along(&[0, 5])).cluster("linz", along(&[45]));
    let db = db().on_node("fl-1").in_cluster("vienna");
    fleet.apply(app("shop").service("db", db, 1).service("web", follows(), 1));
    fleet.run_until_running(2);
    assert!(runs_on(&fleet, "web/0", "vienna/fl-2"), "{:?}", fleet.lines());
    shift(&mut fleet, "vienna/fl-1", 40);
    for _ in 0..1_200 {
        fleet.run_for(Duration::from_millis(100));
        assert!(!fleet.processes("web").is_empty(), "the old one goes when the new one is ready");
    }
    assert_eq!(fleet.processes("web"), ["linz/fl-1"], "{:?}", said_of_bounds(&fleet));
    let said = said_of_bounds(&fleet);
    assert!(said.len() == 1 && said[0].2.contains("another cluster is asked for"), "{said:?}");
}

#[test]
fn what_no_cluster_keeps_stays_and_moves_when_one_comes() {
    let mut fleet = fleet().cluster("vienna", along(&[0, 5])).cluster("linz", along(&[90]));
    let db = db().on_node("fl-1").in_cluster("vienna");
    fleet.apply(app("shop").service("db", db, 1).service("web", follows(), 1));
    fleet.run_until_running(2);
    shift(&mut fleet, "vienna/fl-1", 40);
    fleet.run_secs(200);
    assert_eq!(fleet.processes("web"), ["vienna/fl-2"]);
    let told = &fleet.orchestrators[0].disk.history;
    let stays =
        told.iter().filter(|change| change.to == "violated" && change.reason.contains("it stays: no place"));
    assert_eq!(stays.count(), 1, "once, at the root: {:?}", said_of_bounds(&fleet));
    shift(&mut fleet, "linz/fl-1", 45);
    fleet.run_until("it is near again", |fleet| fleet.processes("web") == ["linz/fl-1"]);
}

#[test]
fn a_bound_to_another_service_is_kept_within_a_cluster() {
    let mut fleet = fleet().cluster("vienna", along(&[90, 0, 8]));
    fleet.apply(app("shop").service("db", db().on_node("fl-2"), 1));
    fleet.run_until_lines(&["db/0 RUNNING vienna/fl-2"]);
    fleet.apply(app("shop").service("db", db().on_node("fl-2"), 1).service("web", web(10), 3));
    fleet.run_until_running(4);
    let on_the_far_one = fleet.processes("web").iter().filter(|node| node.ends_with("fl-1")).count();
    assert_eq!(on_the_far_one, 0, "{:?}", fleet.lines());
}

#[test]
fn what_cannot_be_near_enough_says_how_near_it_could_be() {
    let mut fleet = fleet().cluster("vienna", along(&[90, 0]));
    fleet.apply(app("shop").service("db", db().on_node("fl-2"), 1));
    fleet.run_until_running(1);
    let app = app("shop").service("db", db().on_node("fl-2"), 1).service("web", web(10).on_node("fl-1"), 1);
    fleet.apply(app);
    fleet.run_until("it says why", |fleet| fleet.slot("web/0").reason.contains("by estimate"));
    let reason = fleet.slot("web/0").reason;
    assert!(reason.contains("90.2ms to `db` by estimate, 10ms at most"), "{reason}");
}

#[test]
fn the_root_chooses_the_cluster_that_is_near_enough() {
    let mut fleet = fleet().cluster("lisbon", along(&[60, 70])).cluster("vienna", along(&[0, 4]));
    fleet.apply(app("shop").service("db", db().in_cluster("vienna"), 1).service("web", web(20), 1));
    fleet.run_until_running(2);
    assert!(fleet.processes("web")[0].starts_with("vienna/"), "{:?}", fleet.lines());
}

#[test]
fn a_cluster_knows_how_far_instances_of_others_are() {
    let mut fleet = fleet().cluster("vienna", along(&[0])).cluster("linz", along(&[90, 12]));
    fleet.apply(app("shop").service("db", db().in_cluster("vienna"), 1));
    fleet.run_until_running(1);
    let both = app("shop").service("db", db().in_cluster("vienna"), 1);
    fleet.apply(both.service(
        "web",
        shortest(steady().memory("16Mi").connects("db", "sql").in_cluster("linz")),
        1,
    ));
    fleet.run_until("it runs", |fleet| runs_on(fleet, "web/0", "linz/fl-2"));
}

#[test]
fn whoever_is_bound_to_it_draws_a_service_near() {
    let mut fleet = fleet().cluster("vienna", along(&[90, 0, 8]));
    fleet.apply(app("shop").service("db", db(), 0).service("web", web(10).on_node("fl-2"), 1));
    fleet.run_until("web runs, as nothing is there to be near to", |fleet| {
        runs_on(fleet, "web/0", "vienna/fl-2")
    });
    fleet.apply(app("shop").service("db", db(), 1).service("web", web(10).on_node("fl-2"), 1));
    fleet.run_until_running(2);
    assert!(!runs_on(&fleet, "db/0", "vienna/fl-1"), "{:?}", fleet.lines());
}

#[test]
fn of_several_instances_one_near_enough_is_enough() {
    let mut fleet = fleet().cluster("vienna", along(&[90, 0, 8]));
    let mut db = db();
    db.0.placement.apart.push(Company { service: name("db"), on: Scope::Node, weight: None });
    let shop = |db: &Spec, replicas| {
        app("shop").service("db", db.clone(), replicas).service("web", web(10).on_node("fl-2"), 1)
    };
    fleet.apply(shop(&db, 0));
    fleet.run_until_running(1);
    fleet.apply(shop(&db, 3));
    fleet.run_until_running(4);
    assert!(runs_on(&fleet, "db/0", "vienna/fl-2"), "the first one is near: {:?}", fleet.lines());
}

#[test]
fn what_each_node_has_is_on_the_far_ones_too() {
    let mut fleet = fleet().cluster("vienna", along(&[90, 0, 8]));
    // By their names, the one that is bound comes first.
    let web = bound_to("zone", 10).on_node("fl-2");
    fleet.apply(app("shop").service("web", web, 1).per_node("zone", db()));
    fleet.run_until_running(4);
}

#[test]
fn while_nobody_knows_where_it_is_only_its_own_node_is_near() {
    let mut fleet = fleet().cluster("vienna", nodes(2));
    fleet.apply(app("shop").service("db", db().on_node("fl-2"), 1));
    fleet.run_until_running(1);
    fleet.apply(app("shop").service("db", db().on_node("fl-2"), 1).service("web", web(10), 1));
    fleet.run_until("it runs there", |fleet| runs_on(fleet, "web/0", "vienna/fl-2"));
}

#[test]
fn users_draw_a_service_near_and_a_bound_keeps_it_there() {
    let mut vienna = along(&[0, 0]);
    vienna[0].1.location = Some("38.72,-9.14".parse().unwrap());
    vienna[1].1.location = Some("48.21,16.37".parse().unwrap());
    let mut fleet = fleet().cluster("vienna", vienna);
    let near = |millis: u32, weight: Option<u32>| {
        let mut spec = steady().memory("16Mi");
        let bound = Bound { latency: Latency(millis * 1_000), weight };
        spec.0.placement.near = Some(NearUsers { users: "48.1,16.3".parse().unwrap(), bound });
        spec
    };
    fleet.apply(
        app("shop")
            .service("best", shortest(near(5_000, None)), 1)
            .service("bound", near(5, None), 1)
            .service("likes", near(5, Some(3)), 1),
    );
    fleet.run_until_lines(&[
        "best/0 RUNNING vienna/fl-2",
        "bound/0 RUNNING vienna/fl-2",
        "likes/0 RUNNING vienna/fl-2",
    ]);
}
