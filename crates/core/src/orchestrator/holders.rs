//! Whose a port of this orchestrator is: whoever has it keeps it for as long as it wants it.
//!
//! A root and a cluster number their wishes each for themselves: who wished first is known among those of one only.
//! Where nobody has the port yet, a cluster's own come first, since it cannot tell its root to choose another.

use std::collections::BTreeMap;

use holm_model::name::Name;
use holm_model::slot::ServiceKey;
use holm_model::wish::AppKey;

use super::Orchestrator;
use super::demand::{Demand, Origin};

/// A port of a service that shall be reached here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claimant<'a> {
    pub(super) port: u16,
    pub(super) key: &'a ServiceKey,
    /// The service's port.
    pub(super) name: &'a Name,
    pub(super) demand: &'a Demand,
    by_parent: bool,
}

/// A service, and its port.
pub(super) type Holder = (ServiceKey, Name);

// === impl Claimant ===

impl Claimant<'_> {
    pub(super) fn holder(&self) -> Holder {
        (self.key.clone(), self.name.clone())
    }

    pub(super) fn is(&self, holder: &Holder) -> bool {
        (self.key, self.name) == (&holder.0, &holder.1)
    }

    /// Why another one cannot have the port.
    pub(super) fn denies(&self, asks: &AppKey) -> String {
        leads_elsewhere(self.port, (&self.demand.part.app, &self.demand.part.service), asks)
    }
}

// === impl Orchestrator ===

impl Orchestrator {
    /// All that shall be reached here, granted or not.
    pub(super) fn claimants(&self) -> impl Iterator<Item = Claimant<'_>> {
        self.exposing.services().flat_map(move |(key, origins)| {
            let demands = origins.iter().filter_map(|origin| Some((origin, self.demands.get(origin)?)));
            let latest = demands.max_by_key(|(_, demand)| demand.part.generation);
            latest.into_iter().flat_map(move |(origin, demand)| {
                let by_parent = matches!(origin, Origin::Share(_));
                let exposes = demand.spec.iter().flat_map(|spec| &spec.expose);
                let here = exposes.filter(move |(_, expose)| self.opens(expose, origin));
                here.map(move |(name, expose)| Claimant { port: expose.port, key, name, demand, by_parent })
            })
        })
    }

    /// To whom each port goes.
    pub(super) fn elect<'a>(
        &self,
        claimants: impl Iterator<Item = Claimant<'a>>,
    ) -> BTreeMap<u16, Claimant<'a>> {
        let rank = |claimant: &Claimant<'a>| {
            let has_it = self.exposing.holder(claimant.port).is_some_and(|(key, _)| key == claimant.key);
            (!has_it, claimant.by_parent, claimant.key, claimant.name)
        };
        let mut elected: BTreeMap<u16, Claimant<'a>> = BTreeMap::new();
        for claimant in claimants {
            let first = elected.entry(claimant.port).or_insert(claimant);
            if rank(&claimant) < rank(first) {
                *first = claimant;
            }
        }
        elected
    }
}

/// Why a second service cannot have a port. What other projects have is not told.
pub(super) fn leads_elsewhere(port: u16, (app, service): (&AppKey, &Name), asks: &AppKey) -> String {
    if app.project == asks.project {
        format!("port {port} leads to {app}/{service} already; choose another")
    } else {
        format!("port {port} is taken by another project; choose another")
    }
}
