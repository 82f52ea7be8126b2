//! What happens when members are lost, and when they come back.

use std::time::Duration;

use holm_core::node::NodeEvent;
use holm_core::orchestrator::InstanceFilter;
use holm_core::orchestrator::command::{Command, Expected};
use holm_model::id::Epoch;
use holm_model::record::Table;
use holm_model::state::MemberState;
use holm_model::view::NodeView;

use crate::fleet::{app, fleet, name, nodes, steady};
use crate::world::Who;

#[test]
fn a_lost_worker_is_replaced_and_its_surplus_is_gone_when_it_returns() {
    let mut fleet = fleet().cluster("vienna", nodes(2));
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    let first = fleet.slot("web/0").id;

    fleet.cut("vienna/fl-1");
    fleet.run_secs(10);
    assert_eq!(fleet.lines(), ["web/0 RUNNING vienna/fl-1"], "a lost link is no lost node");
    fleet.run_until_lines(&["web/0 DANGLING vienna/fl-1", "web/0 RUNNING vienna/fl-2"]);
    assert_eq!(fleet.processes("web"), ["vienna/fl-1", "vienna/fl-2"], "nobody can stop what is cut off");

    fleet.heal("vienna/fl-1");
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-2"]);
    assert_ne!(fleet.slot("web/0").id, first, "the replacement stays");
    fleet.run_until("the surplus ends", |fleet| fleet.processes("web") == ["vienna/fl-2"]);
}

#[test]
fn a_lost_worker_without_replacement_is_taken_back() {
    let mut fleet = fleet().node("fl-1");
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    fleet.cut("root/fl-1");
    fleet.run_until_lines(&["web/0 DANGLING fl-1"]);
    fleet.heal("root/fl-1");
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    assert_eq!(fleet.slot("web/0").incarnation, 1, "nothing was started anew");
}

#[test]
fn a_lost_worker_of_a_cluster_without_replacement_is_taken_back() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    fleet.apply(app("shop").service("web", steady(), 2));
    fleet.run_until_running(2);
    let before: Vec<_> = fleet.rows().into_iter().map(|row| (row.id, row.incarnation)).collect();
    fleet.cut("vienna/fl-1");
    fleet.run_until_lines(&["web/0 DANGLING vienna/fl-1", "web/1 DANGLING vienna/fl-1"]);
    fleet.run_secs(60);
    assert_eq!(fleet.lines(), ["web/0 DANGLING vienna/fl-1", "web/1 DANGLING vienna/fl-1"]);
    fleet.heal("vienna/fl-1");
    fleet.run_until_running(2);
    fleet.run_secs(30);
    let after: Vec<_> = fleet.rows().into_iter().map(|row| (row.id, row.incarnation)).collect();
    assert_eq!(before, after, "nothing was started anew");
}

#[test]
fn it_is_taken_back_although_everybody_above_restarted_meanwhile() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    let before = fleet.slot("web/0").id;
    fleet.cut("vienna/fl-1");
    for who in ["vienna", "root", "vienna"] {
        fleet.run_until_lines(&["web/0 DANGLING vienna/fl-1"]);
        fleet.run_secs(20);
        fleet.crash(fleet.who(who), false);
        fleet.run_secs(30);
    }
    fleet.heal("vienna/fl-1");
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    let row = fleet.slot("web/0");
    assert_eq!((row.id, row.incarnation), (before, 1), "nothing was started anew");
}

#[test]
fn a_lost_cluster_without_replacement_is_taken_back() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    let before = fleet.slot("web/0").id;
    fleet.cut("vienna");
    fleet.run_until_lines(&["web/0 DANGLING vienna/fl-1"]);
    fleet.run_secs(20);
    fleet.heal("vienna");
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    let row = fleet.slot("web/0");
    assert_eq!((row.id, row.incarnation), (before, 1), "nothing was started anew");
}

#[test]
fn what_a_cluster_cannot_replace_is_replaced_by_another_that_comes_later() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    fleet.cut("vienna/fl-1");
    fleet.run_until_lines(&["web/0 DANGLING vienna/fl-1"]);
    fleet.run_secs(40);
    let mut fleet = fleet.cluster("munich", nodes(1));
    fleet.run_until("munich runs it", |fleet| fleet.processes("web").contains(&"munich/fl-1".to_owned()));
    fleet.heal("vienna/fl-1");
    fleet.run_until_lines(&["web/0 RUNNING munich/fl-1"]);
    fleet.run_until("the surplus ends", |fleet| fleet.processes("web") == ["munich/fl-1"]);
}

