//! What the node machine does about the answers of health checks.

use std::time::Duration;

use holm_core::node::{CheckKind, NodeEffect, NodeEvent, Probed, SurvivorState};
use holm_model::health::{Check, Probe, Readiness};
use holm_model::item::ItemKey;
use holm_model::service::RestartPolicy;
use holm_model::state::{InstanceState as I, RunState};

use crate::support::*;

fn check() -> Check {
    let probe = Probe::Exec(vec!["true".to_owned()]);
    Check { failures: 3, start: Duration::ZERO, ..Check::new(probe) }
}

fn healthy() -> holm_model::item::Assignment {
    with_spec(|spec| spec.health = Some(check()))
}

fn probe(node: &mut Node, incarnation: u32, kind: CheckKind, good: bool) {
    let answer = if good { "GET /: 200" } else { "GET /: 503" }.to_owned();
    node.step(NodeEvent::Probed { id: id(1), incarnation, kind, probed: Probed { good, answer } });
}

/// So many bad answers, as far apart as the check says.
fn fail(node: &mut Node, times: usize) {
    for _ in 0..times {
        node.sleep(Check::EVERY);
        probe(node, 1, CheckKind::Health, false);
    }
}

fn ready(node: &Node) -> Option<bool> {
    node.machine.instance(id(1)).unwrap().readiness.as_ref().map(|told| told.ready)
}

#[test]
fn only_what_runs_and_has_a_check_is_asked() {
    let (node, _) = running(&assignment(1));
    assert_eq!((node.machine.checked().count(), ready(&node)), (0, None));
    let (mut node, mut parent) = running(&healthy());
    let checked: Vec<_> = node.machine.checked().map(|c| (c.id, c.incarnation)).collect();
    assert_eq!(checked, [(id(1), 1)]);
    let mut paused = healthy();
    paused.part.run = RunState::Pause;
    change(&mut parent, &mut node, &paused);
    assert_eq!(node.machine.checked().count(), 0, "it is about to be paused");
    node.runtime(1, 1, holm_core::node::RuntimeEvent::Paused);
    assert_eq!(node.machine.checked().count(), 0);
}

#[test]
fn an_instance_is_ready_from_its_first_good_answer_and_tells_it() {
    let (mut node, _) = running(&healthy());
    assert_eq!(ready(&node), Some(false));
    probe(&mut node, 1, CheckKind::Health, true);
    let told = node.told(1).unwrap();
    assert_eq!(told.readiness, Some(Readiness { ready: true, answer: "GET /: 200".to_owned() }));
    assert!(told.is_ready());
    node.take();
    probe(&mut node, 1, CheckKind::Health, true);
    assert_eq!(node.told(1), None, "nothing new, nothing told");
    assert!(node.batches.last().unwrap().writes.is_empty());
}

#[test]
fn whoever_fails_its_health_check_is_started_again_by_the_policy() {
    let (mut node, _) = running(&healthy());
    probe(&mut node, 1, CheckKind::Health, true);
    fail(&mut node, 2);
    assert!(node.orders().is_empty());
    fail(&mut node, 1);
    assert_eq!((node.orders(), node.state(1)), (vec![halt(1)], I::Running));
    node.exit(1, 1, 143);
    assert_eq!(node.state(1), I::Failed);
    let reason = node.reason(1);
    assert!(reason.starts_with("health check failed 3 times: GET /: 503; next attempt in "), "{reason}");
    node.sleep_until_due();
    assert_eq!(node.launched().incarnation, 2);
    node.run(1, 2);
    assert_eq!(ready(&node), Some(false), "another incarnation answers for itself");
    probe(&mut node, 1, CheckKind::Health, true);
    assert_eq!(ready(&node), Some(false), "a late answer of the one before");
}

#[test]
fn with_never_it_stays_ended() {
    let assignment = with_spec(|spec| {
        spec.health = Some(Check { failures: 1, ..check() });
        spec.restart.policy = RestartPolicy::Never;
    });
    let (mut node, _) = running(&assignment);
    probe(&mut node, 1, CheckKind::Health, false);
    node.exit(1, 1, 143);
    assert_eq!(node.state(1), I::Failed);
    assert!(node.machine.instance(id(1)).unwrap().exhausted);
}

#[test]
fn a_wish_that_ends_it_meanwhile_wins() {
    let (mut node, mut parent) = running(&healthy());
    fail(&mut node, 3);
    node.take();
    let removal = parent.remove(ItemKey::Assignment(id(1)));
    node.down(removal);
    node.exit(1, 1, 143);
    assert_eq!(node.state(1), I::Terminated);
    assert_eq!(node.orders(), [NodeEffect::Remove { id: id(1), incarnation: 1 }]);
}

#[test]
fn readiness_of_its_own_decides_about_work_and_ends_nothing() {
    let (mut node, _) = running(&with_spec(|spec| {
        spec.health = Some(check());
        spec.ready = Some(Check { failures: 2, ..check() });
    }));
    probe(&mut node, 1, CheckKind::Health, true);
    assert_eq!(ready(&node), Some(false), "healthy, not ready");
    probe(&mut node, 1, CheckKind::Readiness, true);
    assert_eq!(ready(&node), Some(true));
    probe(&mut node, 1, CheckKind::Readiness, false);
    assert_eq!(ready(&node), Some(true), "one answer is none");
    node.sleep(Check::EVERY);
    probe(&mut node, 1, CheckKind::Readiness, false);
    assert_eq!((ready(&node), node.state(1)), (Some(false), I::Running));
    assert!(node.orders().is_empty());
    probe(&mut node, 1, CheckKind::Readiness, true);
    assert_eq!(ready(&node), Some(true));
}

