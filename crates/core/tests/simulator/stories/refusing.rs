//! Clusters that cannot do what they are asked for: seen from above, and asked again in time.

use crate::fleet::{app, fleet, nodes, sized, steady};
use crate::member::facts;

#[test]
fn a_per_node_slot_that_a_cluster_cannot_fill_is_seen_from_above() {
    let mut fleet = fleet().cluster("vienna", sized(&[256, 64]));
    fleet.apply(app("building").per_node("log", steady().memory("100Mi")));
    fleet.run_until_lines(&["log/vienna/fl-1 RUNNING vienna/fl-1", "log/vienna/fl-2 REQUESTED vienna/fl-2"]);
    let row = fleet.slot("log/vienna/fl-2");
    assert_eq!((row.id, row.reason.as_str()), (None, "fl-2: 64MiB free, 100MiB asked"));
    let service = fleet.orchestrators[0].up().applications().remove(0).services.remove(0);
    assert_eq!((service.running, service.slots), (1, 2));

    fleet.crash(fleet.who("root"), false);
    fleet.run_secs(10);
    assert_eq!(fleet.slot("log/vienna/fl-2").state, "REQUESTED", "it is told again");
    fleet.delete("building");
    fleet.run_until_lines(&[]);
}

#[test]
fn a_cluster_that_said_no_is_asked_more_and_more_rarely() {
    // Aggregates say nothing of ports: only vienna itself can know.
    let mut fleet = fleet().cluster("vienna", nodes(1));
    fleet.apply(app("shop").service("web", steady().port("http", Some(80)), 2));
    fleet.run_until("one runs", |fleet| fleet.processes("web").len() == 1);
    let counts: Vec<u64> = (0..4)
        .map(|_| {
            let before = fleet.orchestrators[0].up().revision();
            fleet.run_secs(60);
            fleet.orchestrators[0].up().revision() - before
        })
        .collect();
    assert!(counts[3] > 0, "it is still asked: {counts:?}");
    // Asked, placed there, handed back: two revisions; at first every four seconds.
    assert!(counts[3] <= 4, "ever more rarely: {counts:?}");
    assert!(fleet.slot("web/1").reason.contains("vienna"), "{}", fleet.slot("web/1").reason);
}

#[test]
fn a_cluster_that_said_no_is_asked_at_once_when_it_has_more() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    fleet.apply(app("shop").service("web", steady().port("http", Some(80)), 2));
    fleet.run_secs(100);
    assert_eq!(fleet.processes("web"), ["vienna/fl-1"]);
    fleet.join_node("vienna", "fl-2", facts(256)).unwrap();
    fleet.run_secs(3);
    assert_eq!(fleet.processes("web"), ["vienna/fl-1", "vienna/fl-2"]);
}

#[test]
fn a_port_that_gets_free_in_a_cluster_is_used_at_once() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    let spec = || steady().port("http", Some(80));
    fleet.apply(app("first").service("web", spec(), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    fleet.apply(app("second").service("other", spec(), 1));
    fleet.run_secs(100);
    assert_eq!(fleet.processes("other").len(), 0);
    fleet.delete("first");
    fleet.run_secs(6);
    assert_eq!(fleet.processes("other"), ["vienna/fl-1"]);
}
