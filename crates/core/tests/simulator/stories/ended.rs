//! What has ended, and what becomes of that when its node or cluster is lost.

use holm_core::orchestrator::command::{Command, Expected};
use holm_model::cron::Zone;
use holm_model::job::{Cron, Job, Kind, Missed, Overlap};
use holm_model::state::RunState;

use crate::fleet::{Spec, app, fleet, nodes, program};
use crate::world::World;

/// Each minute.
fn cron(mut spec: Spec) -> Spec {
    spec.0.kind = Kind::Cron(Cron {
        schedule: "* * * * *".parse().unwrap(),
        zone: Zone::default(),
        overlap: Overlap::Forbid,
        missed: Missed::Skip,
        keep: 2,
        job: Job::default(),
    });
    spec
}

fn begun(fleet: &World) -> usize {
    fleet.orchestrators[0].disk.history.iter().filter(|change| change.to == "begun").count()
}

#[test]
fn a_node_that_is_lost_after_its_work_is_done_stops_no_later_run() {
    for once in [false, true] {
        // It ends well, or fails and is not tried again.
        let spec = if once { program(&["crash", "500"]).once() } else { program(&["job", "500"]) };
        let mut fleet = fleet().cluster("vienna", nodes(2));
        fleet.apply(app("shop").service("report", cron(spec), 1));
        fleet.run_until("the first has ended", |fleet| {
            fleet.rows().iter().any(|row| row.state == if once { "FAILED" } else { "COMPLETED" })
        });
        fleet.cut("vienna/fl-1");
        fleet.run_secs(30);
        let before = begun(&fleet);
        fleet.run_secs(300);
        assert!(begun(&fleet) >= before + 4, "once: {once}: {} {:#?}", begun(&fleet) - before, fleet.rows());
    }
}

#[test]
fn a_job_that_is_done_stays_so_when_its_node_or_its_cluster_is_lost() {
    for lost in ["vienna/fl-1", "vienna"] {
        let mut fleet = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1));
        let mut job = program(&["job", "500"]).in_cluster("vienna");
        job.0.kind = Kind::Job(Job::default());
        fleet.apply(app("shop").service("import", job, 1));
        fleet.run_until_lines(&["import/0 COMPLETED vienna/fl-1"]);
        fleet.cut(lost);
        for _ in 0..90 {
            fleet.run_secs(1);
            assert_eq!(fleet.lines(), ["import/0 COMPLETED vienna/fl-1"], "{lost}");
        }
    }
}

#[test]
fn what_has_ended_gives_its_room_back_whatever_is_said_of_it_later() {
    let mut fleet = fleet().cluster("vienna", crate::fleet::sized(&[100]));
    let mut job = program(&["job", "500"]).memory("100Mi");
    job.0.kind = Kind::Job(Job::default());
    fleet.apply(app("shop").service("import", job, 1));
    fleet.run_until_lines(&["import/0 COMPLETED vienna/fl-1"]);
    for run in [RunState::Stop, RunState::Run] {
        let (app, expected) = (crate::fleet::key("shop"), Expected::Anything);
        let patch =
            Command::Patch { app, service: None, replicas: None, run: Some(run), restart: false, expected };
        fleet.command(0, patch).unwrap();
        fleet.run_secs(5);
    }
    fleet.apply(app("other").service("web", crate::fleet::steady().memory("100Mi"), 1));
    fleet.run_until("it has its room", |fleet| fleet.processes("web") == ["vienna/fl-1"]);
}

