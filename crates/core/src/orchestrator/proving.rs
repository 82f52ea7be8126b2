//! A new specification proves itself in a few slots before others are given it.

use std::time::Duration;

use holm_model::fact::{InstanceReport, InstanceStatus};
use holm_model::id::AssignmentId;
use holm_model::item::Part;
use holm_model::member::Role;
use holm_model::slot::SlotIndex;
use holm_model::state::{InstanceState, RunState};

use super::Orchestrator;
use super::demand::{Demand, Origin, SlotId};
use super::rows::Placement;
use super::slots::Slot;
use super::standing::Standing;

/// Whether an instance of the new specification counts as updated well. `unchanged`: for how long its state has been
/// what it is.
fn runs_well(status: &InstanceStatus, unchanged: Duration, healthy_for: Duration) -> bool {
    match status.state {
        InstanceState::Failed => false,
        InstanceState::Running => status.is_ready() && unchanged >= healthy_for,
        _ => true,
    }
}

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
        let healthy_for = self.healthy_for(demand);
        placement.part.generation == generation && heard && !self.has_proved(id, placement, healthy_for)
    }

    /// How long an instance of the demand must run before it counts as good.
    pub(super) fn healthy_for(&self, demand: &Demand) -> Duration {
        demand.update().healthy_for.unwrap_or(self.config.deadlines.steady)
    }

    pub(super) fn has_proved(&self, id: AssignmentId, placement: &Placement, healthy_for: Duration) -> bool {
        match self.standing(id) {
            // Others are updated meanwhile.
            Standing::Dangling => true,
            Standing::Moving | Standing::Exhausted(_) => false,
            Standing::Settled => self.runs_well(id, placement, healthy_for),
        }
    }

    fn runs_well(&self, id: AssignmentId, placement: &Placement, healthy_for: Duration) -> bool {
        self.copies(id).all(|report| {
            let older = report.generation != placement.part.generation;
            let failed_before = older && report.status.state == InstanceState::Failed;
            failed_before || runs_well(&report.status, self.unchanged(report), healthy_for)
        })
    }

    /// For how long its state is known to be what it is.
    pub(super) fn unchanged(&self, report: &InstanceReport) -> Duration {
        let changed = self.index.changed.get(&report.id).copied().unwrap_or_default();
        self.now.boot.saturating_sub(changed.max(self.gathering.started()))
    }

    /// The slot has the demand's generation, is heard of, and has run well for so long.
    pub(super) fn is_updated(&self, slot: &Slot, demand: &Demand, healthy_for: Duration) -> bool {
        slot.active.is_some_and(|id| {
            self.placements.get(&id).is_some_and(|placement| {
                placement.part.generation == demand.part.generation
                    && self.online(placement)
                    && self.standing(id) == Standing::Settled
                    && self.runs_well(id, placement, healthy_for)
            })
        })
    }

    /// The slot is not of the canary, which is not promoted yet.
    pub(super) fn waits_for_canary(index: &SlotIndex, demand: &Demand) -> bool {
        match (demand.canary(), index) {
            (Some((_, size)), SlotIndex::Number(number)) => *number >= size,
            _ => false,
        }
    }

    /// What an empty slot is to be filled with: while it waits for the canary, what ran before, if that is kept.
    pub(super) fn due(&mut self, slot_id: &SlotId, demand: Demand) -> Demand {
        let Origin::Own(key) = &slot_id.0 else { return demand };
        if !Self::waits_for_canary(&slot_id.1, &demand) {
            return demand;
        }
        let ran = self.last_that_ran(key.wish);
        let said = ran.and_then(|(generation, row)| Some((generation, row.services.get(&key.service)?)));
        let Some((generation, spec)) = said.map(|(generation, said)| (generation, said.spec.clone())) else {
            return demand;
        };
        let decoded = self.specs.decode(&spec);
        let part = Part { generation, spec, ..demand.part };
        Demand { part, spec: decoded, promoted: true, ..demand }
    }

    /// All of the canary have run well for so long, and at least for as long as every slot must.
    pub(super) fn canary_stands(&self, origin: &Origin, demand: &Demand, long: Duration) -> bool {
        let long = long.max(self.healthy_for(demand));
        demand.canary().is_some_and(|(_, size)| {
            (0..size).all(|number| {
                let slot = self.slots.get(&(origin.clone(), SlotIndex::Number(number)));
                slot.is_some_and(|slot| self.is_updated(slot, demand, long))
            })
        })
    }

    /// A slot of the origin in which this generation has failed, and why.
    pub(super) fn failed_in(&self, origin: &Origin, generation: u64) -> Option<(SlotIndex, String)> {
        self.slots.of(origin).find_map(|(index, slot)| self.failure(index, slot, generation))
    }

    pub(super) fn failure(
        &self,
        index: &SlotIndex,
        slot: &Slot,
        generation: u64,
    ) -> Option<(SlotIndex, String)> {
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

    /// As [`Self::failure`], where nothing is tried any more.
    pub(super) fn failure_for_good(
        &self,
        slot_id: &SlotId,
        slot: &Slot,
        generation: u64,
    ) -> Option<(SlotIndex, String)> {
        let given_up = match slot.active {
            None => slot.failed.is_some() || self.todo.unfilled.contains(slot_id),
            // Its scheduler may know another place.
            Some(_) if self.is_asked_about(slot_id) => false,
            Some(active) => self.is_given_up(active, generation),
        };
        if given_up { self.failure(&slot_id.1, slot, generation) } else { None }
    }

    fn is_given_up(&self, active: AssignmentId, generation: u64) -> bool {
        let failed = |status: &InstanceStatus| status.state == InstanceState::Failed && status.exhausted;
        let copies = || self.copies(active).filter(|report| report.generation == generation);
        let numbered = |placement: &Placement| placement.role == Role::Cluster && !placement.per_node;
        if !self.placements.get(&active).is_some_and(numbered) {
            return copies().any(|report| failed(&report.status));
        }
        // A cluster tries another node by itself, of which it tells a moment later.
        let steady = self.config.deadlines.steady;
        copies().next().is_some()
            && copies().all(|report| failed(&report.status) && self.unchanged(report) >= steady)
    }

    /// Instances of a placement: itself on a node, those below a cluster.
    pub(super) fn copies(&self, id: AssignmentId) -> impl Iterator<Item = &InstanceReport> {
        let shared = self.index.by_share.get(&id).into_iter().flatten().copied();
        shared.chain([id]).filter_map(|id| self.instances.get(&id))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use holm_model::time::Time;

    use super::*;

    fn status(state: InstanceState) -> InstanceStatus {
        InstanceStatus {
            state,
            incarnation: 1,
            sequence: 1,
            reason: String::new(),
            since: Time(0),
            restarts: 0,
            exhausted: false,
            ports: BTreeMap::new(),
            readiness: None,
            metric: None,
            copied: None,
            fetched: false,
            usage: None,
        }
    }

    #[test]
    fn what_runs_counts_once_it_has_run_for_long_enough() {
        let seconds = Duration::from_secs;
        let well = |state, ran| runs_well(&status(state), seconds(ran), seconds(10));
        assert!(!well(InstanceState::Running, 9) && well(InstanceState::Running, 10));
        assert!(!well(InstanceState::Failed, 100));
        assert!(well(InstanceState::Completed, 0), "it has done what it was for");
    }
}
