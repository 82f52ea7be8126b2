//! Schedulers of people's own: asked, heard, and not missed.

use std::time::Duration;

use holm_model::update::{OnFailure, Update};
use holm_model::view::generation::GenerationOutcome;

use super::exposing::{at_cluster, targets};
use super::going_back::{careful, events, history, run_until_ran, with};
use crate::fleet::{app, fleet, nodes, steady};
use crate::world::World;

fn outcomes(fleet: &World) -> Vec<(&'static str, u64)> {
    fleet.orchestrators[0].up().figures().tally.consultations.into_iter().collect()
}

fn strategy(fleet: &World, application: &str) -> String {
    let app = crate::fleet::key(application);
    fleet.orchestrators[0].up().explain(&app, "web/0").unwrap().strategy
}

#[test]
fn the_first_of_a_ranking_takes_the_slot() {
    let mut fleet = fleet().node("fl-1").node("fl-2").node("fl-3");
    fleet.apply(app("shop").service("web", steady().ranked_by("last"), 2));
    fleet.run_until_lines(&["web/0 RUNNING fl-3", "web/1 RUNNING fl-3"]);
    assert_eq!(outcomes(&fleet), [("ranked", 2)]);
    let explained = fleet.orchestrators[0].up().explain(&crate::fleet::key("shop"), "web/0").unwrap();
    assert_eq!(explained.strategy, "external:last");
    assert_eq!(explained.then.unwrap(), "external:last: number 1 of the 3 that it named");
}

#[test]
fn many_slots_are_asked_about_a_few_at_a_time() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(app("shop").service("web", steady().ranked_by("last"), 100));
    fleet.run_until_running(100);
    assert_eq!(outcomes(&fleet), [("ranked", 100)]);
    assert!(fleet.lines().iter().all(|line| line.ends_with("RUNNING fl-2")));
}

#[test]
fn without_an_answer_of_use_the_usual_strategy_decides() {
    for (scheduler, outcome) in [("broken", "failed"), ("stranger", "failed"), ("silent", "silent")] {
        let mut fleet = fleet().node("fl-1").node("fl-2");
        fleet.apply(app("shop").service("web", steady().ranked_by(scheduler), 1));
        fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
        assert_eq!(outcomes(&fleet), [(outcome, 1)], "{scheduler}");
        let words = strategy(&fleet, "shop");
        assert!(words.starts_with(&format!("first-fit, since external:{scheduler} fails")), "{words}");
    }
}

#[test]
fn an_unknown_scheduler_is_none() {
    let mut fleet = fleet().node("fl-1");
    fleet.apply(app("shop").service("web", steady().ranked_by("nobody"), 1));
    fleet.run_until_lines(&["web/0 RUNNING fl-1"]);
    assert_eq!(strategy(&fleet, "shop"), "first-fit, since `nobody` is no scheduler of this orchestrator");
}

#[test]
fn a_restart_forgets_what_was_asked_and_asks_again() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(app("shop").service("web", steady().ranked_by("last"), 1));
    let root = fleet.who("root");
    fleet.crash(root, false);
    fleet.start(root);
    fleet.run_until_lines(&["web/0 RUNNING fl-2"]);
}

#[test]
fn one_that_is_required_and_fails_lets_nothing_new_in() {
    let mut fleet = fleet().node("fl-1");
    fleet.orchestrators[0].config.schedulers.required = true;
    let root = fleet.who("root");
    fleet.crash(root, false);
    fleet.start(root);
    fleet.apply(app("shop").service("web", steady().ranked_by("broken"), 1));
    fleet.run_for(Duration::from_secs(5));
    let reason = fleet.slot("web/0").reason;
    let wanted = "takes nothing new: its scheduler `broken` is required, and it answers 500";
    assert_eq!(reason, wanted);
    assert!(strategy(&fleet, "shop").contains("which is required and fails (it answers 500)"));
    // It is asked again and again.
    fleet.run_for(Duration::from_secs(30));
    assert!(outcomes(&fleet)[0].1 >= 3, "{:?}", outcomes(&fleet));
}

