//! What the node machine does about wishes, ends and events, one story each.

use std::collections::BTreeMap;
use std::time::Duration;

use holm_core::node::{NodeEffect, NodeEvent, Outcome, RestartError, RuntimeEvent, SurvivorState};
use holm_model::fact::{Fact, FactKey};
use holm_model::id::{MemberId, WishId};
use holm_model::item::{Endpoints, EndpointsKey, Item, ItemKey, PackedItem};
use holm_model::member::{NodeFacts, RuntimeFacts, Usage};
use holm_model::message::{Down, Up};
use holm_model::service::{Connect, RestartPolicy, ServiceSpec};
use holm_model::slot::ServiceKey;
use holm_model::state::{InstanceState as I, RunState};
use holm_model::wish::SpecBytes;

use crate::support::*;

pub(crate) fn facts(runtimes: &[&str]) -> NodeEvent {
    let runtime = |text: &&str| RuntimeFacts {
        name: name(text),
        version: String::new(),
        unavailable: None,
        enforces: Vec::new(),
        leases: false,
        images: None,
        containers: None,
    };
    let runtimes = runtimes.iter().map(runtime).collect();
    NodeEvent::Facts(Box::new(NodeFacts { runtimes, ..NodeFacts::default() }))
}

#[test]
fn an_assignment_is_launched_and_told_step_by_step() {
    let (mut parent, mut node) = (Parent::new(), Node::new());
    node.step(NodeEvent::survivors(Vec::new()));
    node.step(NodeEvent::LinkUp);
    node.talk(&mut parent);
    change(&mut parent, &mut node, &assignment(1));
    assert_eq!(node.told(1).unwrap().state, I::Preparing);
    let launch = node.launched();
    assert_eq!((launch.incarnation, &launch.spec), (1, &spec()));

    node.runtime(1, 1, RuntimeEvent::Preparing { progress: "40 %".to_owned() });
    assert_eq!(node.told(1).unwrap().reason, "40 %");
    let ports: BTreeMap<_, _> = [(name("http"), 8080)].into();
    node.runtime(1, 1, RuntimeEvent::Starting { ports: ports.clone() });
    node.runtime(1, 1, RuntimeEvent::Running);
    let status = node.told(1).unwrap();
    assert_eq!((status.state, status.incarnation, status.ports), (I::Running, 1, ports));
    let words: Vec<_> = node.batches.iter().flat_map(|b| &b.changes).map(|c| c.to.as_str()).collect();
    assert_eq!(words, ["PREPARING", "STARTING", "RUNNING"]);
}

#[test]
fn a_record_is_written_with_the_step_that_launches() {
    let (mut parent, mut node) = (Parent::new(), Node::new());
    node.step(NodeEvent::survivors(Vec::new()));
    node.step(NodeEvent::LinkUp);
    node.talk(&mut parent);
    change(&mut parent, &mut node, &assignment(1));
    assert!(node.batches.last().unwrap().writes.iter().any(|write| write.key == id(1).to_string()));
}

#[test]
fn nothing_is_launched_before_survivors_are_known() {
    let (mut parent, mut node) = (Parent::new(), Node::new());
    node.step(NodeEvent::LinkUp);
    node.talk(&mut parent);
    change(&mut parent, &mut node, &assignment(1));
    assert!(node.orders().is_empty());
    node.step(NodeEvent::survivors(Vec::new()));
    assert_eq!(node.launched().incarnation, 1);
}

