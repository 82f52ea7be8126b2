//! The items themselves: on disk what this version knows, in memory what it does not.
//!
//! What is of a newer kind counts in the digest, so that both sides still agree on what was sent, and is good for
//! nothing else. After a start it is gone, the digests differ, and the parent shows it again: to a program that
//! may read it by then.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::item::{Digest, ItemKey, PackedItem};
use holm_model::record::Table;

use super::Received;
use super::row::{RowItem, RowKey};
use crate::table::{Journal, LoadError, Rows, Snapshot};

/// What is held of one parent's list.
#[derive(Debug)]
pub(super) struct Kept {
    rows: Rows<RowKey, RowItem>,
    /// Of kinds that only a newer version knows.
    newer: BTreeMap<ItemKey, PackedItem>,
    /// Over all of them.
    digest: Digest,
}

// === impl Kept ===

impl Kept {
    pub(super) fn load(snapshot: &mut Snapshot) -> Result<Self, LoadError> {
        let rows = Rows::load(Table::Item, snapshot)?;
        let mut kept = Self { rows, newer: BTreeMap::new(), digest: Digest::default() };
        kept.derive();
        Ok(kept)
    }

    /// Undoes a write.
    pub(super) fn restore(&mut self, key: &str, value: Option<&[u8]>) -> Result<(), LoadError> {
        self.rows.restore(key, value)?;
        self.derive();
        Ok(())
    }

    fn derive(&mut self) {
        let mut digest = Digest::default();
        for item in self.items().chain(self.newer.values()) {
            digest.toggle(&item.key, item.hash());
        }
        self.digest = digest;
    }

    /// Those of kinds that this version knows.
    pub(super) fn items(&self) -> impl Iterator<Item = &PackedItem> {
        self.rows.values().map(|row| &row.0)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &ItemKey> {
        self.items().map(|item| &item.key).chain(self.newer.keys())
    }

    pub(super) fn get(&self, key: &ItemKey) -> Option<&PackedItem> {
        if let ItemKey::Newer(_) = key {
            return self.newer.get(key);
        }
        self.rows.get(&RowKey(key.clone())).map(|row| &row.0)
    }

    pub(super) const fn digest(&self) -> Digest {
        self.digest
    }

    /// The digest that there would be after [`Self::apply`].
    pub(super) fn outcome(&self, put: &[PackedItem], removed: &BTreeSet<ItemKey>) -> Digest {
        let mut digest = self.digest;
        let named: BTreeSet<&ItemKey> = put.iter().map(|item| &item.key).chain(removed).collect();
        for old in named.into_iter().filter_map(|key| self.get(key)) {
            digest.toggle(&old.key, old.hash());
        }
        for item in put.iter().filter(|item| !removed.contains(&item.key)) {
            digest.toggle(&item.key, item.hash());
        }
        digest
    }

    /// Puts, then removes; `outcome` is what [`Self::outcome`] said of the same.
    pub(super) fn apply(
        &mut self,
        put: &[PackedItem],
        removed: &BTreeSet<ItemKey>,
        outcome: Digest,
        journal: &mut Journal,
        received: &mut Received,
    ) {
        for item in put.iter().filter(|item| !removed.contains(&item.key)) {
            if self.get(&item.key) == Some(item) {
                continue;
            }
            received.unreadable.extend(item.unpack().err());
            if let ItemKey::Newer(_) = item.key {
                self.newer.insert(item.key.clone(), item.clone());
                continue;
            }
            received.put.push(item.key.clone());
            self.rows.put(journal, RowKey(item.key.clone()), RowItem(item.clone()));
        }
        for key in removed {
            self.newer.remove(key);
            if self.rows.remove(journal, &RowKey(key.clone())).is_some() {
                received.removed.push(key.clone());
            }
        }
        self.digest = outcome;
    }
}
