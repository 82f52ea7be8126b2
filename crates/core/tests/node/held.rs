//! The list received from one parent.

use holm_core::held::{Held, Received};
use holm_core::table::Journal;
use holm_model::id::{Epoch, StoreId};
use holm_model::item::{ItemKey, Obeyed, PackedItem};
use holm_model::member::Role;
use holm_model::message::{Down, Up};
use holm_model::newer::Newer;
use holm_model::record::Table;
use proptest::prelude::*;

use crate::support::{Disk, Parent, assignment, id, name, pack, uid};

struct Member {
    held: Held,
    journal: Journal,
    disk: Disk,
}

impl Member {
    fn new() -> Self {
        Self::from(Disk::default())
    }

    fn from(disk: Disk) -> Self {
        Self { held: Held::load(&mut disk.snapshot()).unwrap(), journal: Journal::default(), disk }
    }

    fn hello(&mut self) -> Up {
        self.held.connected(Role::Node, name("fl-1"), "test".to_owned())
    }

    fn receive(&mut self, down: &Down) -> Received {
        let received = self.held.receive(down, &mut self.journal);
        self.disk.commit(&mut self.journal);
        received
    }

    /// A link opens, and both talk until nothing is left to say.
    fn meet(&mut self, parent: &mut Parent) -> Vec<Up> {
        self.held.disconnected();
        let hello = self.hello();
        self.talk(parent, vec![hello])
    }

    fn talk(&mut self, parent: &mut Parent, mut said: Vec<Up>) -> Vec<Up> {
        let mut heard = 0;
        while let Some(up) = said.get(heard).cloned() {
            heard += 1;
            assert!(heard < 100, "they talk for ever: {said:?}");
            if let Some(down) = parent.answer(&up) {
                said.extend(self.receive(&down).replies);
            }
        }
        said
    }

    fn keys(&self) -> Vec<ItemKey> {
        self.held.items().map(|item| item.key.clone()).collect()
    }
}

fn item(counter: u64) -> PackedItem {
    pack(&assignment(counter))
}

fn key(counter: u64) -> ItemKey {
    ItemKey::Assignment(id(counter))
}

/// An item of a kind that only a later version knows.
fn future(body: &[u8]) -> PackedItem {
    let newer = Newer::new(&ciborium::Value::Text("Gossip".to_owned())).unwrap();
    PackedItem { key: ItemKey::Newer(newer), body: body.to_vec().into() }
}

fn with_items(counters: &[u64]) -> Parent {
    let mut parent = Parent::new();
    parent.items = counters.iter().map(|n| (key(*n), item(*n))).collect();
    parent
}

fn synced(counters: &[u64]) -> (Member, Parent) {
    let (mut member, mut parent) = (Member::new(), with_items(counters));
    member.meet(&mut parent);
    assert!(member.held.is_current());
    (member, parent)
}

#[test]
fn a_first_sync_brings_the_whole_list_and_survives_a_restart() {
    let (member, parent) = synced(&[1, 2]);
    assert_eq!(member.keys(), [key(1), key(2)]);
    let again = Member::from(member.disk);
    assert_eq!(again.keys(), [key(1), key(2)]);
    assert_eq!(again.held.digest(), parent.digest());
    let obeyed = Obeyed { store: parent.store, epoch: parent.epoch, revision: 1 };
    assert_eq!(again.held.obeyed(), Some(obeyed));
}

#[test]
fn other_rows_of_meta_stay_in_the_snapshot() {
    let (member, _) = synced(&[1]);
    let mut snapshot = member.disk.snapshot();
    snapshot.get_mut(&Table::Meta).unwrap().push(("store".to_owned(), b"1".to_vec()));
    Held::load(&mut snapshot).unwrap();
    assert_eq!(snapshot[&Table::Meta], [("store".to_owned(), b"1".to_vec())]);
}

#[test]
fn after_an_absence_only_what_differs_is_wanted() {
    let (mut member, mut parent) = synced(&[1, 2, 3]);
    parent.remove(key(1));
    let mut changed = assignment(2);
    changed.part.generation = 2;
    parent.put(pack(&changed));
    parent.put(item(4));
    let said = member.meet(&mut parent);
    let wanted = said.iter().find_map(|up| match up {
        Up::Want { keys } => Some(keys.clone()),
        _ => None,
    });
    assert_eq!(wanted, Some(vec![key(2), key(4)]));
    assert_eq!(member.keys(), [key(2), key(3), key(4)]);
}

#[test]
fn nothing_is_exchanged_when_nothing_changed() {
    let (mut member, mut parent) = synced(&[1]);
    let said = member.meet(&mut parent);
    assert!(matches!(said[..], [Up::Hello(_), Up::Sync { .. }]), "{said:?}");
    assert!(member.held.is_current());
}

