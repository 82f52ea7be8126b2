//! What was said before: kept, gone back to by people, and by the owner itself when an update fails.

use std::time::Duration;

use holm_core::orchestrator::command::{Command, Expected, Refusal, Reply};
use holm_model::update::{Canary, CanarySize, OnFailure, Promote, Update, UpdateStrategy};
use holm_model::view::generation::{GenerationCause, GenerationOutcome, GenerationView};
use holm_model::view::{ApplicationView, ApplyView};

use crate::fleet::{App, Spec, app, fleet, key, nodes, program, steady};
use crate::world::World;

fn shop(spec: Spec) -> App {
    app("shop").service("web", spec, 3)
}

pub(super) fn with(spec: Spec, update: Update) -> Spec {
    let mut spec = spec;
    spec.0.update = update;
    spec
}

/// Back to what ran, after ten seconds without progress.
pub(super) fn careful() -> Update {
    Update { on_failure: OnFailure::Rollback, deadline: Duration::from_secs(20), ..Update::default() }
}

pub(super) fn history(fleet: &World) -> Vec<GenerationView> {
    fleet.orchestrators[0].up().generations(&key("shop")).unwrap()
}

pub(super) fn numbers(fleet: &World) -> Vec<u64> {
    history(fleet).iter().map(|view| view.generation).collect()
}

pub(super) fn view(fleet: &World) -> ApplicationView {
    fleet.orchestrators[0].up().applications().remove(0)
}

pub(super) fn roll_back(fleet: &mut World, to: Option<u64>) -> Result<ApplyView, Refusal> {
    let command = Command::Rollback { app: key("shop"), to, expected: Expected::Anything };
    match fleet.command(0, command)? {
        Reply::Applied(view) => Ok(view),
        other => panic!("{other:?}"),
    }
}

pub(super) fn promote(fleet: &mut World) -> Result<Reply, Refusal> {
    fleet.command(0, Command::Promote { app: key("shop"), expected: Expected::Anything })
}

/// All slots run in this generation, and it is known that they ran well.
pub(super) fn run_until_ran(fleet: &mut World, generation: u64) {
    fleet.run_until(&format!("generation {generation} runs"), |fleet| {
        let rows = fleet.rows();
        rows.iter().all(|row| row.generation == generation && row.state == "RUNNING")
            && history(fleet)[0].outcome == GenerationOutcome::Ran
    });
}

pub(super) fn events(fleet: &World, to: &str) -> Vec<String> {
    let told = fleet.orchestrators[0].disk.history.iter().filter(|change| change.to == to);
    told.map(|change| change.reason.clone()).collect()
}

/// A world with the clusters, and with nodes of the root alone.
pub(super) fn worlds() -> [World; 2] {
    [fleet().node("fl-1").node("fl-2"), fleet().cluster("vienna", nodes(1)).cluster("munich", nodes(1))]
}

#[test]
fn what_was_said_is_kept_and_the_oldest_forgotten() {
    let mut fleet = fleet().node("fl-1");
    for version in 1..=3 {
        fleet.apply(shop(steady().version(&version.to_string())));
    }
    fleet.scale("shop", "web", 2);
    assert_eq!(numbers(&fleet), [3, 2, 1], "what was scaled by hand is in the audit log");
    let newest = &history(&fleet)[0];
    assert_eq!((newest.cause, newest.current, newest.who.as_str()), (GenerationCause::Apply, true, "admin"));
    assert_eq!(newest.changes[0].details, ["env.VERSION: 2 → 3"]);
    assert_eq!(history(&fleet)[1].outcome, GenerationOutcome::Replaced);
    for version in 4..=6 {
        fleet.apply(shop(steady().version(&version.to_string())));
    }
    assert_eq!(numbers(&fleet), [7, 6, 5, 3]);
    fleet.crash(fleet.who("root"), false);
    fleet.run_secs(6);
    assert_eq!(numbers(&fleet), [7, 6, 5, 3]);
    let shown = fleet.orchestrators[0].up().generation(&key("shop"), 3).unwrap().manifest.unwrap();
    assert!(shown.contains("VERSION: '3'") || shown.contains("VERSION: \"3\""), "{shown}");
    fleet.delete("shop");
    fleet.apply(shop(steady()));
    assert_eq!(history(&fleet).len(), 1, "another creation has a history of its own");
}

