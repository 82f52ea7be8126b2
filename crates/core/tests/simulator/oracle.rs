//! What people may count on: the wishes that were acknowledged, by a model of its own.
//!
//! A request whose orchestrator died before it answered may have happened or not; so an application
//! has a set of possible states, and what is found in the end must be one of them.

use std::collections::{BTreeMap, BTreeSet};

use holm_core::orchestrator::Ticket;
use holm_core::orchestrator::command::Command;
use holm_model::name::Name;
use holm_model::service::{Application, Replicas};
use holm_model::state::RunState;
use holm_model::wish::{AppKey, SpecBytes, Wish};

use crate::world::Orch;

/// What is wished of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    spec: SpecBytes,
    replicas: Replicas,
    applied: Replicas,
    run: RunState,
    restarts: u64,
}

/// `None`: there is no such application.
type App = Option<BTreeMap<Name, Service>>;

#[derive(Debug, Default)]
pub(crate) struct Oracle {
    apps: BTreeMap<(Orch, AppKey), Vec<App>>,
    open: BTreeMap<Ticket, (Orch, Command)>,
    /// Orchestrators whose store was exchanged: nothing is promised there.
    lost: BTreeSet<Orch>,
}

// === impl Oracle ===

impl Oracle {
    pub(crate) fn asked(&mut self, ticket: Ticket, orch: Orch, command: &Command) {
        if key(command).is_some() {
            self.open.insert(ticket, (orch, command.clone()));
        }
    }

    pub(crate) fn happened(&mut self, ticket: Ticket) {
        self.told(ticket, |state, command| after(state, command).into_iter().collect());
    }

    pub(crate) fn did_not_happen(&mut self, ticket: Ticket) {
        self.open.remove(&ticket);
    }

    pub(crate) fn nobody_knows(&mut self, ticket: Ticket) {
        self.told(ticket, |state, command| {
            std::iter::once(state.clone()).chain(after(state, command)).collect()
        });
    }

    fn told(&mut self, ticket: Ticket, follow: impl Fn(&App, &Command) -> Vec<App>) {
        let Some((orch, command)) = self.open.remove(&ticket) else { return };
        let Some(key) = key(&command) else { return };
        let states = self.apps.entry((orch, key)).or_insert_with(|| vec![None]);
        let mut next: Vec<App> = Vec::new();
        for state in states.iter().flat_map(|state| follow(state, &command)) {
            if !next.contains(&state) {
                next.push(state);
            }
        }
        *states = next;
    }

    /// Another store took the place of this orchestrator's.
    pub(crate) fn forget(&mut self, orch: Orch) {
        self.apps.retain(|(of, _), _| *of != orch);
        self.open.retain(|_, (of, _)| *of != orch);
        self.lost.insert(orch);
    }

    /// Applications that may exist.
    pub(crate) fn known(&self, orch: Orch) -> Vec<AppKey> {
        let alive =
            self.apps.iter().filter(|((of, _), states)| *of == orch && states.iter().any(Option::is_some));
        alive.map(|((_, key), _)| key.clone()).collect()
    }

    /// # Errors
    /// When what is wished there cannot be what people asked for.
    pub(crate) fn check(&self, orch: Orch, wishes: &[&Wish]) -> Result<(), String> {
        if self.lost.contains(&orch) {
            return Ok(());
        }
        let expected = self.apps.iter().filter(|((of, _), _)| *of == orch);
        for ((_, key), states) in expected {
            let found = wishes.iter().find(|wish| wish.key == *key).map(|wish| services(wish));
            if !states.contains(&found) {
                return Err(format!("{key} is {found:?}, but people asked for one of {states:?}"));
            }
        }
        let known = |wish: &&&Wish| self.apps.contains_key(&(orch, wish.key.clone()));
        match wishes.iter().find(|wish| !known(wish)) {
            Some(wish) => Err(format!("nobody asked for {}", wish.key)),
            None => Ok(()),
        }
    }
}

fn services(wish: &Wish) -> BTreeMap<Name, Service> {
    let service = |wish: &holm_model::wish::ServiceWish| Service {
        spec: wish.spec.clone(),
        replicas: wish.replicas,
        applied: wish.applied_replicas,
        run: wish.run,
        restarts: wish.restarts,
    };
    wish.services.iter().map(|(name, wish)| (name.clone(), service(wish))).collect()
}

fn key(command: &Command) -> Option<AppKey> {
    match command {
        Command::Apply { project, application, .. } => {
            Some(AppKey { project: project.clone(), application: application.name.clone() })
        }
        Command::Delete { app, .. } | Command::Patch { app, .. } => Some(app.clone()),
        _ => None,
    }
}

/// The state that follows; `None`: it could only be refused.
fn after(state: &App, command: &Command) -> Option<App> {
    match command {
        Command::Apply { application, .. } => Some(Some(applied(state.as_ref(), application))),
        Command::Delete { .. } => state.is_some().then_some(None),
        Command::Patch { service, replicas, run, restart, .. } => {
            let mut services = state.clone()?;
            for (name, wish) in &mut services {
                if service.as_ref().is_some_and(|chosen| chosen != name) {
                    continue;
                }
                wish.replicas = replicas.map_or(wish.replicas, Replicas::Number);
                let pauses_nothing = (*run, wish.run) == (Some(RunState::Pause), RunState::Stop);
                wish.run = run.filter(|_| !pauses_nothing).unwrap_or(wish.run);
                wish.restarts += u64::from(*restart);
            }
            Some(Some(services))
        }
        _ => Some(state.clone()),
    }
}

/// Three ways: what the manifest said before, what is in force, what it says now.
fn applied(old: Option<&BTreeMap<Name, Service>>, manifest: &Application) -> BTreeMap<Name, Service> {
    let mut services = BTreeMap::new();
    for (name, wanted) in &manifest.services {
        let spec = SpecBytes::encode(&wanted.spec);
        let new = Service {
            spec: spec.clone(),
            replicas: wanted.replicas,
            applied: wanted.replicas,
            run: RunState::Run,
            restarts: 0,
        };
        let service = match old.and_then(|old| old.get(name)) {
            None => new,
            Some(known) if known.applied == wanted.replicas => Service { spec, ..known.clone() },
            Some(known) => Service { run: known.run, restarts: known.restarts, ..new },
        };
        services.insert(name.clone(), service);
    }
    services
}