#[test]
fn a_lost_cluster_is_replaced_on_another_one() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1));
    fleet.apply(app("shop").service("web", steady(), 2));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1", "web/1 RUNNING vienna/fl-1"]);
    fleet.cut("vienna");
    fleet.run_until("munich runs both", |fleet| {
        fleet.processes("web").iter().filter(|path| *path == "munich/fl-1").count() == 2
    });
    fleet.heal("vienna");
    fleet.run_until_lines(&["web/0 RUNNING munich/fl-1", "web/1 RUNNING munich/fl-1"]);
    fleet.run_until("the surplus ends", |fleet| fleet.processes("web").len() == 2);
}

#[test]
fn a_cluster_without_its_root_goes_on_and_heals() {
    let mut fleet = fleet().cluster("vienna", nodes(2));
    fleet.apply(app("shop").service("web", steady(), 2));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1", "web/1 RUNNING vienna/fl-1"]);
    fleet.cut("vienna");
    fleet.crash(Who::Orchestrator(fleet.orch("vienna")), true);
    fleet.run_secs(5);
    fleet.cut("vienna/fl-1");
    fleet.run_until("vienna heals", |fleet| {
        fleet.processes("web").iter().filter(|path| *path == "vienna/fl-2").count() == 2
    });
    fleet.heal("vienna");
    fleet.heal("vienna/fl-1");
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-2", "web/1 RUNNING vienna/fl-2"]);
    fleet.run_until("the surplus ends", |fleet| fleet.processes("web").len() == 2);
}

#[test]
fn a_node_without_its_orchestrator_starts_its_work_after_a_reboot() {
    let mut fleet = fleet().node("fl-1");
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    fleet.cut("root/fl-1");
    fleet.crash(fleet.who("root/fl-1"), true);
    assert_eq!(fleet.processes("web").len(), 0);
    fleet.run_secs(8);
    assert_eq!(fleet.processes("web"), ["root/fl-1"]);
}

#[test]
fn restarts_of_root_cluster_and_agent_touch_no_process() {
    let mut fleet = fleet().cluster("vienna", nodes(2)).node("edge");
    fleet.apply(app("shop").service("web", steady().memory("100Mi"), 5));
    fleet.run_until_running(5);
    let before: Vec<_> = fleet.rows().into_iter().map(|row| (row.id, row.incarnation)).collect();
    for who in ["root", "vienna", "vienna/fl-1", "root/edge"] {
        fleet.crash(fleet.who(who), false);
        fleet.run_secs(10);
    }
    let after: Vec<_> = fleet.rows().into_iter().map(|row| (row.id, row.incarnation)).collect();
    assert_eq!(before, after);
}

#[test]
fn after_a_pause_of_its_own_an_orchestrator_waits_anew() {
    let mut fleet = fleet().cluster("vienna", nodes(2));
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    let vienna = fleet.orch("vienna");
    fleet.cut("vienna/fl-1");
    fleet.pause(Who::Orchestrator(vienna), Duration::from_secs(60));
    fleet.run_secs(50);
    assert_eq!(fleet.lines(), ["web/0 DANGLING vienna/fl-1"], "the root heard nothing of vienna");
    fleet.run_secs(14);
    fleet.heal("vienna/fl-1");
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    assert_eq!(fleet.processes("web"), ["vienna/fl-1"], "nothing was replaced");
}

#[test]
fn what_a_removed_member_ran_is_placed_elsewhere() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).node("edge");
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    let member = fleet.member_id("vienna");
    fleet.command(0, Command::RemoveMember { member }).unwrap();
    fleet.run_until_lines(&["web/0 RUNNING edge"]);
}

#[test]
fn a_surplus_copy_ends_although_the_cluster_that_replaced_it_has_lost_a_node_of_its_own() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(2));
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    fleet.cut("vienna");
    fleet.run_until("munich replaces it", |fleet| fleet.processes("web").contains(&"munich/fl-1".to_owned()));
    fleet.cut("munich/fl-1");
    fleet.run_until("and heals", |fleet| fleet.processes("web").contains(&"munich/fl-2".to_owned()));
    fleet.heal("vienna");
    fleet.run_until_lines(&["web/0 DANGLING munich/fl-1", "web/0 RUNNING munich/fl-2"]);
    assert_eq!(fleet.processes("web"), ["munich/fl-1", "munich/fl-2"]);
}

#[test]
fn a_node_that_is_away_while_its_cluster_restarts_is_listed_as_offline() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    let vienna = fleet.orch("vienna");
    fleet.cut("vienna/fl-1");
    fleet.crash(Who::Orchestrator(vienna), false);
    fleet.run_secs(20);
    for orch in [0, vienna] {
        let nodes = fleet.orchestrators[orch].up().nodes();
        let rows: Vec<_> = nodes.iter().map(|node| (node.name.as_str(), node.state)).collect();
        assert_eq!(rows, [("fl-1", MemberState::Offline)]);
    }
    let (project, application) = (name("default"), app("own").service("log", steady(), 1).0);
    fleet.command(vienna, Command::Apply { project, application, expected: Expected::Anything }).unwrap();
    let rows = fleet.orchestrators[vienna].up().instances(&InstanceFilter::default());
    assert_eq!(rows[0].reason, "no place: fl-1: is offline");
}

