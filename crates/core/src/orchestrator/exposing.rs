//! Ports at this orchestrator that lead to services: which there must be, and to whom each leads.
//!
//! The shell opens them and chooses among the targets; see [`Effect::Expose`]. Whose a port is: [`holders`](super::holders).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holm_model::expose::{Expose, ExposedAt};
use holm_model::fact::InstanceReport;
use holm_model::id::{AssignmentId, MemberId};
use holm_model::member::Role;
use holm_model::name::Name;
use holm_model::record::Change;
use holm_model::service::ServiceSpec;
use holm_model::slot::ServiceKey;
use holm_model::wish::AppKey;

use super::demand::{Demand, Origin};
use super::event::Effect;
use super::holders::{Claimant, Holder};
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
    pub targets: Arc<[Target]>,
}

/// An instance that takes connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub instance: AssignmentId,
    /// Members on the way to it.
    pub path: Vec<MemberId>,
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
    /// Those of which something may have changed.
    touched: BTreeSet<ServiceKey>,
    /// One of them is new, or has gone.
    claims_changed: bool,
    told: Vec<Exposure>,
    /// Instances that take connections, as they were told: only those of touched services are looked for anew.
    targets: BTreeMap<Holder, Arc<[Target]>>,
    /// Whose the ports are, granted or not.
    holders: BTreeMap<u16, Holder>,
    outcomes: BTreeMap<u16, Result<(), String>>,
}

// === impl Exposing ===

impl Exposing {
    /// Something happened to an instance of the service.
    pub(super) fn touch(&mut self, service: &ServiceKey) {
        if self.services.contains_key(service) {
            self.touched.insert(service.clone());
        }
    }

    /// What was told may not have been heard.
    pub(super) fn forget(&mut self) {
        self.claims_changed |= !self.told.is_empty();
        self.touched.extend(self.services.keys().cloned());
        self.told.clear();
    }

    pub(super) fn services(&self) -> impl Iterator<Item = (&ServiceKey, &BTreeSet<Origin>)> {
        self.services.iter()
    }

    pub(super) fn holder(&self, port: u16) -> Option<&Holder> {
        self.holders.get(&port)
    }

    fn note(&mut self, key: ServiceKey, origin: &Origin) {
        self.touched.insert(key.clone());
        self.services.entry(key).or_default().insert(origin.clone());
    }

    fn drop(&mut self, origin: &Origin) {
        let mut left = BTreeSet::new();
        self.services.retain(|key, origins| {
            if origins.remove(origin) {
                left.insert(key.clone());
            }
            !origins.is_empty()
        });
        self.claims_changed |= !left.is_empty();
        self.touched.append(&mut left);
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
        let touched = std::mem::take(&mut self.exposing.touched);
        if !std::mem::take(&mut self.exposing.claims_changed) && touched.is_empty() {
            return;
        }
        let mut targets = std::mem::take(&mut self.exposing.targets);
        targets.retain(|(key, _), _| !touched.contains(key));
        let elected = self.elect(self.claimants());
        let table = self.table(&elected, &mut targets);
        let holders = elected.into_iter().map(|(port, claimant)| (port, claimant.holder())).collect();
        self.exposing.targets = targets;
        let before = std::mem::replace(&mut self.exposing.holders, holders);
        let holders = &self.exposing.holders;
        // Somebody may wait for a port that is free now.
        self.capacity_changed |= before.iter().any(|(port, holder)| holders.get(port) != Some(holder));
        // What became of it was about the one before.
        self.exposing
            .outcomes
            .retain(|port, _| holders.contains_key(port) && holders.get(port) == before.get(port));
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
        self.exposing.told.clone_from(&table);
        self.effects.push(Effect::Expose(table));
    }

    /// `targets`: those that are known, and will be.
    fn table(
        &self,
        elected: &BTreeMap<u16, Claimant<'_>>,
        targets: &mut BTreeMap<Holder, Arc<[Target]>>,
    ) -> Vec<Exposure> {
        let exposure = |claimant: Claimant<'_>| {
            let (app, service) = (claimant.demand.part.app.clone(), claimant.demand.part.service.clone());
            let clash = || {
                let holder = elected.get(&claimant.port).filter(|holder| !claimant.is(&holder.holder()))?;
                Some(holder.denies(&app))
            };
            let refused = self.not_granted(claimant.port).or_else(clash);
            let find = || self.targets(claimant.key, claimant.name).into();
            let targets = match refused {
                None => targets.entry(claimant.holder()).or_insert_with(find).clone(),
                Some(_) => Arc::default(),
            };
            Exposure { port: claimant.port, app, service, name: claimant.name.clone(), refused, targets }
        };
        let mut table: Vec<_> = self.claimants().map(exposure).collect();
        table.sort_by_key(|exposure| exposure.port);
        table
    }

    /// Whether this orchestrator is one of those that open it.
    pub(super) fn opens(&self, expose: &Expose, origin: &Origin) -> bool {
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
        let ready =
            |report: &&InstanceReport| report.status.is_ready() && self.serves(report) && !self.goes(report);
        let target = |report: &InstanceReport| {
            let port = *report.status.ports.get(name)?;
            Some(Target {
                instance: report.id,
                path: report.node.clone(),
                port,
                last_resort: self.is_replaced(report),
            })
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
        report.held
            || self
                .placement_of(report)
                .is_some_and(|placement| matches!(placement.phase, Phase::Superseded | Phase::Migrating))
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
                let rivals = self.claimants().filter(|claimant| claimant.port == expose.port);
                let holder = self.elect(rivals).remove(&expose.port).filter(|holder| *holder.key != key)?;
                Some(holder.denies(&demand.part.app))
            })
        })
    }

    /// The shell tells what became of a port.
    pub(super) fn exposed(
        &mut self,
        port: u16,
        (app, service, name): &(AppKey, Name, Name),
        outcome: Result<(), String>,
    ) {
        let ours = |exposure: &&Exposure| {
            let leads_there = (&exposure.app, &exposure.service, &exposure.name) == (app, service, name);
            exposure.port == port && leads_there && exposure.refused.is_none()
        };
        let Some(exposure) = self.exposing.told.iter().find(ours).cloned() else {
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

fn place_of(exposure: &Exposure) -> (u16, String) {
    (exposure.port, format!("{}/{}/{}", exposure.app, exposure.service, exposure.name))
}