#[test]
fn a_failure_is_followed_by_an_attempt_after_the_back_off_until_none_is_left() {
    let (mut node, _) = running(&with_policy(RestartPolicy::OnFailure));
    for incarnation in 1..=2 {
        node.exit(1, incarnation, 1);
        assert_eq!(node.state(1), I::Failed);
        assert!(node.reason(1).starts_with("exited with code 1; next attempt in "), "{}", node.reason(1));
        assert!(node.orders().is_empty());
        let waited = node.sleep_until_due().as_secs_f64();
        let expected = FIRST.as_secs_f64() * f64::from(incarnation);
        assert!((waited / expected - 1.0).abs() <= 0.11, "{waited} {expected}");
        assert_eq!(node.launched().incarnation, incarnation + 1);
        node.run(1, incarnation + 1);
    }
    node.exit(1, 3, 1);
    let status = node.told(1).unwrap();
    assert!(status.exhausted && status.state == I::Failed && status.restarts == 2, "{status:?}");
    assert_eq!(node.machine.next_deadline(), None);
    node.sleep(MOST * 10);
    assert!(node.orders().is_empty());
}

#[test]
fn attempts_count_anew_after_a_long_run() {
    let (mut node, _) = running(&with_policy(RestartPolicy::OnFailure));
    for incarnation in 1..=6 {
        node.sleep(MOST);
        node.exit(1, incarnation, 1);
        node.sleep_until_due();
        node.run(1, incarnation + 1);
    }
    assert_eq!(node.state(1), I::Running);
}

#[test]
fn always_restarts_at_once_after_the_first_end_and_backs_off_after_the_second() {
    let (mut node, _) = running(&with_policy(RestartPolicy::Always));
    node.exit(1, 1, 0);
    assert_eq!(node.launched().incarnation, 2);
    assert_eq!(
        (node.state(1), node.reason(1).as_str()),
        (I::Preparing, "attempt 2 after: exited with code 0")
    );
    node.run(1, 2);
    node.exit(1, 2, 0);
    assert!(node.orders().is_empty());
    node.sleep_until_due();
    assert_eq!(node.launched().incarnation, 3);
}

#[test]
fn a_job_that_ends_well_is_completed() {
    for policy in [RestartPolicy::OnFailure, RestartPolicy::Never] {
        let (mut node, parent) = running(&with_policy(policy));
        node.exit(1, 1, 0);
        assert_eq!(node.state(1), I::Completed);
        let node = &mut node.restart("boot-2", Vec::new());
        node.down(parent.alive());
        assert!(node.orders().is_empty(), "it is not done again after a reboot");
    }
}

#[test]
fn never_means_one_attempt() {
    let (mut node, _) = running(&with_policy(RestartPolicy::Never));
    node.runtime(1, 1, RuntimeEvent::Exited(Outcome { signal: Some(9), oom: true, ..Outcome::default() }));
    let status = node.told(1).unwrap();
    assert_eq!((status.state, status.exhausted), (I::Failed, true));
    assert!(status.reason.starts_with("killed because memory ran out"), "{}", status.reason);
}

#[test]
fn a_launch_that_fails_is_an_attempt_and_a_hopeless_one_the_last() {
    for (retry, exhausted) in [(true, false), (false, true)] {
        let (mut node, mut parent) = running(&assignment(1));
        change(&mut parent, &mut node, &assignment(2));
        node.take();
        node.runtime(2, 1, RuntimeEvent::LaunchFailed { reason: "no such image".to_owned(), retry });
        let status = node.told(2).unwrap();
        assert_eq!((status.state, status.exhausted), (I::Failed, exhausted));
        assert!(status.reason.starts_with("no such image; "), "{}", status.reason);
        assert_eq!(node.machine.next_deadline().is_none(), exhausted);
    }
}

#[test]
fn stop_ends_it_and_keeps_it_and_start_launches_it() {
    let (mut node, mut parent) = running(&assignment(1));
    let mut stopped = assignment(1);
    stopped.part.run = RunState::Stop;
    change(&mut parent, &mut node, &stopped);
    assert_eq!((node.state(1), node.orders()), (I::Stopping, vec![halt(1)]));
    node.runtime(1, 1, RuntimeEvent::Exited(Outcome { signal: Some(15), ..Outcome::default() }));
    assert_eq!((node.state(1), node.orders()), (I::Stopped, vec![]));
    change(&mut parent, &mut node, &assignment(1));
    assert_eq!(node.launched().incarnation, 2);
}

