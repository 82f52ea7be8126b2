//! A new specification proves itself in one slot before another one is given to it.

use holm_model::fact::InstanceReport;
use holm_model::id::AssignmentId;
use holm_model::slot::SlotIndex;
use holm_model::state::{InstanceState, RunState};

use super::Orchestrator;
use super::demand::{Demand, Origin};
use super::rows::Placement;
use super::slots::Slot;
use super::standing::Standing;

impl Orchestrator {
    /// The slot has the demand's generation, which has failed there, or has not run for long enough yet.
    pub(super) fn is_proving(&self, index: &SlotIndex, slot: &Slot, demand: &Demand) -> bool {
        if demand.part.run != RunState::Run {
            return false;
        }
        let generation = demand.part.generation;
        let failed = self.failure(index, slot, generation).is_some();
        let Some((id, placement)) = slot.active.and_then(|id| Some((id, self.placements.get(&id)?))) else {
            return failed;
        };
        // Whoever has not called yet since our start has failed all the same.
        let heard = if failed { !self.is_silent(id, placement) } else { self.online(placement) };
        placement.part.generation == generation && heard && !self.has_proved(id, placement)
    }

    fn has_proved(&self, id: AssignmentId, placement: &Placement) -> bool {
        match self.standing(id) {
            // Others are updated meanwhile.
            Standing::Dangling => true,
            Standing::Moving | Standing::Exhausted(_) => false,
            Standing::Settled => self.copies(id).all(|report| self.is_steady(report, placement)),
        }
    }

    fn is_steady(&self, report: &InstanceReport, placement: &Placement) -> bool {
        let changed = self.index.changed.get(&report.id).copied().unwrap_or_default();
        let unchanged = self.now.boot.saturating_sub(changed.max(self.gathering.started()));
        match report.status.state {
            InstanceState::Failed => report.generation != placement.part.generation,
            InstanceState::Running => unchanged >= self.config.deadlines.steady,
            _ => true,
        }
    }

    /// A slot of the origin in which this generation has failed, and why.
    pub(super) fn failed_in(&self, origin: &Origin, generation: u64) -> Option<(SlotIndex, String)> {
        self.slots.of(origin).find_map(|(index, slot)| self.failure(index, slot, generation))
    }

    fn failure(&self, index: &SlotIndex, slot: &Slot, generation: u64) -> Option<(SlotIndex, String)> {
        let Some(active) = slot.active else {
            let failed = slot.wanted && slot.failures > 0 && slot.tried.1 == generation;
            return failed.then(|| (index.clone(), slot.failed.as_ref().unwrap_or(&slot.reason).clone()));
        };
        let failed = |report: &&InstanceReport| {
            report.generation == generation && report.status.state == InstanceState::Failed
        };
        let report = self.copies(active).find(failed)?;
        Some((report.slot.clone(), report.status.reason.clone()))
    }

    /// Instances of a placement: itself on a node, those below a cluster.
    pub(super) fn copies(&self, id: AssignmentId) -> impl Iterator<Item = &InstanceReport> {
        let shared = self.index.by_share.get(&id).into_iter().flatten().copied();
        shared.chain([id]).filter_map(|id| self.instances.get(&id))
    }
}