#[test]
fn a_node_that_is_away_while_its_orchestrator_restarts_keeps_its_facts() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    let vienna = fleet.orch("vienna");
    fleet.cut("vienna/fl-1");
    fleet.run_secs(10);
    let before = fleet.orchestrators[vienna].up().nodes().remove(0);
    assert_eq!((before.state, before.last_heard.is_some()), (MemberState::Offline, true));
    fleet.crash(Who::Orchestrator(vienna), false);
    fleet.run_secs(20);
    let after = fleet.orchestrators[vienna].up().nodes().remove(0);
    let before = NodeView { usage: after.usage, ..before };
    assert_eq!(after, before);
    let above = fleet.orchestrators[0].up().nodes().remove(0);
    assert_eq!((above.state, &above.facts, &above.memory), (before.state, &before.facts, &before.memory));
}

#[test]
fn what_was_heard_last_of_a_member_is_known_after_a_restart() {
    let mut fleet = fleet().node("fl-1");
    let node = |fleet: &crate::world::World| fleet.orchestrators[0].up().nodes().remove(0);
    // Nothing has changed for an hour when both lose their power.
    fleet.run_secs(3600);
    fleet.cut("root/fl-1");
    let heard = node(&fleet).last_heard.unwrap();
    fleet.crash(Who::Orchestrator(0), true);
    fleet.run_secs(20);
    let told = node(&fleet).last_heard.unwrap();
    assert!(told <= heard && heard.0 - told.0 <= 130_000, "{told:?} of {heard:?}");
    // One that is stopped and not killed knows it to the moment.
    fleet.heal("root/fl-1");
    fleet.run_secs(130);
    fleet.cut("root/fl-1");
    let heard = node(&fleet).last_heard;
    fleet.stop(Who::Orchestrator(0));
    fleet.run_secs(20);
    assert_eq!(node(&fleet).last_heard, heard);
    // A node that was removed leaves nothing behind.
    let member = fleet.member_id("root/fl-1");
    fleet.command(0, Command::RemoveMember { member }).unwrap();
    fleet.run_secs(3);
    assert_eq!(fleet.orchestrators[0].disk.texts(Table::Seen), Vec::<String>::new());
}

#[test]
fn a_runtime_that_comes_and_goes_is_an_event_above_and_ends_nothing() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    fleet.apply(app("shop").per_node("log", steady()).service("web", steady(), 1));
    fleet.run_until_running(2);
    let before = fleet.rows();
    for unavailable in [Some("nothing answers"), None] {
        let mut facts = fleet.nodes[0].facts.clone();
        facts.runtimes[0].unavailable = unavailable.map(str::to_owned);
        fleet.node_event(0, NodeEvent::Facts(Box::new(facts)));
        fleet.run_secs(30);
        let told = format!("this is the last known state: {}", unavailable.unwrap_or_default());
        for (row, before) in fleet.rows().iter().zip(&before) {
            assert_eq!((&row.id, row.incarnation, row.since), (&before.id, 1, before.since));
            assert_eq!(row.reason, if unavailable.is_some() { told.as_str() } else { "" });
        }
    }
    for (orchestrator, node) in [(0, "vienna/fl-1"), (1, "fl-1")] {
        let history = &fleet.orchestrators[orchestrator].disk.history;
        let told = history.iter().filter(|change| change.to.ends_with("ready"));
        let told: Vec<_> = told.map(|c| (&*c.subject, &*c.from, &*c.to, &*c.reason)).collect();
        let gone = (node, "process ready", "process not ready", "nothing answers");
        assert_eq!(told, [gone, (node, "process not ready", "process ready", "")]);
    }
}

#[test]
fn a_place_in_the_history_is_known_over_reigns() {
    let mut fleet = fleet();
    let mut first = None;
    // Up to 40 was told, 30 were written; then up to 35.
    for after in [0, 30, 35] {
        fleet.crash(Who::Orchestrator(0), false);
        fleet.run_secs(5);
        let machine = fleet.orchestrators[0].machine.as_mut().unwrap();
        machine.begins_after(after);
        first.get_or_insert(machine.epoch());
        fleet.flush(0);
    }
    let machine = fleet.orchestrators[0].up();
    let first = first.unwrap();
    for (told, from) in [(40, 30), (30, 30), (7, 7)] {
        assert_eq!(machine.reads_on_after(first, told), Some(from));
    }
    assert_eq!(machine.reads_on_after(machine.epoch(), 99), Some(99));
    assert_eq!(machine.reads_on_after(Epoch::new(first.number, 7), 1), None, "of another store");
}
