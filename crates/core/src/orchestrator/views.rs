//! Applications as the API shows them, made from wishes and facts.

use holm_model::fact::InstanceReport;
use holm_model::id::WishId;
use holm_model::manifest;
use holm_model::name::Name;
use holm_model::service::{ApplicationService, Replicas};
use holm_model::slot::{ServiceKey, SlotIndex};
use holm_model::state::{InstanceState, RunState, ServiceState};
use holm_model::view::{ApplicationView, ServiceView};
use holm_model::wish::{ServiceWish, Wish};

use super::Orchestrator;
use super::demand::Origin;

impl Orchestrator {
    #[must_use]
    pub fn applications(&self) -> Vec<ApplicationView> {
        let alive = self.wishes.values().filter(|row| row.wish.deleted.is_none());
        alive.map(|row| self.application_view(&row.wish)).collect()
    }

    #[must_use]
    pub fn application(&self, project: &str, name: &str) -> Option<ApplicationView> {
        let of = |wish: &Wish| wish.key.project == *project && wish.key.application == *name;
        let row = self.wishes.values().find(|row| row.wish.deleted.is_none() && of(&row.wish))?;
        Some(self.application_view(&row.wish))
    }

    /// The wish itself, for showing a manifest again.
    #[must_use]
    pub fn wish(&self, id: WishId) -> Option<&Wish> {
        self.wishes.get(&id).map(|row| &row.wish)
    }

    fn application_view(&self, wish: &Wish) -> ApplicationView {
        let services: Vec<_> =
            wish.services.iter().map(|(name, service)| self.service_view(wish, name, service)).collect();
        ApplicationView {
            id: wish.id.to_string(),
            project: wish.key.project.to_string(),
            name: wish.key.application.to_string(),
            state: application_state(wish.services.values().zip(&services).filter_map(|(wish, view)| {
                // A run speaks through the `cron` that it is of.
                wish.run_of.is_none().then_some(view.state)
            })),
            generation: wish.version.generation,
            unconfirmed: wish.unconfirmed,
            created: wish.created,
            changed: wish.changed,
            rollout: self.rollout_view(wish.id),
            services,
        }
    }

    fn service_view(&self, wish: &Wish, name: &Name, service: &ServiceWish) -> ServiceView {
        let spec = service.spec.decode().ok();
        let key = ServiceKey { wish: wish.id, service: name.clone() };
        let states: Vec<(InstanceState, u64)> = self
            .instances_of(&key)
            .filter(|report| !report.held)
            .map(|report| (self.outlook(report), report.generation))
            .collect();
        let unready = self.instances_of(&key).any(|report| !report.held && is_unready(report));
        let running = states.iter().filter(|(state, _)| *state == InstanceState::Running).count();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let origin = Origin::Own(key);
        let slots = match service.replicas {
            Replicas::Number(number) => number,
            Replicas::PerNode => count(states.len() + self.unfilled_per_node(&origin)),
        };
        let failed = self.slots.of(&origin).any(|(_, slot)| slot.failed.is_some());
        let is_cron = spec.as_ref().is_some_and(|spec| spec.kind.cron().is_some());
        let slots = if is_cron { 0 } else { slots };
        let gone = count(service.work.done.len()).min(slots);
        let state = if is_cron && service.run == RunState::Run {
            self.state_of_last_run(wish, name)
        } else {
            match service_state(&states, (slots, gone), service, failed) {
                // All are there, and some take no work.
                ServiceState::Scaling if unready && count(states.len()) == slots => ServiceState::Degraded,
                state => state,
            }
        };
        ServiceView {
            name: name.to_string(),
            state,
            runtime: spec.as_ref().map(|spec| spec.runtime.to_string()).unwrap_or_default(),
            replicas: match service.replicas {
                Replicas::Number(number) => number.to_string(),
                Replicas::PerNode => "per-node".to_owned(),
            },
            running: count(running),
            slots,
            run: service.run,
            generation: service.generation,
            next: self.next_run(service),
            run_of: service.run_of.as_ref().map(|run| run.service.to_string()),
            spec: spec.map_or(serde_json::Value::Null, |spec| {
                manifest::show_service(&ApplicationService { spec, replicas: service.replicas })
            }),
        }
    }