#[test]
fn the_newest_that_ran_is_not_forgotten() {
    let mut fleet = fleet().node("fl-1");
    fleet.apply(shop(steady()));
    run_until_ran(&mut fleet, 1);
    for version in 2..=9 {
        fleet.apply(shop(steady().memory("64Gi").version(&version.to_string())));
    }
    assert_eq!(numbers(&fleet), [9, 8, 7, 1]);
}

#[test]
fn people_go_back() {
    for mut fleet in worlds() {
        fleet.apply(shop(steady().version("1")));
        run_until_ran(&mut fleet, 1);
        fleet.apply(shop(steady().version("2")));
        run_until_ran(&mut fleet, 2);
        fleet.scale("shop", "web", 2);
        let view = roll_back(&mut fleet, None).unwrap();
        assert_eq!((view.generation, view.changes[0].action.as_str()), (4, "change"));
        run_until_ran(&mut fleet, 4);
        assert_eq!(fleet.processes("web").len(), 2, "what was scaled by hand stays");
        let newest = &history(&fleet)[0];
        assert_eq!((newest.cause, newest.to), (GenerationCause::Rollback, Some(1)));

        let same = roll_back(&mut fleet, Some(1)).unwrap();
        assert_eq!((same.generation, same.changes[0].action.as_str()), (4, "keep"));
        let never = roll_back(&mut fleet, Some(17)).unwrap_err();
        assert!(never.to_string().contains("has no generation 17"), "{never}");
        assert!(never.to_string().contains("there is 1, 2, 4"), "{never}");
    }
}

#[test]
fn who_has_one_generation_only_goes_nowhere() {
    let mut fleet = fleet().node("fl-1");
    fleet.apply(shop(steady()));
    assert!(matches!(roll_back(&mut fleet, None), Err(Refusal::Conflict(_))));
    assert_eq!(roll_back(&mut fleet, Some(1)).unwrap().changes[0].action, "keep");
}

#[test]
fn an_update_that_fails_is_taken_back_by_itself() {
    for (mut fleet, bad) in worlds().into_iter().zip([&["crash", "1"][..], &["crash", "800"]]) {
        fleet.apply(shop(with(steady(), careful())));
        run_until_ran(&mut fleet, 1);
        fleet.apply(shop(with(program(bad), careful())));
        for _ in 0..200 {
            fleet.run_for(Duration::from_millis(100));
            let old = fleet.rows().into_iter().filter(|row| row.generation != 2 && row.state == "RUNNING");
            assert!(old.count() >= 2, "{:#?}", fleet.rows());
        }
        run_until_ran(&mut fleet, 3);
        let all = history(&fleet);
        assert_eq!((all[0].cause, all[0].to), (GenerationCause::AutomaticRollback, Some(1)));
        assert_eq!(all[1].outcome, GenerationOutcome::Failed);
        assert!(all[1].reason.starts_with("web/0: "), "{:?}", all[1]);
        let rollout = view(&fleet).rollout.unwrap();
        assert_eq!((rollout.took_back, rollout.outcome), (Some(2), GenerationOutcome::Ran));
        assert_eq!(events(&fleet, "rolled back").len(), 1);
    }
}

