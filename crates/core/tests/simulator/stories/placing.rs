//! Where slots go, and why not elsewhere.

use holm_core::node::NodeEvent;
use holm_core::orchestrator::command::{Command, Expected, Refusal};
use holm_model::service::PerCluster;
use holm_model::state::MemberState;

use crate::fleet::{app, fleet, name, nodes, program, sized, steady};
use crate::member::facts;
use crate::world::World;

#[test]
fn the_first_member_that_fits_takes_the_slot_on_both_levels() {
    let mut fleet = fleet().cluster("vienna", sized(&[64, 256])).cluster("munich", nodes(1));
    fleet.apply(app("shop").service("web", steady().memory("100Mi"), 4));
    fleet.run_until_lines(&[
        "web/0 RUNNING vienna/fl-2",
        "web/1 RUNNING vienna/fl-2",
        "web/2 RUNNING munich/fl-1",
        "web/3 RUNNING munich/fl-1",
    ]);
}

#[test]
fn a_slot_without_a_place_says_why_for_each_member() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(app("shop").service("big", steady().memory("192Mi"), 2));
    fleet.run_until_lines(&["big/0 RUNNING fl-1", "big/1 RUNNING fl-2"]);
    fleet.apply(app("more").service("web", steady().memory("128Mi"), 1));
    let row = fleet.slot("web/0");
    assert_eq!((row.state.as_str(), row.id), ("REQUESTED", None));
    assert_eq!(row.reason, "no place: fl-1: 64MiB free, 128MiB asked; fl-2: 64MiB free, 128MiB asked");
    // It waits since then, whatever the numbers are meanwhile.
    fleet.run_secs(5);
    fleet.apply(app("tiny").service("tiny", steady().memory("32Mi"), 1));
    fleet.run_secs(5);
    let later = fleet.slot("web/0");
    assert_eq!(later.reason, "no place: fl-1: 32MiB free, 128MiB asked; fl-2: 64MiB free, 128MiB asked");
    assert_eq!(later.since, row.since);
}

#[test]
fn replicas_are_shared_out_among_clusters_each_has_its_minimum_first_and_none_too_many() {
    let mut fleet =
        fleet().cluster("vienna", nodes(2)).cluster("munich", nodes(1)).node("edge").node("cellar");
    let mut spec = steady();
    spec.0.per_cluster = Some(PerCluster { min: 1, max: 2 });
    fleet.apply(app("shop").service("web", spec, 3));
    fleet.run_until_running(3);
    let clusters = |fleet: &World| {
        let of = |line: String| line.rsplit_once(' ').unwrap().1.split('/').next().unwrap().to_owned();
        let mut all: Vec<_> = fleet.lines().into_iter().map(of).collect();
        all.sort();
        all
    };
    assert_eq!(
        clusters(&fleet),
        ["edge", "munich", "vienna"],
        "one of each first; the root's own nodes are one"
    );
    fleet.scale("shop", "web", 7);
    fleet.run_secs(20);
    let there = ["edge", "edge", "munich", "munich", "vienna", "vienna"];
    assert_eq!(
        clusters(&fleet).iter().filter(|at| there.contains(&at.as_str())).count(),
        6,
        "{:?}",
        fleet.lines()
    );
    let reason = fleet.slot("web/6").reason;
    assert!(reason.contains("munich: has the 2 that a cluster may have (`per-cluster`)"), "{reason}");
    assert!(reason.contains("cellar: has the 2 that a cluster may have (`per-cluster`)"), "{reason}");
    // Whose cluster is lost, goes to others as far as they may have more.
    fleet.scale("shop", "web", 5);
    fleet.cut("vienna");
    fleet.run_secs(60);
    assert_eq!(clusters(&fleet).iter().filter(|at| *at == "munich").count(), 2, "{:?}", fleet.lines());
}

#[test]
fn a_cluster_that_says_no_is_believed_and_the_next_one_asked() {
    // Vienna's nodes have the memory or the label, none has both: only vienna itself can know.
    let mut vienna = sized(&[256, 256]);
    vienna[1].1.labels.insert("zone".to_owned(), "indoor".to_owned());
    let mut munich = nodes(1);
    munich[0].1.labels.insert("zone".to_owned(), "indoor".to_owned());
    let mut fleet = fleet().cluster("vienna", vienna).cluster("munich", munich);
    let port = steady().label("zone", "indoor").port("http", Some(80));
    fleet.apply(app("shop").service("web", port, 2));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-2", "web/1 RUNNING munich/fl-1"]);
}