#[test]
fn a_new_generation_of_a_job_runs_elsewhere_though_the_old_one_is_done() {
    for restart in [false, true] {
        let mut fleet = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1));
        let job = |words: &[&str]| {
            let mut job = program(words);
            job.0.kind = Kind::Job(Job::default());
            job
        };
        fleet.apply(app("shop").service("import", job(&["job", "500"]), 1));
        fleet.run_until_lines(&["import/0 COMPLETED vienna/fl-1"]);
        fleet.cut("vienna");
        fleet.run_secs(5);
        if restart {
            let (app, expected) = (crate::fleet::key("shop"), Expected::Anything);
            let patch =
                Command::Patch { app, service: None, replicas: None, run: None, restart: true, expected };
            fleet.command(0, patch).unwrap();
        } else {
            fleet.apply(app("shop").service("import", job(&["job", "700"]), 1));
        }
        fleet.run_until("it runs at the other one", |fleet| {
            fleet.lines().contains(&"import/0 COMPLETED munich/fl-1".to_owned())
        });
    }
}

/// The cluster took the new generation, and all that it could tell is what had become of the one before.
#[test]
fn what_is_known_of_an_older_generation_says_nothing_of_the_new_one() {
    let mut fleet = fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1));
    let job = |words: &[&str]| {
        let mut job = program(words);
        job.0.kind = Kind::Job(Job::default());
        job
    };
    fleet.apply(app("shop").service("import", job(&["job", "500"]), 1));
    fleet.run_until_lines(&["import/0 COMPLETED vienna/fl-1"]);
    fleet.cut("vienna/fl-1");
    fleet.apply(app("shop").service("import", job(&["job", "700"]), 1));
    fleet.run_secs(3);
    fleet.cut("vienna");
    fleet.run_until("it runs at the other one", |fleet| {
        fleet.lines().contains(&"import/0 COMPLETED munich/fl-1".to_owned())
    });
}

#[test]
fn what_has_failed_stays_so_when_its_node_is_removed() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    let mut job = program(&["crash", "500"]).once();
    job.0.kind = Kind::Job(Job::default());
    job.0.update.on_failure = holm_model::update::OnFailure::Halt;
    fleet.apply(app("shop").service("import", job, 1));
    fleet.run_until_lines(&["import/0 FAILED fl-1"]);
    let member = fleet.member_id("root/fl-1");
    fleet.command(0, Command::RemoveMember { member }).unwrap();
    for _ in 0..2 {
        fleet.run_secs(60);
        assert_eq!(fleet.lines(), ["import/0 FAILED"]);
        assert_eq!(fleet.nodes[1].runtimes.launches, 0, "it is not run again");
        let root = fleet.who("root");
        fleet.crash(root, false);
    }
}

/// It fails on both nodes that it may be tried on.
fn fails_everywhere() -> Spec {
    let mut job = program(&["crash", "500"]);
    job.0.kind = Kind::Job(Job::default());
    job.0.update.on_failure = holm_model::update::OnFailure::Halt;
    job
}

#[test]
fn a_job_whose_attempts_are_used_up_is_not_tried_again_when_its_cluster_or_its_node_is_lost() {
    for lost in ["vienna", "vienna/fl-2"] {
        let mut fleet = fleet().cluster("vienna", nodes(2)).cluster("munich", nodes(1));
        fleet.apply(app("shop").service("import", fails_everywhere(), 1));
        fleet.run_until_lines(&["import/0 FAILED vienna/fl-2"]);
        fleet.run_until("its attempts are used up", |fleet| fleet.nodes[1].runtimes.launches == 3);
        fleet.run_secs(5);
        fleet.cut(lost);
        for _ in 0..90 {
            fleet.run_secs(1);
            assert_eq!(fleet.lines(), ["import/0 FAILED vienna/fl-2"], "{lost}");
        }
        assert_eq!(fleet.nodes[2].runtimes.launches, 0, "{lost}");
    }
}