#[test]
fn one_that_comes_nowhere_is_taken_back_at_its_deadline() {
    for mut fleet in worlds() {
        fleet.apply(shop(with(steady(), careful())));
        run_until_ran(&mut fleet, 1);
        fleet.apply(shop(with(steady().memory("64Gi"), careful())));
        fleet.run_secs(15);
        assert_eq!(numbers(&fleet)[0], 2, "its deadline has not passed");
        run_until_ran(&mut fleet, 3);
        let why = &history(&fleet)[1].reason;
        assert!(why.starts_with("no further slot ran well within 20s; web/0: "), "{why}");
        assert!(why.contains("64GiB asked"), "{why}");
    }
}

#[test]
fn one_with_nothing_before_it_halts() {
    let mut fleet = fleet().node("fl-1");
    fleet.apply(shop(with(program(&["crash", "1"]), careful())));
    fleet.run_secs(60);
    assert_eq!(numbers(&fleet), [1]);
    assert_eq!(history(&fleet)[0].outcome, GenerationOutcome::Failed);
    assert!(events(&fleet, "halted")[0].contains("no kept generation of which everything ran"));
}

#[test]
fn a_rollback_that_fails_halts() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(shop(with(steady(), careful())));
    run_until_ran(&mut fleet, 1);
    // From now on nothing that is started comes up.
    fleet.weather.launch_fails = 1000;
    fleet.apply(shop(with(steady().version("2"), careful())));
    fleet.run_secs(120);
    assert_eq!(numbers(&fleet), [3, 2, 1], "no ping-pong");
    assert_eq!(history(&fleet)[0].outcome, GenerationOutcome::Failed);
    assert!(events(&fleet, "halted")[0].contains("a rollback itself"), "{:?}", events(&fleet, "halted"));
    assert_eq!(fleet.processes("web").len(), 2, "what ran was not touched");
}

#[test]
fn one_that_is_interrupted_goes_on_and_still_comes_to_its_end() {
    for mut fleet in worlds() {
        fleet.apply(shop(with(steady(), careful())));
        run_until_ran(&mut fleet, 1);
        fleet.apply(shop(with(program(&["crash", "800"]), careful())));
        fleet.run_secs(1);
        fleet.crash(fleet.who("root"), false);
        fleet.run_secs(6);
        run_until_ran(&mut fleet, 3);
        assert_eq!(history(&fleet)[0].cause, GenerationCause::AutomaticRollback);
    }
}

#[test]
fn so_many_at_once() {
    for mut fleet in worlds() {
        let update = Update { parallel: 2, ..Update::default() };
        fleet.apply(app("shop").service("web", with(steady(), update.clone()), 6));
        run_until_ran(&mut fleet, 1);
        fleet.apply(app("shop").service("web", with(steady().version("2"), update), 6));
        let mut fewest = 6;
        for _ in 0..300 {
            fleet.run_for(Duration::from_millis(100));
            fewest = fewest.min(fleet.processes("web").len());
        }
        assert_eq!(fewest, 4, "two at a time");
        run_until_ran(&mut fleet, 2);
    }
}

#[test]
fn one_that_recreates_ends_all_before_anything_starts() {
    for mut fleet in worlds() {
        let update = Update { strategy: UpdateStrategy::Recreate, ..Update::default() };
        fleet.apply(shop(with(steady(), update.clone())));
        run_until_ran(&mut fleet, 1);
        fleet.apply(shop(with(steady().version("2"), update.clone())));
        for _ in 0..200 {
            fleet.run_for(Duration::from_millis(50));
            let live = |site: &crate::member::NodeSite| {
                let live = site.runtimes.processes.values().filter(|process| process.is_live());
                live.map(|process| process.part.generation).collect::<Vec<_>>()
            };
            let mut generations: Vec<_> = fleet.nodes.iter().flat_map(live).collect();
            generations.dedup();
            assert!(generations.len() <= 1, "old and new at one time: {generations:?}");
        }
        run_until_ran(&mut fleet, 2);
        // What could run nowhere ends nothing.
        let mut nowhere = with(steady(), update.clone());
        nowhere.0.runtime = crate::fleet::name("vm");
        for nowhere in [nowhere, with(steady().memory("64Gi"), update)] {
            fleet.apply(shop(nowhere));
            fleet.run_secs(30);
            assert_eq!(fleet.processes("web").len(), 3);
        }
    }
}

