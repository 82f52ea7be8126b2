//! Members revoked and removed: our own, and nodes of the clusters below.
//!
//! An order for a node of a cluster travels as a revocation item, so that it reaches a cluster that is
//! cut off as soon as it is back, however often either side restarts in between.

use holm_model::id::MemberId;
use holm_model::item::{Item, ItemKey};

use super::Orchestrator;
use super::command::{Refusal, Reply};
use super::rows::Revocation;

/// What is ordered about a node of a cluster; the word stands before its id in the item's key.
const REVOKE: &str = "revoke:";
const REMOVE: &str = "remove:";

impl Orchestrator {
    /// The member's certificates are void and it is forgotten.
    pub(super) fn remove_member(&mut self, id: MemberId) -> Result<Reply, Refusal> {
        if !self.members.contains(&id) {
            return self.order_below(REMOVE, id);
        }
        self.revoke(id)?;
        self.forget_member(id);
        Ok(Reply::Done)
    }

    /// The member's certificates are void; it stays known.
    pub(super) fn revoke_member(&mut self, id: MemberId) -> Result<Reply, Refusal> {
        if self.members.contains(&id) { self.revoke(id) } else { self.order_below(REVOKE, id) }
    }

    fn order_below(&mut self, word: &str, id: MemberId) -> Result<Reply, Refusal> {
        let has = |live: &super::members::Live| live.nodes.keys().any(|path| path.last() == Some(&id));
        if !self.live.values().any(has) {
            return Err(Refusal::NotFound { kind: "member", name: id.to_string() });
        }
        self.revocations.put(&mut self.journal, format!("{word}{id}"), Revocation { at: self.now.wall });
        self.revocations_changed();
        Ok(Reply::Done)
    }

    /// An order of our parent; one about a member that is not ours is for another cluster.
    pub(super) fn obey_order(&mut self, text: &str) {
        let member = |word: &str| text.strip_prefix(word).and_then(|id| id.parse::<MemberId>().ok());
        let known = |id: &MemberId| self.members.contains(id);
        if let Some(id) = member(REVOKE).filter(known) {
            // A member that is known can be revoked.
            let _ = self.revoke(id);
        } else if let Some(id) = member(REMOVE).filter(known) {
            let _ = self.remove_member(id);
        }
    }

    /// Clusters hear of every revocation and order, so that they know when they are cut off.
    pub(super) fn put_revocations(&mut self, member: MemberId) {
        let cluster = self.members.get(&member).is_some_and(|m| m.role == holm_model::member::Role::Cluster);
        if cluster {
            for text in self.all_revocations() {
                self.set_item(member, ItemKey::Revocation(text), Some(&Item::Revocation));
            }
        }
    }

    /// Every revoked serial number (hex) that is known here: our own, and those that our parent told us.
    #[must_use]
    pub fn revoked(&self) -> Vec<String> {
        self.all_revocations().into_iter().filter(|text| !text.contains(':')).collect()
    }

    /// By us, or by those above.
    pub(super) fn is_revoked(&self, serial: &str) -> bool {
        let told = ItemKey::Revocation(serial.to_owned());
        self.revocations.contains(&serial.to_owned()) || self.held.get(&told).is_some()
    }

    fn all_revocations(&self) -> std::collections::BTreeSet<String> {
        let told = self.held.items().filter_map(|packed| match &packed.key {
            ItemKey::Revocation(text) => Some(text.clone()),
            _ => None,
        });
        self.revocations.iter().map(|(text, _)| text.clone()).chain(told).collect()
    }
}