#[test]
fn a_change_is_applied_once() {
    let (mut member, mut parent) = synced(&[1]);
    let change = parent.put(item(2));
    assert_eq!(member.receive(&change).put, [key(2)]);
    let doubled = member.receive(&change);
    assert!(doubled.put.is_empty() && doubled.replies.is_empty());
    let removal = parent.remove(key(1));
    assert_eq!(member.receive(&removal).removed, [key(1)]);
    let late = member.receive(&change);
    assert!(late.put.is_empty() && late.replies.is_empty());
    assert_eq!((member.keys(), member.held.revision()), (vec![key(2)], 3));
}

/// It came as it should, and what there is now is not what the parent has.
#[test]
fn a_change_that_makes_another_list_than_the_parents_leads_to_a_sync() {
    let (mut member, mut parent) = synced(&[1, 2]);
    let before = member.held.revision();
    let Down::Change(mut change) = parent.put(item(3)) else { panic!("a change") };
    change.put = vec![item(9)];
    let received = member.receive(&Down::Change(change));
    assert!(matches!(received.replies[..], [Up::Sync { .. }]), "{:?}", received.replies);
    assert!(!member.held.is_current());
    assert_eq!(member.held.revision(), before, "it says that it obeyed nothing new");
    member.talk(&mut parent, received.replies);
    assert_eq!(member.keys(), [key(1), key(2), key(3)]);
    assert!(member.held.is_current());
}

#[test]
fn a_missed_change_leads_to_a_sync() {
    let (mut member, mut parent) = synced(&[1]);
    parent.put(item(2));
    let change = parent.put(item(3));
    let received = member.receive(&change);
    assert!(received.put.is_empty());
    member.talk(&mut parent, received.replies);
    assert_eq!(member.keys(), [key(1), key(2), key(3)]);
    assert!(member.held.is_current());
}

#[test]
fn a_list_that_drifted_is_found_by_a_keep_alive() {
    let (mut member, mut parent) = synced(&[1]);
    parent.items.insert(key(2), item(2));
    let replies = member.receive(&parent.alive()).replies;
    assert!(matches!(replies[..], [Up::Sync { .. }]));
    member.talk(&mut parent, replies);
    assert_eq!(member.keys(), [key(1), key(2)]);
}

#[test]
fn keep_alives_raise_the_revision_and_seldom_write() {
    let (mut member, mut parent) = synced(&[1]);
    parent.revision = 500;
    member.held.receive(&parent.alive(), &mut member.journal);
    assert!(member.journal.is_empty());
    assert_eq!(member.held.revision(), 500);
    parent.revision = 1500;
    member.held.receive(&parent.alive(), &mut member.journal);
    assert!(!member.journal.is_empty());
}

#[test]
fn messages_of_another_store_or_epoch_are_ignored() {
    let (mut member, mut parent) = synced(&[1]);
    let Down::Change(change) = parent.remove(key(1)) else { panic!() };
    let mut foreign = change.clone();
    foreign.store = StoreId(uid(99));
    let mut old = change;
    old.epoch = Epoch::new(0, 0);
    for change in [foreign, old] {
        let received = member.receive(&Down::Change(change));
        assert!(received.removed.is_empty() && received.replies.is_empty());
    }
    assert_eq!(member.keys(), [key(1)]);
}

