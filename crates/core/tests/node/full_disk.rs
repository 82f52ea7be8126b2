//! What is told while the disk takes no writes.

use std::collections::BTreeSet;

use holm_core::node::{NodeEffect, NodeEvent, Outcome, RuntimeEvent, SurvivorState};
use holm_model::id::AssignmentId;
use holm_model::item::{Assignment, ItemKey};
use holm_model::message::Up;
use holm_model::service::{Restart, RestartPolicy};
use holm_model::state::{InstanceState as I, RunState};

use crate::support::{Disk, Node, Parent, assignment, change, id, pack, spec, survivor};

/// With two running instances; then its disk takes no writes. What it held until then is the last.
fn full() -> (Node, Parent, Disk) {
    let mut parent = Parent::new();
    let mut node = Node::running(&mut parent, &always(1));
    change(&mut parent, &mut node, &always(2));
    node.run(2, 1);
    let disk = node.disk.clone();
    node.step(NodeEvent::Disk { trouble: Some("full".to_owned()) });
    node.take();
    (node, parent, disk)
}

fn always(counter: u64) -> Assignment {
    let mut assignment = assignment(counter);
    let restart = Restart { policy: RestartPolicy::Always, ..spec().restart };
    assignment.part.spec =
        holm_model::wish::SpecBytes::encode(&holm_model::service::ServiceSpec { restart, ..spec() });
    assignment
}

fn ids(counters: &[u64]) -> BTreeSet<AssignmentId> {
    counters.iter().map(|counter| id(*counter)).collect()
}

fn delete(parent: &mut Parent, node: &mut Node, counter: u64) {
    let down = parent.remove(ItemKey::Assignment(id(counter)));
    node.down(down);
}

/// Sent to the runtimes, and what was noted before.
fn notes_and_halts(effects: &[NodeEffect]) -> Vec<String> {
    let shown = effects.iter().filter_map(|effect| match effect {
        NodeEffect::Withdrawn(ids) => Some(format!("note {}", ids.len())),
        NodeEffect::Halt { id, .. } => Some(format!("halt {}", id.0.counter)),
        NodeEffect::Remove { id, .. } => Some(format!("remove {}", id.0.counter)),
        _ => None,
    });
    shown.collect()
}

fn revision(node: &Node) -> Up {
    node.machine.keep_alive()
}

#[test]
fn a_delete_is_obeyed_and_noted_first_though_the_list_stays_as_it_was() {
    let (mut node, mut parent, _) = full();
    let before = revision(&node);
    delete(&mut parent, &mut node, 1);
    assert_eq!(notes_and_halts(&node.take()), ["note 1", "halt 1"]);
    node.runtime(1, 1, RuntimeEvent::Exited(Outcome::exited(0)));
    assert_eq!(notes_and_halts(&node.take()), ["remove 1"]);
    node.runtime(1, 1, RuntimeEvent::Removed);
    assert!(node.machine.instance(id(1)).is_none());
    assert_eq!(node.state(2), I::Running);
    assert_eq!(revision(&node), before, "it must be told again");

    // The next one goes on where this one is known.
    delete(&mut parent, &mut node, 2);
    assert_eq!(notes_and_halts(&node.take()), ["note 2", "halt 2"]);
}

#[test]
fn with_room_again_the_list_is_taken_and_the_note_is_cleared() {
    let (mut node, mut parent, _) = full();
    delete(&mut parent, &mut node, 1);
    node.runtime(1, 1, RuntimeEvent::Exited(Outcome::exited(0)));
    node.runtime(1, 1, RuntimeEvent::Removed);
    node.take();
    node.step(NodeEvent::Disk { trouble: None });
    node.step(NodeEvent::LinkDown);
    node.step(NodeEvent::LinkUp);
    node.talk(&mut parent);
    assert_eq!(node.machine.held().digest(), parent.digest());
    assert!(node.effects.contains(&NodeEffect::Withdrawn(BTreeSet::new())));
    assert_eq!(node.orders(), [], "and nothing is started");
    // It is in the list anew, so it is wished.
    change(&mut parent, &mut node, &always(1));
    assert_eq!(node.launched().id, id(1));
}

/// The catalog of a session that begins meanwhile, and what changes after it.
#[test]
fn what_was_deleted_before_the_session_began_ends_and_later_deletes_are_told_too() {
    let (mut node, mut parent, _) = full();
    node.step(NodeEvent::LinkDown);
    parent.remove(ItemKey::Assignment(id(1)));
    node.step(NodeEvent::LinkUp);
    node.talk(&mut parent);
    assert_eq!(notes_and_halts(&node.effects), ["note 1", "halt 1"]);
    let asked = node
        .effects
        .iter()
        .any(|effect| matches!(effect, NodeEffect::Send(Up::Want { keys }) if keys.is_empty()));
    assert!(asked, "or the orchestrator would wait before it tells more");
    node.take();
    delete(&mut parent, &mut node, 2);
    assert_eq!(notes_and_halts(&node.take()), ["note 2", "halt 2"]);
}

/// Nobody told it on the way: the next keep-alive says that there is something.
#[test]
fn a_delete_that_was_missed_is_asked_for_once() {
    let (mut node, mut parent, _) = full();
    parent.remove(ItemKey::Assignment(id(1)));
    node.down(parent.alive());
    node.talk(&mut parent);
    assert_eq!(notes_and_halts(&node.effects), ["note 1", "halt 1"]);
    node.take();
    node.down(parent.alive());
    let asks = |effect: &NodeEffect| matches!(effect, NodeEffect::Send(Up::Sync { .. }));
    assert!(!node.take().iter().any(asks), "what is known is not asked for again and again");
}

