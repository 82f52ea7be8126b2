//! Nodes of a silent cluster that tell the root themselves what they run.

use std::collections::BTreeSet;
use std::time::Duration;

use holm_core::orchestrator::event::Event;
use holm_model::id::AssignmentId;

use crate::fleet::{app, fleet, nodes, steady};
use crate::world::World;

const ROOT: usize = 0;

/// `vienna` alone runs `web`, and is silent; `munich` could have it, too.
pub(super) fn silent_vienna() -> World {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    fleet.apply(app("shop").service("web", steady(), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    let mut fleet = fleet.cluster("munich", nodes(1));
    fleet.cut("vienna");
    fleet
}

pub(super) fn running(fleet: &World) -> BTreeSet<AssignmentId> {
    BTreeSet::from([fleet.slot("web/0").id.unwrap().parse().unwrap()])
}

/// What `node` says of itself, by the certificate of `cluster`.
fn say(fleet: &mut World, (cluster, node): (&str, &str), runs: &BTreeSet<AssignmentId>) {
    let [cluster, node] = [cluster, node].map(|who| {
        let link = fleet.dial_of(fleet.who(who)).unwrap();
        fleet.dials[link].id
    });
    fleet.orchestrator_event(ROOT, Event::Witnessed { cluster, node, runs: runs.clone() });
}

pub(super) fn say_for(fleet: &mut World, seconds: u64, who: (&str, &str), runs: &BTreeSet<AssignmentId>) {
    for _ in 0..seconds {
        say(fleet, who, runs);
        fleet.run_for(Duration::from_secs(1));
    }
}

#[test]
fn what_a_node_of_a_silent_cluster_says_that_it_runs_is_not_replaced() {
    let mut fleet = silent_vienna();
    let web = running(&fleet);
    let node = ("vienna", "vienna/fl-1");
    say_for(&mut fleet, 60, node, &web);
    assert_eq!(fleet.lines(), ["web/0 RUNNING vienna/fl-1"]);
    assert_eq!(fleet.processes("web"), ["vienna/fl-1"]);

    fleet.run_secs(8);
    assert_eq!(fleet.lines(), ["web/0 RUNNING vienna/fl-1"], "a link that breaks is no end");
    say_for(&mut fleet, 20, node, &web);
    assert_eq!(fleet.processes("web"), ["vienna/fl-1"]);

    fleet.heal("vienna");
    fleet.run_secs(30);
    assert_eq!(fleet.lines(), ["web/0 RUNNING vienna/fl-1"], "its cluster tells of it again");
    assert_eq!((running(&fleet), fleet.slot("web/0").incarnation), (web, 1), "nothing was started anew");
}

#[test]
fn it_is_replaced_when_it_runs_no_more_or_nobody_says_so() {
    for says in [true, false] {
        let mut fleet = silent_vienna();
        let web = running(&fleet);
        let node = ("vienna", "vienna/fl-1");
        say_for(&mut fleet, 30, node, &web);
        assert_eq!(fleet.lines(), ["web/0 RUNNING vienna/fl-1"]);
        if says {
            say_for(&mut fleet, 5, node, &BTreeSet::new());
        } else {
            fleet.run_secs(20);
        }
        fleet.run_until_lines(&["web/0 DANGLING vienna/fl-1", "web/0 RUNNING munich/fl-1"]);
        say_for(&mut fleet, 5, node, &web);
        fleet.heal("vienna");
        fleet.run_until_lines(&["web/0 RUNNING munich/fl-1"]);
        fleet.run_until("the surplus ends", |fleet| fleet.processes("web") == ["munich/fl-1"]);
    }
}

#[test]
fn nobody_speaks_for_a_node_of_another_cluster() {
    for who in [("munich", "munich/fl-1"), ("munich", "vienna/fl-1"), ("vienna", "munich/fl-1")] {
        let mut fleet = silent_vienna();
        let web = running(&fleet);
        say_for(&mut fleet, 30, who, &web);
        assert_eq!(fleet.processes("web"), ["vienna/fl-1", "munich/fl-1"], "{who:?}: it is replaced");
    }
}

#[test]
fn a_root_that_starts_anew_hears_its_witnesses_before_it_replaces() {
    let mut fleet = silent_vienna();
    let web = running(&fleet);
    let node = ("vienna", "vienna/fl-1");
    say_for(&mut fleet, 20, node, &web);
    fleet.crash(fleet.who("root"), false);
    fleet.run_secs(8);
    say_for(&mut fleet, 40, node, &web);
    assert_eq!(fleet.processes("web"), ["vienna/fl-1"]);
}
