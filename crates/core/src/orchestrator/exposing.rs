//! Ports at this orchestrator that lead to services: which there must be, and to whom each leads.
//!
//! The shell opens them and chooses among the targets; see [`Effect::Expose`]. A port belongs to the service that
//! was wished first.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::expose::{Expose, ExposedAt};
use holm_model::fact::InstanceReport;
use holm_model::id::AssignmentId;
use holm_model::member::Role;
use holm_model::name::Name;
use holm_model::record::Change;
use holm_model::service::ServiceSpec;
use holm_model::slot::ServiceKey;
use holm_model::wish::AppKey;

use super::demand::{Demand, Origin};
use super::event::Effect;
use super::rows::{Phase, Placement};
use super::{Orchestrator, Tier};

/// A port that leads to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// Of this orchestrator.
    pub port: u16,
    pub app: AppKey,
    pub service: Name,
    /// The service's port.
    pub name: Name,
    /// Why it stays closed here, for people.
    pub refused: Option<String>,
    /// Instances that take connections now.
    pub targets: Vec<Target>,
}

/// An instance that takes connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub instance: AssignmentId,
    /// On its node.
    pub port: u16,
    /// It goes as soon as its successor is ready: only while nobody else is.
    pub last_resort: bool,
}

/// An exposure, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    pub exposure: Exposure,
    /// `None`: the shell has not told yet.
    pub outcome: Option<Result<(), String>>,
}

/// What is kept from one step to the next.
#[derive(Debug, Default)]
pub(super) struct Exposing {
    /// Services with exposed ports, and where they are wanted from.
    services: BTreeMap<ServiceKey, BTreeSet<Origin>>,
    /// Something may have changed.
    touched: bool,
    told: Vec<Exposure>,
    outcomes: BTreeMap<u16, Result<(), String>>,
}

// === impl Exposing ===

impl Exposing {
    pub(super) fn touch(&mut self) {
        self.touched |= !self.services.is_empty();
    }

    /// What was told may not have been heard.
    pub(super) fn forget(&mut self) {
        self.touched |= !self.told.is_empty() || !self.services.is_empty();
        self.told.clear();
    }

    fn note(&mut self, key: ServiceKey, origin: &Origin) {
        self.touched |= true;
        self.services.entry(key).or_default().insert(origin.clone());
    }

    fn drop(&mut self, origin: &Origin) {
        let before = self.services.len();
        let mut found = false;
        self.services.retain(|_, origins| {
            found |= origins.remove(origin);
            !origins.is_empty()
        });
        self.touched |= found || self.services.len() != before;
    }
}

// === impl Orchestrator ===

impl Orchestrator {
    /// The demand of an origin may be another now.
    pub(super) fn look_at_exposed(&mut self, origin: &Origin) {
        let exposes = |demand: &&Demand| demand.spec.as_ref().is_some_and(|spec| !spec.expose.is_empty());
        match self.demands.get(origin).filter(exposes) {
            Some(demand) => {
                let key = ServiceKey { wish: demand.part.wish, service: demand.part.service.clone() };
                self.exposing.note(key, origin);
            }
            None if !self.exposing.services.is_empty() => self.exposing.drop(origin),
            None => {}
        }
    }

    /// Tells the shell which ports there must be, if that has changed.
    pub(super) fn expose(&mut self) {
        if !std::mem::take(&mut self.exposing.touched) {
            return;
        }
        let table = self.table();
        if table == self.exposing.told {
            return;
        }
        let known: BTreeMap<_, _> =
            self.exposing.told.iter().map(|known| (place_of(known), known.refused.clone())).collect();
        for new in &table {
            match &new.refused {
                Some(reason) if known.get(&place_of(new)) != Some(&new.refused) => {
                    self.note_exposure(new, "refused", reason);
                }
                _ => {}
            }
        }
        self.exposing.outcomes.retain(|port, _| table.iter().any(|exposure| exposure.port == *port));
        self.exposing.told.clone_from(&table);
        self.effects.push(Effect::Expose(table));
    }

    fn table(&self) -> Vec<Exposure> {
        let mut taken: BTreeMap<u16, String> = BTreeMap::new();
        let mut table = Vec::new();
        for (key, origins) in &self.exposing.services {
            let demands = origins.iter().filter_map(|origin| Some((origin, self.demands.get(origin)?)));
            let Some((origin, demand)) = demands.max_by_key(|(_, demand)| demand.part.generation) else {
                continue;
            };
            let Some(spec) = &demand.spec else { continue };
            for (name, expose) in spec.expose.iter().filter(|(_, expose)| self.opens(expose, origin)) {
                let (app, service) = (demand.part.app.clone(), demand.part.service.clone());
                let clash = taken.get(&expose.port).map(|other| leads_elsewhere(expose.port, other));
                let refused = self.not_granted(expose.port).or(clash);
                taken.entry(expose.port).or_insert_with(|| format!("{app}/{service}"));
                let targets = if refused.is_none() { self.targets(key, name) } else { Vec::new() };
                table.push(Exposure {
                    port: expose.port,
                    app,
                    service,
                    name: name.clone(),
                    refused,
                    targets,
                });
            }
        }
        table.sort_by_key(|exposure| exposure.port);
        table
    }