#[test]
fn a_named_node_or_cluster_is_honoured_or_refused() {
    let mut fleet = fleet().cluster("vienna", nodes(2)).cluster("munich", nodes(2)).node("edge");
    fleet.apply(
        app("shop")
            .service("far", steady().in_cluster("munich"), 1)
            .service("near", steady().on_node("edge"), 1)
            .service("there", steady().in_cluster("munich").on_node("fl-2"), 1)
            .service("where", steady().on_node("nowhere"), 1),
    );
    fleet.run_until_lines(&[
        "far/0 RUNNING munich/fl-1",
        "near/0 RUNNING edge",
        "there/0 RUNNING munich/fl-2",
        "where/0 REQUESTED",
    ]);
    assert_eq!(
        fleet.slot("where/0").reason,
        "no place: vienna: has no node `nowhere`; munich: has no node `nowhere`; edge: is not the node `nowhere`"
    );
    let command = Command::Apply {
        project: name("default"),
        application: app("lost").service("web", steady().in_cluster("paris"), 1).0,
        expected: Expected::Anything,
    };
    let refusal = fleet.command(0, command).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "services.web.placement.cluster: there is no cluster `paris`; `holm get clusters` lists what there is"
    );
}

#[test]
fn an_orchestrator_without_members_says_how_to_get_some() {
    let mut fleet = fleet();
    fleet.apply(app("shop").service("web", steady(), 1));
    assert_eq!(
        fleet.slot("web/0").reason,
        "there are no members yet; add one with `holm token create --role node`"
    );
    fleet.join_node("root", "fl-1", facts(256)).unwrap();
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
}

#[test]
fn a_service_per_node_follows_the_nodes() {
    let mut fleet = fleet().cluster("vienna", nodes(2)).node("edge");
    fleet.apply(app("building").per_node("collector", steady()));
    fleet.run_until_lines(&[
        "collector/edge RUNNING edge",
        "collector/vienna/fl-1 RUNNING vienna/fl-1",
        "collector/vienna/fl-2 RUNNING vienna/fl-2",
    ]);
    fleet.join_node("vienna", "fl-3", facts(256)).unwrap();
    fleet.join_cluster("munich").unwrap();
    fleet.join_node("munich", "fl-1", facts(256)).unwrap();
    let member = fleet.member_id("vienna/fl-1");
    let vienna = fleet.orch("vienna");
    fleet.command(vienna, Command::RemoveMember { member }).unwrap();
    fleet.run_until_lines(&[
        "collector/edge RUNNING edge",
        "collector/munich/fl-1 RUNNING munich/fl-1",
        "collector/vienna/fl-2 RUNNING vienna/fl-2",
        "collector/vienna/fl-3 RUNNING vienna/fl-3",
    ]);
}

#[test]
fn attempts_that_are_used_up_end_elsewhere_once_and_then_in_failed() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1));
    fleet.apply(app("shop").service("web", program(&["crash", "100"]), 1));
    fleet.run_until("it has failed twice", |fleet| {
        let rows = fleet.rows();
        rows.len() == 1 && rows[0].state == "FAILED" && rows[0].cluster.as_deref() != Some("vienna")
    });
    fleet.run_secs(60);
    let row = fleet.slot("web/0");
    assert_eq!(row.state, "FAILED");
    assert!(row.reason.contains("exited with code 1"), "{}", row.reason);
    assert_eq!(fleet.processes("web"), Vec::<String>::new());
}

#[test]
fn a_job_that_is_done_is_not_started_again() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    fleet.apply(app("shop").service("job", program(&["job", "200"]), 1));
    fleet.run_until_lines(&["job/0 COMPLETED vienna/fl-1"]);
    fleet.crash(fleet.who("vienna/fl-1"), true);
    fleet.run_secs(30);
    assert_eq!(fleet.lines(), ["job/0 COMPLETED vienna/fl-1"]);
    assert_eq!(fleet.slot("job/0").incarnation, 1);
}

