//! Other specifications: what runs is given up only when its successor has a place.

use std::time::Duration;

use holm_core::orchestrator::command::{Command, Expected};
use holm_model::name::Name;
use holm_model::state::{RunState, ServiceState};

use crate::fleet::{App, Spec, app, fleet, key, nodes, program, sized, steady};
use crate::world::World;

/// Applies it, and sees that so many copies run at every moment of the next 40 seconds.
fn apply_watched(fleet: &mut World, spec: Spec, replicas: u32, fewest: usize) {
    fleet.apply(app("shop").service("web", spec, replicas));
    for _ in 0..400 {
        fleet.run_for(Duration::from_millis(100));
        let running = fleet.processes("web").len();
        assert!(running >= fewest, "{running} run, {fewest} would have to: {:#?}", fleet.lines());
    }
}

/// An update that fits nowhere: all stays, it is said why, and the next specification that fits is taken.
fn nowhere(mut fleet: World, spec: Spec, why: &str) {
    fleet.apply(app("shop").service("web", steady().memory("50Mi"), 3));
    fleet.run_until_running(3);
    let before: Vec<_> = fleet.rows().into_iter().map(|row| row.id).collect();
    apply_watched(&mut fleet, spec, 3, 3);
    let rows = fleet.rows();
    assert_eq!(rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>(), before);
    let told: Vec<_> = rows.iter().map(|row| row.reason.as_str()).filter(|told| !told.is_empty()).collect();
    assert_eq!(told.len(), 1, "the first slot halts it: {rows:#?}");
    assert!(told[0].starts_with("generation 2 waits, and this one stays: "), "{told:?}");
    assert!(told[0].contains(why), "{told:?}");
    assert_eq!(fleet.orchestrators[0].up().applications()[0].state, ServiceState::Updating);

    apply_watched(&mut fleet, steady().memory("60Mi"), 3, 2);
    fleet.run_until_running(3);
    assert!(fleet.rows().iter().all(|row| row.generation == 3 && row.reason.is_empty()));
}

fn vm() -> Spec {
    let mut spec = steady();
    spec.0.runtime = Name::new("vm").unwrap();
    spec
}

#[test]
fn one_that_fits_nowhere_stops_nothing() {
    nowhere(fleet().node("fl-1").node("fl-2"), steady().memory("64Gi"), "64GiB asked");
    nowhere(fleet().node("fl-1").node("fl-2"), vm(), "has no runtime `vm`");
}

#[test]
fn nor_does_it_below_clusters() {
    let clusters = || fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1));
    nowhere(clusters(), steady().memory("64Gi"), "64GiB asked");
    nowhere(clusters(), vm(), "has no runtime `vm`");
}

#[test]
fn nor_where_each_node_has_one() {
    let mut fleet = fleet().cluster("vienna", nodes(2)).node("edge");
    fleet.apply(app("shop").per_node("web", steady()));
    fleet.run_until_running(3);
    fleet.apply(app("shop").per_node("web", steady().memory("64Gi")));
    fleet.run_secs(40);
    assert_eq!(fleet.processes("web").len(), 3);
    assert_eq!(fleet.rows().len(), 3, "{:#?}", fleet.lines());
    assert!(fleet.rows().iter().any(|row| row.reason.contains("64GiB asked")), "{:#?}", fleet.rows());
}

#[test]
fn one_that_fits_once_the_old_is_gone_goes_slot_by_slot() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    let spec = |version| steady().memory("200Mi").port("http", Some(80)).version(version);
    fleet.apply(app("shop").service("web", spec("1"), 2));
    fleet.run_until_running(2);
    apply_watched(&mut fleet, spec("2"), 2, 1);
    fleet.run_until_running(2);
    assert!(fleet.rows().iter().all(|row| row.generation == 2));
}

#[test]
fn one_that_its_node_is_too_small_for_runs_elsewhere_first() {
    for fleet in [
        fleet().cluster("vienna", sized(&[128, 256])),
        fleet().cluster("vienna", sized(&[128])).cluster("munich", sized(&[256])),
    ] {
        let mut fleet = fleet;
        fleet.apply(app("shop").service("web", steady().memory("100Mi"), 1));
        fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
        apply_watched(&mut fleet, steady().memory("200Mi"), 1, 1);
        fleet.run_until_running(1);
        assert_eq!((fleet.rows()[0].generation, fleet.processes("web").len()), (2, 1));
    }
}

