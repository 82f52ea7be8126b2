//! Work that ends: jobs, and runs of `cron` at their times.

use std::time::Duration;

use holm_core::orchestrator::command::{Command, Expected, ProjectCommand};
use holm_model::cron::Zone;
use holm_model::job::{Cron, Job, Kind, Missed, Overlap};
use holm_model::state::{RunState, ServiceState};
use holm_model::view::people::Quota;

use crate::fleet::{Spec, app, fleet, key, name, nodes, program, steady};
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
fn what_is_due_at_once_begins_in_steps_and_none_is_left_out() {
    let mut fleet = fleet().node("fl-1");
    let each = || cron(program(&["job", "500"]), |_| {});
    let all = (0..130).fold(app("shop"), |app, number| app.service(&format!("c-{number}"), each(), 1));
    fleet.apply(all);
    let mut most = 0;
    for _ in 0..160 {
        let before = begun(&fleet);
        fleet.run_for(Duration::from_millis(400));
        most = most.max(begun(&fleet) - before);
    }
    assert_eq!((begun(&fleet), left_out(&fleet)), (130, 0));
    assert_eq!(most, 50);
}

#[test]
fn a_job_is_stopped_at_its_deadline() {
    let mut fleet = fleet().node("fl-1");
    let mut job = program(&["steady"]);
    job.0.kind = Kind::Job(Job { deadline: Some(Duration::from_secs(20)), ..Job::default() });
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
        let there = fleet.rows().iter().filter(|row| row.state == "RUNNING").count();
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

fn job(deadline: Option<u64>, spec: Spec) -> Spec {
    let mut spec = spec;
    spec.0.kind = Kind::Job(Job { deadline: deadline.map(Duration::from_secs), ..Job::default() });
    spec
}

fn patch(run: Option<RunState>, restart: bool) -> Command {
    let (app, service) = (key("shop"), Some(name("import")));
    Command::Patch { app, service, replicas: None, run, restart, expected: Expected::Anything }
}

fn told(fleet: &World, to: &str) -> usize {
    fleet.orchestrators[0].disk.history.iter().filter(|change| change.to == to).count()
}

fn states(fleet: &World) -> Vec<String> {
    fleet.rows().into_iter().map(|row| row.state).collect()
}

fn launches(fleet: &World) -> usize {
    fleet.nodes.iter().map(|node| node.runtimes.launches).sum()
}

/// Where the first instance is: `root/fl-1`.
fn place(fleet: &World) -> String {
    let row = fleet.rows().remove(0);
    format!("{}/{}", row.cluster.as_deref().unwrap_or("root"), row.node.unwrap())
}

#[test]
fn a_start_of_the_orchestrator_judges_nothing_that_has_ended() {
    let mut fleet = fleet().node("fl-1");
    let often = cron(program(&["job", "500"]), |cron| {
        (cron.missed, cron.schedule) = (Missed::RunOnce, "*/10 * * * *".parse().unwrap());
    });
    fleet.apply(
        app("shop").service("import", job(Some(20), program(&["job", "500"])), 1).service("report", often, 1),
    );
    fleet.run_secs(21 * 60);
    let before = begun(&fleet);
    let root = fleet.who("root");
    fleet.crash(root, false);
    fleet.run_secs(30);
    assert!(states(&fleet).iter().all(|state| state == "COMPLETED"), "{:#?}", fleet.lines());
    assert_eq!(told(&fleet, "stopped"), 0);
    // Of the times that nobody was there for, the last is made up for, although runs are kept.
    fleet.pause(root, Duration::from_secs(45 * 60));
    fleet.run_secs(44 * 60);
    fleet.crash(root, false);
    fleet.run_secs(2 * 60);
    assert_eq!(begun(&fleet), before + 1, "{:#?}", fleet.lines());
}

#[test]
fn what_has_completed_is_not_run_again_when_its_node_is_removed() {
    for below in [false, true] {
        let mut fleet = fleet();
        fleet = if below { fleet.cluster("vienna", nodes(2)) } else { fleet.node("fl-1").node("fl-2") };
        let often = cron(program(&["job", "500"]), |_| {});
        let import = job(None, program(&["job", "500"]));
        fleet.apply(app("shop").service("import", import, 2).service("report", often, 2));
        fleet.run_secs(130);
        let before = begun(&fleet);
        let starts = launches(&fleet);
        let (parent, member) =
            (usize::from(below), fleet.member_id(if below { "vienna/fl-1" } else { "root/fl-1" }));
        fleet.command(parent, Command::RemoveMember { member }).unwrap();
        fleet.run_secs(40);
        assert_eq!((begun(&fleet), launches(&fleet)), (before, starts), "below a cluster: {below}");
        let application = fleet.orchestrators[0].up().applications().remove(0);
        assert_eq!(application.state, ServiceState::Completed, "below a cluster: {below}");
        // A person may ask for all of it once more.
        fleet.command(0, patch(None, true)).unwrap();
        fleet.run_secs(30);
        let begun_since = begun(&fleet) - before;
        assert_eq!(launches(&fleet), starts + 2 + 2 * begun_since, "below a cluster: {below}");
    }
}

#[test]
fn what_has_ended_takes_no_room() {
    for below in [false, true] {
        let mut fleet = fleet();
        fleet = if below { fleet.cluster("vienna", nodes(1)) } else { fleet.node("fl-1") };
        // A node has 256 MiB; three runs are kept.
        let spec = program(&["job", "500"]).memory("200Mi").port("http", Some(80));
        fleet.apply(app("shop").service("report", cron(spec, |cron| cron.keep = 3), 1));
        fleet.run_secs(6 * 60 + 20);
        assert_eq!((begun(&fleet), left_out(&fleet)), (6, 0), "below a cluster: {below}");
        assert!(states(&fleet).iter().all(|state| state == "COMPLETED"), "{:#?}", fleet.lines());
    }
}

#[test]
fn what_is_started_again_finds_room_elsewhere() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(app("shop").service("import", job(None, program(&["job", "500"]).memory("200Mi")), 1));
    fleet.run_secs(10);
    let first = fleet.rows()[0].node.clone();
    fleet.apply(app("garage").service("web", steady().memory("200Mi").on_node(first.as_deref().unwrap()), 1));
    fleet.run_secs(10);
    fleet.command(0, patch(None, true)).unwrap();
    fleet.run_secs(30);
    let import = fleet.rows().into_iter().find(|row| row.slot.starts_with("import/")).unwrap();
    assert_eq!(import.state, "COMPLETED", "{:#?}", fleet.lines());
    assert_ne!(import.node, first);
}

