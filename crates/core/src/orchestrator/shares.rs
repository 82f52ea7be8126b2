//! What clusters report of themselves and of the shares that they were given.

use holm_model::fact::{ShareReport, UnfilledSlot, Verdict};
use holm_model::id::{AssignmentId, MemberId};
use holm_model::member::Aggregate;
use holm_model::slot::SlotIndex;
use holm_model::state::InstanceState;

use super::Orchestrator;
use super::patience::No;
use super::rows::Placement;

impl Orchestrator {
    pub(super) fn aggregate_fact(&mut self, id: MemberId, aggregate: Aggregate) {
        let Some(live) = self.live.get_mut(&id).filter(|live| live.aggregate != aggregate) else { return };
        let more = aggregate.offers_more_than(&live.aggregate);
        let nodes = live.aggregate.nodes != aggregate.nodes;
        self.todo.said.landmarks |= live.aggregate.landmark != aggregate.landmark;
        live.aggregate = aggregate;
        if nodes {
            self.todo.said.by.insert(id);
            self.todo.said.nodes = true;
        }
        self.capacity_changed = true;
        self.rankings.touch(id);
        if more {
            self.ask_anew(id);
        }
    }

    /// A cluster's word on a share that it was given.
    pub(super) fn share_fact(&mut self, id: MemberId, report: ShareReport) {
        let Some(placement) = self.placements.get(&report.id).filter(|p| p.member == id).cloned() else {
            return;
        };
        match report.verdict {
            Verdict::Taken => {
                self.reserved_below(report.id, &placement, report.reserved);
                self.leaves_below(report.id, &placement, report.leaves);
                let news = if report.unfilled.is_empty() {
                    self.index.unfilled_below.remove(&report.id).is_some()
                } else {
                    let known = self.index.unfilled_below.insert(report.id, report.unfilled.clone());
                    known.as_ref() != Some(&report.unfilled)
                };
                let nodes = match report.nodes {
                    Some(nodes) => self.index.nodes_below.insert(report.id, nodes),
                    None => self.index.nodes_below.remove(&report.id),
                };
                if news || nodes != report.nodes {
                    self.tell_waiting_below(report.id, &placement);
                    self.todo.slots.insert(Self::slot_of(&placement));
                }
            }
            Verdict::Refused { done: true, .. } => self.share_done(report.id, &placement),
            Verdict::Refused { reason, failed, together, .. } => {
                let no = match (failed, together) {
                    (true, _) => No::Failed,
                    (false, true) => No::Together,
                    (false, false) => No::Place,
                };
                self.share_refused(report.id, &placement, &reason, no);
            }
        }
    }

    /// The cluster keeps what it has instead of the new specification.
    fn tell_waiting_below(&mut self, share: AssignmentId, placement: &Placement) {
        let told = self.index.unfilled_below.get(&share).into_iter().flatten();
        let older = |slot: &&UnfilledSlot| {
            self.copies(share).any(|report| {
                report.slot == slot.slot
                    && report.generation != placement.part.generation
                    && report.status.state != InstanceState::Dangling
            })
        };
        let Some(UnfilledSlot { slot, reason, .. }) = told.filter(|told| !told.frozen).find(older).cloned()
        else {
            return;
        };
        self.note_waiting(&Self::slot_of(placement), &slot, placement.part.generation, &reason);
    }

    /// It has completed there, and nobody has it any more.
    fn share_done(&mut self, share: AssignmentId, placement: &Placement) {
        let (origin, index) = Self::slot_of(placement);
        if let SlotIndex::Number(number) = index {
            self.slot_is_over(&origin, number, (placement.part.generation, placement.part.restarts), true);
        }
        self.drop_placement(share);
    }

    fn share_refused(&mut self, share: AssignmentId, placement: &Placement, reason: &str, no: No) {
        let failed = no == No::Failed;
        let slot_id = Self::slot_of(placement);
        let name = self.member_name(placement.member);
        let about = (placement.part.restarts, placement.part.generation);
        let job = placement.part.spec.decode().ok().filter(|spec| spec.kind.job().is_some());
        // Whether its cluster had another node for it is known by what was told before.
        let once = job.is_some_and(|spec| spec.fails_once() || failed && self.is_done(share, &spec));
        self.drop_placement(share);
        let (now, deadlines) = (self.now.boot, &self.config.deadlines);
        if let Some(slot) = self.slots.get_mut(&slot_id) {
            slot.refuse(placement.member, no, reason.to_owned(), now, deadlines);
            slot.tried = about;
            if failed {
                slot.failures = placement.failures + 1;
                if slot.failures > 1 || once {
                    slot.failed = Some(format!("{name}: {reason}"));
                }
            }
        }
        if let (true, true, SlotIndex::Number(number)) = (once, failed, slot_id.1) {
            self.slot_is_over(&slot_id.0, number, (about.1, about.0), false);
        }
    }
}