/// (what the parent is, whether it is behind)
type Case = (&'static str, fn(&mut Parent), bool);

#[test]
fn a_parent_that_does_not_know_what_was_obeyed_is_behind() {
    let cases: [Case; 7] = [
        ("the same reign", |_| {}, false),
        ("the same reign, earlier", |p| p.revision = 4, true),
        (
            "a later reign",
            |p| {
                p.reigns = vec![(p.epoch, 5)];
                p.epoch = Epoch::new(2, 2);
            },
            false,
        ),
        (
            "a later reign of an older copy",
            |p| {
                p.reigns = vec![(p.epoch, 4)];
                p.epoch = Epoch::new(2, 2);
            },
            true,
        ),
        ("a reign that never heard of ours", |p| p.epoch = Epoch::new(2, 2), true),
        ("a copy with the same number", |p| p.epoch = Epoch::new(1, 2), true),
        ("another store", |p| p.store = StoreId(uid(99)), true),
    ];
    for (what, change, behind) in cases {
        let (mut member, mut parent) = (Member::new(), with_items(&[1]));
        parent.revision = 5;
        member.meet(&mut parent);
        change(&mut parent);
        parent.items.clear();
        let said = member.meet(&mut parent);
        assert_eq!(member.held.is_frozen(), behind, "{what}");
        assert_eq!(member.keys().is_empty(), !behind, "{what}");
        assert_eq!(said.iter().any(|up| matches!(up, Up::Holding { .. })), behind, "{what}");
    }
}

#[test]
fn a_frozen_member_takes_nothing_until_a_person_decides() {
    let (mut member, mut parent) = synced(&[1]);
    parent.store = StoreId(uid(99));
    parent.items.clear();
    member.meet(&mut parent);
    for down in [parent.alive(), parent.change(None, vec![], vec![key(1)]), parent.put(item(2))] {
        let received = member.receive(&down);
        assert!(received.replies.is_empty() && received.put.is_empty() && received.removed.is_empty());
    }
    assert_eq!(member.keys(), [key(1)]);
    let obeyed = Obeyed { store: parent.store, epoch: parent.epoch, revision: parent.revision };
    let replies = member.receive(&Down::Thaw { obeyed }).replies;
    member.talk(&mut parent, replies);
    assert_eq!(member.keys(), [key(2)]);
    assert!(member.held.is_current());
    assert_eq!(Member::from(member.disk).held.obeyed(), Some(obeyed));
}

#[test]
fn what_is_held_is_told_in_bounded_messages() {
    let (mut member, mut parent) = (Member::new(), Parent::new());
    for n in 0..5 {
        let body = vec![0; 400_000].into();
        parent.items.insert(key(n), PackedItem { key: key(n), body });
    }
    member.meet(&mut parent);
    parent.store = StoreId(uid(99));
    let said = member.meet(&mut parent);
    let sizes: Vec<_> = said
        .iter()
        .filter_map(|up| match up {
            Up::Holding { items, complete } => Some((items.len(), *complete)),
            _ => None,
        })
        .collect();
    assert_eq!(sizes, [(2, false), (2, false), (1, true)]);
}

#[test]
fn an_item_that_cannot_be_read_is_kept_and_told() {
    let (mut member, mut parent) = synced(&[]);
    let strange = PackedItem { key: key(1), body: b"of a later version".to_vec().into() };
    let change = parent.put(strange.clone());
    let received = member.receive(&change);
    assert_eq!((received.put, received.unreadable.len()), (vec![key(1)], 1));
    assert_eq!(member.held.get(&key(1)), Some(&strange));
    assert!(member.held.is_current());
}

#[test]
fn an_item_of_a_newer_kind_is_told_and_changes_nothing_else() {
    let (mut member, mut parent) = synced(&[1]);
    let received = member.receive(&parent.put(future(b"one")));
    assert_eq!((received.put, received.unreadable.len()), (vec![], 1));
    assert!(member.held.is_current() && received.replies.is_empty(), "both have the same list");
    assert_eq!(member.receive(&parent.put(item(2))).put, [key(2)], "it stands in nobody's way");
    assert_eq!(member.keys(), [key(1), key(2)]);
    let said = member.meet(&mut parent);
    assert!(matches!(said[..], [Up::Hello(_), Up::Sync { .. }]), "{said:?}");
    // After a start it is asked for again: the program may read it by then.
    let mut member = Member::from(member.disk);
    assert_eq!(member.keys(), [key(1), key(2)]);
    let said = member.meet(&mut parent);
    assert!(said.contains(&Up::Want { keys: vec![future(b"").key] }), "{said:?}");
    let received = member.receive(&parent.remove(future(b"").key));
    assert!(member.held.is_current() && received.removed.is_empty());
    assert_eq!(member.held.digest(), Member::from(member.disk).held.digest());
}

#[test]
fn an_undone_change_is_as_if_it_never_came() {
    let (mut member, mut parent) = synced(&[1]);
    let digest = member.held.digest();
    let change = parent.put(item(2));
    member.held.receive(&change, &mut member.journal);
    let undo: Vec<_> = member.journal.take_undo().collect();
    for (table, key, value) in undo {
        member.held.restore(table, &key, value.as_deref()).unwrap();
    }
    assert_eq!((member.keys(), member.held.digest(), member.held.revision()), (vec![key(1)], digest, 1));
    member.meet(&mut parent);
    assert_eq!(member.keys(), [key(1), key(2)]);
}

proptest! {
    /// Whatever is lost, doubled or reordered: the next keep-alives bring the list.
    #[test]
    fn lists_converge_over_a_bad_link(
        script in proptest::collection::vec((0_u64..5, any::<bool>(), 0_usize..8, 0_u8..4), 1..60)
    ) {
        let (mut member, mut parent) = synced(&[]);
        let mut wire: Vec<Down> = Vec::new();
        for (n, put, at, fate) in script {
            let down = if n == 4 {
                let item = future(&[u8::try_from(at).unwrap()]);
                if put { parent.put(item) } else { parent.remove(item.key) }
            } else if put {
                let mut changed = assignment(n);
                changed.part.generation = parent.revision;
                parent.put(pack(&changed))
            } else {
                parent.remove(key(n))
            };
            wire.push(down);
            wire.push(parent.alive());
            let down = wire.remove(at % wire.len());
            if fate == 0 {
                continue;
            }
            if fate == 1 {
                wire.push(down.clone());
            }
            let replies = member.receive(&down).replies;
            wire.extend(replies.iter().filter_map(|up| parent.answer(up)));
        }
        let replies = member.receive(&parent.alive()).replies;
        member.talk(&mut parent, replies);
        prop_assert!(member.held.is_current());
        let held: Vec<_> = member.held.items().cloned().collect();
        parent.items.remove(&future(b"").key);
        prop_assert_eq!(held, parent.items.values().cloned().collect::<Vec<_>>());
        prop_assert_eq!(Member::from(member.disk).held.digest(), parent.digest());
    }
}