#[test]
fn stop_during_a_launch_ends_the_launch() {
    let (mut node, mut parent) = running(&assignment(1));
    change(&mut parent, &mut node, &assignment(2));
    node.take();
    let mut stopped = assignment(2);
    stopped.part.run = RunState::Stop;
    change(&mut parent, &mut node, &stopped);
    assert!(matches!(node.orders()[..], [NodeEffect::Halt { incarnation: 1, .. }]));
    node.runtime(2, 1, RuntimeEvent::Running);
    node.runtime(2, 1, RuntimeEvent::LaunchFailed { reason: "cancelled".to_owned(), retry: true });
    assert_eq!(node.state(2), I::Stopped);
}

#[test]
fn pause_and_resume() {
    let (mut node, mut parent) = running(&assignment(1));
    let mut paused = assignment(1);
    paused.part.run = RunState::Pause;
    change(&mut parent, &mut node, &paused);
    assert_eq!(node.orders(), [NodeEffect::Pause { id: id(1), incarnation: 1 }]);
    node.runtime(1, 1, RuntimeEvent::Paused);
    assert_eq!((node.state(1), node.orders()), (I::Paused, vec![]));
    change(&mut parent, &mut node, &assignment(1));
    assert_eq!(node.orders(), [NodeEffect::Resume { id: id(1), incarnation: 1 }]);
    node.runtime(1, 1, RuntimeEvent::Running);
    assert_eq!(node.state(1), I::Running);
}

#[test]
fn who_is_paused_answers_nobody_and_is_ended_without_waiting_for_clients() {
    let drains = |run| {
        let mut assignment = with_spec(|spec| spec.drain = Some(Duration::from_secs(3600)));
        assignment.part.run = run;
        assignment
    };
    let (mut node, mut parent) = running(&drains(RunState::Run));
    change(&mut parent, &mut node, &drains(RunState::Pause));
    node.take();
    node.runtime(1, 1, RuntimeEvent::Paused);
    change(&mut parent, &mut node, &drains(RunState::Stop));
    assert_eq!(node.orders(), [halt(1)]);
}

#[test]
fn a_failed_instance_that_is_paused_waits_for_no_attempt() {
    let (mut node, mut parent) = running(&assignment(1));
    node.exit(1, 1, 1);
    assert!(node.reason(1).contains("next attempt"), "{}", node.reason(1));
    let mut paused = assignment(1);
    paused.part.run = RunState::Pause;
    change(&mut parent, &mut node, &paused);
    assert_eq!(
        (node.state(1), node.reason(1).as_str()),
        (I::Stopped, "paused; it starts when it is resumed")
    );
    node.sleep_until_due();
    assert!(node.orders().is_empty());
    change(&mut parent, &mut node, &assignment(1));
    assert_eq!(node.launched().incarnation, 2);
}

#[test]
fn a_halt_or_pause_that_fails_is_tried_again_later() {
    let (mut node, mut parent) = running(&assignment(1));
    let mut paused = assignment(1);
    paused.part.run = RunState::Pause;
    change(&mut parent, &mut node, &paused);
    node.take();
    node.runtime(1, 1, RuntimeEvent::PauseFailed { reason: "no freezer".to_owned() });
    assert_eq!((node.state(1), node.orders().len()), (I::Running, 0));
    assert_eq!(node.reason(1), "cannot be paused or resumed: no freezer");
    node.sleep_until_due();
    assert_eq!(node.orders(), [NodeEffect::Pause { id: id(1), incarnation: 1 }]);

    node.runtime(1, 1, RuntimeEvent::Paused);
    let removal = parent.remove(ItemKey::Assignment(id(1)));
    node.down(removal);
    node.take();
    node.runtime(1, 1, RuntimeEvent::HaltFailed { reason: "busy".to_owned() });
    assert_eq!((node.state(1), node.orders().len()), (I::Stopping, 0));
    node.sleep_until_due();
    assert_eq!(node.orders(), [halt(1)]);
}