#[test]
fn bad_requests_change_nothing_and_say_why() {
    let mut fleet = fleet().node("fl-1");
    fleet.apply(app("shop").service("web", steady(), 1));
    let patch = |app: &str, service: &str, replicas| Command::Patch {
        app: crate::fleet::key(app),
        service: Some(name(service)),
        replicas: Some(replicas),
        run: None,
        restart: false,
        expected: Expected::Anything,
    };
    let refused =
        |fleet: &mut crate::world::World, command| fleet.command(0, command).unwrap_err().to_string();
    assert_eq!(
        refused(&mut fleet, patch("ship", "web", 1)),
        "there is no application `default/ship`; `holm get applications` lists what there is"
    );
    assert_eq!(
        refused(&mut fleet, patch("shop", "wed", 1)),
        "application default/shop has no service `wed`; it has `web`"
    );
    assert_eq!(refused(&mut fleet, patch("shop", "web", 10_001)), "at most 10000 replicas are possible");
    let unknown = fleet.command(0, Command::Confirm { app: crate::fleet::key("ship") });
    assert!(matches!(unknown, Err(Refusal::NotFound { kind: "application", .. })));
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    assert_eq!(fleet.orchestrators[0].up().nodes()[0].state, MemberState::Online);
}

#[test]
fn a_slot_that_waits_for_a_cluster_to_confirm_others_is_placed_when_it_has() {
    let mut fleet = fleet().cluster("vienna", sized(&[128]));
    fleet.apply(app("shop").service("web", steady().memory("96Mi"), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    // A restart is a new revision of the share: until vienna has it, it counts beside the old aggregate.
    let restart = Command::Patch {
        app: crate::fleet::key("shop"),
        service: None,
        replicas: None,
        run: None,
        restart: true,
        expected: Expected::Anything,
    };
    fleet.command(0, restart).unwrap();
    fleet.apply(app("more").service("log", steady().memory("16Mi"), 1));
    assert_eq!(fleet.slot("log/0").state, "REQUESTED");
    fleet.run_until_lines(&["log/0 RUNNING vienna/fl-1", "web/0 RUNNING vienna/fl-1"]);
}

#[test]
fn what_a_cluster_has_confirmed_is_not_counted_again_after_a_commit_that_failed() {
    let mut fleet = fleet().cluster("vienna", sized(&[128]));
    fleet.apply(app("shop").service("web", steady().memory("64Mi"), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-1"]);
    fleet.weather.full_disk = 1000;
    let refused =
        fleet.command(0, Command::Delete { app: crate::fleet::key("shop"), expected: Expected::Anything });
    assert!(matches!(refused, Err(Refusal::ReadOnly(_))), "{refused:?}");
    fleet.weather.full_disk = 0;
    fleet.run_secs(10);
    fleet.apply(app("more").service("log", steady().memory("48Mi"), 1));
    fleet.run_until_lines(&["log/0 RUNNING vienna/fl-1", "web/0 RUNNING vienna/fl-1"]);
}

#[test]
fn a_node_whose_disk_is_full_says_so_and_keeps_what_it_has() {
    let full = "the disk of /data is full; free some space";
    for (fleet, node) in [(fleet().node("fl-1"), 0), (fleet().cluster("vienna", nodes(1)), 0)] {
        let mut fleet = fleet;
        fleet.apply(app("old").per_node("log", steady()));
        fleet.run_until_running(1);
        let before = fleet.rows();
        fleet.node_event(node, NodeEvent::Disk { trouble: Some(full.to_owned()) });
        fleet.run_secs(5);
        fleet.apply(app("shop").service("web", steady(), 1).per_node("each", steady()));
        fleet.run_secs(5);
        let waits = fleet.slot("web/0");
        assert!(waits.reason.contains(full) && !waits.reason.contains("has no runtime"), "{waits:#?}");
        let kept: Vec<_> = fleet.rows().into_iter().filter(|row| row.application == "old").collect();
        assert_eq!(kept, before, "a runtime that is not ready ends nothing");
        fleet.node_event(node, NodeEvent::Disk { trouble: None });
        fleet.run_until_running(3);
        assert_eq!(fleet.processes("log").len(), 1);
    }
}
