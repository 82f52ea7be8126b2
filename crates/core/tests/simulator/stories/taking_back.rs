//! What an owner takes back by itself, and what it leaves alone: deadlines, canaries, silence, other services.

use std::time::Duration;

use holm_core::orchestrator::command::{Command, Expected, ProjectCommand};
use holm_model::job::{Job, Kind};
use holm_model::state::RunState;
use holm_model::update::{OnFailure, Promote, Update};
use holm_model::view::generation::{GenerationCause, GenerationOutcome};
use holm_model::view::people::Quota;

use super::going_back::{
    canary, careful, events, history, numbers, promote, roll_back, run_until_ran, view, with,
};
use crate::fleet::{App, Spec, app, fleet, key, name, nodes, program, seeded, steady};
use crate::world::World;

fn web(spec: Spec, update: Update, replicas: u32) -> App {
    app("shop").service("web", with(spec, update), replicas)
}

/// Slots of web that run in this generation.
fn running(fleet: &World, generation: u64) -> usize {
    let rows = fleet.rows().into_iter();
    rows.filter(|row| row.slot.starts_with("web/") && row.generation == generation && row.state == "RUNNING")
        .count()
}

/// Four of 100 MiB each, so that no two nodes have them all.
fn wide(version: &str) -> Spec {
    steady().memory("100Mi").version(version)
}

/// A node of the root that has some of the slots, and not the first.
fn without_the_first(fleet: &World) -> String {
    let rows = fleet.rows();
    let first = rows.iter().find(|row| row.slot == "web/0").and_then(|row| row.node.clone());
    let other = rows.iter().find(|row| row.node != first).and_then(|row| row.node.clone());
    format!("root/{}", other.unwrap())
}

#[test]
fn the_time_of_the_generation_before_is_not_the_next_ones() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(web(steady(), careful(), 3));
    run_until_ran(&mut fleet, 1);
    let halting = Update { on_failure: OnFailure::Halt, ..careful() };
    fleet.apply(web(steady().memory("64Gi"), halting, 3));
    fleet.run_secs(60);
    fleet.apply(web(steady().version("3"), careful(), 3));
    run_until_ran(&mut fleet, 3);
    assert_eq!(numbers(&fleet), [3, 2, 1]);
}

#[test]
fn an_owner_that_keeps_one_generation_keeps_the_one_in_force() {
    let mut fleet = fleet().node("fl-1");
    fleet.orchestrators[0].config.generations = 1;
    fleet.crash(fleet.who("root"), false);
    fleet.run_secs(6);
    fleet.apply(web(steady(), careful(), 3));
    run_until_ran(&mut fleet, 1);
    fleet.apply(web(steady().version("2"), careful(), 3));
    assert_eq!(numbers(&fleet), [2, 1], "the one in force, and where a rollback leads");
    run_until_ran(&mut fleet, 2);
    fleet.apply(web(steady().version("3"), careful(), 3));
    assert_eq!(numbers(&fleet), [3, 2]);
}

#[test]
fn what_it_did_not_change_is_no_reason_to_take_it_back() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    let shop = |version: &str| {
        let ends = with(program(&["crash", "3500"]), careful());
        web(steady().version(version), careful(), 2).service("db", ends, 1)
    };
    fleet.apply(shop("1"));
    fleet.run_until("it has run", |fleet| history(fleet)[0].outcome == GenerationOutcome::Ran);
    fleet.run_until("db has ended", |fleet| fleet.rows().iter().any(|row| row.state == "FAILED"));
    fleet.run_secs(30);
    fleet.apply(shop("2"));
    fleet.run_until("it runs", |fleet| running(fleet, 2) == 2);
    fleet.run_until("it counts as run", |fleet| history(fleet)[0].outcome == GenerationOutcome::Ran);
    // Nor does what a person stopped keep it from having run.
    let patch = Command::Patch {
        app: key("shop"),
        service: Some(name("db")),
        replicas: None,
        run: Some(RunState::Stop),
        restart: false,
        expected: Expected::Anything,
    };
    fleet.command(0, patch).unwrap();
    fleet.apply(shop("3"));
    fleet.run_until("it counts as run", |fleet| history(fleet)[0].outcome == GenerationOutcome::Ran);
    assert_eq!(running(&fleet, view(&fleet).generation), 2);
    assert_eq!(events(&fleet, "rolled back"), Vec::<String>::new());
}

