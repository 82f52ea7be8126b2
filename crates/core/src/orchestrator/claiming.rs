//! Claims to ports of orchestrators, when an application is applied: granted, and nobody else's.

use std::collections::BTreeMap;

use holm_model::expose::{Expose, ExposedAt};
use holm_model::name::Name;
use holm_model::service::{Application, ServiceSpec};
use holm_model::wish::AppKey;

use super::command::Refusal;
use super::demand::Origin;
use super::holders::leads_elsewhere;
use super::{Orchestrator, Tier};

/// A service's claim to a port.
#[derive(Debug)]
struct Claim<'a> {
    app: &'a AppKey,
    service: &'a Name,
    name: &'a Name,
    expose: Expose,
    /// The only cluster that it may be in.
    cluster: Option<Name>,
}

impl Orchestrator {
    /// Ports that were not granted, or lead to something else already.
    pub(super) fn check_exposed(&self, app: &AppKey, application: &Application) -> Result<(), Refusal> {
        if application.services.values().all(|service| service.spec.expose.is_empty()) {
            return Ok(());
        }
        let mut taken = self.claimed_by_others(app);
        for claim in claims(app, application.services.iter().map(|(name, service)| (name, &service.spec))) {
            let at = format!("services.{}.expose.{}", claim.service, claim.name);
            let here = match self.config.tier {
                Tier::Cluster if !claim.expose.at.contains(&ExposedAt::Cluster) => {
                    return Err(Refusal::Invalid(format!(
                        "{at}: a cluster's own application is not known to the root, and cannot be reached there"
                    )));
                }
                Tier::Cluster => ExposedAt::Cluster,
                Tier::Root => ExposedAt::Root,
            };
            let reason = self.not_granted(claim.expose.port).filter(|_| claim.expose.at.contains(&here));
            if let Some(reason) = reason {
                return Err(Refusal::Invalid(format!("{at}: {reason}")));
            }
            let before = taken.entry(claim.expose.port).or_default();
            if let Some(other) = before.iter().find(|other| other.clashes(&claim)) {
                return Err(Refusal::Conflict(format!("{at}: {}", other.denies(claim.app))));
            }
            before.push(claim);
        }
        Ok(())
    }

    /// Claims of other applications, ours and those that our parent has us run, by port.
    fn claimed_by_others(&self, app: &AppKey) -> BTreeMap<u16, Vec<Claim<'_>>> {
        let own = self.apps.get(app);
        let others = self.demands.iter().filter(|(origin, demand)| match origin {
            Origin::Own(_) => demand.part.app != *app,
            Origin::Share(_) => Some(&demand.part.wish) != own,
        });
        let mut claimed: BTreeMap<u16, Vec<Claim<'_>>> = BTreeMap::new();
        for (origin, demand) in others {
            let said = demand.spec.iter().map(|spec| (&demand.part.service, &**spec));
            for claim in claims(&demand.part.app, said) {
                // What our parent opens itself is not in our way.
                if matches!(origin, Origin::Own(_)) || claim.expose.at.contains(&ExposedAt::Cluster) {
                    claimed.entry(claim.expose.port).or_default().push(claim);
                }
            }
        }
        claimed
    }
}

// === impl Claim ===

fn claims<'a>(
    app: &'a AppKey,
    services: impl Iterator<Item = (&'a Name, &'a ServiceSpec)>,
) -> impl Iterator<Item = Claim<'a>> {
    services.flat_map(move |(service, spec)| {
        let claim = move |(name, expose): (&'a Name, &'a Expose)| Claim {
            app,
            service,
            name,
            expose: expose.clone(),
            cluster: spec.placement.cluster.clone(),
        };
        spec.expose.iter().map(claim)
    })
}

impl Claim<'_> {
    /// Some orchestrator would have to open the port for both.
    fn clashes(&self, other: &Self) -> bool {
        let both = |at: ExposedAt| self.expose.at.contains(&at) && other.expose.at.contains(&at);
        let apart = matches!((&self.cluster, &other.cluster), (Some(one), Some(two)) if one != two);
        self.expose.port == other.expose.port
            && (both(ExposedAt::Root) || (both(ExposedAt::Cluster) && !apart))
    }

    /// Why another one cannot have the port.
    fn denies(&self, asks: &AppKey) -> String {
        leads_elsewhere(self.expose.port, (self.app, self.service), asks)
    }
}