#[test]
fn an_agent_that_starts_again_ends_what_was_withdrawn_and_never_starts_it() {
    let (mut node, mut parent, disk) = full();
    delete(&mut parent, &mut node, 1);
    // Killed; what it wrote down since the disk is full is lost, and there is room now. No link.
    let mut node = Node::from(disk, "boot-1");
    node.step(NodeEvent::Withdrawn(ids(&[1])));
    node.step(NodeEvent::survivors(vec![
        survivor(1, 1, SurvivorState::Running),
        survivor(2, 1, SurvivorState::Running),
    ]));
    assert_eq!(notes_and_halts(&node.take()), ["halt 1"]);
    node.runtime(1, 1, RuntimeEvent::Exited(Outcome::exited(1)));
    node.runtime(1, 1, RuntimeEvent::Removed);
    assert!(node.machine.instance(id(1)).is_none());
    // A step that is undone does not bring it back either.
    node.machine.undo().unwrap();
    node.step(NodeEvent::survivors(vec![survivor(2, 1, SurvivorState::Running)]));
    assert!(!node.orders().iter().any(|order| matches!(order, NodeEffect::Launch(_))));
}

/// The step in which the list was known to be current cannot be written.
#[test]
fn what_is_withdrawn_stays_so_when_the_step_that_forgot_it_is_undone() {
    let (mut node, mut parent, disk) = full();
    delete(&mut parent, &mut node, 1);
    let mut node = Node::from(disk, "boot-1");
    node.step(NodeEvent::Withdrawn(ids(&[1])));
    node.step(NodeEvent::LinkUp);
    let hello = node.take();
    let [NodeEffect::Send(hello)] = &hello[..] else { panic!("{hello:#?}") };
    let mut down = parent.answer(hello);
    // Up to the last message, which is not committed.
    while let Some(message) = down.take() {
        node.machine.step(node.now, NodeEvent::Received(message));
        let effects = node.machine.take_effects();
        if node.machine.held().is_current() {
            break;
        }
        node.disk.commit(node.machine.journal_mut());
        down = effects.iter().find_map(|effect| match effect {
            NodeEffect::Send(up) => parent.answer(up),
            _ => None,
        });
    }
    assert!(node.machine.held().is_current());
    node.machine.undo().unwrap();
    node.step(NodeEvent::survivors(Vec::new()));
    let launched: Vec<_> =
        node.orders().into_iter().filter(|o| matches!(o, NodeEffect::Launch(l) if l.id == id(1))).collect();
    assert_eq!(launched, []);
}

#[test]
fn a_stop_is_obeyed_and_a_start_waits_for_room() {
    let (mut node, mut parent, _) = full();
    let mut stopped = always(1);
    stopped.part.run = RunState::Stop;
    change(&mut parent, &mut node, &stopped);
    assert_eq!(notes_and_halts(&node.take()), ["halt 1"]);
    node.exit(1, 1, 0);
    assert_eq!(node.state(1), I::Stopped);
    change(&mut parent, &mut node, &always(1));
    assert_eq!(node.orders(), []);
    assert!(node.reason(1).contains("takes no writes"), "{}", node.reason(1));
}

/// An orchestrator with an older store says nothing that counts, and neither does another reign.
#[test]
fn whoever_is_behind_ends_nothing() {
    let (mut node, parent, _) = full();
    let mut other = Parent { store: holm_model::id::StoreId(crate::support::uid(99)), ..parent };
    node.step(NodeEvent::LinkDown);
    node.step(NodeEvent::LinkUp);
    other.items.clear();
    node.talk(&mut other);
    let catalog = holm_model::message::Down::Catalog { revision: other.revision, entries: Vec::new() };
    node.down(catalog);
    let removed = other.change(None, Vec::new(), vec![ItemKey::Assignment(id(1))]);
    node.down(removed);
    assert_eq!(notes_and_halts(&node.take()), Vec::<String>::new());
    assert_eq!((node.state(1), node.state(2)), (I::Running, I::Running));
}

#[test]
fn what_was_stopped_before_the_session_began_is_stopped() {
    let (mut node, mut parent, _) = full();
    node.step(NodeEvent::LinkDown);
    let mut stopped = always(1);
    stopped.part.run = RunState::Stop;
    parent.put(pack(&stopped));
    node.step(NodeEvent::LinkUp);
    node.talk(&mut parent);
    assert_eq!(notes_and_halts(&node.take()), ["halt 1"]);
}

/// It was adopted again, long after; a step that fails then ends nothing.
#[test]
fn what_was_forgotten_and_written_is_not_withdrawn_by_a_later_undo() {
    let (mut node, mut parent, _) = full();
    delete(&mut parent, &mut node, 1);
    node.runtime(1, 1, RuntimeEvent::Exited(Outcome::exited(0)));
    node.runtime(1, 1, RuntimeEvent::Removed);
    node.step(NodeEvent::Disk { trouble: None });
    node.step(NodeEvent::LinkDown);
    node.step(NodeEvent::LinkUp);
    node.talk(&mut parent);
    change(&mut parent, &mut node, &always(1));
    node.run(1, 1);
    node.machine.undo().unwrap();
    assert!(node.machine.spec(id(1)).is_some(), "it is wished");
}
