//! Which runtime has which instance, and its ports: for everything that serves an instance without
//! deciding about it (tunnels, usage, peers).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holm_model::id::AssignmentId;
use holm_model::name::Name;
use holm_runtime::Runtime;

/// Shared; clones are the same directory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory(Arc<Mutex<BTreeMap<AssignmentId, Entry>>>);

/// An instance that a runtime knows.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) incarnation: u32,
    /// As far as it is known; a worker that starts anew believes it.
    pub(crate) alive: bool,
    /// On the node.
    pub(crate) ports: BTreeMap<Name, u16>,
}

// === impl Directory ===

impl Directory {
    pub(crate) fn put(&self, id: AssignmentId, entry: Entry) {
        self.entries().insert(id, entry);
    }

    /// What a list says, which may be seconds old: what is known already is at least as new.
    pub(crate) fn put_found(&self, id: AssignmentId, entry: Entry) {
        let mut entries = self.entries();
        if entries.get(&id).is_none_or(|known| known.incarnation < entry.incarnation) {
            entries.insert(id, entry);
        }
    }

    pub(crate) fn remove(&self, id: AssignmentId) {
        self.entries().remove(&id);
    }

    /// This incarnation has ended; logs of it are still there.
    pub(crate) fn ended(&self, id: AssignmentId, incarnation: u32) {
        if let Some(entry) = self.entries().get_mut(&id).filter(|entry| entry.incarnation == incarnation) {
            entry.alive = false;
        }
    }

    pub(crate) fn get(&self, id: AssignmentId) -> Option<Entry> {
        self.entries().get(&id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<(AssignmentId, Entry)> {
        self.entries().iter().map(|(id, entry)| (*id, entry.clone())).collect()
    }

    /// Nothing that holds the lock can panic half-way.
    fn entries(&self) -> MutexGuard<'_, BTreeMap<AssignmentId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
