//! How far the services of a generation are: what runs well, what does not yet, and what that waits for.

use holm_model::id::{AssignmentId, WishId};
use holm_model::name::Name;
use holm_model::slot::{ServiceKey, SlotIndex};
use holm_model::state::RunState;
use holm_model::update::Promote;
use holm_model::wish::ServiceWish;

use super::Orchestrator;
use super::demand::{Demand, Origin, Wanted};
use super::slots::Slot;

/// A service of the newest generation.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: Name,
    pub(super) demand: Demand,
    pub(super) progress: Progress,
    /// It is not what ran last: the outcome of the generation is about such services alone.
    changed: bool,
}

/// How a service stands against its newest specification.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Slots that run well.
    pub(super) well: usize,
    /// The first that does not yet, and why.
    pub(super) open: Option<(SlotIndex, String)>,
    /// All others are silent, stopped, at their work, or wait for a person: no deadline runs.
    pub(super) waits: bool,
    /// One that has failed for good.
    pub(super) failed: Option<(SlotIndex, String)>,
    /// A canary that runs well and is not promoted.
    pub(super) canary: Option<Promote>,
}

impl Orchestrator {
    /// Of every service of the manifest.
    pub(super) fn progress_of(&self, id: WishId) -> Vec<Service> {
        let Some(row) = self.wishes.get(&id) else { return Vec::new() };
        let of_the_manifest = row.wish.services.iter().filter(|(_, service)| service.run_of.is_none());
        let services = of_the_manifest.filter_map(|(name, service)| {
            let origin = Origin::Own(ServiceKey { wish: id, service: name.clone() });
            let demand = self.demands.get(&origin)?.clone();
            let progress = if service.work.late { too_late() } else { self.progress(&origin, &demand) };
            Some(Service {
                name: name.clone(),
                demand,
                progress,
                changed: self.is_changed(id, name, service),
            })
        });
        services.collect()
    }

    /// Of those that are not what ran last.
    pub(super) fn changes_of(&self, id: WishId) -> Vec<Service> {
        let mut services = self.progress_of(id);
        services.retain(|service| service.changed);
        services
    }

    fn is_changed(&self, id: WishId, name: &Name, service: &ServiceWish) -> bool {
        self.last_that_ran(id).is_none_or(|(generation, ran)| {
            // Back at what ran it still has to run again.
            service.generation > generation
                || ran.services.get(name).is_none_or(|said| said.replicas != service.applied_replicas)
        })
    }

    fn progress(&self, origin: &Origin, demand: &Demand) -> Progress {
        let mut progress = Progress::default();
        if demand.part.run != RunState::Run {
            progress.waits = true;
            return progress;
        }
        let healthy_for = self.healthy_for(demand);
        let (mut slots, mut silent, mut held) = (0, 0, 0);
        let job = demand.spec.as_deref().filter(|spec| spec.kind.job().is_some());
        for (index, slot) in self.slots.of(origin).filter(|(_, slot)| slot.wanted) {
            slots += 1;
            let updated = self.is_updated(slot, demand, healthy_for) && !self.lacks_below(slot.active);
            // Of a job it does not count that it runs: it is to end well.
            let works =
                updated && job.is_some_and(|job| !slot.active.is_some_and(|id| self.is_done(id, job)));
            if updated && !works || demand.is_done(index) {
                progress.well += 1;
                continue;
            }
            let slot_id = (origin.clone(), index.clone());
            let failed = self.failure_for_good(&slot_id, slot, demand.part.generation);
            if Self::waits_for_canary(index, demand) {
                held += 1;
            } else if works || self.is_unheard(slot) {
                silent += 1;
            }
            progress.failed = progress.failed.or(failed);
            progress.open.get_or_insert_with(|| (index.clone(), self.why_open(slot)));
        }
        if let (Wanted::First(number), None) = (demand.slots, &progress.open)
            && slots < number as usize
        {
            progress.open = Some((SlotIndex::Number(0), String::new()));
        }
        let left = slots - progress.well;
        let canary = demand.canary().map(|(canary, _)| canary.promote);
        progress.canary = canary.filter(|_| left > 0 && left == held);
        let held = if canary == Some(Promote::Manual) { held } else { 0 };
        progress.waits = left > 0 && left == silent + held;
        progress
    }

    /// Its member is not there, or whoever has it below its member.
    fn is_unheard(&self, slot: &Slot) -> bool {
        let placed = slot.active.and_then(|id| Some((id, self.placements.get(&id)?)));
        placed.is_some_and(|(id, placement)| !self.online(placement) || self.is_silent(id, placement))
    }

    /// A cluster that makes its slots itself says that some of them are not filled.
    fn lacks_below(&self, active: Option<AssignmentId>) -> bool {
        active.is_some_and(|id| self.index.unfilled_below.get(&id).is_some_and(|told| !told.is_empty()))
    }

    fn why_open(&self, slot: &Slot) -> String {
        let reported = slot.active.and_then(|id| {
            self.copies(id).map(|report| report.status.reason.clone()).find(|reason| !reason.is_empty())
        });
        reported.unwrap_or_else(|| slot.reason.clone())
    }
}

/// Of a job that its deadline has stopped.
fn too_late() -> Progress {
    let why = (SlotIndex::Number(0), "the job's deadline has passed".to_owned());
    Progress { open: Some(why.clone()), failed: Some(why), ..Progress::default() }
}
