//! Ends that are told while the disk takes no writes: a delete needs no room, and may be what makes some.
//!
//! ```text
//! told on a full disk ──► withdrawn: ended and removed, noted where no room is needed ──► the list is current: forgotten
//! ```
//!
//! The list stays as it is on disk, and so does what the orchestrator is told of it: when the disk takes writes, it is
//! told anew. Whoever starts again before that knows from the note what must not start.

use std::collections::BTreeSet;

use holm_model::id::AssignmentId;
use holm_model::item::ItemKey;
use holm_model::message::Down;

use super::event::NodeEffect;
use super::machine::NodeMachine;
use super::wanted::Wanted;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Withdrawn {
    ids: BTreeSet<AssignmentId>,
    /// Forgotten in steps that may be undone.
    forgotten: BTreeSet<AssignmentId>,
}

// === impl Withdrawn ===

impl Withdrawn {
    pub(super) fn contains(&self, id: AssignmentId) -> bool {
        self.ids.contains(&id)
    }

    /// They did happen.
    pub(super) fn committed(&mut self) {
        self.forgotten.clear();
    }

    /// The steps that forgot some did not happen.
    pub(super) fn undo(&mut self) {
        self.ids.append(&mut self.forgotten);
    }
}

impl NodeMachine {
    /// Noted by a run before this one.
    pub(super) fn withdrawn_before(&mut self, ids: BTreeSet<AssignmentId>) {
        self.wanted.retain(|id, _| !ids.contains(id));
        self.touched.extend(&ids);
        self.withdrawn.ids.extend(ids);
    }

    /// The disk takes no writes: only what ends something is taken out of the message.
    pub(super) fn overhear(&mut self, down: &Down) {
        let heard = self.held.overhear(down);
        self.effects.extend(heard.reply.map(NodeEffect::Send));
        let before = self.withdrawn.ids.len();
        for key in heard.removed {
            let ItemKey::Assignment(id) = key else { continue };
            self.wanted.remove(&id);
            self.withdrawn.ids.insert(id);
            self.touched.insert(id);
        }
        if self.withdrawn.ids.len() > before {
            self.effects.push(NodeEffect::Withdrawn(self.withdrawn.ids.clone()));
        }
        // Stopped, paused; what would have to start waits for room by itself.
        for (id, told) in heard.put.iter().filter_map(Wanted::of) {
            if let Some(wanted) = self.wanted.get_mut(&id) {
                wanted.run = told.run;
                self.touched.insert(id);
            }
        }
    }

    /// What the list says is known to be what is wished.
    pub(super) fn forget_withdrawn(&mut self) {
        if self.withdrawn.ids.is_empty() || !self.held.is_current() {
            return;
        }
        let ids = std::mem::take(&mut self.withdrawn.ids);
        for id in &ids {
            let item = self.held.get(&ItemKey::Assignment(*id));
            self.wanted.extend(item.and_then(Wanted::of));
        }
        self.touched.extend(&ids);
        self.withdrawn.forgotten.extend(ids);
        self.effects.push(NodeEffect::Withdrawn(BTreeSet::new()));
    }
}