    /// Of the newest run; before the first one there is nothing to be done.
    fn state_of_last_run(&self, wish: &Wish, service: &Name) -> ServiceState {
        let of = |wish: &ServiceWish| wish.run_of.as_ref().is_some_and(|run| run.service == *service);
        let newest = wish.services.iter().rfind(|(_, service)| of(service));
        newest.map_or(ServiceState::Completed, |(name, run)| self.service_view(wish, name, run).state)
    }

    /// Per-node slots without an instance, here and below.
    fn unfilled_per_node(&self, origin: &Origin) -> usize {
        let slots = self.slots.of(origin);
        slots
            .filter(|(index, slot)| matches!(index, SlotIndex::Node(_)) && slot.wanted)
            .map(|(_, slot)| match slot.active {
                None => 1,
                Some(share) => {
                    let told = self.index.unfilled_below.get(&share).into_iter().flatten();
                    told.filter(|told| !self.is_reported(share, &told.slot)).count()
                }
            })
            .sum()
    }

    /// The state as it counts for the service: one that will be tried again, or is not ready, is on its way.
    fn outlook(&self, report: &InstanceReport) -> InstanceState {
        match self.state_of(report) {
            InstanceState::Failed if !report.status.exhausted => InstanceState::Preparing,
            InstanceState::Running if is_unready(report) => InstanceState::Starting,
            state => state,
        }
    }
}

/// It runs, and takes no work.
fn is_unready(report: &InstanceReport) -> bool {
    report.status.state == InstanceState::Running && !report.status.is_ready()
}

/// The state of a service from its slots' instances. `gone`: slots that have completed, and whose node is gone.
fn service_state(
    states: &[(InstanceState, u64)],
    (slots, gone): (u32, u32),
    service: &ServiceWish,
    failed: bool,
) -> ServiceState {
    use InstanceState as I;
    let all = |wanted: &[I]| !states.is_empty() && states.iter().all(|(state, _)| wanted.contains(state));
    let any = |wanted: I| states.iter().any(|(state, _)| *state == wanted);
    let live = u32::try_from(states.len()).unwrap_or(u32::MAX);
    match service.run {
        RunState::Stop if states.is_empty() || all(&[I::Stopped, I::Completed, I::Failed]) => {
            return ServiceState::Stopped;
        }
        RunState::Stop => return ServiceState::Stopping,
        RunState::Pause if all(&[I::Paused, I::Stopped, I::Completed]) => return ServiceState::Paused,
        _ => {}
    }
    if states.iter().any(|(_, generation)| *generation != service.generation) {
        return ServiceState::Updating;
    }
    if failed || (any(I::Failed) && !any(I::Running)) {
        return ServiceState::Error;
    }
    if live + gone == slots && (all(&[I::Running, I::Completed]) || gone > 0 && states.is_empty()) {
        return if any(I::Running) { ServiceState::Running } else { ServiceState::Completed };
    }
    if any(I::Failed) || any(I::Dangling) {
        return ServiceState::Degraded;
    }
    if states.is_empty() {
        // Without slots nothing of it runs, and nothing is meant to.
        return if slots == 0 { ServiceState::Stopped } else { ServiceState::Initial };
    }
    if any(I::Running) { ServiceState::Scaling } else { ServiceState::Instantiating }
}

/// The worst, or the least far, of its services.
fn application_state(services: impl Iterator<Item = ServiceState>) -> ServiceState {
    const ORDER: [ServiceState; 12] = [
        ServiceState::Error,
        ServiceState::Degraded,
        ServiceState::Updating,
        ServiceState::Scaling,
        ServiceState::Instantiating,
        ServiceState::Initial,
        ServiceState::Stopping,
        ServiceState::Running,
        ServiceState::Paused,
        ServiceState::Stopped,
        ServiceState::Completed,
        ServiceState::Terminated,
    ];
    let rank = |state: &ServiceState| ORDER.iter().position(|known| known == state).unwrap_or(ORDER.len());
    services.min_by_key(rank).unwrap_or(ServiceState::Initial)
}
