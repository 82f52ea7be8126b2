//! What each member is told: its list, one revision per store, digests against drift.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::id::MemberId;
use holm_model::item::{Digest, Item, ItemKey, Items, Obeyed, PackedItem};
use holm_model::message::{Down, ListChange, READS};
use serde_bytes::ByteBuf;

use super::Orchestrator;
use super::event::{Effect, LinkId};
use super::rows::Reign;

/// A member's list, as it must be.
#[derive(Debug)]
pub(super) struct List {
    items: Items,
    /// Of kinds that the member's program does not know: no part of its list until it says that it reads them.
    withheld: Items,
    /// What the member reads; before its greeting, what we do: nothing is sent by then.
    reads: u32,
    digest: Digest,
    /// Changed since the last revision.
    put: BTreeSet<ItemKey>,
    removed: BTreeSet<ItemKey>,
    /// The revision that the member has on its open link; `None`: it has to sync first.
    sent: Option<u64>,
    /// Revision of the catalog that it was shown and has not answered yet.
    catalog: Option<u64>,
    /// Revision of the last change.
    changed: u64,
}

// === impl List ===

impl Default for List {
    fn default() -> Self {
        Self {
            items: Items::new(),
            withheld: Items::new(),
            reads: READS,
            digest: Digest::default(),
            put: BTreeSet::new(),
            removed: BTreeSet::new(),
            sent: None,
            catalog: None,
            changed: 0,
        }
    }
}

impl List {
    /// The member has it, or it is on its way on the open link.
    pub(super) const fn is_in_step(&self) -> bool {
        self.sent.is_some()
    }

    pub(super) fn items(&self) -> impl Iterator<Item = &PackedItem> {
        self.items.values()
    }

    pub(super) fn revocations(&self) -> impl Iterator<Item = &String> {
        self.items.keys().filter_map(|key| match key {
            ItemKey::Revocation(text) => Some(text),
            _ => None,
        })
    }

    pub(super) fn withheld(&self) -> impl Iterator<Item = &PackedItem> {
        self.withheld.values()
    }

    /// Revision of the last change.
    pub(super) const fn changed(&self) -> u64 {
        self.changed
    }

    pub(super) const fn reads(&self) -> u32 {
        self.reads
    }

    /// The member, which has to sync, says what it reads.
    pub(super) fn is_read_with(&mut self, reads: u32) {
        if self.reads == reads {
            return;
        }
        self.reads = reads;
        let mut all = std::mem::take(&mut self.items);
        all.append(&mut self.withheld);
        (self.items, self.withheld) = all.into_iter().partition(|(key, _)| key.since() <= reads);
        self.digest = Digest::of(&self.items);
    }

    /// Whether the member has to be told.
    fn set(&mut self, key: ItemKey, item: Option<&Item>) -> bool {
        let new = item.map(|item| item.pack(key.clone()));
        if key.since() > self.reads {
            match new {
                Some(new) => self.withheld.insert(key, new),
                None => self.withheld.remove(&key),
            };
            return false;
        }
        let old = self.items.get(&key);
        if old == new.as_ref() {
            return false;
        }
        if let Some(old) = old {
            self.digest.toggle(&key, old.hash());
        }
        if let Some(new) = new {
            self.digest.toggle(&key, new.hash());
            self.removed.remove(&key);
            self.put.insert(key.clone());
            self.items.insert(key, new);
        } else {
            self.items.remove(&key);
            self.put.remove(&key);
            self.removed.insert(key);
        }
        true
    }
}

// === impl Orchestrator ===

impl Orchestrator {
    /// Lists follow from placements, endpoints and revocations; revisions of members are unknown.
    pub(super) fn derive_lists(&mut self) {
        self.lists = self.members.iter().map(|(id, _)| (*id, List::default())).collect();
        let placements: Vec<_> =
            self.placements.iter().filter_map(|(id, p)| Some((p.member, p.key(*id), p.item(*id)?))).collect();
        for (member, key, item) in placements {
            if let Some(list) = self.lists.get_mut(&member) {
                list.set(key, Some(&item));
            }
        }
        self.put_all_revocations();
        self.derive_endpoints();
        self.derive_contents();
        self.derive_allowances();
        self.put_decommissions();
        for list in self.lists.values_mut() {
            list.put.clear();
            list.removed.clear();
            list.changed = self.revision;
        }
        self.todo.members.clear();
    }

    pub(super) fn set_item(&mut self, member: MemberId, key: ItemKey, item: Option<&Item>) {
        if !self.members.contains(&member) {
            return;
        }
        let list = self.lists.entry(member).or_default();
        let readable = list.withheld.is_empty();
        if list.set(key, item) {
            self.todo.members.insert(member);
        }
        if readable && !list.withheld.is_empty() {
            self.note_withheld(member);
        }
    }

