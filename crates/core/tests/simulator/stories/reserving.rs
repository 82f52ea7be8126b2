//! Groups that no cluster can hold: several clusters keep room for their parts, and all of it starts, or nothing.

use std::time::Duration;

use holm_core::orchestrator::command::{Command, Expected};

use holm_model::record::Table;

use super::latency::{along, bound_to};
use crate::fleet::{App, Spec, app, fleet, name, seeded, steady};
use crate::world::{Weather, World};

/// As large as a node nearly: two are on two nodes.
fn large(spec: Spec) -> Spec {
    spec.memory("200Mi")
}

/// `web` at most 10 ms from `db`.
fn shop() -> App {
    app("shop").service("db", large(steady().port("sql", None)), 1).service(
        "web",
        large(bound_to("db", 10)),
        1,
    )
}

/// One node each, 5 ms from each other.
fn two_clusters() -> World {
    fleet().cluster("lisbon", along(&[0])).cluster("vienna", along(&[5]))
}

fn running(fleet: &World) -> usize {
    fleet.processes("db").len() + fleet.processes("web").len()
}

/// Nothing runs for so many seconds.
fn stays_empty(fleet: &mut World, seconds: u64) {
    for _ in 0..seconds * 10 {
        fleet.run_for(Duration::from_millis(100));
        assert_eq!(running(fleet), 0, "{:#?}", fleet.lines());
    }
}

/// An application of the cluster's own takes what room there is.
fn apply_at(fleet: &mut World, cluster: &str, application: App) {
    let (project, application) = (name("default"), application.0);
    let command = Command::Apply { project, application, expected: Expected::Anything };
    fleet.command(fleet.orch(cluster), command).unwrap();
}

#[test]
fn what_no_cluster_holds_goes_to_several() {
    let mut fleet = two_clusters();
    fleet.apply(shop());
    fleet.run_until_running(2);
    assert_ne!(fleet.processes("db"), fleet.processes("web"));
}

#[test]
fn nodes_of_the_root_are_one_of_several_places() {
    let mut fleet = fleet().cluster("lisbon", along(&[0]));
    fleet.join_node("root", "fl-9", along(&[4]).remove(0).1).unwrap();
    fleet.run_secs(3);
    fleet.apply(shop());
    fleet.run_until_running(2);
}

/// It is told of the group, and cannot say so.
#[test]
fn while_a_cluster_is_silent_nothing_starts_and_the_room_is_given_back() {
    for cut_after in [0, 5, 10, 20, 40, 80, 160] {
        let mut fleet = two_clusters();
        fleet.apply(shop());
        fleet.run_for(Duration::from_millis(cut_after));
        fleet.cut("vienna");
        let before = running(&fleet);
        fleet.run_secs(30);
        // Either all had room, and were told to start or soon are; or nothing starts.
        if running(&fleet) == 0 {
            assert_eq!(before, 0);
            apply_at(&mut fleet, "lisbon", app("other").service("x", large(steady()), 1));
            fleet.run_until("the room is free", |fleet| fleet.processes("x") == ["lisbon/fl-1"]);
            let delete = Command::Delete { app: crate::fleet::key("other"), expected: Expected::Anything };
            fleet.command(fleet.orch("lisbon"), delete).unwrap();
        }
        fleet.heal("vienna");
        fleet.run_until_running(2);
    }
}

#[test]
fn both_clusters_give_the_room_back_while_the_root_is_away() {
    let mut fleet = two_clusters();
    fleet.apply(shop());
    let reserved = |fleet: &World| fleet.slot("db/0").reason.contains("keeps room for it");
    for _ in 0..2_000 {
        if reserved(&fleet) {
            break;
        }
        fleet.run_for(Duration::from_millis(1));
    }
    assert!(reserved(&fleet), "{:#?}", fleet.rows());
    fleet.cut("lisbon");
    fleet.cut("vienna");
    stays_empty(&mut fleet, 20);
    for cluster in ["lisbon", "vienna"] {
        apply_at(&mut fleet, cluster, app(cluster).service(cluster, large(steady()), 1));
        fleet.run_until("the room is free", |fleet| fleet.processes(cluster).len() == 1);
    }
    fleet.heal("lisbon");
    fleet.heal("vienna");
    stays_empty(&mut fleet, 60);
}

#[test]
fn whoever_finds_no_place_for_both_may_have_one_for_one() {
    let mut fleet = fleet().cluster("lisbon", along(&[0, 300])).cluster("vienna", along(&[5]));
    fleet.apply(shop());
    fleet.run_until_running(2);
    let mut both = fleet.processes("db");
    both.extend(fleet.processes("web"));
    both.sort();
    assert_eq!(both, ["lisbon/fl-1", "vienna/fl-1"]);
}

/// By what the root knows it is near enough, but the node that has room is not.
#[test]
fn what_is_too_far_after_all_does_not_start_and_says_why() {
    let mut lisbon = along(&[0, 300]);
    lisbon[0].1 = crate::member::facts(16);
    lisbon[0].1.coordinate = along(&[0])[0].1.coordinate;
    let mut fleet = fleet().cluster("lisbon", lisbon).cluster("vienna", along(&[5]));
    fleet.apply(shop());
    fleet.run_until("it says why", |fleet| fleet.rows().iter().any(|row| row.reason.contains("by estimate")));
    stays_empty(&mut fleet, 60);
    super::latency::shift(&mut fleet, "lisbon/fl-2", 0);
    fleet.run_until_running(2);
}

#[test]
fn who_is_to_be_something_else_meanwhile_leaves_nothing_behind() {
    let mut fleet = two_clusters();
    fleet.apply(shop());
    fleet.run_for(Duration::from_millis(30));
    let small = |spec: Spec| spec.memory("8Mi");
    let both = app("shop").service("db", small(steady().port("sql", None)), 1);
    fleet.apply(both.service("web", small(bound_to("db", 10)), 1));
    fleet.run_until_running(2);
    assert_eq!(fleet.processes("db"), fleet.processes("web"));
    fleet.delete("shop");
    fleet.run_until_lines(&[]);
}

/// Links break at messages, commits fail, and whoever it is dies at any moment, also between two effects: what starts has
/// the other one's room at the other cluster, whatever becomes of the way there.
#[test]
fn whatever_breaks_nothing_starts_before_all_have_room() {
    let mut halves = 0;
    for seed in 0..60 {
        let mut fleet = seeded(seed).cluster("lisbon", along(&[0])).cluster("vienna", along(&[5]));
        fleet.apply(shop());
        (fleet.weather.breaks, fleet.weather.crash, fleet.weather.full_disk) = (60, 20, 20);
        for step in 0..3_000_u64 {
            if step == seed && seed % 2 == 0 {
                fleet.cut("vienna");
            }
            fleet.run_for(Duration::from_millis(10));
            if running(&fleet) == 1 {
                halves += 1;
                let keeps = |orch: usize| !fleet.orchestrators[orch].disk.texts(Table::Placement).is_empty();
                assert!(keeps(1) && keeps(2), "seed {seed}, step {step}");
            }
        }
        fleet.weather = Weather::default();
        fleet.heal("vienna");
        // Whoever has crashed comes back.
        fleet.run_secs(30);
        fleet.run_until_running(2);
    }
    assert!(halves > 0);
}
