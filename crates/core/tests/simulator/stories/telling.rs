//! What people are told: why something is so, by whom it was replaced, and what the root knows from below.

use holm_core::node::NodeEvent;
use holm_core::orchestrator::command::{Command, Expected, Refusal};
use holm_model::member::Usage;
use holm_model::view::NodeView;

use super::forgetting::replace;
use crate::disk::Disk;
use crate::fleet::{app, fleet, key, nodes, steady};
use crate::world::{Orch, World};

/// The last change of each instance that an orchestrator has told since then, in order.
fn endings(fleet: &World, orch: Orch, from: usize) -> Vec<String> {
    let told = fleet.orchestrators[orch].disk.history.iter().skip(from);
    let ended = told.filter(|change| change.kind == "instance" && change.to == "TERMINATED");
    ended.map(|change| format!("{} {}", change.slot, change.reason)).collect()
}

#[test]
fn an_instance_that_was_replaced_names_its_successor() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    fleet.cut("root/fl-1");
    fleet.run_until_lines(&["web/0 DANGLING fl-1", "web/0 RUNNING fl-2"]);
    let (from, rows) = (fleet.orchestrators[0].disk.history.len(), fleet.rows());
    let successor = rows.iter().find(|row| row.state == "RUNNING").and_then(|row| row.id.clone()).unwrap();
    fleet.heal("root/fl-1");
    fleet.run_until_lines(&["web/0 RUNNING fl-2"]);
    fleet.run_secs(2);
    assert_eq!(endings(&fleet, 0, from), [format!("web/0 replaced by {successor}")]);
}

#[test]
fn below_a_cluster_it_does_so_at_both() {
    let mut fleet = fleet().cluster("vienna", nodes(2));
    let vienna = fleet.orch("vienna");
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    fleet.cut("vienna/fl-1");
    fleet.run_until_lines(&["web/0 DANGLING vienna/fl-1", "web/0 RUNNING vienna/fl-2"]);
    let from = [0, vienna].map(|orch| fleet.orchestrators[orch].disk.history.len());
    let rows = fleet.rows();
    let successor = rows.iter().find(|row| row.state == "RUNNING").and_then(|row| row.id.clone()).unwrap();
    fleet.heal("vienna/fl-1");
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-2"]);
    fleet.run_secs(2);
    for (orch, from) in [0, vienna].into_iter().zip(from) {
        assert_eq!(endings(&fleet, orch, from), [format!("web/0 replaced by {successor}")], "{orch}");
    }
}

#[test]
fn what_is_scaled_away_or_updated_says_so() {
    let mut fleet = fleet().node("fl-1");
    fleet.apply(app("shop").service("web", steady(), 2));
    fleet.run_until_running(2);
    let from = fleet.orchestrators[0].disk.history.len();
    fleet.scale("shop", "web", 1);
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    fleet.run_secs(2);
    assert_eq!(endings(&fleet, 0, from), ["web/1 it is not wanted any more"]);
    let from = fleet.orchestrators[0].disk.history.len();
    fleet.apply(app("shop").service("web", steady().version("2"), 1));
    fleet.run_until("the update", |fleet| {
        fleet.rows().iter().all(|row| row.state == "RUNNING") && !endings(fleet, 0, from).is_empty()
    });
    let generation = fleet.slot("web/0").generation;
    assert_eq!(endings(&fleet, 0, from), [format!("web/0 it makes room for generation {generation}")]);
}

#[test]
fn a_revoked_node_is_called_so_wherever_it_is_a_reason() {
    for (mut fleet, node) in
        [(fleet().node("fl-1"), "root/fl-1"), (fleet().cluster("vienna", nodes(1)), "vienna/fl-1")]
    {
        let (orch, member) = (fleet.orch(node.split('/').next().unwrap()), fleet.member_id(node));
        fleet.apply(app("shop").service("web", steady(), 1));
        fleet.run_until_running(1);
        fleet.command(orch, Command::RevokeMember { member }).unwrap();
        fleet.run_until("it is given up", |fleet| fleet.slot("web/0").state == "DANGLING");
        let reason = fleet.slot("web/0").reason;
        assert_eq!(reason, "its node was revoked; it may still run there", "{node}");
        fleet.apply(app("late").service("log", steady().on_node("fl-1"), 1));
        let late = |fleet: &World| fleet.rows().into_iter().find(|row| row.slot == "log/0").unwrap().reason;
        fleet.run_until("a reason", |fleet| !late(fleet).is_empty());
        if orch == 0 {
            assert_eq!(late(&fleet), "no place: fl-1: was revoked");
        }
        // Its facts are not known in this run.
        fleet.crash(fleet.who(node.split('/').next().unwrap()), false);
        fleet.run_secs(20);
        if orch == 0 {
            assert_eq!(late(&fleet), "no place: fl-1: was revoked", "after a restart");
        }
    }
}

#[test]
fn what_only_a_frozen_member_has_is_not_said_to_be_nowhere() {
    let mut fleet = fleet().node("edge");
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_running(1);
    replace(&mut fleet, Disk::default());
    assert_eq!(fleet.orchestrators[0].up().applications(), [], "the store knows nothing of it");
    for command in [
        Command::Delete { app: key("shop"), expected: Expected::Anything },
        Command::Confirm { app: key("shop") },
    ] {
        match fleet.command(0, command) {
            Err(Refusal::Frozen { member, .. }) => assert_eq!(member, "edge"),
            other => panic!("{other:?}"),
        }
    }
    let unknown = Command::Delete { app: key("nothing"), expected: Expected::Anything };
    assert!(matches!(fleet.command(0, unknown), Err(Refusal::NotFound { .. })));
}

#[test]
fn the_root_knows_what_is_free_below_and_when_it_was_heard() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    let vienna = fleet.orch("vienna");
    let free = |node: &NodeView| (node.cpu_free.clone(), node.memory_free.clone());
    let node = |fleet: &World, orch: Orch| fleet.orchestrators[orch].up().nodes().remove(0);
    fleet.apply(app("shop").service("web", steady().memory("200Mi"), 1));
    fleet.run_until_running(1);
    // As a node does every few seconds.
    let usage = Usage { cpu_millis: 7, memory: 1 << 20 };
    fleet.node_event(0, NodeEvent::NodeUsage(usage));
    fleet
        .run_until("it tells of its node again", |fleet| free(&node(fleet, 0)) == free(&node(fleet, vienna)));
    let (above, there) = (node(&fleet, 0), node(&fleet, vienna));
    assert_eq!(above.memory_free.as_deref(), Some("56Mi"));
    assert!(above.last_heard.is_some() && above.last_heard <= there.last_heard);
    fleet.cut("vienna/fl-1");
    fleet.run_secs(10);
    assert_eq!(node(&fleet, 0).last_heard, node(&fleet, vienna).last_heard, "silent: since when");
}