pub(super) fn canary(promote: Promote) -> Update {
    let strategy = UpdateStrategy::Canary(Canary { size: CanarySize::Count(1), promote });
    Update { strategy, ..careful() }
}

fn newer(fleet: &World) -> usize {
    fleet.rows().iter().filter(|row| row.generation > 1).count()
}

#[test]
fn a_canary_waits_for_people() {
    for mut fleet in worlds() {
        let update = canary(Promote::Manual);
        fleet.apply(shop(with(steady(), update.clone())));
        run_until_ran(&mut fleet, 1);
        assert!(matches!(promote(&mut fleet), Err(Refusal::Conflict(_))), "nothing waits");
        fleet.apply(shop(with(steady().version("2"), update.clone())));
        fleet.run_secs(1);
        assert!(promote(&mut fleet).unwrap_err().to_string().contains("has not run well"));
        for moment in 0..90 {
            if moment == 30 {
                fleet.crash(fleet.who("root"), false);
                fleet.run_secs(6);
            }
            fleet.run_secs(1);
            assert!(newer(&fleet) <= 1, "{:#?}", fleet.rows());
        }
        assert_eq!((newer(&fleet), numbers(&fleet)[0]), (1, 2), "no deadline runs while it stands");
        assert_eq!(view(&fleet).rollout.unwrap().canaries, ["web"]);
        let waits = fleet.slot("web/1").reason;
        assert!(waits.contains("holm promote shop"), "{waits}");
        promote(&mut fleet).unwrap();
        run_until_ran(&mut fleet, 2);

        // And back, while another one stands.
        fleet.apply(shop(with(steady().version("3"), update)));
        fleet.run_until("it stands", |fleet| view(fleet).rollout.unwrap().canaries == ["web"]);
        roll_back(&mut fleet, None).unwrap();
        let generation = view(&fleet).generation;
        run_until_ran(&mut fleet, generation);
        assert_eq!(history(&fleet)[0].to, Some(2));
    }
}

#[test]
fn a_canary_is_promoted_by_its_health_or_taken_back() {
    for mut fleet in worlds() {
        let update = canary(Promote::After(Duration::from_secs(8)));
        fleet.apply(shop(with(steady(), update.clone())));
        run_until_ran(&mut fleet, 1);
        fleet.apply(shop(with(steady().version("2"), update.clone())));
        for _ in 0..7 {
            fleet.run_secs(1);
            assert!(newer(&fleet) <= 1, "{:#?}", fleet.rows());
        }
        run_until_ran(&mut fleet, 2);
        assert_eq!(events(&fleet, "promoted").len(), 1);

        fleet.apply(shop(with(program(&["crash", "3000"]), update)));
        fleet.run_until("it is taken back", |fleet| {
            history(fleet)[0].cause == GenerationCause::AutomaticRollback
                && history(fleet)[0].outcome == GenerationOutcome::Ran
        });
        assert_eq!(fleet.processes("web").len(), 3);
    }
}

#[test]
fn a_newer_one_takes_the_place_of_what_is_under_way_and_says_so() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(shop(steady()));
    run_until_ran(&mut fleet, 1);
    fleet.apply(shop(steady().version("2")));
    fleet.run_secs(1);
    let command = Command::Apply {
        project: crate::fleet::name("default"),
        application: shop(steady().version("3")).0,
        expected: Expected::Anything,
    };
    let Reply::Applied(view) = fleet.command(0, command).unwrap() else { panic!() };
    let told = "generation 2 was still being rolled out; generation 3 takes its place";
    assert_eq!(view.warnings, [told]);
    run_until_ran(&mut fleet, 3);
    assert_eq!(history(&fleet)[1].outcome, GenerationOutcome::Replaced);
}