#[test]
fn one_that_waits_goes_on_as_soon_as_there_is_room() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    fleet.apply(app("shop").service("web", steady().memory("50Mi"), 1));
    fleet.apply(app("other").service("log", steady().memory("150Mi"), 1));
    fleet.run_until_running(2);
    apply_watched(&mut fleet, steady().memory("150Mi"), 1, 1);
    assert_eq!(fleet.slot("web/0").generation, 1);
    fleet.delete("other");
    fleet.run_until_running(1);
    fleet.run_until("it is updated", |fleet| fleet.rows().iter().all(|row| row.generation == 2));
}

#[test]
fn what_has_run_for_long_is_updated_slot_by_slot_over_a_restart_too() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(app("shop").service("web", steady().memory("100Mi").version("1"), 4));
    fleet.run_until_running(4);
    fleet.run_secs(60);
    fleet.apply(app("shop").service("web", steady().memory("100Mi").version("2"), 4));
    let mut fewest = 4;
    for moment in 0..400 {
        if moment % 60 == 1 && moment < 300 {
            fleet.crash(fleet.who("root"), false);
        }
        fleet.run_for(Duration::from_millis(100));
        fewest = fewest.min(fleet.processes("web").len());
    }
    assert_eq!(fewest, 3, "one at a time");
    fleet.run_until_running(4);
    assert!(fleet.rows().iter().all(|row| row.generation == 2));
}

#[test]
fn whether_it_runs_does_not_wait_for_the_update() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).node("edge");
    fleet.apply(app("shop").service("web", steady().memory("50Mi"), 2));
    fleet.run_until_running(2);
    fleet.apply(app("shop").service("web", steady().memory("64Gi"), 2));
    fleet.run_secs(20);
    for (run, state) in [(RunState::Pause, "PAUSED"), (RunState::Run, "RUNNING")] {
        let patch = Command::Patch {
            app: key("shop"),
            service: None,
            replicas: None,
            run: Some(run),
            restart: false,
            expected: Expected::Anything,
        };
        fleet.command(0, patch).unwrap();
        fleet.run_until(state, |fleet| fleet.rows().iter().all(|row| row.state == state));
        assert!(fleet.rows().iter().all(|row| row.generation == 1 && row.incarnation == 1));
    }
}

/// What cannot run is tried in one slot; the others stay as they are, and the next manifest goes on from there.
fn halts_after_one(mut fleet: World, bad: &[&str], apply: impl Fn(Spec) -> App, copies: usize) {
    fleet.apply(apply(steady()));
    fleet.run_until_running(copies);
    fleet.apply(apply(program(bad)));
    for moment in 0..1200 {
        if moment == 450 {
            // Who starts anew does not forget that it has failed.
            fleet.crash(fleet.who("root"), false);
            fleet.run_secs(6);
        }
        fleet.run_for(Duration::from_millis(100));
        let old =
            fleet.rows().into_iter().filter(|row| row.generation == 1 && row.state == "RUNNING").count();
        assert!(old >= copies - 1, "{:#?}", fleet.rows());
    }
    let rows = fleet.rows();
    assert_eq!(rows.iter().filter(|row| row.generation == 2).count(), 1, "{rows:#?}");
    for row in rows.iter().filter(|row| row.generation == 1) {
        assert!(row.reason.starts_with("generation 2 failed at web/"), "{row:?}");
        assert!(row.reason.ends_with("; the others stay at generation 1"), "{row:?}");
    }
    fleet.apply(apply(steady().version("3")));
    fleet.run_until("all are updated", |fleet| {
        let rows = fleet.rows();
        rows.len() == copies && rows.iter().all(|row| row.generation == 3 && row.state == "RUNNING")
    });
    assert!(fleet.rows().iter().all(|row| row.reason.is_empty()));
}