#[test]
fn a_run_that_is_stopped_is_waited_for() {
    // It takes a minute and a half to end when it is asked to.
    for overlap in [Overlap::Forbid, Overlap::Replace] {
        let mut fleet = fleet().node("fl-1").node("fl-2");
        let stubborn = program(&["stubborn", "90000"]);
        let long = cron(stubborn, |cron| {
            (cron.overlap, cron.job.deadline) = (overlap, Some(Duration::from_secs(70)));
        });
        fleet.apply(app("shop").service("report", long, 1));
        let mut most = 0;
        for _ in 0..600 {
            fleet.run_secs(1);
            let services = (0..2).map(|node| fleet.nodes[node].runtimes.processes.values());
            most = most.max(services.flatten().filter(|process| process.is_live()).count());
        }
        assert_eq!(most, 1, "{overlap:?}");
        assert!(begun(&fleet) > 1, "{overlap:?}");
    }
}

#[test]
fn a_run_whose_node_is_cut_off_at_its_deadline_may_still_run() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    let long = cron(program(&["steady"]), |cron| cron.job.deadline = Some(Duration::from_secs(40)));
    fleet.apply(app("shop").service("report", long, 1));
    while begun(&fleet) == 0 {
        fleet.run_secs(1);
    }
    fleet.run_secs(38);
    let node = place(&fleet);
    fleet.cut(&node);
    fleet.run_secs(120);
    assert_eq!(begun(&fleet), 1, "{:#?}", fleet.lines());
    fleet.heal(&node);
    fleet.run_secs(120);
    assert!(begun(&fleet) > 1, "{:#?}", fleet.lines());
}

#[test]
fn a_node_that_went_after_a_run_forbids_nothing() {
    let mut fleet = fleet().cluster("vienna", nodes(2));
    fleet.apply(app("shop").service("report", cron(program(&["job", "500"]), |_| {}), 1));
    fleet.run_secs(70);
    let node = place(&fleet);
    fleet.cut(&node);
    let before = begun(&fleet);
    fleet.run_secs(5 * 60);
    assert!(begun(&fleet) >= before + 4, "{} of {before}: {:#?}", begun(&fleet), fleet.lines());
    assert!(states(&fleet).iter().all(|state| state == "COMPLETED"), "{:#?}", fleet.lines());
}

#[test]
fn a_run_that_was_made_up_for_has_its_whole_deadline() {
    let mut fleet = fleet().node("fl-1");
    let long = cron(program(&["job", "300000"]), |cron| {
        (cron.missed, cron.schedule) = (Missed::RunOnce, "*/30 * * * *".parse().unwrap());
        cron.job.deadline = Some(Duration::from_secs(6 * 60));
    });
    fleet.apply(app("shop").service("report", long, 1));
    fleet.run_secs(5);
    let root = fleet.who("root");
    fleet.pause(root, Duration::from_secs(45 * 60));
    fleet.run_secs(53 * 60);
    assert!(begun(&fleet) >= 1);
    assert_eq!(states(&fleet), ["COMPLETED"], "{:#?}", fleet.lines());
}