    /// Whether this orchestrator is one of those that open it.
    fn opens(&self, expose: &Expose, origin: &Origin) -> bool {
        let own_node = |placement: &Placement| placement.role == Role::Node;
        let here = || {
            self.slots.of(origin).any(|(_, slot)| {
                let all = slot.active.iter().chain(&slot.others);
                all.filter_map(|id| self.placements.get(id)).any(own_node)
            })
        };
        match self.config.tier {
            Tier::Cluster => expose.at.contains(&ExposedAt::Cluster),
            Tier::Root => {
                expose.at.contains(&ExposedAt::Root) || (expose.at.contains(&ExposedAt::Cluster) && here())
            }
        }
    }

    fn targets(&self, key: &ServiceKey, name: &Name) -> Vec<Target> {
        let ready = |report: &&InstanceReport| {
            report.status.is_ready() && self.state_of(report) == report.status.state && !self.goes(report)
        };
        let target = |report: &InstanceReport| {
            let port = *report.status.ports.get(name)?;
            Some(Target { instance: report.id, port, last_resort: self.is_replaced(report) })
        };
        self.instances_of(key).filter(ready).filter_map(target).collect()
    }

    fn placement_of(&self, report: &InstanceReport) -> Option<&Placement> {
        self.placements.get(&report.id).or_else(|| self.placements.get(&report.share?))
    }

    /// It is told to end, or will be.
    fn goes(&self, report: &InstanceReport) -> bool {
        self.placement_of(report).is_some_and(|placement| placement.phase == Phase::Retiring)
    }

    fn is_replaced(&self, report: &InstanceReport) -> bool {
        report.held || self.placement_of(report).is_some_and(|placement| placement.phase == Phase::Superseded)
    }

    pub(super) fn not_granted(&self, port: u16) -> Option<String> {
        match self.config.expose {
            None => Some(format!(
                "port {port} cannot be opened: this orchestrator's administrator grants no ports (--expose-ports)"
            )),
            Some(range) if !range.contains(port) => Some(format!(
                "port {port} cannot be opened: this orchestrator's administrator grants {range} (--expose-ports)"
            )),
            Some(_) => None,
        }
    }

    /// Why a cluster cannot take a service that shall be reached there. A root tells it when it is applied.
    pub(super) fn cannot_expose(&self, demand: &Demand, spec: &ServiceSpec) -> Option<String> {
        if self.config.tier != Tier::Cluster {
            return None;
        }
        let key = ServiceKey { wish: demand.part.wish, service: demand.part.service.clone() };
        let here = spec.expose.values().filter(|expose| expose.at.contains(&ExposedAt::Cluster));
        here.into_iter().find_map(|expose| {
            self.not_granted(expose.port).or_else(|| {
                let other = self.first_with(expose.port).filter(|(other, _)| **other < key)?;
                Some(leads_elsewhere(expose.port, &other.1))
            })
        })
    }

    fn first_with(&self, port: u16) -> Option<(&ServiceKey, String)> {
        self.exposing.services.iter().find_map(|(key, origins)| {
            let demand = origins.iter().find_map(|origin| self.demands.get(origin))?;
            let at_cluster = |expose: &Expose| expose.port == port && expose.at.contains(&ExposedAt::Cluster);
            demand
                .spec
                .as_ref()?
                .expose
                .values()
                .any(at_cluster)
                .then(|| (key, format!("{}/{}", demand.part.app, demand.part.service)))
        })
    }

    /// The shell tells what became of a port.
    pub(super) fn exposed(&mut self, port: u16, outcome: Result<(), String>) {
        let Some(exposure) = self.exposing.told.iter().find(|exposure| exposure.port == port).cloned() else {
            return;
        };
        if self.exposing.outcomes.get(&port) == Some(&outcome) {
            return;
        }
        let (to, reason) = match &outcome {
            Ok(()) => ("open", ""),
            Err(reason) => ("closed", reason.as_str()),
        };
        self.note_exposure(&exposure, to, reason);
        self.exposing.outcomes.insert(port, outcome);
    }

    fn note_exposure(&mut self, exposure: &Exposure, to: &str, reason: &str) {
        self.behind.change(Change {
            at: self.now.wall,
            kind: "exposure".to_owned(),
            subject: exposure.port.to_string(),
            application: exposure.app.to_string(),
            slot: format!("{}/{}", exposure.service, exposure.name),
            from: String::new(),
            to: to.to_owned(),
            cause: "policy".to_owned(),
            reason: reason.to_owned(),
        });
    }

    /// Ports that lead to services here, by port.
    #[must_use]
    pub fn exposures(&self) -> Vec<Exposed> {
        let outcome = |exposure: &Exposure| self.exposing.outcomes.get(&exposure.port).cloned();
        let told = self.exposing.told.iter();
        told.map(|exposure| Exposed { exposure: exposure.clone(), outcome: outcome(exposure) }).collect()
    }
}

/// Why a second service cannot have a port.
pub(super) fn leads_elsewhere(port: u16, other: &str) -> String {
    format!("port {port} leads to {other} already; choose another")
}

fn place_of(exposure: &Exposure) -> (u16, String) {
    (exposure.port, format!("{}/{}/{}", exposure.app, exposure.service, exposure.name))
}
