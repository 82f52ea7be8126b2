//! A cluster that lost its store while its root listens: what its nodes may run is not started twice.

use holm_core::orchestrator::command::Command;

use crate::disk::Disk;
use crate::fleet::{app, fleet, nodes, steady};
use crate::world::{Who, World};

const FROZEN: &str = "it may run on `fl-1`, which is frozen; see `holm adopt` and `holm discard`";

fn lose_store(fleet: &mut World, cluster: &str) {
    let orch = fleet.orch(cluster);
    fleet.crash(Who::Orchestrator(orch), false);
    fleet.orchestrators[orch].replace_disk(Disk::default());
}

/// Munich could take it, too.
fn lost() -> World {
    let mut fleet = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1));
    fleet.apply(app("shop").service("web", steady(), 2));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1", "web/1 RUNNING vienna/fl-1"]);
    lose_store(&mut fleet, "vienna");
    for _ in 0..600 {
        fleet.run_for(std::time::Duration::from_millis(100));
        assert_eq!(fleet.processes("web"), ["vienna/fl-1", "vienna/fl-1"], "no second copy");
    }
    fleet
}

fn decide(fleet: &mut World, command: impl Fn(holm_model::id::MemberId) -> Command) {
    let member = fleet.member_id("vienna/fl-1");
    fleet.command(fleet.orch("vienna"), command(member)).unwrap();
}

#[test]
fn what_a_frozen_node_of_a_cluster_may_run_waits_for_people_and_the_root_says_so() {
    let mut fleet = lost();
    let row = fleet.slot("web/1");
    assert_eq!((row.state.as_str(), row.reason.as_str()), ("SCHEDULED_CLUSTER", FROZEN));
    let root = fleet.orchestrators[0].up();
    assert_eq!(root.clusters()[0].frozen_nodes, ["fl-1"]);
    assert_eq!(root.members()[0].frozen_nodes, ["fl-1"]);
    assert!(root.nodes()[0].frozen);

    decide(&mut fleet, |member| Command::Adopt { member });
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1", "web/1 RUNNING vienna/fl-1"]);
    assert!(fleet.rows().iter().all(|row| row.incarnation == 1), "nothing was started anew");
    assert!(fleet.orchestrators[0].up().clusters()[0].frozen_nodes.is_empty());
    fleet.scale("shop", "web", 0);
    fleet.run_until("it obeys again", |fleet| fleet.processes("web").is_empty());
}

#[test]
fn once_discarded_it_is_started_anew() {
    let mut fleet = lost();
    let before = fleet.processes("web");
    decide(&mut fleet, |member| Command::Discard { member });
    fleet.run_until_running(2);
    fleet.run_secs(20);
    assert_eq!(fleet.processes("web"), before, "one copy of each");
}

#[test]
fn what_no_node_of_such_a_cluster_claims_in_time_is_started_elsewhere() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1));
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    fleet.cut("vienna/fl-1");
    lose_store(&mut fleet, "vienna");
    fleet.run_secs(10);
    assert_eq!(fleet.processes("web"), ["vienna/fl-1"], "it may still call");
    let reason = fleet.slot("web/0").reason;
    assert_eq!(reason, "it may run on a node that has not called yet since this store was lost");
    fleet.run_until_lines(&["web/0 RUNNING munich/fl-1"]);
    fleet.heal("vienna/fl-1");
    fleet.run_secs(10);
    decide(&mut fleet, |member| Command::Adopt { member });
    fleet.run_until("the surplus ends", |fleet| fleet.processes("web") == ["munich/fl-1"]);
}

/// Vienna comes back with the store it had when there were four; there are six, on frozen nodes.
fn forget_two(fleet: &mut World) {
    fleet.apply(app("shop").service("web", steady(), 4));
    fleet.run_until_running(4);
    fleet.run_secs(5);
    let vienna = fleet.orch("vienna");
    let copy = fleet.orchestrators[vienna].disk.clone();
    fleet.scale("shop", "web", 6);
    fleet.run_until_running(6);
    fleet.run_secs(5);
    fleet.crash(Who::Orchestrator(vienna), false);
    fleet.orchestrators[vienna].replace_disk(copy);
    fleet.run_until("the root knows", |fleet| {
        fleet.slot("web/5").reason.starts_with("it may run on `fl-1`") && fleet.processes("web").len() == 6
    });
}

#[test]
fn what_the_parent_scaled_away_meanwhile_ends_once_adopted() {
    for decision in [|member| Command::Adopt { member }, |member| Command::Discard { member }] {
        for (replicas, alone) in [(2, false), (0, false), (2, true), (0, true)] {
            let mut fleet = fleet().cluster("vienna", nodes(1));
            forget_two(&mut fleet);
            fleet.scale("shop", "web", replicas);
            fleet.run_secs(5);
            if alone {
                fleet.cut("vienna");
                fleet.run_secs(2);
            }
            decide(&mut fleet, decision);
            fleet.run_secs(2);
            fleet.heal("vienna");
            let most = replicas as usize;
            fleet.run_until("the surplus ends", |fleet| fleet.processes("web").len() == most);
            fleet.run_until_running(most);
            fleet.run_secs(20);
            assert_eq!(fleet.processes("web").len(), most);
            let own = fleet.orchestrators[fleet.orch("vienna")].up().applications();
            assert_eq!(own, [], "nothing became its own");
            fleet.delete("shop");
            fleet.run_until("all ends", |fleet| fleet.processes("web").is_empty());
        }
    }
}

#[test]
fn what_the_parent_wishes_again_goes_on_once_adopted() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    forget_two(&mut fleet);
    fleet.scale("shop", "web", 2);
    fleet.run_secs(5);
    fleet.scale("shop", "web", 5);
    fleet.run_secs(5);
    decide(&mut fleet, |member| Command::Adopt { member });
    fleet.run_until_running(5);
    fleet.run_secs(20);
    assert_eq!(fleet.processes("web").len(), 5);
    fleet.delete("shop");
    fleet.run_until("all ends", |fleet| fleet.processes("web").is_empty());
}