    /// One revision for all lists that this step changed; members in step get the change.
    pub(super) fn flush_lists(&mut self) {
        if !self.todo.members.is_empty() || std::mem::take(&mut self.this_step.deleted) {
            self.revision += 1;
        }
        for member in std::mem::take(&mut self.todo.members) {
            let Some(list) = self.lists.get_mut(&member) else { continue };
            let put = std::mem::take(&mut list.put);
            let removed = std::mem::take(&mut list.removed);
            list.changed = self.revision;
            let Some(link) = self.live.get(&member).and_then(|live| live.link) else { continue };
            let Some(from) = list.sent else { continue };
            list.sent = Some(self.revision);
            let change = ListChange {
                store: self.store,
                epoch: self.epoch,
                from: Some(from),
                to: self.revision,
                put: put.iter().filter_map(|key| list.items.get(key)).cloned().collect(),
                removed: removed.into_iter().collect(),
                digest: list.digest,
            };
            self.effects.push(Effect::Send { link, message: Down::Change(change) });
        }
        let after = self.reigns.get(&self.epoch).and_then(|reign| reign.after);
        let reign = Reign { last_revision: self.revision, last_id: self.counter, after };
        self.reigns.put(&mut self.journal, self.epoch, reign);
    }

    /// The link is new or gone: what the member has must be asked anew.
    pub(super) fn unsync(&mut self, member: MemberId) {
        if let Some(list) = self.lists.get_mut(&member) {
            list.sent = None;
            list.catalog = None;
        }
    }

    /// The member says what it holds.
    pub(super) fn sync(&mut self, link: LinkId, member: MemberId, obeyed: Option<Obeyed>, digest: Digest) {
        if self.is_unconfirmed(member) {
            // It may have been revoked: it is told nothing before a person has adopted it.
            return;
        }
        if let Some(live) = self.live.get_mut(&member) {
            self.capacity_changed |= live.frozen;
            live.frozen = false;
        }
        if let Some(obeyed) = obeyed.filter(|_| self.is_ours(obeyed)) {
            self.obeys(member, obeyed.revision);
        }
        let ours = self.is_ours(obeyed) || obeyed.is_some_and(|o| o.store == self.store);
        let (store, epoch, revision) = (self.store, self.epoch, self.revision);
        let list = self.lists.entry(member).or_default();
        let message = if digest == list.digest && (ours || list.items.is_empty()) {
            list.sent = Some(revision);
            list.catalog = None;
            let (put, removed, digest) = (Vec::new(), Vec::new(), list.digest);
            Down::Change(ListChange { store, epoch, from: None, to: revision, put, removed, digest })
        } else {
            list.sent = None;
            list.catalog = Some(revision);
            let entry =
                |(key, item): (&ItemKey, &PackedItem)| (key.clone(), ByteBuf::from(item.hash().to_vec()));
            Down::Catalog { revision, entries: list.items.iter().map(entry).collect() }
        };
        self.effects.push(Effect::Send { link, message });
    }

    /// The member names what it lacks of the catalog; if the list has changed since, it is shown anew.
    pub(super) fn send_wanted(&mut self, link: LinkId, member: MemberId, keys: &[ItemKey]) {
        let (store, epoch, revision) = (self.store, self.epoch, self.revision);
        let Some(list) = self.lists.get_mut(&member) else { return };
        let Some(shown) = list.catalog.take() else { return };
        if list.changed > shown {
            return self.sync(link, member, None, Digest::default());
        }
        list.sent = Some(revision);
        let change = ListChange {
            store,
            epoch,
            from: None,
            to: revision,
            put: keys.iter().filter_map(|key| list.items.get(key)).cloned().collect(),
            removed: Vec::new(),
            digest: list.digest,
        };
        self.effects.push(Effect::Send { link, message: Down::Change(change) });
    }

    /// For keep-alives: what a member's list is at this moment, if the member is in step.
    #[must_use]
    pub fn alive(&mut self, member: MemberId) -> Option<Down> {
        let revision = self.revision;
        let list = self.lists.get_mut(&member).filter(|list| list.sent.is_some())?;
        list.sent = Some(revision);
        Some(Down::Alive { revision, digest: list.digest })
    }

    /// What each member's list is, for comparing.
    #[must_use]
    pub fn list_digests(&self) -> BTreeMap<MemberId, Digest> {
        self.lists.iter().map(|(id, list)| (*id, list.digest)).collect()
    }

    /// Where a member's link is open.
    #[must_use]
    pub fn links(&self) -> BTreeMap<MemberId, LinkId> {
        self.live.iter().filter_map(|(id, live)| Some((*id, live.link?))).collect()
    }
}
