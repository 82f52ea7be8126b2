//! How the newest generation of each application of ours goes, as its owner sees it: all of it runs, its canary
//! stands, it is under way, or it has failed and is taken back.
//!
//! ```text
//!              every slot ran well
//!   Underway ───────────────────────▶ Ran
//!      │ a slot failed for good, or no further one
//!      ▼ ran well before the deadline
//!   Failed ──▶ rolled back to the newest that ran; halts if there is none, or if it was such a rollback itself
//! ```
//!
//! The outcome is a row; deadlines begin anew with each start of the orchestrator.

use std::time::Duration;

use holm_model::duration::Span;
use holm_model::id::WishId;
use holm_model::name::Name;
use holm_model::slot::{ServiceKey, SlotIndex};
use holm_model::state::RunState;
use holm_model::update::{OnFailure, Promote};
use holm_model::view::generation::{GenerationOutcome, RolloutView};
use holm_model::wish::{AppKey, ServiceWish, Version};

use super::Orchestrator;
use super::command::{Expected, Refusal, Reply};
use super::demand::{Demand, Origin, Wanted};
use super::generations::{Cause, GenerationRow, Outcome};

/// Of this run: how many slots run well, and since when no further one did (boot time).
#[derive(Clone, Copy, Debug)]
pub(super) struct Rollout {
    well: usize,
    since: Duration,
}

/// How a service stands against its newest specification.
#[derive(Debug, Default)]
struct Progress {
    /// Slots that run well.
    well: usize,
    /// The first that does not yet, and why.
    open: Option<(SlotIndex, String)>,
    /// All others are silent, stopped, or wait for a person: no deadline runs.
    waits: bool,
    /// One that has failed for good.
    failed: Option<(SlotIndex, String)>,
    /// A canary that runs well and is not promoted.
    canary: Option<Promote>,
}

// === impl Orchestrator: looking ===

impl Orchestrator {
    /// Once a second.
    pub(super) fn look_at_rollouts(&mut self) {
        let open = |(id, _): &(&WishId, &super::WishRow)| {
            self.newest_generation(**id).is_some_and(|(_, row)| row.outcome != Outcome::Ran)
        };
        let alive = self.wishes.iter().filter(|(_, row)| row.wish.deleted.is_none() && !row.wish.unconfirmed);
        let open: Vec<WishId> = alive.filter(open).map(|(id, _)| *id).collect();
        self.rollouts.retain(|id, _| open.contains(id));
        for id in open {
            self.look_at_rollout(id);
        }
    }

    fn look_at_rollout(&mut self, id: WishId) {
        let services: Vec<(Name, Demand, Progress)> = self.progress_of(id);
        for (name, _, progress) in &services {
            if let Some(Promote::After(after)) = progress.canary
                && self.canary_stands_for(id, name, after)
            {
                self.promote_service(id, name);
            }
        }
        if services.iter().all(|(_, _, progress)| progress.open.is_none() && !progress.waits) {
            return self.set_outcome(id, Outcome::Ran);
        }
        let failed = services.iter().find_map(|(name, demand, progress)| {
            let (index, why) = progress.failed.as_ref()?;
            Some((demand.update().on_failure, format!("{name}/{index}: {why}")))
        });
        if let Some((on_failure, why)) = failed.or_else(|| self.late(id, &services)) {
            self.generation_failed(id, on_failure, &why);
        }
    }

    /// No further slot ran well within the deadline of a service that would be rolled back.
    fn late(&mut self, id: WishId, services: &[(Name, Demand, Progress)]) -> Option<(OnFailure, String)> {
        let well = services.iter().map(|(_, _, progress)| progress.well).sum();
        let (now, waits) = (self.now.boot, services.iter().any(|(_, _, progress)| progress.waits));
        let rollout = self.rollouts.entry(id).or_insert(Rollout { well, since: now });
        // What runs well again and again, and never for long, is no progress.
        if rollout.well < well || waits {
            *rollout = Rollout { well: well.max(rollout.well), since: now };
        }
        let passed = now.saturating_sub(rollout.since);
        services.iter().find_map(|(name, demand, progress)| {
            let (update, (index, why)) = (demand.update(), progress.open.as_ref()?);
            let why = if why.is_empty() { "it does not run well yet" } else { why };
            let deadline = update.deadline + canary_time(demand);
            let late = update.on_failure == OnFailure::Rollback && passed >= deadline;
            let deadline = Span(deadline);
            late.then(|| {
                (
                    OnFailure::Rollback,
                    format!("no further slot ran well within {deadline}; {name}/{index}: {why}"),
                )
            })
        })
    }

