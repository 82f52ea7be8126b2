//! Machines of silent clusters that are nodes of the root, too, meanwhile.

use holm_core::orchestrator::command::{Command, Refusal};

use super::witnessing::say_for;
use crate::fleet::{app, fleet, nodes, steady};
use crate::world::World;

const VIENNA: (&str, &str) = ("vienna", "vienna/fl-1");
const GUEST: &str = "vienna-fl-1";

/// `vienna`, the only cluster, is silent; its node runs `web` and has spoken at the root.
fn stranded() -> World {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    fleet.apply(app("shop").service("web", steady(), 1).per_node("log", steady()));
    fleet.run_until_running(2);
    fleet.cut("vienna");
    say(&mut fleet, 10);
    fleet
}

/// What the machine runs for its cluster.
fn say(fleet: &mut World, seconds: u64) {
    let rows = fleet.orchestrators[0].up().instances(&Default::default());
    let of_vienna = rows.into_iter().filter(|row| row.cluster.as_deref() == Some("vienna"));
    let runs = of_vienna.filter_map(|row| row.id?.parse().ok()).collect();
    say_for(fleet, seconds, VIENNA, &runs);
}

fn guest(fleet: &World) -> Option<holm_model::view::NodeView> {
    fleet.orchestrators[0].up().nodes().into_iter().find(|node| node.name == GUEST)
}

#[test]
fn the_root_places_on_a_machine_of_a_silent_cluster_until_that_is_back() {
    let mut fleet = stranded();
    fleet.take_in("vienna", "fl-1").unwrap();
    assert_eq!(guest(&fleet).unwrap().guest_of.as_deref(), Some("vienna/fl-1"));
    let told = |fleet: &World| {
        let rows = fleet.orchestrators[0].up().nodes();
        rows.into_iter().filter(|node| node.by_itself).map(|node| node.name).collect::<Vec<_>>()
    };
    assert_eq!(told(&fleet), ["fl-1"]);
    fleet.apply(app("more").service("new", steady(), 1));
    let with_guest =
        ["new/0 RUNNING vienna-fl-1", "log/vienna/fl-1 RUNNING vienna/fl-1", "web/0 RUNNING vienna/fl-1"];
    for _ in 0..30 {
        say(&mut fleet, 1);
    }
    assert_eq!(fleet.lines(), with_guest, "what each node has is there once");

    fleet.heal("vienna");
    let home =
        ["new/0 RUNNING vienna/fl-1", "log/vienna/fl-1 RUNNING vienna/fl-1", "web/0 RUNNING vienna/fl-1"];
    fleet.run_until_lines(&home);
    fleet.run_until("it is forgotten", |fleet| guest(fleet).is_none());
    assert!(told(&fleet).is_empty());
    assert_eq!(fleet.processes("web"), ["vienna/fl-1"]);
    assert_eq!(fleet.slot("web/0").incarnation, 1, "nothing of the cluster's was touched");
    let audit = &fleet.orchestrators[0].disk.audit;
    for verb in ["node.take-in", "node.wiped"] {
        assert!(audit.iter().any(|record| record.verb == verb), "{verb}");
    }
}

#[test]
fn it_stays_when_its_cluster_goes_again_before_all_has_moved() {
    let mut fleet = stranded();
    fleet.take_in("vienna", "fl-1").unwrap();
    fleet.apply(app("more").service("tied", steady().on_node(GUEST), 1));
    say(&mut fleet, 5);
    fleet.heal("vienna");
    fleet.run_until("it is emptied", |fleet| guest(fleet).unwrap().draining.is_some());
    fleet.run_secs(10);
    assert_eq!(fleet.processes("tied"), ["root/vienna-fl-1"], "what has no other place runs on");

    fleet.cut("vienna");
    fleet.run_secs(10);
    say(&mut fleet, 3);
    assert!(guest(&fleet).is_some_and(|guest| guest.draining.is_none() && !guest.cordoned));
    fleet.apply(app("again").service("new", steady(), 1));
    say(&mut fleet, 5);
    assert_eq!(fleet.processes("new"), ["root/vienna-fl-1"]);

    fleet
        .command(
            0,
            Command::Delete {
                app: crate::fleet::key("more"),
                expected: holm_core::orchestrator::command::Expected::Anything,
            },
        )
        .unwrap();
    fleet.heal("vienna");
    fleet.run_until("it is forgotten", |fleet| guest(fleet).is_none());
    assert_eq!(fleet.processes("new"), ["vienna/fl-1"]);
}