#[test]
fn a_job_whose_attempts_are_used_up_is_not_tried_again_when_its_member_is_removed() {
    for removed in ["vienna", "vienna/fl-2"] {
        let mut fleet = fleet().cluster("vienna", nodes(3)).cluster("munich", nodes(1));
        fleet.apply(app("shop").service("import", fails_everywhere(), 1));
        fleet.run_until_lines(&["import/0 FAILED vienna/fl-2"]);
        fleet.run_until("its attempts are used up", |fleet| fleet.nodes[1].runtimes.launches == 3);
        fleet.run_secs(5);
        let member = fleet.member_id(removed);
        let owner = if removed == "vienna" { 0 } else { 1 };
        fleet.command(owner, Command::RemoveMember { member }).unwrap();
        for _ in 0..2 {
            fleet.run_secs(60);
            assert_eq!(fleet.lines(), ["import/0 FAILED"], "{removed}");
            assert_eq!(fleet.nodes[2].runtimes.launches + fleet.nodes[3].runtimes.launches, 0, "{removed}");
            fleet.crash(fleet.who("root"), false);
        }
    }
}

/// What has used up its attempts on one node only has its other one, wherever the first has gone.
#[test]
fn a_job_that_was_tried_once_has_its_other_node_when_the_first_is_lost() {
    for removed in [false, true] {
        let mut fleet = fleet().node("fl-1");
        fleet.apply(app("shop").service("import", fails_everywhere(), 1));
        fleet.run_until("its attempts are used up", |fleet| fleet.nodes[0].runtimes.launches == 3);
        fleet.run_secs(5);
        fleet.cut("root/fl-1");
        fleet = fleet.node("fl-2");
        if removed {
            let member = fleet.member_id("root/fl-1");
            fleet.command(0, Command::RemoveMember { member }).unwrap();
        }
        fleet.run_until("it is tried there", |fleet| fleet.nodes[1].runtimes.launches == 3);
        fleet.run_secs(60);
        assert_eq!(fleet.nodes[1].runtimes.launches, 3, "removed: {removed}");
    }
}

/// Its node has not heard yet that it is to run again: what it tells of the run before gives no room away.
#[test]
fn what_is_asked_for_again_has_its_room_before_its_node_hears_of_it() {
    let mut fleet = fleet().cluster("vienna", crate::fleet::sized(&[100]));
    let mut job = program(&["job", "500"]).memory("100Mi");
    job.0.kind = Kind::Job(Job::default());
    fleet.apply(app("shop").service("import", job, 1));
    fleet.run_until_lines(&["import/0 COMPLETED vienna/fl-1"]);
    fleet.run_secs(2);
    fleet.pause(fleet.who("vienna/fl-1"), std::time::Duration::from_secs(2));
    let (app_key, expected) = (crate::fleet::key("shop"), Expected::Anything);
    let again =
        Command::Patch { app: app_key, service: None, replicas: None, run: None, restart: true, expected };
    fleet.command(0, again).unwrap();
    fleet.run_for(std::time::Duration::from_millis(200));
    fleet.apply(app("other").service("web", crate::fleet::steady().memory("100Mi"), 1));
    let together = |fleet: &World| (fleet.processes("import").len(), fleet.processes("web").len()) == (1, 1);
    for _ in 0..100 {
        fleet.run_for(std::time::Duration::from_millis(100));
        assert!(!together(&fleet), "more than the node has: {:#?}", fleet.lines());
    }
    fleet.run_until("it has ended, and left its room", |fleet| fleet.processes("web") == ["vienna/fl-1"]);
    assert_eq!(fleet.nodes[0].runtimes.launches, 3, "twice the job, once the other");
}

/// Its node has not said yet whether it started it: what comes instead waits.
#[test]
fn nothing_starts_elsewhere_before_a_node_has_obeyed_that_it_has_it_no_more() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    let on = |node: &str| app("shop").service("web", crate::fleet::steady().on_node(node), 1);
    fleet.pause(fleet.who("root/fl-1"), std::time::Duration::from_secs(2));
    fleet.apply(on("fl-1"));
    fleet.run_for(std::time::Duration::from_millis(100));
    fleet.apply(on("fl-2"));
    for _ in 0..300 {
        fleet.run_for(std::time::Duration::from_millis(50));
        let copies = fleet.processes("web");
        assert!(copies.len() < 2, "{copies:?}");
    }
    assert_eq!(fleet.processes("web"), ["root/fl-2"]);
}