#[test]
fn a_raised_restart_counter_restarts_and_revives() {
    let (mut node, mut parent) = running(&with_policy(RestartPolicy::Never));
    let mut asked = with_policy(RestartPolicy::Never);
    asked.part.restarts = 1;
    change(&mut parent, &mut node, &asked);
    assert_eq!(node.orders(), [halt(1)]);
    node.exit(1, 1, 0);
    assert_eq!(node.launched().incarnation, 2);
    node.run(1, 2);
    node.exit(1, 2, 1);
    assert!(node.told(1).unwrap().exhausted);
    asked.part.restarts = 2;
    change(&mut parent, &mut node, &asked);
    assert_eq!(node.launched().incarnation, 3);
    assert!(!node.machine.instance(id(1)).unwrap().exhausted);
}

/// After the node has gone to another orchestrator: the same slot of the node under another id.
#[test]
fn a_copy_of_the_same_slot_waits_until_the_one_that_is_not_wished_has_ended() {
    let (mut node, mut parent) = running(&assignment(1));
    parent.items.clear();
    parent.items.insert(ItemKey::Assignment(id(2)), pack(&assignment(2)));
    parent.revision += 1;
    let list = parent.change(None, vec![pack(&assignment(2))], vec![ItemKey::Assignment(id(1))]);
    node.down(list);
    node.talk(&mut parent);
    assert!(matches!(&node.orders()[..], [NodeEffect::Halt { id: halted, .. }] if *halted == id(1)));
    assert_eq!(node.reason(2), "waits for the end of the copy before it");
    node.exit(1, 1, 0);
    let orders = node.orders();
    assert!(
        matches!(&orders[..], [NodeEffect::Remove { id: gone, .. }, NodeEffect::Launch(launch)] if *gone == id(1) && launch.id == id(2)),
        "{orders:#?}"
    );
}

#[test]
fn another_specification_replaces_the_running_one() {
    let (mut node, mut parent) = running(&assignment(1));
    let mut newer = with_spec(|spec| spec.command = vec!["other".to_owned()]);
    newer.part.generation = 2;
    change(&mut parent, &mut node, &newer);
    assert_eq!(node.orders(), [halt(1)]);
    node.exit(1, 1, 0);
    let launch = node.launched();
    assert_eq!((launch.incarnation, launch.spec.command), (2, vec!["other".to_owned()]));
    assert_eq!(node.machine.instance(id(1)).unwrap().generation, 2);
}

#[test]
fn what_is_no_longer_assigned_ends_is_told_once_and_leaves_no_trace() {
    let grace = Duration::from_secs(3);
    let drain = Duration::from_secs(7);
    let (mut node, mut parent) = running(&with_spec(|spec| (spec.grace, spec.drain) = (grace, Some(drain))));
    let removal = parent.remove(ItemKey::Assignment(id(1)));
    node.down(removal);
    assert_eq!(node.orders(), [NodeEffect::Halt { id: id(1), incarnation: 1, drain, grace }]);
    node.exit(1, 1, 0);
    assert_eq!(node.told(1).unwrap().state, I::Terminated);
    assert_eq!(node.orders(), [NodeEffect::Remove { id: id(1), incarnation: 1 }]);
    node.runtime(1, 1, RuntimeEvent::Removed);
    assert!(node.machine.instance(id(1)).is_none());
    let gone = node.take().into_iter().any(|effect| match effect {
        NodeEffect::Send(Up::Facts(facts)) => facts.gone == [FactKey::Instance(id(1))],
        _ => false,
    });
    assert!(gone);
}

#[test]
fn an_id_that_returns_while_it_ends_lives_again_with_newer_states() {
    let (mut node, mut parent) = running(&assignment(1));
    let removal = parent.remove(ItemKey::Assignment(id(1)));
    node.down(removal);
    node.exit(1, 1, 0);
    let ended = node.told(1).unwrap();
    node.take();
    change(&mut parent, &mut node, &assignment(1));
    assert!(node.orders().is_empty(), "what is left goes first");
    node.runtime(1, 1, RuntimeEvent::Removed);
    assert!(node.told(1).unwrap().is_newer_than(&ended));
    assert_eq!(node.launched().incarnation, 2);
}