#[test]
fn a_canary_that_stands_is_not_taken_back_because_others_are_silent() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    let update = canary(Promote::Manual);
    fleet.apply(web(wide("1"), update.clone(), 4));
    run_until_ran(&mut fleet, 1);
    fleet.apply(web(wide("2"), update, 4));
    fleet.run_until("it stands", |fleet| view(fleet).rollout.unwrap().canaries == ["web"]);
    // Nobody else has room for what is there.
    let silent = without_the_first(&fleet);
    fleet.cut(&silent);
    fleet.run_secs(90);
    assert_eq!(numbers(&fleet)[0], 2, "{:?}", history(&fleet));
}

#[test]
fn no_deadline_runs_while_only_silent_nodes_of_a_cluster_are_left() {
    let mut fleet = fleet().cluster("vienna", nodes(2));
    fleet.apply(web(wide("1"), careful(), 4));
    run_until_ran(&mut fleet, 1);
    fleet.cut("vienna/fl-2");
    fleet.run_until("two are silent", |fleet| {
        fleet.rows().iter().filter(|row| row.state == "DANGLING").count() == 2
    });
    fleet.apply(web(wide("2"), careful(), 4));
    fleet.run_secs(90);
    assert_eq!(numbers(&fleet)[0], 2, "{:?}", history(&fleet));
    fleet.heal("vienna/fl-2");
    run_until_ran(&mut fleet, 2);
}

#[test]
fn what_waits_behind_a_canary_or_a_failure_is_replaced_as_it_was() {
    let halting = Update { on_failure: OnFailure::Halt, ..careful() };
    let bad = with(program(&["crash", "1"]).memory("20Mi"), halting.clone());
    let standing = (with(wide("2"), canary(Promote::Manual)), canary(Promote::Manual));
    for (next, update) in [standing, (bad, halting)] {
        let mut fleet = fleet().node("fl-1").node("fl-2").node("fl-3").node("fl-4");
        fleet.apply(web(wide("1"), update, 4));
        run_until_ran(&mut fleet, 1);
        fleet.apply(app("shop").service("web", next, 4));
        fleet.run_secs(20);
        assert_eq!(running(&fleet, 1), 3, "{:#?}", fleet.rows());
        let lost = without_the_first(&fleet);
        fleet.cut(&lost);
        fleet.run_until("some are silent", |fleet| fleet.rows().iter().any(|row| row.state == "DANGLING"));
        fleet.run_until("they run elsewhere, as they were", |fleet| running(fleet, 1) == 3);
        fleet.heal(&lost);
        fleet.run_until("the surplus ends", |fleet| fleet.rows().len() == 4 && running(fleet, 1) == 3);
    }
}

#[test]
fn empty_slots_get_what_ran_while_a_canary_stands() {
    for (mut fleet, more) in [
        (fleet().node("fl-1").node("fl-2"), 5),
        (fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1)), 6),
    ] {
        let update = canary(Promote::Manual);
        fleet.apply(web(steady(), update.clone(), 1));
        run_until_ran(&mut fleet, 1);
        fleet.apply(web(steady().version("2"), update, 3));
        fleet.run_until("it stands", |fleet| view(fleet).rollout.unwrap().canaries == ["web"]);
        fleet.run_until("all run", |fleet| (running(fleet, 1), running(fleet, 2)) == (2, 1));
        fleet.scale("shop", "web", more);
        fleet.run_until("more run", |fleet| fleet.rows().len() == more as usize);
        for _ in 0..20 {
            fleet.run_secs(1);
            assert!(running(&fleet, 2) <= 1, "{:#?}", fleet.rows());
        }
        assert_eq!(running(&fleet, 1), more as usize - 1, "{:#?}", fleet.rows());
        promote(&mut fleet).unwrap();
        run_until_ran(&mut fleet, 2);
        assert_eq!(running(&fleet, 2), more as usize);
    }
}

#[test]
fn empty_slots_wait_for_the_canary_where_nothing_ran_before() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    let update = canary(Promote::Manual);
    // One of them has no place, so that this one never ran.
    fleet.apply(web(wide("1"), update.clone(), 5));
    fleet.run_until("four run", |fleet| running(fleet, 1) == 4);
    fleet.apply(web(steady().memory("20Mi"), update, 5));
    fleet.run_until("it stands", |fleet| view(fleet).rollout.unwrap().canaries == ["web"]);
    fleet.run_secs(30);
    let waits = fleet.slot("web/4");
    assert!(waits.node.is_none() && waits.reason.contains("canary"), "{waits:#?}");
    promote(&mut fleet).unwrap();
    run_until_ran(&mut fleet, 2);
}

