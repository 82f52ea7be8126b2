//! Work that ends: jobs, and runs of `cron` at their times.

use std::time::Duration;

use holm_core::orchestrator::command::{Command, Expected};
use holm_model::cron::Zone;
use holm_model::job::{Cron, Job, Kind, Missed, Overlap};
use holm_model::state::{RunState, ServiceState};

use crate::fleet::{Spec, app, fleet, key, name, nodes, program};
use crate::world::World;

fn cron(spec: Spec, change: impl FnOnce(&mut Cron)) -> Spec {
    let mut cron = Cron {
        schedule: "* * * * *".parse().unwrap(),
        zone: Zone::default(),
        overlap: Overlap::Forbid,
        missed: Missed::Skip,
        keep: 2,
        job: Job::default(),
    };
    change(&mut cron);
    let mut spec = spec;
    spec.0.kind = Kind::Cron(cron);
    spec
}

/// Runs that are there, in the order of their times.
fn runs(fleet: &World) -> Vec<String> {
    let application = fleet.orchestrators[0].up().applications().remove(0);
    application.services.into_iter().filter(|service| service.run_of.is_some()).map(|s| s.name).collect()
}

fn left_out(fleet: &World) -> usize {
    fleet.orchestrators[0].disk.history.iter().filter(|change| change.to == "left out").count()
}

fn begun(fleet: &World) -> usize {
    fleet.orchestrators[0].disk.history.iter().filter(|change| change.to == "begun").count()
}

#[test]
fn a_job_that_is_done_stays_to_be_seen() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    let mut job = program(&["job", "500"]);
    job.0.kind = Kind::Job(Job::default());
    fleet.apply(app("shop").service("import", job, 3));
    fleet.run_secs(30);
    assert!(fleet.rows().iter().all(|row| row.state == "COMPLETED"), "{:#?}", fleet.lines());
    let application = fleet.orchestrators[0].up().applications().remove(0);
    assert_eq!(application.state, ServiceState::Completed);
}

#[test]
fn a_job_is_stopped_at_its_deadline() {
    let mut fleet = fleet().node("fl-1");
    let mut job = program(&["steady"]);
    job.0.kind = Kind::Job(Job { deadline: Some(Duration::from_secs(20)) });
    fleet.apply(app("shop").service("import", job, 1));
    fleet.run_until_running(1);
    fleet.run_secs(25);
    assert_eq!(fleet.processes("import").len(), 0, "{:#?}", fleet.lines());
    let history = &fleet.orchestrators[0].disk.history;
    assert!(history.iter().any(|change| change.reason == "import: its deadline of 20s has passed"));
}

#[test]
fn runs_begin_at_their_times_and_the_last_are_kept() {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    fleet.apply(app("shop").service("report", cron(program(&["job", "500"]), |_| {}), 2));
    assert!(fleet.rows().is_empty(), "nothing is due yet");
    for minutes in 1..=6 {
        fleet.run_secs(60);
        assert_eq!(begun(&fleet), minutes, "one each minute");
        if minutes == 3 {
            // Who starts anew neither forgets a run nor begins one twice.
            fleet.crash(fleet.who("root"), false);
        }
    }
    fleet.run_secs(20);
    let kept = runs(&fleet);
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(kept[0].starts_with("report-2023") && kept[0].ends_with('z') && kept[0] < kept[1], "{kept:?}");
    assert_eq!(fleet.rows().len(), 4);
    assert!(fleet.rows().iter().all(|row| row.state == "COMPLETED"), "{:#?}", fleet.lines());

    // A new manifest leaves alone what has begun, and its schedule holds from now on.
    let other = cron(program(&["job", "700"]), |cron| cron.schedule = "0 0 1 1 *".parse().unwrap());
    fleet.apply(app("shop").service("report", other, 2));
    fleet.run_secs(120);
    assert_eq!((runs(&fleet), begun(&fleet)), (kept, 6));
    fleet.delete("shop");
    fleet.run_until_lines(&[]);
}

#[test]
fn who_is_stopped_begins_nothing() {
    let mut fleet = fleet().node("fl-1");
    fleet.apply(app("shop").service("report", cron(program(&["job", "500"]), |_| {}), 1));
    let patch = Command::Patch {
        app: key("shop"),
        service: Some(name("report")),
        replicas: None,
        run: Some(RunState::Stop),
        restart: false,
        expected: Expected::Anything,
    };
    fleet.command(0, patch).unwrap();
    fleet.run_secs(180);
    assert_eq!((begun(&fleet), left_out(&fleet)), (0, 0));
}

#[test]
fn one_that_has_not_ended_forbids_allows_or_is_replaced() {
    for (overlap, most) in [(Overlap::Forbid, 1), (Overlap::Allow, 3), (Overlap::Replace, 1)] {
        let mut fleet = fleet().node("fl-1");
        let long = cron(program(&["job", "150000"]), |cron| cron.overlap = overlap);
        fleet.apply(app("shop").service("report", long, 1));
        fleet.run_secs(190);
        let there = runs(&fleet).len();
        assert_eq!(there, most, "{overlap:?}: {:?}", runs(&fleet));
        assert_eq!(begun(&fleet), if overlap == Overlap::Forbid { 1 } else { 3 }, "{overlap:?}");
        assert_eq!(left_out(&fleet), if overlap == Overlap::Forbid { 2 } else { 0 }, "{overlap:?}");
    }
}

#[test]
fn what_was_missed_is_left_out_or_made_up_for_once() {
    for (missed, made_up) in [(Missed::Skip, 0), (Missed::RunOnce, 1)] {
        let mut fleet = fleet().node("fl-1");
        let hourly = cron(program(&["job", "500"]), |cron| {
            (cron.missed, cron.schedule) = (missed, "*/10 * * * *".parse().unwrap());
        });
        fleet.apply(app("shop").service("report", hourly, 1));
        let root = fleet.who("root");
        fleet.run_secs(5);
        fleet.pause(root, Duration::from_secs(45 * 60));
        fleet.run_secs(46 * 60);
        assert_eq!(begun(&fleet), made_up, "{missed:?}");
        fleet.run_secs(10 * 60);
        assert_eq!(begun(&fleet), made_up + 1, "{missed:?}");
    }
}

#[test]
fn a_clock_that_jumps_back_begins_nothing_twice() {
    let mut fleet = fleet().node("fl-1");
    fleet.apply(app("shop").service("report", cron(program(&["job", "500"]), |cron| cron.keep = 100), 1));
    fleet.run_secs(180);
    let before = begun(&fleet);
    fleet.orchestrators[0].clock.skew = -90_000;
    fleet.run_secs(90);
    let doubled = runs(&fleet);
    assert_eq!(doubled.len(), before, "{doubled:?}");
    fleet.run_secs(120);
    assert_eq!(begun(&fleet), before + 2);
}
