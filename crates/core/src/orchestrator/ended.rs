//! What has ended for good: it takes no room, and it is not done again when its member goes.

use std::collections::BTreeMap;

use holm_model::fact::{InstanceReport, Verdict};
use holm_model::id::{AssignmentId, MemberId, WishId};
use holm_model::member::Role;
use holm_model::name::Name;
use holm_model::slot::{ServiceKey, SlotIndex};
use holm_model::state::InstanceState;
use holm_model::wish::ServiceWish;

use super::Orchestrator;
use super::demand::{Demand, Origin, SlotId, Wanted};
use super::place::Takes;
use super::rows::{Phase, Placement};
use super::slots::Slot;
use crate::scheduler::Ask;

impl Orchestrator {
    /// Every slot of the job has ended, is not started again by itself, and nothing of it may still run.
    pub(super) fn is_over(&self, wish: WishId, service: &Name) -> bool {
        let origin = Origin::Own(ServiceKey { wish, service: service.clone() });
        let Some(demand) = self.demands.get(&origin) else { return false };
        let ended = |index: &SlotIndex, slot: &Slot| self.has_slot_ended(&origin, demand, index, slot);
        if demand.rests() {
            return self.slots.of(&origin).all(|(index, slot)| ended(index, slot));
        }
        match demand.slots {
            Wanted::First(number) => (0..number).map(SlotIndex::Number).all(|index| {
                let slot = self.slots.get(&(origin.clone(), index.clone()));
                demand.is_done(&index) || slot.is_some_and(|slot| ended(&index, slot))
            }),
            Wanted::One(_) | Wanted::PerNode => {
                let mut slots = self.slots.of(&origin).filter(|(_, slot)| slot.wanted).peekable();
                let known = slots.peek().is_some() || !self.is_gathering();
                known && slots.all(|(index, slot)| ended(index, slot))
            }
        }
    }

    fn has_slot_ended(&self, origin: &Origin, demand: &Demand, index: &SlotIndex, slot: &Slot) -> bool {
        let left = slot.others.iter().filter_map(|id| Some((*id, self.placements.get(id)?)));
        // One that was replaced was given up, whether it still runs or not.
        let mut leaving = left.filter(|(_, placement)| placement.phase == Phase::Retiring);
        if leaving.any(|(id, placement)| !self.is_gone(id, placement) && !self.is_silent(id, placement)) {
            return false;
        }
        let given_up = || {
            let slot_id = (origin.clone(), index.clone());
            self.failure_for_good(&slot_id, slot, demand.part.generation).is_some()
        };
        match slot.active {
            None => demand.rests() || given_up(),
            Some(id) if demand.rests() => self.has_stopped(id),
            Some(id) => demand.spec.as_deref().is_some_and(|spec| self.is_done(id, spec)) || given_up(),
        }
    }

    /// It has ended well, with all that is known of it.
    pub(super) fn has_completed(&self, id: AssignmentId) -> bool {
        let mut copies = self.copies(id).peekable();
        copies.peek().is_some() && copies.all(|report| report.status.state == InstanceState::Completed)
    }

    /// All that is known of the placement says that nothing of it executes.
    fn has_stopped(&self, id: AssignmentId) -> bool {
        let ended = [InstanceState::Stopped, InstanceState::Completed, InstanceState::Terminated];
        let stopped = |report: &InstanceReport| ended.contains(&self.state_of(report));
        let mut copies = self.copies(id).peekable();
        copies.peek().is_some() && copies.all(stopped)
    }

    // --- its room ---

