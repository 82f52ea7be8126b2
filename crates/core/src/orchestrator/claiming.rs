//! Claims to ports of orchestrators, when an application is applied: granted, and nobody else's.

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
        let mut ours: Vec<Claim<'_>> = Vec::new();
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
            let other = ours.iter().find(|other| other.clashes(&claim)).map(|other| other.denies(claim.app));
            let other = other.or_else(|| self.claimed_by_others(&claim));
            if let Some(reason) = other.or_else(|| self.claimed_by_parent(&claim)) {
                return Err(Refusal::Conflict(format!("{at}: {reason}")));
            }
            ours.push(claim);
        }
        Ok(())
    }

    fn claimed_by_others(&self, claim: &Claim<'_>) -> Option<String> {
        let others = self.wishes.values().map(|row| &row.wish);
        others.filter(|wish| wish.deleted.is_none() && wish.key != *claim.app).find_map(|wish| {
            let specs: Vec<_> = wish
                .services
                .iter()
                .filter_map(|(name, service)| Some((name, service.spec.decode().ok()?)))
                .collect();
            claims(&wish.key, specs.iter().map(|(name, spec)| (*name, spec)))
                .find(|other| other.clashes(claim))
                .map(|other| other.denies(claim.app))
        })
    }

    /// What our parent has us run is not among our wishes.
    fn claimed_by_parent(&self, claim: &Claim<'_>) -> Option<String> {
        let own = self.apps.get(claim.app);
        let shares = self.demands.iter().filter(|(origin, _)| matches!(origin, Origin::Share(_)));
        shares.map(|(_, demand)| demand).filter(|demand| Some(&demand.part.wish) != own).find_map(|demand| {
            let mut exposes = demand.spec.as_ref()?.expose.values();
            let part = &demand.part;
            exposes
                .any(|other| other.port == claim.expose.port && other.at.contains(&ExposedAt::Cluster))
                .then(|| leads_elsewhere(claim.expose.port, (&part.app, &part.service), claim.app))
        })
    }
}

// === impl Claim ===

fn claims<'a, 'b>(
    app: &'a AppKey,
    services: impl Iterator<Item = (&'a Name, &'b ServiceSpec)>,
) -> impl Iterator<Item = Claim<'b>>
where
    'a: 'b,
{
    services.flat_map(move |(service, spec)| {
        let claim = move |(name, expose): (&'b Name, &'b Expose)| Claim {
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
