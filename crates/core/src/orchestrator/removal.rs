//! Members revoked and removed: our own, and nodes of the clusters below.
//!
//! An order for a node of a cluster travels as a revocation item, so that it reaches a cluster that is
//! cut off as soon as it is back, however often either side restarts in between.

use std::collections::BTreeSet;

use holm_model::fact::InstanceReport;
use holm_model::id::MemberId;
use holm_model::item::{Item, ItemKey};
use holm_model::member::Role;
use holm_model::message::{READS, READS_ROLES};
use holm_model::state::MemberState;
use holm_model::view::{InstanceView, RemovalView};

use super::Orchestrator;
use super::command::{Refusal, Reply};
use super::lists::List;
use super::people::without_roles;
use super::place::few;
use super::rows::{Phase, Revocation};
use crate::revocation::{Entry, Void, told};

impl Orchestrator {
    /// The member leaves as soon as it has ended what it owes to us; one that cannot be told, or was told
    /// before, is cut off at once.
    pub(super) fn remove_member(&mut self, id: MemberId) -> Result<Reply, Refusal> {
        let Some(member) = self.members.get(&id) else {
            let reached = self.is_reached_below(id);
            let instances = self.live_on(|report| report.node.last() == Some(&id));
            self.order_below(Entry::Removal(id), id)?;
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

    pub(super) fn can_be_told(&self, id: MemberId) -> bool {
        let in_step = self.lists.get(&id).is_some_and(List::is_in_step);
        in_step
            && self
                .live
                .get(&id)
                .is_some_and(|live| live.link.is_some() && live.state == MemberState::Online && !live.frozen)
    }

    fn is_reached_below(&self, id: MemberId) -> bool {
        if self.revocations.contains(&Entry::Member(id).to_string()) {
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
    pub(super) fn begin_leaving(&mut self, id: MemberId) {
        self.members.change(&mut self.journal, &id, |member| member.leaving = true);
        self.todo.leaving.insert(id);
        self.keep_what_is_done(id);
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
    pub(super) fn cut_off(&mut self, id: MemberId) {
        self.todo.leaving.remove(&id);
        self.todo.retiring.remove(&id);
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
            return self.order_below(Entry::Member(id), id);
        }
        let done = self.revoke(id);
        self.look_at(id);
        // One that was offline already is void for those above, too.
        self.report_node(id);
        done
    }

    fn order_below(&mut self, order: Entry<'_>, id: MemberId) -> Result<Reply, Refusal> {
        let has = |live: &super::members::Live| live.nodes.keys().any(|path| path.last() == Some(&id));
        if !self.live.values().any(has) {
            return Err(Refusal::no_member(id));
        }
        self.void(order);
        self.revocations_changed();
        Ok(Reply::Done)
    }

    /// An order of our parent; one about a member that is not ours is for another cluster.
    pub(super) fn obey_order(&mut self, text: &str) {
        match Entry::parse(text) {
            Entry::Member(id) if self.members.contains(&id) => {
                // A member that is known can be revoked.
                let _ = self.revoke_member(id);
            }
            Entry::Removal(id) if self.members.contains(&id) && !self.todo.leaving.contains(&id) => {
                let _ = self.remove_member(id);
            }
            _ => {}
        }
    }

    pub(super) fn void(&mut self, entry: Entry<'_>) {
        self.revocations.put(&mut self.journal, entry.to_string(), Revocation { at: self.now.wall });
    }

    /// By us, or by those above.
    pub(super) fn is_void(&self, id: MemberId) -> bool {
        self.is_revoked(&Entry::Member(id).to_string())
    }

    /// Clusters hear of every entry, so that they know when they are cut off. Nodes hear of those that signed for
    /// others: few, however many nodes come and go. What a newer entry stands for is off the lists.
    pub(super) fn put_revocations(&mut self, members: &[MemberId]) {
        let all = self.all_revocations();
        let signer = |text: &&String| matches!(Entry::parse(text), Entry::Signer(_));
        let of_signers: BTreeSet<String> = all.iter().filter(signer).cloned().collect();
        for id in members {
            let reads = self.reads_of(*id).unwrap_or(READS);
            let told = match self.members.get(id).map(|member| member.role) {
                Some(Role::Cluster) if reads < READS_ROLES => all.iter().map(|t| without_roles(t)).collect(),
                Some(Role::Cluster) => all.clone(),
                Some(Role::Node) => of_signers.clone(),
                None => continue,
            };
            let listed = self.lists.get(id).into_iter().flat_map(List::revocations);
            let over: Vec<_> = listed.filter(|text| !told.contains(*text)).cloned().collect();
            for text in over {
                self.set_item(*id, ItemKey::Revocation(text), None);
            }
            for text in told {
                self.set_item(*id, ItemKey::Revocation(text), Some(&Item::Revocation));
            }
        }
    }

    pub(super) fn put_all_revocations(&mut self) {
        let members: Vec<_> = self.members.iter().map(|(id, _)| *id).collect();
        self.put_revocations(&members);
    }

    /// All that is void as far as is known here: by us, and by those above.
    #[must_use]
    pub fn revoked(&self) -> Void {
        Void::of(self.revocations.iter().map(|(text, _)| text.as_str()).chain(told(&self.held)))
    }

    /// By us, or by those above.
    pub(super) fn is_revoked(&self, text: &str) -> bool {
        let told = ItemKey::Revocation(text.to_owned());
        self.revocations.contains(&text.to_owned()) || self.held.get(&told).is_some()
    }

    fn all_revocations(&self) -> BTreeSet<String> {
        let told = told(&self.held).map(str::to_owned);
        let ours = self.revocations.iter().map(|(text, _)| text.clone());
        // Of a cluster, an earlier version wrote down only that the member is void.
        let clusters =
            self.members.iter().filter(|(_, member)| member.role == Role::Cluster).map(|(id, _)| *id);
        let signers = clusters.filter(|id| self.is_void(*id)).map(|id| Entry::Signer(id).to_string());
        ours.chain(told).chain(signers).collect()
    }
}

/// What nobody saw end, for people; nothing, if there is nothing.
fn may_still_run(left: &[InstanceView]) -> String {
    let named = left.iter().map(|view| format!("{}/{}", view.application, view.slot));
    if left.is_empty() {
        String::new()
    } else {
        format!("there may still run {}", few(named, left.len(), ", "))
    }
}
