//! What can be learnt from a message of the parent while nothing of it can be kept: what to end needs no room.
//!
//! The list and the revision stay as they are on disk; the whole of it is asked for again later.

use std::collections::BTreeSet;

use holm_model::item::{ItemKey, PackedItem};
use holm_model::message::{Down, Up};

use super::{Held, Phase};

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Overheard<'a> {
    /// On the list still, and not wished any more.
    pub(crate) removed: Vec<ItemKey>,
    pub(crate) put: &'a [PackedItem],
    /// Keeps the parent telling what changes, though nothing is taken.
    pub(crate) reply: Option<Up>,
}

// === impl Held ===

impl Held {
    /// Nothing while the parent is behind, nor from another reign than the session's.
    pub(crate) fn overhear<'a>(&mut self, down: &'a Down) -> Overheard<'a> {
        let (Phase::Syncing(parent, _) | Phase::Current(parent)) = self.phase else {
            return Overheard::default();
        };
        match down {
            // What changed is not known here: a part of it was missed, or the parent tells no more than this.
            Down::Alive { revision, .. } if *revision > self.overheard.max(self.revision) => {
                let reply = Some(Up::Sync { obeyed: self.obeyed(), digest: self.digest() });
                Overheard { reply, ..Overheard::default() }
            }
            Down::Catalog { revision, entries } if *revision >= self.revision => {
                self.overheard = *revision;
                let listed: BTreeSet<&ItemKey> = entries.iter().map(|(key, _)| key).collect();
                let removed = self.kept.keys().filter(|key| !listed.contains(key)).cloned().collect();
                // Of what is here already it may have been said that it shall stop.
                let changed =
                    |key: &ItemKey, hash: &[u8]| self.get(key).is_some_and(|item| item.hash() != hash);
                let keys =
                    entries.iter().filter(|(key, hash)| changed(key, hash)).map(|(key, _)| key.clone());
                Overheard { removed, put: &[], reply: Some(Up::Want { keys: keys.collect() }) }
            }
            Down::Change(change)
                if (change.store, change.epoch) == (parent.store, parent.epoch)
                    && change.to >= self.revision =>
            {
                self.overheard = change.to;
                let removed = change.removed.iter().filter(|key| self.get(key).is_some()).cloned().collect();
                Overheard { removed, put: &change.put, reply: None }
            }
            _ => Overheard::default(),
        }
    }
}