#[test]
fn a_held_instance_goes_on_and_is_not_started_again() {
    let (mut node, mut parent) = running(&with_policy(RestartPolicy::Always));
    let mut held = with_policy(RestartPolicy::Always);
    held.held = true;
    held.part.generation = 2;
    change(&mut parent, &mut node, &held);
    assert!(node.orders().is_empty());
    let told_held = |node: &mut Node| {
        node.take().iter().any(|effect| match effect {
            NodeEffect::Send(Up::Facts(facts)) => {
                facts.put.iter().any(|fact| matches!(fact, Fact::Instance(report) if report.held))
            }
            _ => false,
        })
    };
    change(&mut parent, &mut node, &assignment(1));
    change(&mut parent, &mut node, &held);
    assert!(told_held(&mut node));
    node.exit(1, 1, 1);
    assert_eq!((node.state(1), node.orders()), (I::Failed, vec![]));
    change(&mut parent, &mut node, &with_policy(RestartPolicy::Always));
    assert_eq!(node.launched().incarnation, 2, "given back, it starts again");
}

#[test]
fn what_cannot_be_read_or_run_here_fails_for_good() {
    let (mut node, mut parent) = running(&assignment(1));
    node.step(facts(&["process"]));

    let mut strange = assignment(2);
    strange.part.spec = serde_json::from_str("[123, 125]").unwrap();
    change(&mut parent, &mut node, &strange);
    let status = node.told(2).unwrap();
    assert!(status.exhausted && status.reason.contains("cannot be read"), "{status:?}");

    let mut foreign = assignment(3);
    foreign.part.spec = SpecBytes::encode(&ServiceSpec::new(name("vm"), Vec::new()));
    change(&mut parent, &mut node, &foreign);
    let status = node.told(3).unwrap();
    assert!(status.exhausted && status.reason == "this node has no runtime `vm`", "{status:?}");
    assert!(node.orders().is_empty());
}

/// As a later version would write it: `run` is no word any more.
fn of_a_later_version(counter: u64) -> PackedItem {
    let whole = Item::Assignment(assignment(counter)).pack(ItemKey::Assignment(id(counter)));
    let text = b"replicas";
    let at = whole.body.windows(text.len()).position(|w| w == text).unwrap();
    let mut body = whole.body.into_vec();
    body[at] = b'X';
    let item = PackedItem { key: ItemKey::Assignment(id(counter)), body: body.into() };
    assert!(item.unpack().is_err());
    item
}

#[test]
fn an_item_of_a_later_version_fails_by_name_and_stops_nothing_that_runs() {
    let (mut node, mut parent) = running(&assignment(1));
    for n in [1, 2] {
        let down = parent.put(of_a_later_version(n));
        node.down(down);
    }
    assert_eq!(node.state(1), I::Running);
    let status = node.told(2).unwrap();
    assert!(status.state == I::Failed && status.exhausted, "{status:?}");
    assert!(node.effects.iter().any(|effect| matches!(effect, NodeEffect::Unreadable { .. })));
    assert!(node.orders().is_empty());
}

#[test]
fn late_events_of_an_earlier_incarnation_say_nothing() {
    let (mut node, _) = running(&assignment(1));
    node.exit(1, 1, 1);
    node.sleep_until_due();
    node.run(1, 2);
    for event in [RuntimeEvent::Exited(Outcome::exited(1)), RuntimeEvent::Paused, RuntimeEvent::Removed] {
        node.runtime(1, 1, event);
    }
    assert_eq!(node.state(1), I::Running);
}