#[test]
fn a_restart_of_the_agent_does_not_make_it_unready() {
    let (mut node, _) = running(&healthy());
    probe(&mut node, 1, CheckKind::Health, true);
    let mut node = node.restart("boot-1", vec![survivor(1, 1, SurvivorState::Running)]);
    assert_eq!(ready(&node), Some(true));
    fail(&mut node, 1);
    assert_eq!(ready(&node), Some(true));
    fail(&mut node, 2);
    assert_eq!(ready(&node), Some(false));
}

#[test]
fn a_crash_loop_is_called_so() {
    let (mut node, _) = running(&with_spec(|spec| spec.restart.attempts = 10));
    for incarnation in 1..=3 {
        node.exit(1, incarnation, 1);
        if incarnation < 3 {
            node.sleep_until_due();
            node.run(1, incarnation + 1);
        }
    }
    let reason = node.reason(1);
    assert!(reason.starts_with("crash loop: 3 failures, next start in "), "{reason}");
    assert!(reason.ends_with("; the last: exited with code 1"), "{reason}");
}

/// Answers whose senders were asked more often than the check says.
fn fail_soon(node: &mut Node, times: usize) {
    for _ in 0..times {
        node.sleep(Duration::from_millis(500));
        probe(node, 1, CheckKind::Health, false);
    }
}

#[test]
fn whoever_is_asked_more_often_is_not_ended_sooner() {
    let (mut node, _) = running(&healthy());
    fail_soon(&mut node, 18);
    assert!(node.orders().is_empty(), "9 s, and three failures take twice `every` at least");
    fail_soon(&mut node, 3);
    assert_eq!(node.orders(), [halt(1)]);

    let (mut node, _) = running(&healthy());
    probe(&mut node, 1, CheckKind::Health, true);
    let mut node = node.restart("boot-1", vec![survivor(1, 1, SurvivorState::Running)]);
    fail_soon(&mut node, 5);
    assert_eq!((node.orders(), ready(&node)), (vec![], Some(true)), "it is only slow");
}

#[test]
fn whoever_is_held_and_recovers_is_not_ended_when_it_is_given_back() {
    let (mut node, mut parent) = running(&healthy());
    probe(&mut node, 1, CheckKind::Health, true);
    let mut held = healthy();
    held.held = true;
    change(&mut parent, &mut node, &held);
    fail(&mut node, 3);
    assert!(node.orders().is_empty(), "held");
    probe(&mut node, 1, CheckKind::Health, true);
    change(&mut parent, &mut node, &healthy());
    assert!(node.orders().is_empty(), "it works again");
}

#[test]
fn whoever_was_paused_while_it_failed_is_asked_anew() {
    let (mut node, mut parent) = running(&healthy());
    let mut held = healthy();
    held.held = true;
    change(&mut parent, &mut node, &held);
    fail(&mut node, 3);
    held.part.run = RunState::Pause;
    change(&mut parent, &mut node, &held);
    node.runtime(1, 1, holm_core::node::RuntimeEvent::Paused);
    let mut paused = healthy();
    paused.part.run = RunState::Pause;
    change(&mut parent, &mut node, &paused);
    node.take();
    change(&mut parent, &mut node, &healthy());
    node.runtime(1, 1, holm_core::node::RuntimeEvent::Running);
    assert_eq!(node.state(1), I::Running);
    assert_eq!(node.orders(), [NodeEffect::Resume { id: id(1), incarnation: 1 }]);
}

#[test]
fn what_is_exposed_is_started_again_while_it_is_held() {
    let mut assignment = with_spec(|spec| {
        let at = [holm_model::expose::ExposedAt::Cluster].into();
        spec.expose.insert(name("http"), holm_model::expose::Expose { port: 20_001, at });
        spec.health = Some(check());
    });
    let (mut node, mut parent) = running(&assignment);
    assignment.held = true;
    change(&mut parent, &mut node, &assignment);
    fail(&mut node, 3);
    assert_eq!(node.orders(), [halt(1)], "it is the one that is reached");
    node.exit(1, 1, 1);
    node.sleep_until_due();
    assert_eq!(node.launched().incarnation, 2);
    node.run(1, 2);
    node.take();
    let mut node = node.restart("boot-2", vec![]);
    assert_eq!(node.launched().incarnation, 3);
}

#[test]
fn whoever_has_never_been_healthy_is_not_ready() {
    let start = Duration::from_secs(30);
    let both = with_spec(|spec| {
        spec.health = Some(Check { start, ..check() });
        spec.ready = Some(check());
    });
    let (mut node, _) = running(&both);
    probe(&mut node, 1, CheckKind::Readiness, true);
    assert_eq!(ready(&node), Some(false));
    let told = node.machine.instance(id(1)).unwrap().readiness.clone().unwrap();
    assert_eq!(told.answer, "its health check has had no good answer yet");
    probe(&mut node, 1, CheckKind::Health, true);
    probe(&mut node, 1, CheckKind::Readiness, true);
    assert_eq!(ready(&node), Some(true));
    // From then on its health decides whether it is started again, and its readiness whether it gets work.
    probe(&mut node, 1, CheckKind::Health, false);
    probe(&mut node, 1, CheckKind::Readiness, true);
    assert_eq!(ready(&node), Some(true));
}
