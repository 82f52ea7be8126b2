//! Deadlines of jobs that the node keeps by itself, and how often they are tried.

use std::time::Duration;

use holm_core::node::{NodeEffect, Outcome, RuntimeEvent, SurvivorState};
use holm_model::item::Assignment;
use holm_model::job::{Job, Kind};
use holm_model::state::{InstanceState as I, RunState};

use crate::support::*;

const DEADLINE: Duration = Duration::from_secs(60);

fn job(job: Job) -> Assignment {
    with_spec(|spec| spec.kind = Kind::Job(job))
}

fn late() -> Assignment {
    job(Job { deadline: Some(DEADLINE), retries: None })
}

#[test]
fn a_job_that_takes_too_long_is_stopped_by_a_node_that_hears_nobody() {
    let (mut node, mut parent) = running(&late());
    node.take();
    node.sleep(DEADLINE - Duration::from_secs(1));
    assert_eq!(node.orders(), []);
    node.sleep_until_due();
    assert_eq!(node.orders(), [halt(1)]);
    node.exit(1, 1, 143);
    assert_eq!((node.state(1), &*node.reason(1)), (I::Stopped, "its deadline of 1m has passed"));
    node.sleep(DEADLINE);
    assert_eq!(node.orders(), [], "it is not started again");
    // Asked for once more, it has all of its time.
    let mut again = late();
    again.part.restarts = 1;
    change(&mut parent, &mut node, &again);
    assert_eq!(node.launched().incarnation, 2);
}

#[test]
fn a_deadline_goes_on_over_restarts_of_the_agent_and_between_attempts() {
    let (mut node, _) = running(&late());
    node.sleep(Duration::from_secs(40));
    let mut node = node.restart("boot-1", vec![survivor(1, 1, SurvivorState::Running)]);
    node.sleep(Duration::from_secs(15));
    assert_eq!(node.orders(), []);
    node.exit(1, 1, 3);
    assert_eq!(node.state(1), I::Failed);
    node.sleep(Duration::from_millis(100));
    node.sleep_until_due();
    let tries = node.orders();
    assert!(matches!(&tries[..], [NodeEffect::Launch(_)]), "{tries:?}");
    node.run(1, 2);
    node.sleep(Duration::from_secs(10));
    assert_eq!(node.orders(), [halt(2)]);
}

#[test]
fn what_ended_in_time_and_what_people_paused_is_left_alone() {
    let (mut node, _) = running(&late());
    node.exit(1, 1, 0);
    node.sleep(2 * DEADLINE);
    assert_eq!((node.state(1), node.orders()), (I::Completed, vec![]));

    let (mut node, mut parent) = running(&late());
    node.take();
    let mut paused = late();
    paused.part.run = RunState::Pause;
    change(&mut parent, &mut node, &paused);
    assert_eq!(node.orders(), [NodeEffect::Pause { id: id(1), incarnation: 1 }]);
    node.runtime(1, 1, RuntimeEvent::Paused);
    node.sleep(2 * DEADLINE);
    assert_eq!((node.state(1), node.orders()), (I::Paused, vec![]));
}

#[test]
fn retries_are_counted_however_long_each_ran() {
    let (mut node, _) = running(&job(Job { deadline: None, retries: Some(2) }));
    for incarnation in 1..=2 {
        node.sleep(Duration::from_secs(3600));
        node.runtime(1, incarnation, RuntimeEvent::Exited(Outcome::exited(3)));
        node.sleep_until_due();
        node.run(1, incarnation + 1);
    }
    node.sleep(Duration::from_secs(3600));
    node.exit(1, 3, 3);
    let status = node.told(1).unwrap();
    assert!(status.state == I::Failed && status.exhausted, "{status:?}");
}
