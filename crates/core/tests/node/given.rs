//! Secrets and files: a launch waits for them, and a change restarts or tells what runs.

use holm_core::node::{NodeEffect, NodeEvent, RuntimeEvent};
use holm_model::content::Content;
use holm_model::item::{Assignment, Item, ItemKey, PackedItem};
use holm_model::service::{OnChange, SecretUse, Signal};
use holm_model::state::InstanceState as I;
use serde_bytes::ByteBuf;

use crate::support::*;

const KEY: &str = "secret/default/db";

fn secret(stamp: u64, value: &str) -> PackedItem {
    let content = Content { stamp: uid(stamp), bytes: ByteBuf::from(value.as_bytes().to_vec()) };
    Item::Content(content).pack(ItemKey::Content(KEY.parse().unwrap()))
}

fn given(on_change: OnChange) -> Assignment {
    let mut assignment = with_spec(|spec| {
        spec.secrets.insert(name("db"), SecretUse::File);
        spec.on_change = on_change;
    });
    assignment.part.app.project = name("default");
    assignment
}

fn value(effect: &NodeEffect) -> &[u8] {
    let (NodeEffect::Launch(launch) | NodeEffect::Refresh(launch)) = effect else { panic!("{effect:?}") };
    &launch.contents[&KEY.parse().unwrap()].bytes
}

/// Runs with the first value.
fn up(on_change: OnChange) -> (Node, Parent) {
    let (mut parent, mut node) = (Parent::new(), Node::new());
    node.step(NodeEvent::survivors(Vec::new()));
    node.step(NodeEvent::LinkUp);
    node.talk(&mut parent);
    change(&mut parent, &mut node, &given(on_change));
    assert!(node.orders().is_empty(), "it waits");
    assert!(node.reason(1).contains("secret `db`"), "{}", node.reason(1));
    let down = parent.put(secret(1, "one"));
    node.down(down);
    assert_eq!(value(&node.orders()[0]), b"one");
    node.run(1, 1);
    (node, parent)
}

#[test]
fn a_launch_waits_for_what_it_is_given_and_a_change_restarts_it() {
    let (mut node, mut parent) = up(OnChange::Restart);
    let same = parent.put(secret(1, "one"));
    node.down(same);
    assert!(node.orders().is_empty());
    let down = parent.put(secret(2, "two"));
    node.down(down);
    assert_eq!(node.orders(), [halt(1)]);
    node.exit(1, 1, 0);
    assert_eq!(value(&node.orders()[0]), b"two");
}

#[test]
fn one_that_goes_on_is_told_and_told_again_when_that_failed() {
    let (mut node, mut parent) = up(OnChange::Signal(Signal::Hup));
    let down = parent.put(secret(2, "two"));
    node.down(down);
    assert_eq!(value(&node.orders()[0]), b"two");
    assert_eq!(node.state(1), I::Running);
    node.runtime(1, 1, RuntimeEvent::RefreshFailed { reason: "full".to_owned() });
    assert!(node.orders().is_empty() && node.reason(1).contains("full"));
    node.sleep_until_due();
    assert_eq!(value(&node.orders()[0]), b"two");
}

#[test]
fn no_row_but_the_item_holds_a_value() {
    let (mut node, mut parent) = up(OnChange::Restart);
    let down = parent.put(secret(2, "hunter2"));
    node.down(down);
    node.exit(1, 1, 0);
    assert_eq!(value(node.orders().last().unwrap()), b"hunter2");
    let rows: Vec<String> = node
        .batches
        .iter()
        .flat_map(|batch| &batch.writes)
        .filter(|write| !write.key.starts_with("secret/"))
        .map(|write| String::from_utf8_lossy(write.value.as_deref().unwrap_or_default()).into_owned())
        .collect();
    // In Base64, too.
    assert!(!rows.iter().any(|row| row.contains("hunter2") || row.contains("aHVudGVyMg")), "{rows:?}");
}
