//! Members that are removed: those that can be told end their work first.

use std::time::Duration;

use holm_core::orchestrator::command::{Command, Expected, Reply};
use holm_model::record::Table;
use holm_model::state::MemberState;
use holm_model::view::RemovalView;

use crate::fleet::{app, fleet, name, nodes, steady};
use crate::world::World;

fn remove(fleet: &mut World, member: &str) -> RemovalView {
    let member = fleet.member_id(member);
    match fleet.command(0, Command::RemoveMember { member }) {
        Ok(Reply::Removed(view)) => view,
        other => panic!("{other:?}"),
    }
}

fn slots(view: &RemovalView) -> Vec<&str> {
    view.instances.iter().map(|row| row.slot.as_str()).collect()
}

#[test]
fn a_node_that_hears_of_its_removal_ends_its_work_and_is_cut_off() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(app("shop").service("web", steady(), 1).per_node("log", steady()));
    fleet.run_until_lines(&["log/fl-1 RUNNING fl-1", "log/fl-2 RUNNING fl-2", "web/0 RUNNING fl-1"]);
    let view = remove(&mut fleet, "root/fl-1");
    assert_eq!((view.leaving, slots(&view)), (true, vec!["log/fl-1", "web/0"]));
    let leaving = &fleet.orchestrators[0].up().members()[0];
    assert!(leaving.leaving, "it is shown while it leaves");
    fleet.run_until_lines(&["log/fl-2 RUNNING fl-2", "web/0 RUNNING fl-2"]);
    assert_eq!((fleet.processes("web"), fleet.processes("log").len()), (vec!["root/fl-2".to_owned()], 1));
    assert_eq!(fleet.orchestrators[0].up().members().len(), 1);
    assert!(!fleet.orchestrators[0].revoked.serials.is_empty(), "its certificate is void");
}

#[test]
fn a_cluster_that_hears_of_it_keeps_what_is_its_own() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).node("edge");
    let vienna = fleet.orch("vienna");
    let (project, application) = (name("default"), app("own").service("log", steady(), 1).0);
    let own = Command::Apply { project, application, expected: Expected::Anything };
    fleet.command(vienna, own).unwrap();
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["log/0 RUNNING vienna/fl-1", "web/0 RUNNING vienna/fl-1"]);
    let view = remove(&mut fleet, "vienna");
    assert_eq!((view.leaving, slots(&view)), (true, vec!["web/0"]));
    fleet.run_until_lines(&["web/0 RUNNING edge"]);
    assert_eq!((fleet.processes("web"), fleet.processes("log").len()), (vec!["root/edge".to_owned()], 1));
}

#[test]
fn one_that_cannot_be_told_is_cut_off_at_once_and_may_go_on() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    fleet.cut("root/fl-1");
    fleet.run_secs(7);
    let view = remove(&mut fleet, "root/fl-1");
    assert_eq!((view.leaving, slots(&view)), (false, vec!["web/0"]));
    assert_eq!(fleet.orchestrators[0].up().members().len(), 1);
    fleet.run_until_lines(&["web/0 RUNNING fl-2"]);
}

#[test]
fn removing_twice_does_not_wait() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    fleet.pause(fleet.who("root/fl-1"), Duration::from_secs(60));
    assert!(remove(&mut fleet, "root/fl-1").leaving);
    fleet.run_secs(1);
    assert_eq!(fleet.orchestrators[0].up().members().len(), 2);
    assert!(!remove(&mut fleet, "root/fl-1").leaving);
    assert_eq!(fleet.orchestrators[0].up().members().len(), 1);
}

#[test]
fn one_that_falls_silent_while_it_leaves_is_cut_off() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    fleet.pause(fleet.who("root/fl-1"), Duration::from_secs(60));
    remove(&mut fleet, "root/fl-1");
    fleet.crash(fleet.who("root"), false);
    fleet.run_secs(5);
    fleet.run_until_lines(&["web/0 RUNNING fl-2"]);
    assert_eq!(fleet.orchestrators[0].up().members().len(), 1);
    fleet.run_secs(2);
    let told = fleet.orchestrators[0].disk.history.iter().rev();
    let mut told = told.map(|c| format!("{}: {} -> {}: {}", c.kind, c.from, c.to, c.reason));
    let instance = "-> DANGLING: its member was removed; it may still run there";
    assert!(told.clone().any(|change| change.ends_with(instance)), "{:#?}", told.collect::<Vec<_>>());
    let node = "node: offline -> removed: there may still run shop/web/0";
    assert!(told.any(|change| change == node));
}

#[test]
fn a_node_of_a_cluster_is_told_by_its_cluster() {
    let mut fleet = fleet().cluster("vienna", nodes(2));
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    let view = remove(&mut fleet, "vienna/fl-1");
    assert_eq!((view.leaving, slots(&view)), (true, vec!["web/0"]));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-2"]);
    assert_eq!(fleet.processes("web"), ["vienna/fl-2"]);
}