#[test]
fn while_it_is_asked_what_is_reached_goes_on() {
    for scheduler in ["last", "silent"] {
        let mut fleet = fleet().cluster("vienna", nodes(2));
        let spec = |version: &str| at_cluster().ranked_by(scheduler).version(version);
        fleet.apply(app("shop").service("web", spec("1"), 1));
        fleet.run_until_running(1);
        fleet.run_secs(2);
        fleet.apply(app("shop").service("web", spec("2"), 1));
        for _ in 0..200 {
            fleet.run_for(Duration::from_millis(50));
            assert!(targets(&fleet, "vienna")[0].1 > 0, "{scheduler}: {:#?}", fleet.lines());
        }
        let generations: Vec<_> =
            fleet.rows().iter().map(|row| (row.generation, row.state.clone())).collect();
        assert_eq!(generations, [(2, "RUNNING".to_owned())]);
        assert_eq!(events(&fleet, "waiting"), Vec::<String>::new());
    }
}

#[test]
fn a_cluster_that_asks_keeps_what_it_has_room_for() {
    let mut fleet = fleet().cluster("munich", nodes(1)).cluster("vienna", nodes(2));
    fleet.apply(app("shop").service("web", steady().ranked_by("last"), 1));
    fleet.run_until_lines(&["web/0 RUNNING vienna/fl-2"]);
    fleet.run_secs(2);
    fleet.cut("vienna/fl-2");
    for _ in 0..1200 {
        fleet.run_for(Duration::from_millis(50));
        let munich = fleet.processes("web").into_iter().filter(|at| at.starts_with("munich")).count();
        assert_eq!(munich, 0, "{:#?}", fleet.lines());
    }
    assert!(fleet.lines().contains(&"web/0 RUNNING vienna/fl-1".to_owned()), "{:#?}", fleet.lines());
}

#[test]
fn what_may_have_a_place_elsewhere_is_not_taken_back() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    let update = Update { on_failure: OnFailure::Rollback, ..careful() };
    let spec = |version: &str| with(steady().version(version).ranked_by("silent"), update.clone());
    fleet.apply(app("shop").service("web", spec("1"), 1));
    run_until_ran(&mut fleet, 1);
    fleet.apply(app("shop").service("web", spec("2"), 1));
    let at = |fleet: &World, node: &str, state: &str| {
        let mut rows = fleet.rows().into_iter();
        rows.any(|row| row.generation == 2 && row.node.as_deref() == Some(node) && row.state == state)
    };
    // It was not asked about for a while, or its scheduler would be known to be down.
    for _ in 0..400 {
        if at(&fleet, "fl-1", "RUNNING") {
            fleet.exit("web", 2);
        }
        fleet.run_for(Duration::from_millis(100));
        assert!(history(&fleet)[0].outcome != GenerationOutcome::Failed, "{:#?}", fleet.rows());
    }
    assert!(at(&fleet, "fl-2", "RUNNING"), "{:#?}", fleet.rows());
    assert_eq!(events(&fleet, "rolled back"), Vec::<String>::new());
    run_until_ran(&mut fleet, 2);
}

#[test]
fn those_that_wait_for_their_turn_get_it_when_others_have_gone() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(app("alpha").service("web", steady().memory("1Mi").ranked_by("last"), 200));
    fleet.apply(app("beta").service("web", steady().memory("1Mi").ranked_by("last"), 1));
    fleet.delete("alpha");
    fleet.run_secs(5);
    let beta: Vec<_> = fleet.rows().into_iter().filter(|row| row.application == "beta").collect();
    assert_eq!(beta[0].state, "RUNNING", "{beta:#?}");
}

#[test]
fn one_that_does_not_answer_is_not_waited_for_by_every_slot() {
    let mut fleet = fleet().node("fl-1").node("fl-2");
    fleet.apply(app("shop").service("web", steady().memory("512Ki").ranked_by("silent"), 400));
    fleet.run_secs(6);
    let running = fleet.rows().iter().filter(|row| row.state == "RUNNING").count();
    assert_eq!(running, 400);
    // Later ones ask now and then whether it is back.
    let asked = outcomes(&fleet)[0].1;
    fleet.apply(app("more").service("web", steady().memory("512Ki").ranked_by("silent"), 2));
    fleet.run_secs(1);
    fleet.run_secs(15);
    fleet.apply(app("late").service("web", steady().memory("512Ki").ranked_by("silent"), 2));
    fleet.run_secs(5);
    assert_eq!(outcomes(&fleet), [("silent", asked + 1)]);
}