#[test]
fn nobody_is_taken_in_twice_nor_while_his_cluster_speaks_nor_under_a_name_that_is_taken() {
    let refuses = |fleet: &mut World| {
        let refused = fleet.take_in("vienna", "fl-1");
        assert!(matches!(&refused, Err(Refusal::Conflict(_))), "{refused:?}");
    };
    let mut calm = fleet().cluster("vienna", nodes(1));
    refuses(&mut calm);
    let mut taken = fleet().node(GUEST).cluster("vienna", nodes(1));
    taken.cut("vienna");
    say(&mut taken, 10);
    refuses(&mut taken);
    let mut twice = stranded();
    twice.take_in("vienna", "fl-1").unwrap();
    say(&mut twice, 1);
    refuses(&mut twice);
    let mut late = stranded();
    late.run_secs(20);
    refuses(&mut late);
}

#[test]
fn who_is_shut_out_there_is_shut_out_here() {
    for by_cluster in [true, false] {
        let mut fleet = stranded();
        fleet.take_in("vienna", "fl-1").unwrap();
        let void = |fleet: &World| {
            let members = fleet.orchestrators[0].up().members();
            members.iter().any(|member| member.name == GUEST && member.revoked)
        };
        assert!(!void(&fleet));
        if by_cluster {
            let node = fleet.member_id("vienna/fl-1");
            let vienna = fleet.orch("vienna");
            fleet.command(vienna, Command::RevokeMember { member: node }).unwrap();
            fleet.heal("vienna");
        } else {
            let member = fleet.member_id("vienna");
            fleet.command(0, Command::RevokeMember { member }).unwrap();
        }
        fleet.run_until("its certificate is void", void);
    }
}

#[test]
fn nobody_is_taken_in_whose_cluster_tells_of_him() {
    let mut fleet = stranded();
    fleet.heal("vienna");
    fleet.run_until("the cluster tells of it", |fleet| {
        let rows = fleet.orchestrators[0].up().nodes();
        rows.iter().any(|node| node.name == "fl-1" && !node.by_itself)
    });
    say(&mut fleet, 2);
    assert!(matches!(fleet.take_in("vienna", "fl-1"), Err(Refusal::Conflict(_))));
}

#[test]
fn crashes_of_the_root_and_of_either_node_lose_nothing_and_leave_nothing() {
    for seed in 0..30_u64 {
        let mut fleet = crate::fleet::seeded(seed).cluster("vienna", nodes(2));
        fleet.apply(app("shop").service("web", steady(), 2));
        fleet.run_until_running(2);
        fleet.cut("vienna");
        say(&mut fleet, 10);
        let path = fleet.take_in("vienna", "fl-1").unwrap();
        fleet.apply(app("more").service("new", steady(), 2));
        say(&mut fleet, 5);
        let who = [fleet.who("root"), fleet.who(&path), fleet.who("vienna/fl-1")];
        fleet.crash(who[seed as usize % 3], seed % 2 == 0);
        fleet.run_until("the root is up", |fleet| fleet.orchestrators[0].machine.is_some());
        say(&mut fleet, 3);
        fleet.heal("vienna");
        fleet.run_for(std::time::Duration::from_millis(seed * 50));
        fleet.crash(who[(seed / 3) as usize % 3], false);
        fleet.run_until("the root is up", |fleet| fleet.orchestrators[0].machine.is_some());
        fleet.run_until("it is forgotten", |fleet| guest(fleet).is_none());
        fleet.run_until_running(4);
        fleet.run_until("no surplus", |fleet| {
            fleet.processes("web").len() == 2 && fleet.processes("new").len() == 2
        });
        assert!(fleet.processes("new").iter().all(|at| at.starts_with("vienna/")), "{:?}", fleet.lines());
    }
}
