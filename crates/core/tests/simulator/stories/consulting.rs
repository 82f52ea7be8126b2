//! Schedulers of people's own: asked, heard, and not missed.

use std::time::Duration;

use crate::fleet::{app, fleet, steady};
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
