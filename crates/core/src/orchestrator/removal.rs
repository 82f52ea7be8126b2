//! Members revoked and removed: our own, and nodes of the clusters below.
//!
//! An order for a node of a cluster travels as a revocation item, so that it reaches a cluster that is
//! cut off as soon as it is back, however often either side restarts in between.

use holm_model::fact::InstanceReport;
use holm_model::id::MemberId;
use holm_model::item::{Item, ItemKey};
use holm_model::state::MemberState;
use holm_model::view::{InstanceView, RemovalView};

use super::Orchestrator;
use super::command::{Refusal, Reply};
use super::lists::List;
use super::place::few;
use super::rows::{Phase, Revocation};

/// What is ordered about a node of a cluster; the word stands before its id in the item's key.
pub(super) const REVOKE: &str = "revoke:";
const REMOVE: &str = "remove:";

impl Orchestrator {
    /// The member leaves as soon as it has ended what it owes to us; one that cannot be told, or was told
    /// before, is cut off at once.
    pub(super) fn remove_member(&mut self, id: MemberId) -> Result<Reply, Refusal> {
        let Some(member) = self.members.get(&id) else {
            let reached = self.is_reached_below(id);
            let instances = self.live_on(|report| report.node.last() == Some(&id));
            self.order_below(REMOVE, id)?;
            return Ok(Reply::Removed(RemovalView { leaving: reached, instances }));
        };
        let leaving = !member.leaving && self.can_be_told(id) && !self.placements_on(id).is_empty();
        let there = |report: &InstanceReport| report.node.first() == Some(&id);
        let owed = |report: &InstanceReport| report.node.len() == 1 || report.share.is_some();
        let instances = self.live_on(|report| there(report) && (!leaving || owed(report)));
        if leaving {
            self.begin_leaving(id);
        } else {
            self.cut_off(id);
        }
        Ok(Reply::Removed(RemovalView { leaving, instances }))
    }

    fn can_be_told(&self, id: MemberId) -> bool {
        let in_step = self.lists.get(&id).is_some_and(List::is_in_step);
        in_step
            && self
                .live
                .get(&id)
                .is_some_and(|live| live.link.is_some() && live.state == MemberState::Online && !live.frozen)
    }

    fn is_reached_below(&self, id: MemberId) -> bool {
        if self.revocations.contains(&format!("{REVOKE}{id}")) {
            return false;
        }
        self.live.values().filter(|live| live.state == MemberState::Online).any(|live| {
            let node = live.nodes.iter().find(|(path, _)| path.last() == Some(&id));
            node.is_some_and(|(_, node)| node.state == MemberState::Online)
        })
    }

    fn live_on(&self, chosen: impl Fn(&InstanceReport) -> bool) -> Vec<InstanceView> {
        let chosen = self.instances.values().filter(|report| chosen(report));
        chosen.filter(|r| self.state_of(r).is_live()).map(|report| self.instance_view(report)).collect()
    }

    /// All that the member was given leaves its list; its slots are filled elsewhere when that is gone.
    fn begin_leaving(&mut self, id: MemberId) {
        self.members.change(&mut self.journal, &id, |member| member.leaving = true);
        self.todo.leaving.insert(id);
        for placement in self.placements_on(id) {
            self.set_phase(placement, Phase::Retiring);
        }
        self.aggregate_stale = true;
        self.todo.origins.extend(self.demands.keys().cloned());
    }

    /// Members that leave are cut off when nothing of ours is left there, or nobody can tell any more.
    ///
    /// # Returns
    /// Whether there was one.
    pub(super) fn end_leavings(&mut self) -> bool {
        let offline = |id: &MemberId| self.live.get(id).is_none_or(|l| l.state == MemberState::Offline);
        let over = |id: &&MemberId| self.placements_on(**id).is_empty() || offline(id);
        let ended: Vec<MemberId> = self.todo.leaving.iter().filter(over).copied().collect();
        ended.iter().for_each(|id| self.cut_off(*id));
        !ended.is_empty()
    }

    /// The member's certificates are void and it is forgotten.
    fn cut_off(&mut self, id: MemberId) {
        self.todo.leaving.remove(&id);
        let (Some(member), Some(live)) = (self.members.get(&id), self.live.get(&id)) else { return };
        let (role, name, state) = (member.role, member.name.to_string(), live.state);
        let left = self.live_on(|report| report.node.first() == Some(&id));
        let reason = may_still_run(&left);
        self.note(role.word(), name, String::new(), (state.word(), "removed"), ("person", &reason));
        // It is known: see above.
        let _ = self.revoke(id);
        self.forget_member(id);
    }

    /// The member's certificates are void; it stays known.
    pub(super) fn revoke_member(&mut self, id: MemberId) -> Result<Reply, Refusal> {
        if !self.members.contains(&id) {
            return self.order_below(REVOKE, id);
        }
        let done = self.revoke(id);
        self.look_at(id);
        done
    }

    fn order_below(&mut self, word: &str, id: MemberId) -> Result<Reply, Refusal> {
        let has = |live: &super::members::Live| live.nodes.keys().any(|path| path.last() == Some(&id));
        if !self.live.values().any(has) {
            return Err(Refusal::no_member(id));
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
            let _ = self.revoke_member(id);
        } else if let Some(id) = member(REMOVE).filter(known).filter(|id| !self.todo.leaving.contains(id)) {
            let _ = self.remove_member(id);
        }
    }

    /// Certificates that this store has forgotten are void, too: the member's id is never given again.
    pub(super) fn void_member(&mut self, id: MemberId) {
        self.revocations.put(&mut self.journal, format!("{REVOKE}{id}"), Revocation { at: self.now.wall });
    }

    /// By us, or by those above.
    pub(super) fn is_void(&self, id: MemberId) -> bool {
        self.is_revoked(&format!("{REVOKE}{id}"))
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

/// What nobody saw end, for people; nothing, if there is nothing.
fn may_still_run(left: &[InstanceView]) -> String {
    let named: Vec<_> = left.iter().map(|view| format!("{}/{}", view.application, view.slot)).collect();
    if named.is_empty() { String::new() } else { format!("there may still run {}", few(&named, ", ")) }
}
