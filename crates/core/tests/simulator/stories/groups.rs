//! Services that must be near each other get their places together, or none does.

use super::latency::{along, bound_to, shift};
use crate::fleet::{Spec, app, fleet, steady};
use crate::world::World;

/// As large as a node nearly: two are on two nodes.
fn large(spec: Spec) -> Spec {
    spec.memory("200Mi")
}

fn db() -> Spec {
    large(steady().port("sql", None))
}

/// At most 10 ms from `db`.
fn web() -> Spec {
    large(bound_to("db", 10))
}

fn places(fleet: &World) -> (Vec<String>, Vec<String>) {
    (fleet.processes("db"), fleet.processes("web"))
}

#[test]
fn the_first_goes_where_there_is_a_place_for_the_second() {
    let mut fleet = fleet().cluster("vienna", along(&[0, 100, 107]));
    fleet.apply(app("shop").service("db", db(), 1).service("web", web(), 1));
    fleet.run_until_running(2);
    let (db, web) = places(&fleet);
    assert!(![&db[0], &web[0]].contains(&&"vienna/fl-1".to_owned()), "{db:?} {web:?}");
}

#[test]
fn without_a_place_for_all_none_has_one_and_each_says_why() {
    let mut fleet = fleet().cluster("vienna", along(&[0, 100]));
    let shop = || app("shop").service("db", db(), 1).service("web", web(), 1);
    fleet.apply(shop());
    let said = |fleet: &World, slot: &str| fleet.slot(slot).reason.contains("as near to each other");
    fleet.run_until("both say why", |fleet| said(fleet, "db/0") && said(fleet, "web/0"));
    let reason = fleet.slot("web/0").reason;
    assert!(reason.contains("db/0 fits 2 of 2 members by itself"), "{reason}");
    assert_eq!(places(&fleet), (vec![], vec![]));
    shift(&mut fleet, "vienna/fl-2", 5);
    fleet.run_until_running(2);
}

#[test]
fn what_part_of_a_group_lacks_is_said_of_all() {
    let mut fleet = fleet().cluster("vienna", along(&[0, 5]));
    fleet.apply(app("shop").service("db", db(), 1).service("web", web().label("zone", "indoor"), 1));
    fleet.run_until("both say why", |fleet| {
        let lacks = |slot: &str| fleet.slot(slot).reason.contains("has no label zone");
        lacks("db/0") && lacks("web/0")
    });
    assert_eq!(places(&fleet), (vec![], vec![]));
}

#[test]
fn the_root_chooses_a_cluster_that_has_room_for_all() {
    let mut fleet = fleet().cluster("lisbon", along(&[0])).cluster("vienna", along(&[90, 95]));
    fleet.apply(app("shop").service("db", db(), 1).service("web", web(), 1));
    fleet.run_until_running(2);
    let (db, web) = places(&fleet);
    assert!(db[0].starts_with("vienna/") && web[0].starts_with("vienna/"), "{db:?} {web:?}");
}

#[test]
fn a_cluster_that_cannot_have_all_hands_all_back() {
    // To the root, the nodes of a cluster are one place.
    let mut fleet = fleet().cluster("lisbon", along(&[0, 300])).cluster("vienna", along(&[90, 95]));
    fleet.apply(app("shop").service("db", db(), 1).service("web", web(), 1));
    fleet.run_until_running(2);
    let (db, web) = places(&fleet);
    assert!(db[0].starts_with("vienna/") && web[0].starts_with("vienna/"), "{db:?} {web:?}");
}

#[test]
fn of_many_all_are_near_one() {
    let mut fleet = fleet().cluster("vienna", along(&[0, 100, 107, 300]));
    let web = bound_to("db", 10).memory("8Mi");
    fleet.apply(app("shop").service("db", db().on_node("fl-2"), 1).service("web", web, 30));
    fleet.run_until_running(31);
    let far = fleet.processes("web").iter().filter(|node| node.ends_with("1") || node.ends_with("4")).count();
    assert_eq!(far, 0);
}

#[test]
fn of_many_none_comes_before_the_first_one() {
    let mut fleet = fleet().cluster("vienna", along(&[0, 100]));
    let web = bound_to("db", 10).memory("1Mi").on_node("fl-1");
    let shop = |db: Spec| app("shop").service("db", db, 1).service("web", web.clone(), 30);
    fleet.apply(shop(db().on_node("fl-2")));
    fleet.run_until("the last one waits, too", |fleet| {
        fleet.slot("web/29").reason.contains("as near to each other")
    });
    assert_eq!(places(&fleet), (vec![], vec![]));
    fleet.apply(shop(db().on_node("fl-1")));
    fleet.run_until_running(31);
}

#[test]
fn two_that_are_bound_to_each_other_are_placed_at_once() {
    let mut fleet = fleet().cluster("vienna", along(&[0, 100, 107]));
    let mut db = db();
    db.0.connects = bound_to("web", 10).0.connects;
    fleet.apply(app("shop").service("db", db, 1).service("web", web().port("sql", None), 1));
    fleet.run_until_running(2);
}