    /// Of every service that the newest generation changed against what ran last.
    fn progress_of(&self, id: WishId) -> Vec<(Name, Demand, Progress)> {
        let Some(row) = self.wishes.get(&id) else { return Vec::new() };
        let ran = self.last_that_ran(id);
        let changed = |name: &Name, service: &ServiceWish| {
            ran.is_none_or(|(_, ran)| ran.services.get(name).is_none_or(|said| said.spec != service.spec))
        };
        let of_the_manifest = row.wish.services.iter().filter(|(_, service)| service.run_of.is_none());
        let services = of_the_manifest.filter_map(|(name, service)| {
            let origin = Origin::Own(ServiceKey { wish: id, service: name.clone() });
            let demand = self.demands.get(&origin)?.clone();
            let mut progress = self.progress(&origin, &demand);
            if !changed(name, service) {
                // What fails without having been changed is no fault of the generation.
                progress.failed = None;
            }
            Some((name.clone(), demand, progress))
        });
        services.collect()
    }

    fn progress(&self, origin: &Origin, demand: &Demand) -> Progress {
        let mut progress = Progress::default();
        if demand.part.run != RunState::Run {
            progress.waits = true;
            return progress;
        }
        let healthy_for = self.healthy_for(demand);
        let (mut slots, mut silent, mut held) = (0, 0, 0);
        for (index, slot) in self.slots.of(origin).filter(|(_, slot)| slot.wanted) {
            slots += 1;
            if self.is_updated(slot, demand, healthy_for) && !self.lacks_below(slot.active) {
                progress.well += 1;
                continue;
            }
            let slot_id = (origin.clone(), index.clone());
            let failed = self.failure_for_good(&slot_id, slot, demand.part.generation);
            let heard =
                slot.active.and_then(|id| self.placements.get(&id)).is_none_or(|placed| self.online(placed));
            silent += usize::from(!heard);
            held += usize::from(Self::waits_for_canary(index, demand));
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

    /// A cluster that makes its slots itself says that some of them are not filled.
    fn lacks_below(&self, active: Option<holm_model::id::AssignmentId>) -> bool {
        active.is_some_and(|id| self.index.unfilled_below.get(&id).is_some_and(|told| !told.is_empty()))
    }

    fn why_open(&self, slot: &super::slots::Slot) -> String {
        let reported = slot.active.and_then(|id| {
            self.copies(id).map(|report| report.status.reason.clone()).find(|reason| !reason.is_empty())
        });
        reported.unwrap_or_else(|| slot.reason.clone())
    }

    fn canary_stands_for(&self, id: WishId, service: &Name, long: Duration) -> bool {
        let origin = Origin::Own(ServiceKey { wish: id, service: service.clone() });
        self.demands.get(&origin).is_some_and(|demand| self.canary_stands(&origin, demand, long))
    }

    /// The newest generation of which everything ran.
    fn last_that_ran(&self, id: WishId) -> Option<(u64, &GenerationRow)> {
        self.generations_of(id).filter(|(_, row)| row.outcome == Outcome::Ran).last()
    }

    /// Some of it still has, or had, to be updated when something else was asked for.
    pub(super) fn is_updating(&self, id: WishId) -> Option<u64> {
        let (generation, _) =
            self.newest_generation(id).filter(|(_, row)| row.outcome == Outcome::Underway)?;
        let row = self.wishes.get(&id)?;
        let behind = |(name, service): (&Name, &ServiceWish)| {
            let origin = Origin::Own(ServiceKey { wish: id, service: name.clone() });
            self.slots.of(&origin).any(|(_, slot)| {
                let all = slot.active.iter().chain(&slot.others);
                all.filter_map(|id| self.placements.get(id))
                    .any(|placed| placed.part.generation < service.generation)
            })
        };
        row.wish.services.iter().any(behind).then_some(generation)
    }

    pub(super) fn rollout_view(&self, id: WishId) -> Option<RolloutView> {
        let (generation, row) = self.newest_generation(id)?;
        let services = if row.outcome == Outcome::Underway { self.progress_of(id) } else { Vec::new() };
        let (outcome, reason) = match &row.outcome {
            Outcome::Underway => (GenerationOutcome::Underway, String::new()),
            Outcome::Ran => (GenerationOutcome::Ran, String::new()),
            Outcome::Failed(why) => (GenerationOutcome::Failed, why.clone()),
        };
        let (took_back, reason) = match &row.cause {
            Cause::Automatic { failed, why, .. } if reason.is_empty() => (Some(*failed), why.clone()),
            Cause::Automatic { failed, .. } => (Some(*failed), reason),
            _ => (None, reason),
        };
        let manual = |progress: &Progress| progress.canary == Some(Promote::Manual);
        let canary = services.iter().filter(|(_, _, progress)| manual(progress));
        let rolls_back =
            |(_, demand, _): &(Name, Demand, Progress)| demand.update().on_failure == OnFailure::Rollback;
        let may_go_back = !matches!(row.cause, Cause::Automatic { .. }) && self.last_that_ran(id).is_some();
        Some(RolloutView {
            generation,
            outcome,
            reason,
            took_back,
            canaries: canary.map(|(name, ..)| name.to_string()).collect(),
            rolls_back: may_go_back && services.iter().any(rolls_back),
        })
    }
}

/// How long its canary has to run well before others follow by themselves.
fn canary_time(demand: &Demand) -> Duration {
    match demand.canary().map(|(canary, _)| canary.promote) {
        Some(Promote::After(after)) => after,
        Some(Promote::Manual) | None => Duration::ZERO,
    }
}

// === impl Orchestrator: deciding ===

impl Orchestrator {
    fn set_outcome(&mut self, id: WishId, outcome: Outcome) {
        if let Some(key) = self.newest_key(id) {
            self.generations.change(&mut self.journal, &key, |row| row.outcome = outcome);
        }
    }

    fn generation_failed(&mut self, id: WishId, on_failure: OnFailure, why: &str) {
        let Some((generation, row)) = self.newest_generation(id) else { return };
        if row.outcome != Outcome::Underway {
            return;
        }
        let automatic = matches!(row.cause, Cause::Automatic { .. });
        let Some(app) = self.wishes.get(&id).map(|row| row.wish.key.clone()) else { return };
        self.set_outcome(id, Outcome::Failed(why.to_owned()));
        self.note_rollout(&app, "failed", &format!("generation {generation}: {why}"));
        if on_failure != OnFailure::Rollback {
            return;
        }
        let halted = if automatic {
            "it was a rollback itself, so it halts".to_owned()
        } else {
            match self.take_back(id, &app, generation, why) {
                Ok(to) => {
                    return self.note_rollout(&app, "rolled back", &format!("to generation {to}: {why}"));
                }
                Err(reason) => reason,
            }
        };
        self.note_rollout(&app, "halted", &format!("generation {generation} stays: {halted}"));
    }

    /// # Errors
    /// Why it cannot be, for people.
    fn take_back(&mut self, id: WishId, app: &AppKey, failed: u64, why: &str) -> Result<u64, String> {
        let Some((to, row)) = self.last_that_ran(id) else {
            return Err("there is no kept generation of which everything ran".to_owned());
        };
        let application = row.application(&app.application).map_err(|error| error.to_string())?;
        let cause = Cause::Automatic { to, failed, why: why.to_owned() };
        let made = self.make_wish(&app.project, &application, &Expected::Anything, cause);
        made.map(|_| to).map_err(|refusal| refusal.to_string())
    }

    fn note_rollout(&mut self, app: &AppKey, to: &str, reason: &str) {
        let app = app.to_string();
        self.note("application", app.clone(), app, ("", to), ("policy", reason));
    }
}

// === impl Orchestrator: promoting ===

impl Orchestrator {
    /// A person found the canary good.
    pub(super) fn promote(&mut self, app: &AppKey, expected: &Expected) -> Result<Reply, Refusal> {
        let id = self.writable(app, expected)?;
        let services = self.progress_of(id);
        let waiting: Vec<Name> = services
            .iter()
            .filter(|(_, demand, progress)| demand.canary().is_some() && progress.open.is_some())
            .map(|(name, ..)| name.clone())
            .collect();
        if waiting.is_empty() {
            return Err(Refusal::Conflict(format!("no canary of application {app} waits to be promoted")));
        }
        let stands = |name: &Name| self.canary_stands_for(id, name, Duration::ZERO);
        if let Some(name) = waiting.iter().find(|name| !stands(name)) {
            return Err(Refusal::Conflict(format!(
                "the canary of {app}/{name} has not run well for long enough; `holm get instances` shows how it is"
            )));
        }
        for name in waiting {
            self.promote_service(id, &name);
        }
        Ok(Reply::Done)
    }

    fn promote_service(&mut self, id: WishId, service: &Name) {
        let Some(mut row) = self.wishes.get(&id).cloned() else { return };
        let Some(wish) = row.wish.services.get_mut(service) else { return };
        wish.promoted = wish.generation;
        let (app, generation) = (row.wish.key.clone(), wish.generation);
        let version = self.last_generation(&app) + 1;
        row.wish.version = Version { epoch: self.epoch, generation: version };
        row.wish.changed = self.now.wall;
        self.wishes.put(&mut self.journal, id, row);
        self.refresh_demands(id);
        self.note_rollout(
            &app,
            "promoted",
            &format!("generation {generation} of {service}: its canary runs well"),
        );
    }
}
