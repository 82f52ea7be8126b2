//! What never runs twice: every start asserts that no other copy executes anywhere.

use std::time::Duration;

use holm_core::orchestrator::command::Command;

use crate::fleet::{Spec, app, fleet, nodes, program, steady};
use crate::world::{Who, World};

fn once() -> Spec {
    steady().exclusive().replaced_after(3)
}

fn vienna() -> World {
    let mut fleet = fleet().cluster("vienna", nodes(2));
    fleet.apply(app("shop").service("web", once(), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    fleet
}

#[test]
fn it_ends_by_itself_at_the_end_of_its_lease_and_is_replaced_after_that() {
    let mut fleet = vienna();
    fleet.run_secs(60);
    assert_eq!(fleet.slot("web/0").incarnation, 1, "its lease is renewed");
    fleet.cut("vienna/fl-1");
    fleet.run_secs(6);
    assert_eq!(fleet.processes("web"), ["vienna/fl-1"], "a lost link is no lost lease");
    fleet.run_until("it has ended", |fleet| fleet.processes("web").is_empty());
    fleet.run_until("the replacement runs", |fleet| fleet.processes("web") == ["vienna/fl-2"]);
    fleet.heal("vienna/fl-1");
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-2"]);
    fleet.run_secs(30);
    assert_eq!(fleet.processes("web"), ["vienna/fl-2"]);
}

#[test]
fn it_ends_though_its_agent_is_paused_or_dead() {
    for dead in [true, false] {
        let mut fleet = vienna();
        let node = fleet.node_at("vienna/fl-1");
        if dead {
            fleet.nodes[node].gone = true;
            fleet.crash(Who::Node(node), false);
        } else {
            fleet.pause(Who::Node(node), Duration::from_secs(40));
        }
        fleet.run_secs(9);
        assert_eq!(fleet.processes("web").len(), 0);
        fleet.run_until("the replacement runs", |fleet| fleet.processes("web") == ["vienna/fl-2"]);
        fleet.run_secs(60);
        assert_eq!(fleet.processes("web"), ["vienna/fl-2"]);
    }
}

#[test]
fn after_a_reboot_it_starts_only_with_a_fresh_lease() {
    let mut fleet = vienna();
    fleet.cut("vienna/fl-1");
    let node = fleet.who("vienna/fl-1");
    fleet.crash(node, true);
    fleet.run_until("the replacement runs", |fleet| fleet.processes("web") == ["vienna/fl-2"]);
    fleet.run_secs(20);
    assert_eq!(fleet.processes("web"), ["vienna/fl-2"], "the first waits for its lease");
}

#[test]
fn without_another_place_it_goes_on_where_it_was_when_that_is_back() {
    let mut fleet = fleet().node("edge");
    fleet.apply(app("shop").service("web", once(), 1));
    fleet.run_until_lines(&["web/0 RUNNING edge"]);
    fleet.cut("root/edge");
    fleet.run_secs(20);
    assert_eq!(fleet.processes("web").len(), 0);
    fleet.heal("root/edge");
    fleet.run_until_lines(&["web/0 RUNNING edge"]);
    assert_eq!(fleet.slot("web/0").incarnation, 2);
}

#[test]
fn restarts_of_everybody_above_touch_no_process() {
    let mut fleet = fleet().cluster("vienna", nodes(2));
    fleet.apply(app("shop").service("web", steady().exclusive(), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    for who in ["root", "vienna", "vienna/fl-1"] {
        fleet.crash(fleet.who(who), false);
        fleet.run_secs(15);
        assert_eq!(fleet.processes("web"), ["vienna/fl-1"], "{who}");
    }
    assert_eq!(fleet.slot("web/0").incarnation, 1);
}

#[test]
fn an_orchestrator_that_was_away_grants_nothing_before_older_leases_are_over() {
    let mut fleet = fleet().node("edge").node("other");
    fleet.apply(app("shop").service("web", once(), 1));
    fleet.run_until_lines(&["web/0 RUNNING edge"]);
    // The process is still there, and nobody above knows when its lease ends.
    fleet.cut("root/edge");
    fleet.crash(Who::Orchestrator(0), false);
    let member = fleet.member_id("root/edge");
    fleet.run_secs(5);
    let _ = fleet.command(0, Command::RemoveMember { member });
    fleet.run_until("the replacement runs", |fleet| fleet.processes("web") == ["root/other"]);
}

#[test]
fn a_member_that_is_removed_while_nobody_reaches_it_is_waited_for() {
    let mut fleet = fleet().node("edge").node("other");
    fleet.apply(app("shop").service("web", once(), 1));
    fleet.run_until_lines(&["web/0 RUNNING edge"]);
    fleet.cut("root/edge");
    let member = fleet.member_id("root/edge");
    fleet.command(0, Command::RemoveMember { member }).unwrap();
    fleet.command(0, Command::RemoveMember { member }).err();
    fleet.run_secs(2);
    assert_eq!(fleet.processes("web"), ["root/edge"]);
    fleet.run_until("the replacement runs", |fleet| fleet.processes("web") == ["root/other"]);
}

#[test]
fn a_cluster_that_is_cut_off_does_not_renew_what_its_root_gave() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1));
    fleet.apply(app("shop").service("web", once(), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    fleet.cut("vienna");
    fleet.run_secs(9);
    assert_eq!(fleet.processes("web").len(), 0);
    fleet.run_until("munich runs it", |fleet| fleet.processes("web") == ["munich/fl-1"]);
    fleet.heal("vienna");
    fleet.run_secs(30);
    assert_eq!(fleet.processes("web"), ["munich/fl-1"]);
}

#[test]
fn after_a_pause_of_its_own_an_orchestrator_waits_for_the_lease_anew() {
    let mut fleet = fleet().node("edge").node("other");
    fleet.apply(app("shop").service("web", once(), 1));
    fleet.run_until_lines(&["web/0 RUNNING edge"]);
    fleet.cut("root/edge");
    fleet.pause(Who::Orchestrator(0), Duration::from_secs(20));
    fleet.run_secs(21);
    assert_eq!(fleet.processes("web").len(), 0, "its wait begins anew");
    fleet.run_until("the replacement runs", |fleet| fleet.processes("web") == ["root/other"]);
}

#[test]
fn it_moves_by_ending_first() {
    let mut fleet = fleet().node("edge").node("other");
    fleet.apply(app("shop").service("web", once(), 1));
    fleet.run_until_lines(&["web/0 RUNNING edge"]);
    fleet.migrate("web/0", Some("other")).unwrap();
    fleet.run_until_lines(&["web/0 RUNNING other"]);
    fleet.run_secs(5);
    let history = &fleet.orchestrators[0].disk.history;
    let moved = history.iter().find(|change| change.to == "moved").unwrap();
    assert!(
        moved.reason.starts_with("from edge to other in ") && moved.reason.contains("down for "),
        "{moved:?}"
    );
}

#[test]
fn an_update_never_overlaps() {
    let mut fleet = vienna();
    let member = fleet.member_id("vienna/fl-1");
    let vienna = fleet.orch("vienna");
    fleet.command(vienna, Command::Cordon { member, cordoned: true }).unwrap();
    fleet.apply(app("shop").service("web", once().version("2"), 1));
    fleet.run_until("the new one runs elsewhere", |fleet| fleet.processes("web") == ["vienna/fl-2"]);
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-2"]);
}

#[test]
fn whoever_ends_well_because_its_lease_does_is_not_done() {
    for words in [["steady", "0"], ["steady", "deaf"]] {
        let mut fleet = fleet().node("edge");
        fleet.apply(app("shop").service("web", program(&words).exclusive(), 1));
        fleet.run_until_lines(&["web/0 RUNNING edge"]);
        fleet.cut("root/edge");
        fleet.run_until("it has ended", |fleet| fleet.processes("web").is_empty());
        fleet.heal("root/edge");
        fleet.run_until("it runs again", |fleet| fleet.processes("web").len() == 1);
        fleet.run_until_lines(&["web/0 RUNNING edge"]);
        assert_eq!(fleet.slot("web/0").incarnation, 2, "{words:?}");
    }
}

#[test]
fn what_its_lease_ended_while_the_agent_was_away_starts_again_and_what_is_done_does_not() {
    for (words, ends) in [(["steady", "0"], "web/0 RUNNING edge"), (["job", "600"], "web/0 COMPLETED edge")] {
        let mut fleet = fleet().node("edge");
        fleet.apply(app("shop").service("web", program(&words).exclusive(), 1));
        fleet.run_until_lines(&["web/0 RUNNING edge"]);
        let node = fleet.who("root/edge");
        fleet.cut("root/edge");
        fleet.crash(node, false);
        fleet.pause(node, Duration::from_secs(20));
        fleet.run_secs(20);
        assert_eq!(fleet.processes("web").len(), 0);
        fleet.heal("root/edge");
        fleet.run_until_lines(&[ends]);
        fleet.run_secs(20);
        fleet.run_until_lines(&[ends]);
    }
}

#[test]
fn whoever_starts_anew_with_its_orchestrator_keeps_its_lease() {
    let mut fleet = fleet().node("edge");
    fleet.apply(app("shop").service("web", once(), 1));
    fleet.run_until_lines(&["web/0 RUNNING edge"]);
    fleet.crash(Who::Orchestrator(0), false);
    fleet.crash(fleet.who("root/edge"), false);
    fleet.run_secs(30);
    fleet.run_until_lines(&["web/0 RUNNING edge"]);
    assert_eq!(fleet.slot("web/0").incarnation, 1);
}

#[test]
fn a_cluster_that_does_not_know_that_it_is_exclusive_now_is_waited_for() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1));
    fleet.apply(app("shop").service("web", steady().replaced_after(3), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    fleet.cut("vienna");
    fleet.apply(app("shop").service("web", once(), 1));
    fleet.run_secs(60);
    assert_eq!(fleet.processes("web"), ["vienna/fl-1"], "it has no lease that would end it");
    fleet.heal("vienna");
    fleet.run_until("one of them is left", |fleet| fleet.processes("web").len() == 1);
    fleet.run_until_running(1);
    fleet.run_secs(30);
    assert_eq!(fleet.processes("web").len(), 1);
    // From now on it has one.
    let home = fleet.processes("web")[0].split_once('/').unwrap().0.to_owned();
    fleet.cut(&home);
    fleet.run_until("it ends by itself", |fleet| fleet.processes("web").is_empty());
    fleet.run_until("the other cluster runs it", |fleet| fleet.processes("web").len() == 1);
}

/// What it was given after the copy of its disk was made is new to it, and runs.
#[test]
fn a_cluster_with_an_older_disk_leases_nothing_before_all_leases_are_over() {
    let mut fleet = fleet().cluster("vienna", nodes(2));
    let vienna = fleet.orch("vienna");
    let older = fleet.orchestrators[vienna].disk.clone();
    fleet.apply(app("shop").service("web", once(), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    fleet.cut("vienna/fl-1");
    fleet.crash(Who::Orchestrator(vienna), false);
    fleet.orchestrators[vienna].replace_disk(older);
    // Every start asserts that no other copy executes.
    fleet.run_until("the replacement runs", |fleet| fleet.processes("web") == ["vienna/fl-2"]);
    fleet.heal("vienna/fl-1");
    fleet.run_secs(60);
    assert_eq!(fleet.processes("web").len(), 1, "{:?}", fleet.lines());
}