    /// Those whose reports changed may take no room any more, or take it again.
    pub(super) fn weigh(&mut self) {
        for id in std::mem::take(&mut self.todo.weigh) {
            let Some(placement) = self.placements.get(&id).cloned() else { continue };
            let (spec, over) = (self.specs.decode(&placement.part.spec), self.takes_nothing(id, &placement));
            let takes = Takes::of(&placement, spec.as_deref(), over);
            if !over && self.has_completed(id) {
                self.todo.weigh_later.entry(placement.member).or_default().insert(id);
            }
            let Some(load) = self.load.get_mut(&placement.member) else { continue };
            if load.placements.get(&id).is_none_or(|before| *before == takes) {
                continue;
            }
            let obeyed = self.live.get(&placement.member).map_or(0, |live| live.obeyed);
            load.take(id, &placement);
            load.add(id, &placement, takes, obeyed);
            self.rankings.touch(placement.member);
            self.this_step.full = None;
            self.aggregate_stale = true;
            self.capacity_changed |= over;
        }
    }

    /// It has ended on its node, and was not asked for again since.
    pub(super) fn takes_nothing(&self, id: AssignmentId, placement: &Placement) -> bool {
        let obeyed = self.live.get(&placement.member).map_or(0, |live| live.obeyed);
        let over = |report: &InstanceReport| {
            report.generation == placement.part.generation && report.status.state == InstanceState::Completed
        };
        placement.role == Role::Node
            && obeyed >= placement.revision
            && self.instances.get(&id).is_some_and(over)
    }

    /// It is to start again where it has ended, and others have taken what it needs there.
    pub(super) fn starts_without_room(
        &self,
        slot_id: &SlotId,
        demand: &Demand,
        active: AssignmentId,
        placement: &Placement,
    ) -> bool {
        let again = demand.part.restarts > placement.part.restarts && self.takes_nothing(active, placement);
        let Some(spec) = demand.spec.as_deref().filter(|_| again) else { return false };
        let nobody = BTreeMap::new();
        matches!(slot_id.1, SlotIndex::Number(_))
            && self
                .candidate(placement.member)
                .is_some_and(|node| node.refuses(&Ask::new(spec, &nobody)).is_some())
    }

    // --- its member goes ---

    /// Jobs that have ended there for good are remembered as such, so that they are not filled elsewhere.
    pub(super) fn keep_what_is_done(&mut self, member: MemberId) {
        for id in self.placements_on(member) {
            let Some(placement) = self.placements.get(&id).filter(|p| p.phase == Phase::Active) else {
                continue;
            };
            let SlotIndex::Number(number) = placement.index else { continue };
            let (origin, _) = Self::slot_of(placement);
            let about = (placement.part.generation, placement.part.restarts);
            let spec = self.demands.get(&origin).and_then(|demand| demand.spec.clone());
            let job = spec.filter(|spec| spec.kind.job().is_some());
            if job.is_some_and(|spec| self.is_done(id, &spec)) {
                self.slot_is_over(&origin, number, about, self.has_completed(id));
            }
        }
    }

    /// `about`: generation and restarts of what has ended; `well`: it has completed.
    pub(super) fn slot_is_over(&mut self, origin: &Origin, number: u32, about: (u64, u64), well: bool) {
        let current = |demand: &&mut Demand| (demand.part.generation, demand.part.restarts) == about;
        let Some(demand) = self.demands.get_mut(origin).filter(current) else { return };
        if well {
            demand.done.insert(number)
        } else {
            demand.failed.insert(number)
        };
        match origin {
            Origin::Own(key) => {
                let service = key.service.clone();
                self.wishes.change(&mut self.journal, &key.wish, |row| {
                    if let Some(ServiceWish { work, .. }) = row.wish.services.get_mut(&service) {
                        if well {
                            work.done.insert(number)
                        } else {
                            work.failed.insert(number)
                        };
                    }
                });
            }
            Origin::Share(share) => {
                let how = if well { "completed" } else { "failed" };
                let reason = format!("it has {how}, and where it ran is no member any more");
                let verdict = Verdict::Refused { reason, failed: !well, done: well, together: false };
                self.verdicts.put(&mut self.journal, *share, verdict);
                self.tell_verdict(*share);
            }
        }
    }
}