#[test]
fn usage_is_told_without_a_write() {
    let (mut node, _) = running(&assignment(1));
    node.step(facts(&["process"]));
    let usage = Usage { cpu_millis: 5, memory: 6 };
    node.runtime(1, 1, RuntimeEvent::Usage(usage));
    assert_eq!(node.told(1).unwrap().usage, Some(usage));
    assert!(node.batches.last().unwrap().is_empty());
    node.step(NodeEvent::NodeUsage(usage));
    let path = vec![MemberId(uid(7))];
    let told = node.take().into_iter().any(|effect| match effect {
        NodeEffect::Send(Up::Facts(facts)) => facts
            .put
            .iter()
            .any(|fact| matches!(fact, Fact::Node(report) if report.usage == usage && report.path == path)),
        _ => false,
    });
    assert!(told);
}

#[test]
fn endpoints_are_told_to_those_that_connect() {
    let consumer = with_spec(|spec| {
        spec.connects = vec![Connect { service: name("db"), port: name("sql"), bound: None }];
    });
    let (mut node, mut parent) = running(&consumer);
    change(&mut parent, &mut node, &assignment(2));
    node.take();
    let service = ServiceKey { wish: WishId(uid(1000)), service: name("db") };
    let key = EndpointsKey { service, port: name("sql") };
    let item = Item::Endpoints(Endpoints::default()).pack(ItemKey::Endpoints(key.clone()));
    let down = parent.put(item);
    node.down(down);
    let changed = [key.clone()].into();
    assert_eq!(node.take(), [NodeEffect::Endpoints { changed }]);
    assert_eq!(node.machine.consumers(&key).collect::<Vec<_>>(), [id(1)]);
    assert_eq!(node.machine.endpoints(&key), Endpoints::default());
}

#[test]
fn certificates_and_refusals_are_handed_on() {
    let (mut node, _) = running(&assignment(1));
    node.down(Down::Certificate { chain: vec![vec![1].into()] });
    node.down(Down::Refused { reason: "revoked".to_owned() });
    let reason = "revoked".to_owned();
    assert_eq!(
        node.take(),
        [NodeEffect::Certificate { chain: vec![vec![1]] }, NodeEffect::Refused { reason }]
    );
}

#[test]
fn one_instance_begins_anew_alone_whatever_its_policy_says() {
    let (mut node, _) = running(&with_policy(RestartPolicy::Never));
    node.step(NodeEvent::Restart { id: id(1) });
    assert_eq!(node.orders(), [halt(1)]);
    node.exit(1, 1, 0);
    assert_eq!(node.launched().incarnation, 2);
    node.run(1, 2);
    node.sleep(MOST);
    assert!(node.orders().is_empty(), "once");
    node.exit(1, 2, 1);
    assert!(node.state(1) == I::Failed && node.orders().is_empty());
    node.step(NodeEvent::Restart { id: id(1) });
    assert_eq!(node.launched().incarnation, 3);
}

#[test]
fn a_restart_that_an_agent_did_not_finish_is_finished_by_the_next() {
    let (mut node, _) = running(&with_policy(RestartPolicy::Never));
    node.step(NodeEvent::Restart { id: id(1) });
    let mut node = node.restart("boot-1", vec![survivor(1, 1, SurvivorState::Running)]);
    assert_eq!(node.orders(), [halt(1)]);
    node.exit(1, 1, 0);
    assert_eq!(node.launched().incarnation, 2);
    node.run(1, 2);
    assert!(node.orders().is_empty());
}

#[test]
fn what_cannot_begin_anew_says_why() {
    let (mut node, mut parent) = running(&assignment(1));
    let can = |node: &Node, counter| node.machine.can_restart(id(counter));
    assert_eq!((can(&node, 1), can(&node, 2)), (Ok(()), Err(RestartError::NotHere(id(2)))));
    let mut other = assignment(1);
    other.held = true;
    change(&mut parent, &mut node, &other);
    assert_eq!(can(&node, 1), Err(RestartError::Held(id(1))));
    (other.held, other.part.run) = (false, RunState::Stop);
    change(&mut parent, &mut node, &other);
    assert_eq!(can(&node, 1), Err(RestartError::Stopped(id(1))));
    node.take();
    for counter in [1, 2] {
        node.step(NodeEvent::Restart { id: id(counter) });
    }
    assert!(node.orders().is_empty());
}
