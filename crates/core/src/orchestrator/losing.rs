//! What a member's silence means for each thing that is placed there, by the rule of its service.

use std::time::Duration;

use holm_model::fact::InstanceReport;
use holm_model::healing::{Healing, OnNodeLoss};
use holm_model::id::{AssignmentId, MemberId};

use super::Orchestrator;
use super::place::Takes;
use super::rows::Placement;

impl Orchestrator {
    /// The rules of the service as it was placed.
    pub(super) fn healing_of(&self, id: AssignmentId, placement: &Placement) -> Healing {
        let takes = self.load.get(&placement.member).and_then(|load| load.placements.get(&id));
        takes.map(|takes| takes.healing).unwrap_or_default()
    }

    /// Its member is silent past the deadline: the usual one, or that of its service where it is earlier.
    pub(super) fn is_dangling(&self, id: AssignmentId, placement: &Placement) -> bool {
        let Some(live) = self.live.get(&placement.member) else { return false };
        let silent = live.dangling || self.healing_of(id, placement).on_node_loss.is_over_after(live.silence);
        silent && !self.is_share_witnessed(id)
    }

    /// The silence is long enough for a replacement; or a cluster, which keeps the same rules, said that it has no place
    /// for it, or for its new specification.
    pub(super) fn may_be_replaced(&self, id: AssignmentId, placement: &Placement) -> bool {
        let usual = self.config.deadlines.replace;
        let after = self.healing_of(id, placement).on_node_loss.replaces_after(usual);
        let silence = self.live.get(&placement.member).map_or(usual, |live| live.silence);
        self.is_stranded(id, placement) || after.is_some_and(|after| silence >= after)
    }

    /// DANGLING by its service's own deadline, before the usual one.
    pub(super) fn dangles_early(&self, report: &InstanceReport) -> bool {
        let Some(live) = report.node.first().and_then(|member| self.live.get(member)) else { return false };
        if self.is_witnessed(report) {
            return false;
        }
        let own = |id: AssignmentId| Some((id, self.placements.get(&id)?));
        let placement = own(report.id).or_else(|| own(report.share?));
        placement.is_some_and(|(id, placement)| {
            self.healing_of(id, placement).on_node_loss.is_over_after(live.silence)
        })
    }

    /// The member's silence went from `before` to what it is: whatever has a deadline between is looked at.
    pub(super) fn silence_changed(&mut self, id: MemberId, before: Duration, silence: Duration) {
        // It may take less than before, or more.
        self.rankings.touch(id);
        self.capacity_changed |= silence < before;
        let crosses = |takes: &Takes| match takes.healing.on_node_loss {
            OnNodeLoss::ReplaceAfter(after) => (before < after) != (silence < after),
            OnNodeLoss::Replace | OnNodeLoss::WaitForReturn => false,
        };
        let placed = self.load.get(&id).into_iter().flat_map(|load| &load.placements);
        let crossed: Vec<AssignmentId> =
            placed.filter(|(_, takes)| crosses(takes)).map(|(id, _)| *id).collect();
        for placement in crossed {
            let slot = self.placements.get(&placement).map(Self::slot_of);
            self.todo.slots.extend(slot);
            let copies = self.copies(placement).cloned().collect();
            self.report_silence(copies);
        }
    }
}