#[test]
fn one_that_cannot_run_halts_after_the_first_slot() {
    let three = |spec| app("shop").service("web", spec, 3);
    for bad in [&["crash", "1"][..], &["crash", "800"]] {
        halts_after_one(fleet().node("fl-1").node("fl-2"), bad, three, 3);
        halts_after_one(fleet().cluster("vienna", nodes(2)), bad, three, 3);
        halts_after_one(fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1)), bad, three, 3);
    }
}

#[test]
fn one_that_cannot_run_halts_after_the_first_node() {
    let each = |spec| app("shop").per_node("web", spec);
    halts_after_one(fleet().node("fl-1").node("fl-2"), &["crash", "1"], each, 2);
    let clusters = fleet().cluster("vienna", nodes(2)).cluster("munich", nodes(2)).node("edge");
    halts_after_one(clusters, &["crash", "1"], each, 5);
}

#[test]
fn a_halted_update_goes_on_when_the_slot_settles() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(app("shop").service("web", steady(), 2));
    fleet.run_until_running(2);
    fleet.weather.launch_fails = 1000;
    fleet.apply(app("shop").service("web", steady().version("2"), 2));
    fleet.run_secs(60);
    assert_eq!(fleet.processes("web").len(), 1);
    fleet.weather.launch_fails = 0;
    let patch = Command::Patch {
        app: key("shop"),
        service: None,
        replicas: None,
        run: None,
        restart: true,
        expected: Expected::Anything,
    };
    fleet.command(0, patch).unwrap();
    fleet.run_until_running(2);
    fleet.run_until("it goes on", |fleet| fleet.rows().iter().all(|row| row.generation == 2));
}

fn told_waiting(fleet: &World) -> Vec<(String, String)> {
    let history = &fleet.orchestrators[0].disk.history;
    let waiting = history.iter().filter(|change| change.to == "waiting");
    waiting.map(|change| (change.slot.clone(), change.reason.clone())).collect()
}

/// Back to what runs while the update waits: nothing is touched, however often.
fn goes_back(mut fleet: World, apply: impl Fn(Spec) -> App, copies: usize) {
    fleet.apply(apply(steady().memory("50Mi")));
    fleet.run_until_running(copies);
    let lives = |fleet: &World| {
        fleet.rows().into_iter().map(|row| (row.id, row.incarnation, row.since)).collect::<Vec<_>>()
    };
    let before = lives(&fleet);
    for round in 1..=2 {
        fleet.apply(apply(steady().memory("64Gi")));
        fleet.run_secs(20);
        let told = told_waiting(&fleet);
        assert_eq!(told.len(), round, "once each: {told:#?}");
        assert!(told[0].1.contains("64GiB asked"), "{told:?}");
        fleet.apply(apply(steady().memory("50Mi")));
        for _ in 0..300 {
            fleet.run_for(Duration::from_millis(100));
            assert_eq!(lives(&fleet), before, "{:#?}", fleet.rows());
        }
        let rows = fleet.rows();
        assert!(rows.iter().all(|row| row.reason.is_empty() && row.state == "RUNNING"), "{rows:#?}");
        let generation = 1 + 2 * round as u64;
        assert!(rows.iter().all(|row| row.generation == generation), "{rows:#?}");
        assert_eq!(fleet.orchestrators[0].up().applications()[0].state, ServiceState::Running);
    }
}

#[test]
fn going_back_to_what_runs_touches_nothing() {
    let three = |spec| app("shop").service("web", spec, 3);
    let each = |spec| app("shop").per_node("web", spec);
    goes_back(fleet().node("fl-1").node("fl-2"), three, 3);
    goes_back(fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1)), three, 3);
    goes_back(fleet().node("fl-1").node("fl-2"), each, 2);
}

#[test]
fn what_is_said_of_a_slot_is_about_its_specification() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1));
    fleet.apply(app("shop").service("web", steady(), 3));
    fleet.run_until_running(3);
    fleet.apply(app("shop").service("web", steady().memory("64Gi"), 3));
    fleet.run_secs(40);
    fleet.apply(app("shop").service("web", program(&["crash", "1"]), 3));
    for _ in 0..800 {
        fleet.run_for(Duration::from_millis(50));
        for row in fleet.rows() {
            assert!(!row.reason.contains("GiB") && !row.reason.contains("silent"), "{row:?}");
        }
    }
}