#[test]
fn a_second_attempt_in_a_cluster_is_awaited() {
    // When the root looks, and what it has heard by then, is chance.
    for seed in 1..=16 {
        let mut fleet = seeded(seed).cluster("vienna", nodes(2));
        fleet.apply(web(steady(), careful(), 1));
        run_until_ran(&mut fleet, 1);
        fleet.weather.launch_fails = 1000;
        fleet.apply(web(steady().version("2"), careful(), 1));
        let given_up =
            |fleet: &World| fleet.rows().iter().any(|row| row.reason.contains("no attempt is left"));
        while !given_up(&fleet) {
            fleet.run_for(Duration::from_millis(10));
        }
        fleet.weather.launch_fails = 0;
        fleet.run_secs(20);
        assert_eq!(numbers(&fleet), [2, 1], "{seed}");
        run_until_ran(&mut fleet, 2);
    }
}

#[test]
fn a_rollback_promotes_only_what_ran() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    let shop = |web: &str, db: &str| {
        let canary = with(steady().version(web), canary(Promote::Manual));
        app("shop").service("web", canary, 3).service("db", with(steady().version(db), careful()), 1)
    };
    fleet.apply(shop("1", "1"));
    run_until_ran(&mut fleet, 1);
    fleet.apply(shop("2", "1"));
    fleet.run_until("it stands", |fleet| view(fleet).rollout.unwrap().canaries == ["web"]);
    fleet.apply(shop("2", "2"));
    fleet.run_secs(20);
    roll_back(&mut fleet, Some(2)).unwrap();
    fleet.run_secs(30);
    assert_eq!((running(&fleet, 1), running(&fleet, 2)), (2, 1), "its canary still stands");
    roll_back(&mut fleet, Some(1)).unwrap();
    let generation = view(&fleet).generation;
    fleet.run_until("all are back", |fleet| running(fleet, generation) == 3);
}

#[test]
fn what_cannot_be_taken_back_yet_is_taken_back_once_it_can_be() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(web(steady().memory("50Mi"), careful(), 3));
    run_until_ran(&mut fleet, 1);
    let quota = |fleet: &mut World, memory: &str| {
        let quota = Quota { memory: Some(memory.parse().unwrap()), ..Quota::default() };
        fleet
            .command(0, Command::Project(ProjectCommand::SetQuota { name: name("default"), quota }))
            .unwrap();
    };
    fleet.apply(web(program(&["crash", "1"]).memory("10Mi"), careful(), 3));
    quota(&mut fleet, "60Mi");
    fleet.run_until("it has failed", |fleet| history(fleet)[0].outcome == GenerationOutcome::Failed);
    fleet.run_secs(30);
    assert_eq!(numbers(&fleet), [2, 1]);
    let told = events(&fleet, "halted");
    assert!(told.len() == 1 && told[0].contains("the quota of project `default`"), "{told:?}");
    quota(&mut fleet, "1Gi");
    run_until_ran(&mut fleet, 3);
    assert_eq!(history(&fleet)[0].cause, GenerationCause::AutomaticRollback);
}

#[test]
fn what_ran_and_fails_now_is_not_taken_back_to_itself() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(web(steady(), careful(), 2));
    run_until_ran(&mut fleet, 1);
    fleet.apply(web(program(&["crash", "300"]), careful(), 2));
    fleet.run_secs(2);
    // Back by hand, and then nothing starts any more.
    roll_back(&mut fleet, Some(1)).unwrap();
    fleet.weather.launch_fails = 1000;
    for node in 0..2 {
        fleet.crash(crate::world::Who::Node(node), true);
    }
    fleet.run_secs(20 * 60);
    let rolled = events(&fleet, "rolled back").len();
    let halted = events(&fleet, "halted").len();
    assert_eq!((rolled, halted), (0, 1), "{:#?}", fleet.lines());
}

#[test]
fn a_job_has_run_when_it_has_ended_well() {
    let mut fleet = fleet().node("fl-1");
    let job = |command: &[&str]| {
        let mut spec = program(command);
        spec.0.kind = Kind::Job(Job::default());
        spec
    };
    fleet.apply(web(job(&["job", "500"]), careful(), 1));
    fleet.run_until("it has ended well", |fleet| history(fleet)[0].outcome == GenerationOutcome::Ran);
    // It fails after it has run for longer than a service has to run to be good.
    fleet.apply(web(job(&["crash", "30000"]).once(), careful(), 1));
    fleet.run_secs(25);
    assert_eq!(history(&fleet)[0].outcome, GenerationOutcome::Underway);
    fleet.run_secs(40);
    assert_eq!(events(&fleet, "rolled back").len(), 1, "{:#?}", fleet.lines());
}