#[test]
fn what_its_deadline_has_stopped_can_be_asked_for_again() {
    let mut fleet = fleet().node("fl-1");
    fleet.apply(app("shop").service("import", job(Some(20), program(&["steady"])), 1));
    fleet.run_secs(30);
    assert_eq!(states(&fleet), ["STOPPED"]);
    for again in [patch(Some(RunState::Run), false), patch(None, true)] {
        fleet.command(0, again).unwrap();
        fleet.run_secs(15);
        assert_eq!(states(&fleet), ["RUNNING"], "{:#?}", fleet.lines());
        fleet.run_secs(15);
        assert_eq!(states(&fleet), ["STOPPED"], "{:#?}", fleet.lines());
    }
    // Another specification runs, too.
    fleet.apply(app("shop").service("import", job(Some(20), program(&["job", "500"])), 1));
    fleet.run_secs(15);
    assert_eq!(states(&fleet), ["COMPLETED"], "{:#?}", fleet.lines());
}

#[test]
fn a_clock_that_is_set_forward_stops_no_job() {
    let mut fleet = fleet().node("fl-1");
    fleet.apply(app("shop").service("import", job(Some(600), program(&["job", "60000"])), 1));
    fleet.run_secs(10);
    fleet.orchestrators[0].clock.skew = 3_600_000;
    fleet.run_secs(90);
    assert_eq!(states(&fleet), ["COMPLETED"]);
}

#[test]
fn one_that_is_scaled_to_nothing_begins_nothing_until_it_is_scaled_up() {
    let mut fleet = fleet().node("fl-1");
    fleet.apply(app("shop").service("report", cron(program(&["job", "500"]), |_| {}), 1));
    let scale = |replicas| Command::Patch {
        app: key("shop"),
        service: Some(name("report")),
        replicas: Some(replicas),
        run: None,
        restart: false,
        expected: Expected::Anything,
    };
    fleet.command(0, scale(0)).unwrap();
    fleet.run_secs(130);
    assert_eq!(begun(&fleet), 0);
    fleet.command(0, scale(1)).unwrap();
    fleet.run_secs(70);
    assert_eq!(begun(&fleet), 1);
}

#[test]
fn a_time_at_which_it_was_stopped_or_not_yet_so_was_not_missed() {
    let mut fleet = fleet().node("fl-1");
    let at = |schedule: &str| {
        cron(program(&["job", "500"]), |cron| {
            (cron.missed, cron.schedule) = (Missed::RunOnce, schedule.parse().unwrap());
        })
    };
    fleet.apply(app("shop").service("import", at("*/10 * * * *"), 1));
    fleet.run_secs(5);
    fleet.command(0, patch(Some(RunState::Stop), false)).unwrap();
    fleet.run_secs(15 * 60);
    fleet.command(0, patch(Some(RunState::Run), false)).unwrap();
    fleet.run_secs(60);
    assert_eq!(begun(&fleet), 0, "stopped");
    fleet.apply(app("shop").service("import", at("0 0 1 1 *"), 1));
    fleet.run_secs(60);
    fleet.apply(app("shop").service("import", at("*/7 * * * *"), 1));
    fleet.run_secs(5);
    assert_eq!(begun(&fleet), 0, "another schedule");
}

#[test]
fn runs_of_what_is_no_cron_any_more_go() {
    let mut fleet = fleet().node("fl-1");
    fleet.apply(app("shop").service("report", cron(program(&["job", "500"]), |_| {}), 1));
    fleet.run_secs(130);
    assert_eq!(runs(&fleet).len(), 2);
    fleet.apply(app("shop").service("report", steady(), 1));
    fleet.run_secs(10);
    assert_eq!(runs(&fleet).len(), 0);
}

/// A cluster without such a node has nothing to wait for.
#[test]
fn a_job_of_each_node_is_over_where_no_node_is_meant() {
    let mut fleet = fleet().cluster("vienna", nodes(2)).cluster("munich", nodes(1)).node("edge");
    let mut job = job(Some(60), program(&["job", "500"]));
    job.0.placement.cluster = None;
    job.0.placement.condition = Some("name == 'fl-2'".parse().unwrap());
    fleet.apply(app("shop").per_node("import", job));
    fleet.run_secs(150);
    assert_eq!(fleet.lines(), ["import/vienna/fl-2 COMPLETED vienna/fl-2"]);
    assert_eq!(told(&fleet, "stopped"), 0, "its deadline stops nothing");
    let application = fleet.orchestrators[0].up().applications().remove(0);
    assert_eq!(application.state, ServiceState::Completed);
}

#[test]
fn runs_that_go_on_beside_each_other_stay_within_the_quota() {
    let mut fleet = fleet().node("fl-1");
    let quota = Quota { instances: Some(2), ..Quota::default() };
    let set = ProjectCommand::SetQuota { name: name("default"), quota };
    fleet.command(0, Command::Project(set)).unwrap();
    let endless = cron(steady(), |cron| cron.overlap = Overlap::Allow);
    fleet.apply(app("shop").service("report", endless, 1));
    fleet.run_secs(5 * 60);
    assert_eq!(runs(&fleet).len(), 2, "{:?}", fleet.lines());
    let history = &fleet.orchestrators[0].disk.history;
    let left = history.iter().find(|change| change.to == "left out").unwrap();
    assert!(left.reason.contains("the quota of project `default` is exceeded: 3 instances of 2"), "{left:?}");
}
