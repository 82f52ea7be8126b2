//! Nodes that are taken out of service.
//!
//! ```text
//! drained ──► told to wipe itself ──► it ends what is left, wipes, tells ──► proof in the audit log,
//!    │              │                                                        revoked, forgotten
//!    └─ uncordon    └─ silent, and people say so: revoked and forgotten, unproven
//! ```
//!
//! A wish that survives restarts of either side: the order is an item of the node's list, and a node that
//! wiped tells it on each link until its certificate is void.

use std::collections::BTreeSet;

use holm_model::id::MemberId;
use holm_model::item::{Item, ItemKey};
use holm_model::member::Role;
use holm_model::message::READS_WIPING;
use holm_model::record::AuditRecord;
use holm_model::slot::SlotIndex;
use holm_model::view::drain::DecommissionView;
use holm_model::wipe::WipeReport;

use super::Orchestrator;
use super::command::{Actor, Refusal, Reply};
use super::rows::{Decommission, Member};

impl Orchestrator {
    pub(super) fn decommission(
        &mut self,
        actor: &Actor,
        id: MemberId,
        force: bool,
    ) -> Result<Reply, Refusal> {
        let Some(member) = self.members.get(&id) else { return Err(self.not_ours_to_decommission(id)) };
        if member.role == Role::Cluster {
            return Err(Refusal::Invalid(format!(
                "{} is a cluster: only nodes wipe themselves",
                member.name
            )));
        }
        let name = member.name.clone();
        if let Some(why) = self.cannot_wipe(id) {
            if !force {
                let other = "`--force` forgets it, and nobody proves then what is left on it";
                return Err(Refusal::Conflict(format!("{name} {why}; {other}")));
            }
            self.forget_unproven(actor, id);
            return Ok(Reply::Decommission(DecommissionView { forgotten: true }));
        }
        self.begin_decommission(actor, id, true)?;
        if force {
            self.begin_wipe(id);
        }
        Ok(Reply::Decommission(DecommissionView { forgotten: false }))
    }

    fn not_ours_to_decommission(&self, id: MemberId) -> Refusal {
        let below = self.live.iter().find(|(_, live)| live.nodes.keys().any(|path| path.last() == Some(&id)));
        let Some((cluster, _)) = below else { return Refusal::no_member(id) };
        let cluster = self.member_name(*cluster);
        Refusal::Conflict(format!("the node belongs to cluster `{cluster}`: decommission it there"))
    }

    /// Why the node cannot be told now.
    fn cannot_wipe(&self, id: MemberId) -> Option<String> {
        if !self.can_be_told(id) {
            return Some("cannot be told anything now: it is silent, or frozen".to_owned());
        }
        let old = self.reads_of(id).is_some_and(|reads| reads < READS_WIPING);
        old.then(|| "has a program that is too old to wipe itself; upgrade holm there".to_owned())
    }

    /// As [`Self::decommission`], and what has volumes takes them along, or stays until it can.
    pub(super) fn retire(&mut self, actor: &Actor, id: MemberId) {
        // Refused for what is no member.
        let _ = self.begin_decommission(actor, id, false);
    }

    /// It is emptied first.
    fn begin_decommission(&mut self, actor: &Actor, id: MemberId, lose_volumes: bool) -> Result<(), Refusal> {
        if self.members.get(&id).is_some_and(|member| member.decommission.is_some()) {
            return Ok(());
        }
        self.drain(id, lose_volumes)?;
        let Actor { who, from } = actor.clone();
        let wish = Decommission { since: self.now.wall, who, from, wiping: false };
        self.members.change(&mut self.journal, &id, |member| member.decommission = Some(wish));
        self.todo.retiring.insert(id);
        Ok(())
    }

    /// Nodes that are empty are told.
    ///
    /// # Returns
    /// Whether there was one.
    pub(super) fn begin_wipes(&mut self) -> bool {
        let ready = |id: &MemberId| self.cannot_wipe(*id).is_none() && self.has_only_its_own(*id);
        let ready: Vec<MemberId> = self.todo.retiring.iter().copied().filter(ready).collect();
        ready.iter().for_each(|id| self.begin_wipe(*id));
        !ready.is_empty()
    }

    /// What is there belongs to the node, or has ended for good.
    pub(super) fn has_only_its_own(&self, id: MemberId) -> bool {
        self.placements_on(id).into_iter().all(|placed| {
            let placement = self.placements.get(&placed);
            placement.is_none_or(|placement| {
                matches!(placement.index, SlotIndex::Node(_)) || self.takes_nothing(placed, placement)
            })
        })
    }

    fn begin_wipe(&mut self, id: MemberId) {
        self.todo.retiring.remove(&id);
        if self.members.get(&id).is_none_or(is_wiping) {
            return;
        }
        self.begin_leaving(id);
        // Not before it has told what it wiped.
        self.todo.leaving.remove(&id);
        self.members.change(&mut self.journal, &id, |member| {
            if let Some(decommission) = &mut member.decommission {
                decommission.wiping = true;
            }
        });
        self.set_item(id, ItemKey::Decommission, Some(&Item::Decommission));
        self.note("node", self.member_name(id), String::new(), ("draining", "wiping"), ("policy", ""));
    }

    /// The node tells what it wiped: it is proven, and forgotten.
    pub(super) fn wiped(&mut self, id: MemberId, report: &WipeReport) {
        let Some(member) = self.members.get(&id).filter(|member| is_wiping(member)) else { return };
        let Some(Decommission { who, from, .. }) = member.decommission.clone() else { return };
        let outcome = format!("node {} told that it wiped: {report}", member.name);
        self.record(id, "node.wiped", (who, from), outcome.clone());
        self.note("node", self.member_name(id), String::new(), ("wiping", "wiped"), ("node", &outcome));
        self.cut_off(id);
    }

    fn forget_unproven(&mut self, actor: &Actor, id: MemberId) {
        let name = self.member_name(id);
        let outcome = format!("node {name} is forgotten without proof: nobody knows what is left on it");
        self.record(id, "node.forgotten", (actor.who.clone(), actor.from.clone()), outcome);
        self.cut_off(id);
    }

    fn record(&mut self, id: MemberId, verb: &str, (who, from): (String, String), outcome: String) {
        let (at, verb, subject) = (self.now.wall, verb.to_owned(), format!("member {id}"));
        self.journal.audit(AuditRecord { at, who, from, verb, subject, outcome });
    }

    /// The lists of nodes that wipe themselves.
    pub(super) fn put_decommissions(&mut self) {
        let wiping: Vec<_> = self.members.iter().filter(|(_, m)| is_wiping(m)).map(|(id, _)| *id).collect();
        for id in wiping {
            self.set_item(id, ItemKey::Decommission, Some(&Item::Decommission));
        }
    }

    /// Who leaves, and who is emptied first.
    pub(super) fn derive_departures(&mut self) {
        let all = |is: fn(&Member) -> bool| -> BTreeSet<MemberId> {
            self.members.iter().filter(|(_, member)| is(member)).map(|(id, _)| *id).collect()
        };
        let leaving = all(|member| member.leaving && !is_wiping(member));
        let retiring = all(|member| member.decommission.is_some() && !is_wiping(member));
        (self.todo.leaving, self.todo.retiring) = (leaving, retiring);
    }
}

fn is_wiping(member: &Member) -> bool {
    member.decommission.as_ref().is_some_and(|decommission| decommission.wiping)
}
