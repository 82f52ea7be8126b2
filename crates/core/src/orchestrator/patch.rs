//! What people change by hand: how many, run or not, once more.

use holm_model::name::Name;
use holm_model::service::Replicas;
use holm_model::state::RunState;
use holm_model::time::Time;
use holm_model::wish::{AppKey, ServiceWish, Version, Wish};

use super::Orchestrator;
use super::applications::MOST_REPLICAS;
use super::command::{Expected, Refusal, Reply};

/// `None`: it stays as it is.
#[derive(Debug)]
pub(super) struct Patch {
    /// `None`: all services of the application.
    pub(super) service: Option<Name>,
    pub(super) replicas: Option<u32>,
    pub(super) run: Option<RunState>,
    pub(super) restart: bool,
}

// === impl Patch ===

impl Patch {
    fn check(&self, wish: &Wish) -> Result<(), Refusal> {
        if let Some(name) = self.service.as_ref().filter(|name| !wish.services.contains_key(*name)) {
            let known: Vec<_> = wish.services.keys().map(ToString::to_string).collect();
            let (app, service, known) = (wish.key.clone(), name.clone(), known.join("`, `"));
            return Err(Refusal::NoService { app, service, known });
        }
        let scaled = |(name, service): (&Name, &ServiceWish)| {
            let scale = service.spec.decode().ok()?.scale.filter(|_| self.chooses(name))?;
            Some(format!("{}/{name} is scaled by itself, {scale}; change `scale` in its manifest", wish.key))
        };
        if let Some(reason) = wish.services.iter().find_map(scaled).filter(|_| self.replicas.is_some()) {
            return Err(Refusal::Conflict(reason));
        }
        if self.replicas.is_some_and(|replicas| replicas > MOST_REPLICAS) {
            return Err(Refusal::Invalid(format!("at most {MOST_REPLICAS} replicas are possible")));
        }
        if self.run == Some(RunState::Unknown) {
            return Err(Refusal::Invalid("run is one of run, stop, pause".to_owned()));
        }
        let mut chosen = wish.services.iter().filter(|(name, _)| self.chooses(name)).peekable();
        if chosen.peek().is_some() && chosen.all(|(_, service)| self.pauses_nothing(service)) {
            let what = self.service.as_ref().map_or_else(String::new, |name| format!("/{name}"));
            return Err(Refusal::Conflict(format!(
                "{}{what} is stopped, so there is nothing to pause; `holm start` starts it",
                wish.key
            )));
        }
        Ok(())
    }

    fn chooses(&self, service: &Name) -> bool {
        self.service.as_ref().is_none_or(|chosen| chosen == service)
    }

    /// What is stopped stays stopped: a pause is for what runs.
    fn pauses_nothing(&self, service: &ServiceWish) -> bool {
        (self.run, service.run) == (Some(RunState::Pause), RunState::Stop)
    }

    /// What a `cron` has begun is begun anew only by its own name, and so is what its deadline has stopped.
    fn spares(&self, service: &ServiceWish) -> bool {
        let anew = self.restart || self.run == Some(RunState::Run) && service.work.late;
        anew && self.service.is_none() && service.run_of.is_some()
    }

    fn change(&self, name: &Name, service: &mut ServiceWish, now: Time) -> Result<(), Refusal> {
        if let Some(number) = self.replicas {
            if service.replicas == Replicas::PerNode {
                return Err(Refusal::Invalid(format!(
                    "service `{name}` has one instance per matching node; it is scaled by nodes"
                )));
            }
            service.replicas = Replicas::Number(number);
        }
        let before = service.run;
        service.run = self.run.filter(|_| !self.pauses_nothing(service)).unwrap_or(service.run);
        service.restarts += u64::from(self.restart);
        if self.restart && service.work.late {
            service.run = RunState::Run;
        }
        if self.restart || before == RunState::Stop && service.run == RunState::Run {
            let before = std::mem::take(&mut service.work);
            service.begin(now);
            if !self.restart {
                (service.work.done, service.work.failed) = (before.done, before.failed);
            }
            service.work.pending = before.pending;
        }
        Ok(())
    }
}

// === impl Orchestrator ===

impl Orchestrator {
    pub(super) fn patch(
        &mut self,
        app: &AppKey,
        expected: &Expected,
        patch: &Patch,
    ) -> Result<Reply, Refusal> {
        let id = self.writable(app, expected)?;
        let Some(mut row) = self.wishes.get(&id).cloned() else {
            return Err(Refusal::NotFound { kind: "application", name: app.to_string() });
        };
        patch.check(&row.wish)?;
        let before = row.wish.clone();
        for (name, service) in &mut row.wish.services {
            if patch.chooses(name) && !patch.spares(service) {
                patch.change(name, service, self.now.wall)?;
            }
        }
        self.check_quota(app, &row.wish.services)?;
        if row.wish != before {
            let generation = self.last_generation(app) + 1;
            row.wish.version = Version { epoch: self.epoch, generation };
            row.wish.changed = self.now.wall;
            row.trusted = Some(self.epoch);
            self.wishes.put(&mut self.journal, id, row);
            self.refresh_demands(id);
        }
        Ok(Reply::Done)
    }
}
