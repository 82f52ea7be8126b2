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
//! The outcome is a row; deadlines begin anew with each generation, and with each start of the orchestrator.

use std::collections::BTreeMap;
use std::time::Duration;

use holm_model::duration::Span;
use holm_model::id::WishId;
use holm_model::name::Name;
use holm_model::slot::ServiceKey;
use holm_model::update::{OnFailure, Promote};
use holm_model::view::generation::{GenerationOutcome, RolloutView};
use holm_model::wish::{AppKey, ServiceWish, Version};

use super::Orchestrator;
use super::command::{Expected, Refusal, Reply};
use super::demand::{Demand, Origin};
use super::generations::{Cause, GenerationRow, Outcome};
use super::progress::Service;

/// How the newest generation went so far in this run.
#[derive(Clone, Debug, Default)]
pub(super) struct Rollout {
    /// Which one this is about: the next begins anew.
    generation: u64,
    paces: BTreeMap<Name, Pace>,
    /// Why it was not taken back, as told last.
    halted: Option<String>,
    /// Boot time: it is tried again then; and the wait after that.
    again: Duration,
    wait: Duration,
}

/// Of a service: how many slots ran well at most, and since when no further one did (boot time).
#[derive(Clone, Copy, Debug)]
struct Pace {
    well: usize,
    since: Duration,
}

/// How long it waits to be taken back again after that was refused; twice as long each time, up to the second.
const AGAIN: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

// === impl Rollout ===

impl Rollout {
    /// What is refused is not asked for each second.
    fn may_be_taken_back(&mut self, now: Duration) -> bool {
        if now < self.again {
            return false;
        }
        self.wait = (self.wait * 2).clamp(AGAIN.0, AGAIN.1);
        self.again = now + self.wait;
        true
    }

    /// A further slot of any of them is progress of all: they may wait for each other.
    fn keep_pace(&mut self, now: Duration, services: &[Service]) {
        let mut further = false;
        for Service { name, progress, .. } in services {
            let new = Pace { well: progress.well, since: now };
            let pace = self.paces.entry(name.clone()).or_insert(new);
            // What runs well again and again, and never for long, is no progress.
            further |= progress.well > pace.well;
            pace.well = pace.well.max(progress.well);
        }
        for Service { name, progress, .. } in services {
            if let Some(pace) = self.paces.get_mut(name).filter(|_| further || progress.waits) {
                pace.since = now;
            }
        }
    }
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
        let services = self.changes_of(id);
        for Service { name, progress, .. } in &services {
            if let Some(Promote::After(after)) = progress.canary
                && self.canary_stands_for(id, name, after)
            {
                self.promote_service(id, name);
            }
        }
        if services.iter().all(|service| service.progress.open.is_none() && !service.progress.waits) {
            return self.set_outcome(id, Outcome::Ran);
        }
        self.keep_pace(id, &services);
        let failed = services.iter().find_map(|Service { name, demand, progress, .. }| {
            let (index, why) = progress.failed.as_ref()?;
            Some((demand.update().on_failure, format!("{name}/{index}: {why}")))
        });
        if let Some((on_failure, why)) = failed.or_else(|| self.late(id, &services)) {
            self.generation_failed(id, on_failure, &why);
        }
    }

    fn keep_pace(&mut self, id: WishId, services: &[Service]) {
        let Some((generation, _)) = self.newest_generation(id) else { return };
        let rollout = self.rollouts.entry(id).or_default();
        if rollout.generation != generation {
            *rollout = Rollout { generation, ..Rollout::default() };
        }
        rollout.keep_pace(self.now.boot, services);
    }

    /// No further slot ran well within the deadline of a service that would be rolled back.
    fn late(&self, id: WishId, services: &[Service]) -> Option<(OnFailure, String)> {
        let rollout = self.rollouts.get(&id)?;
        let may_be = services.iter().filter(|service| {
            !service.progress.waits && service.demand.update().on_failure == OnFailure::Rollback
        });
        may_be.into_iter().find_map(|Service { name, demand, progress, .. }| {
            let (index, why) = progress.open.as_ref()?;
            let why = if why.is_empty() { "it does not run well yet" } else { why };
            let deadline = demand.update().deadline + canary_time(demand);
            let passed = self.now.boot.saturating_sub(rollout.paces.get(name)?.since);
            let deadline = Some(Span(deadline)).filter(|_| passed >= deadline)?;
            let why = format!("no further slot ran well within {deadline}; {name}/{index}: {why}");
            Some((OnFailure::Rollback, why))
        })
    }

    fn canary_stands_for(&self, id: WishId, service: &Name, long: Duration) -> bool {
        let origin = Origin::Own(ServiceKey { wish: id, service: service.clone() });
        self.demands.get(&origin).is_some_and(|demand| self.canary_stands(&origin, demand, long))
    }

    /// The newest generation of which everything ran.
    pub(super) fn last_that_ran(&self, id: WishId) -> Option<(u64, &GenerationRow)> {
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
        let services = if row.outcome == Outcome::Underway { self.changes_of(id) } else { Vec::new() };
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
        let canary = services.iter().filter(|service| service.progress.canary == Some(Promote::Manual));
        let rolls_back = |service: &Service| service.demand.update().on_failure == OnFailure::Rollback;
        let may_go_back = !matches!(row.cause, Cause::Automatic { .. }) && self.last_that_ran(id).is_some();
        Some(RolloutView {
            generation,
            outcome,
            reason,
            took_back,
            canaries: canary.map(|service| service.name.to_string()).collect(),
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

    /// Asked once a second while it is so: what refuses to be taken back now may be possible later, and is tried now and
    /// then.
    fn generation_failed(&mut self, id: WishId, on_failure: OnFailure, why: &str) {
        let Some((generation, row)) = self.newest_generation(id) else { return };
        let new = row.outcome == Outcome::Underway;
        let automatic = matches!(row.cause, Cause::Automatic { .. });
        let Some(app) = self.wishes.get(&id).map(|row| row.wish.key.clone()) else { return };
        if new {
            self.set_outcome(id, Outcome::Failed(why.to_owned()));
            self.note_rollout(&app, "failed", &format!("generation {generation}: {why}"));
        }
        if on_failure != OnFailure::Rollback || automatic && !new {
            return;
        }
        let halted = if automatic {
            "it was a rollback itself, so it halts".to_owned()
        } else {
            let now = self.now.boot;
            if !self.rollouts.get_mut(&id).is_none_or(|rollout| rollout.may_be_taken_back(now)) {
                return;
            }
            match self.take_back(id, &app, generation, why) {
                Ok(to) => {
                    return self.note_rollout(&app, "rolled back", &format!("to generation {to}: {why}"));
                }
                Err(reason) => reason,
            }
        };
        let told = self.rollouts.get_mut(&id).and_then(|rollout| rollout.halted.replace(halted.clone()));
        if told.as_ref() != Some(&halted) {
            self.note_rollout(&app, "halted", &format!("generation {generation} stays: {halted}"));
        }
    }

    /// # Errors
    /// Why it cannot be, for people.
    fn take_back(&mut self, id: WishId, app: &AppKey, failed: u64, why: &str) -> Result<u64, String> {
        let Some((to, row)) = self.last_that_ran(id) else {
            return Err("there is no kept generation of which everything ran".to_owned());
        };
        if self.newest_generation(id).is_some_and(|(_, newest)| newest.services == row.services) {
            return Err(format!("generation {to}, of which everything ran, says the same"));
        }
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
            .filter(|service| service.demand.canary().is_some() && service.progress.open.is_some())
            .map(|service| service.name.clone())
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
