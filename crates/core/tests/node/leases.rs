//! Leases of exclusive instances, as their node takes and uses them.

use std::time::Duration;

use holm_core::node::{NodeEffect, NodeEvent, Outcome, RuntimeEvent, SurvivorState};
use holm_model::item::{Assignment, ItemKey};
use holm_model::message::{Down, LeaseGrant, LeaseRequest, Up};
use holm_model::service::RestartPolicy;
use holm_model::state::InstanceState as I;

use crate::support::*;

const LEASE: u64 = 30_000;

fn exclusive() -> Assignment {
    with_spec(|spec| spec.healing.exclusive = true)
}

/// What it asked for last since the last look.
fn asked(node: &Node) -> LeaseRequest {
    let requests = node.effects.iter().rev().find_map(|effect| match effect {
        NodeEffect::Send(Up::Lease(request)) => Some(request.clone()),
        _ => None,
    });
    requests.expect("it asks for a lease")
}

fn grant(node: &mut Node, sent: u64) {
    node.down(Down::Lease(LeaseGrant { sent, leases: vec![(id(1), LEASE)] }));
}

fn linked(parent: &mut Parent, mut node: Node) -> Node {
    let assignment = exclusive();
    parent.items.insert(ItemKey::Assignment(assignment.id), pack(&assignment));
    node.step(NodeEvent::LinkUp);
    node.talk(parent);
    node
}

fn waiting() -> (Parent, Node) {
    let (mut parent, mut node) = (Parent::new(), Node::new());
    node.step(NodeEvent::survivors(Vec::new()));
    let node = linked(&mut parent, node);
    (parent, node)
}

fn running() -> (Parent, Node) {
    let (parent, mut node) = waiting();
    let sent = asked(&node).sent;
    grant(&mut node, sent);
    assert_eq!(node.launched().lease, Some(Duration::from_millis(sent + LEASE)));
    node.run(1, 1);
    node.take();
    (parent, node)
}

fn over(code: Option<i32>) -> RuntimeEvent {
    RuntimeEvent::Exited(Outcome { code, lease: true, ..Outcome::default() })
}

#[test]
fn nothing_starts_without_one_and_nothing_that_was_not_asked_on_this_link_is_one() {
    let (_, mut node) = waiting();
    let request = asked(&node);
    assert_eq!((&request.wanted, request.held.len()), (&vec![id(1)], 0));
    // Of an hour ago, as after a reboot it may lie an hour ahead.
    for sent in [request.sent + 3_600_000, request.sent - 1_000] {
        grant(&mut node, sent);
        assert!(node.orders().is_empty(), "{sent}");
    }
    node.step(NodeEvent::LinkDown);
    node.sleep(Duration::from_secs(1));
    node.step(NodeEvent::LinkUp);
    grant(&mut node, request.sent);
    assert!(node.orders().is_empty(), "it was asked on another link");
}

#[test]
fn nothing_starts_with_what_is_nearly_over() {
    let (_, mut node) = running();
    node.sleep(Duration::from_millis(LEASE - 1_500));
    node.take();
    node.runtime(1, 1, over(None));
    assert!(node.orders().is_empty());
    assert_eq!(node.state(1), I::Failed);
    node.sleep(Duration::from_secs(5));
    let request = asked(&node);
    grant(&mut node, request.sent);
    assert_eq!(node.launched().incarnation, 2, "no attempt was counted, so that nothing is waited for");
}

#[test]
fn whoever_ended_since_its_lease_did_is_not_done_and_has_not_failed() {
    for code in [Some(0), Some(1), None] {
        let (_, mut node) = running();
        node.runtime(1, 1, over(code));
        assert_eq!(node.launched().incarnation, 2, "{code:?}: the lease was renewed meanwhile");
    }
    let (_, mut node) = running();
    node.exit(1, 1, 0);
    assert_eq!(node.state(1), I::Completed);
}

#[test]
fn what_ended_while_its_agent_was_away_is_judged_by_how_it_ended() {
    for (outcome, becomes) in
        [(Outcome { lease: true, ..Outcome::exited(0) }, I::Failed), (Outcome::exited(0), I::Completed)]
    {
        let (_, node) = running();
        let ended = survivor(1, 1, SurvivorState::Exited(outcome));
        let node = node.restart("boot-1", vec![ended]);
        assert_eq!(node.state(1), becomes);
    }
}

#[test]
fn an_agent_that_was_started_anew_learns_from_the_supervisor_what_it_has() {
    let (mut parent, node) = running();
    let until = node.now.boot + Duration::from_secs(20);
    let found = holm_core::node::Survivor { lease: Some(until), ..survivor(1, 1, SurvivorState::Running) };
    let node = linked(&mut parent, node.restart("boot-1", vec![found]));
    let request = asked(&node);
    assert_eq!((&request.held, request.wanted.len()), (&vec![id(1)], 0));
}

#[test]
fn a_job_that_is_never_started_again_is_after_its_lease_ended_it() {
    let (mut parent, mut node) = (Parent::new(), Node::new());
    let once = with_spec(|spec| {
        spec.healing.exclusive = true;
        spec.restart.policy = RestartPolicy::Never;
    });
    node.step(NodeEvent::survivors(Vec::new()));
    parent.items.insert(ItemKey::Assignment(once.id), pack(&once));
    node.step(NodeEvent::LinkUp);
    node.talk(&mut parent);
    let sent = asked(&node).sent;
    grant(&mut node, sent);
    node.launched();
    node.run(1, 1);
    node.runtime(1, 1, over(Some(0)));
    assert_eq!(node.launched().incarnation, 2);
}