#[test]
fn a_revoked_node_cannot_be_told_and_is_cut_off_at_once() {
    let mut fleet = fleet().cluster("vienna", nodes(2)).node("edge");
    fleet.apply(app("shop").service("web", steady().on_node("edge"), 1));
    fleet.apply(app("own").service("log", steady().on_node("fl-1"), 1));
    fleet.run_until_lines(&["log/0 RUNNING vienna/fl-1", "web/0 RUNNING edge"]);
    for (node, slot) in [("root/edge", "web/0"), ("vienna/fl-1", "log/0")] {
        let member = fleet.member_id(node);
        fleet.command(0, Command::RevokeMember { member }).unwrap();
        let view = remove(&mut fleet, node);
        assert_eq!((view.leaving, slots(&view)), (false, vec![slot]), "{node}");
    }
    fleet.run_secs(2);
    let known: Vec<_> = fleet.orchestrators[0].up().nodes().into_iter().map(|node| node.name).collect();
    assert_eq!(known, ["fl-2"]);
}

#[test]
fn a_revoked_node_is_offline_at_once_for_everybody() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    let (vienna, member) = (fleet.orch("vienna"), fleet.member_id("vienna/fl-1"));
    fleet.command(vienna, Command::RevokeMember { member }).unwrap();
    fleet.run_secs(1);
    for orch in [0, vienna] {
        assert_eq!(fleet.orchestrators[orch].up().nodes()[0].state, MemberState::Offline);
    }
    let revoked = |fleet: &World| fleet.orchestrators[vienna].up().members()[0].revoked;
    assert!(revoked(&fleet), "and is shown as what it is");
    fleet.crash(fleet.who("vienna"), false);
    fleet.run_secs(10);
    assert!(revoked(&fleet), "after a restart, too");
    assert!(!remove(&mut fleet, "vienna/fl-1").leaving);
}

/// What the root's history says of the application's instances, from here on.
fn told_of_instances(fleet: &World, from: usize) -> Vec<String> {
    let told = fleet.orchestrators[0].disk.history.iter().skip(from).filter(|c| c.kind == "instance");
    told.map(|c| format!("{} {} -> {}: {}", c.slot, c.from, c.to, c.reason)).collect()
}

#[test]
fn what_may_still_run_below_a_cluster_is_not_said_to_be_gone() {
    // Whether the root hears it at once, when the cluster's link is back, or when it has restarted as well.
    for (alone, restarted) in [(false, false), (true, false), (true, true)] {
        let mut fleet = fleet().cluster("vienna", nodes(2));
        let (vienna, member) = (fleet.orch("vienna"), fleet.member_id("vienna/fl-1"));
        fleet.apply(app("shop").service("web", steady().on_node("fl-1"), 1));
        fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
        fleet.run_secs(3);
        let from = fleet.orchestrators[0].disk.history.len();
        fleet.cut("vienna/fl-1");
        if alone {
            fleet.cut("vienna");
        }
        fleet.run_secs(4);
        fleet.command(vienna, Command::RemoveMember { member }).unwrap();
        fleet.run_secs(4);
        if restarted {
            fleet.crash(fleet.who("vienna"), false);
            fleet.run_secs(5);
        }
        fleet.heal("vienna");
        fleet.run_until("the row goes", |fleet| fleet.rows().iter().all(|row| row.id.is_none()));
        fleet.run_secs(2);
        let instance = "web/0 RUNNING -> DANGLING: its member was removed; it may still run there";
        let told = told_of_instances(&fleet, from);
        assert_eq!(told.last().map(String::as_str), Some(instance), "{told:?}");
        // A cluster that is away for long is silent itself.
        assert!(told.len() == 1 || restarted && told.len() == 2, "alone: {alone}, {told:?}");
        fleet.run_secs(10);
        assert_eq!(
            fleet.orchestrators[vienna].disk.texts(Table::Fact),
            Vec::<String>::new(),
            "and is forgotten"
        );
    }
}

#[test]
fn nor_is_what_was_silent_before() {
    let mut fleet = fleet().cluster("vienna", nodes(2));
    let (vienna, member) = (fleet.orch("vienna"), fleet.member_id("vienna/fl-1"));
    fleet.apply(app("shop").service("web", steady().on_node("fl-1"), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    fleet.cut("vienna/fl-1");
    fleet.run_until_lines(&["web/0 DANGLING vienna/fl-1"]);
    fleet.run_secs(2);
    let from = fleet.orchestrators[0].disk.history.len();
    fleet.command(vienna, Command::RemoveMember { member }).unwrap();
    fleet.run_secs(4);
    let instance = "web/0 DANGLING -> DANGLING: its member was removed; it may still run there";
    assert_eq!(told_of_instances(&fleet, from), [instance]);
}
