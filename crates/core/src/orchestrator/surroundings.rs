//! What of an application is where, for services that are spread, kept together or kept apart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holm_model::id::{MemberId, WishId};
use holm_model::name::Name;
use holm_model::placement::{Company, Scope, Strategy};
use holm_model::service::{Application, ServiceSpec};

use super::demand::SlotId;
use super::rows::{Phase, Placement};
use super::{Orchestrator, Tier};
use crate::scheduler::{Around, Others, Shared, There};

/// Active placements of each service.
#[derive(Debug, Default)]
pub(super) struct Placed {
    wishes: BTreeMap<WishId, BTreeMap<Name, Service>>,
    /// Slots that would have a place if this service were somewhere (else).
    followers: BTreeMap<(WishId, Name), BTreeSet<SlotId>>,
}

#[derive(Debug, Default)]
struct Service {
    on: BTreeMap<MemberId, u32>,
    /// As it was placed last.
    spec: Option<Arc<ServiceSpec>>,
}

// === impl Placed ===

impl Placed {
    /// # Returns
    /// The slots that waited for this.
    pub(super) fn add(&mut self, placement: &Placement, spec: Option<&Arc<ServiceSpec>>) -> BTreeSet<SlotId> {
        if placement.phase != Phase::Active {
            return BTreeSet::new();
        }
        let services = self.wishes.entry(placement.part.wish).or_default();
        let service = match services.get_mut(&placement.part.service) {
            Some(service) => service,
            None => services.entry(placement.part.service.clone()).or_default(),
        };
        *service.on.entry(placement.member).or_default() += 1;
        if service.spec.as_ref().map(Arc::as_ptr) != spec.map(Arc::as_ptr) {
            service.spec = spec.cloned();
        }
        if self.followers.is_empty() {
            return BTreeSet::new();
        }
        self.followers.remove(&(placement.part.wish, placement.part.service.clone())).unwrap_or_default()
    }

    pub(super) fn take(&mut self, placement: &Placement) {
        if placement.phase != Phase::Active {
            return;
        }
        let Some(services) = self.wishes.get_mut(&placement.part.wish) else { return };
        let Some(service) = services.get_mut(&placement.part.service) else { return };
        if let Some(count) = service.on.get_mut(&placement.member) {
            *count -= 1;
            if *count == 0 {
                service.on.remove(&placement.member);
            }
        }
        if service.on.is_empty() {
            services.remove(&placement.part.service);
            if services.is_empty() {
                self.wishes.remove(&placement.part.wish);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.wishes.clear();
    }

    /// The slot found no place: it is looked at again when one of those is placed that it must be with.
    pub(super) fn follow(&mut self, wish: WishId, spec: &ServiceSpec, slot: &SlotId) {
        for company in spec.placement.with.iter().filter(|company| company.weight.is_none()) {
            let key = (wish, company.service.clone());
            self.followers.entry(key).or_default().insert(slot.clone());
        }
        for connect in spec.connects.iter().filter(|connect| connect.bound.is_some()) {
            let key = (wish, connect.service.clone());
            self.followers.entry(key).or_default().insert(slot.clone());
        }
    }

    /// The slots that waited for this, as somebody else has told where it is.
    pub(super) fn told(&mut self, wish: WishId, service: &Name) -> BTreeSet<SlotId> {
        self.followers.remove(&(wish, service.clone())).unwrap_or_default()
    }

    /// Services of a wish that are placed, as they were last.
    pub(super) fn siblings(&self, wish: WishId) -> impl Iterator<Item = (&Name, &ServiceSpec)> {
        let services = self.wishes.get(&wish).into_iter().flatten();
        services.filter_map(|(name, service)| Some((name, service.spec.as_deref()?)))
    }

    pub(super) fn there(&self, wish: WishId, service: &Name, except: Option<MemberId>) -> There<'_> {
        let on = self.wishes.get(&wish).and_then(|services| services.get(service)).map(|service| &service.on);
        There { on, except }
    }
}

// === impl Orchestrator ===

impl Orchestrator {
    /// What concerns `service` of a wish; `except`: the member that has the slot's own instance now.
    pub(super) fn around(
        &self,
        wish: WishId,
        service: &Name,
        spec: &ServiceSpec,
        except: Option<MemberId>,
    ) -> Around<'_> {
        let place = &spec.placement;
        let mut around = Around::default();
        // A cluster's share of it is the root's business.
        let each = spec.per_cluster.filter(|_| self.config.tier == Tier::Root);
        if matches!(place.strategy_or(&self.config.strategy), Strategy::Spread(_)) || each.is_some() {
            around.own = self.placed.there(wish, service, except);
        }
        around.shared = each.map(|each| {
            let own_node = |id: &MemberId| self.live.get(id).is_some_and(|live| live.facts.is_some());
            let here = around.own.members().filter(own_node).map(|id| around.own.count(id)).sum();
            Shared { each, here }
        });
        let others = |company: &Company| {
            let except = except.filter(|_| company.service == *service);
            self.others(wish, company, company.service == *service, except)
        };
        around.with.extend(place.with.iter().map(others));
        around.apart.extend(place.apart.iter().map(others));
        // To be apart is mutual.
        for (name, sibling) in self.placed.wishes.get(&wish).into_iter().flatten() {
            let asks = sibling.spec.iter().flat_map(|spec| &spec.placement.apart);
            for company in asks.filter(|company| name != service && company.service == *service) {
                let mirrored = Company { service: name.clone(), ..company.clone() };
                if !place.apart.contains(&mirrored) {
                    around.apart.push(self.others(wish, &mirrored, false, None));
                }
            }
        }
        let own = self.placed.there(wish, service, except);
        around.ways = self.ways(wish, service, spec, own);
        if !around.ways.is_empty() {
            // How far others are depends on what does not count.
            around.own = own;
        }
        around
    }

    /// Advice about labels that members are grouped by and that no node has: one may come that has it.
    pub(super) fn missing_labels(&self, application: &Application) -> Vec<String> {
        let known = |key: &str| {
            self.live.values().any(|live| {
                let below = || live.aggregate.classes.iter().any(|class| class.labels.contains_key(key));
                live.facts.as_ref().is_some_and(|facts| facts.labels.contains_key(key)) || below()
            })
        };
        let services = application.services.iter().map(|(name, service)| (name, &service.spec.placement));
        let keys = services.flat_map(|(name, place)| {
            let spread = match &place.strategy {
                Some(Strategy::Spread(scope)) => Some(("strategy", scope)),
                _ => None,
            };
            let with = place.with.iter().map(|company| ("with", &company.on));
            let apart = place.apart.iter().map(|company| ("apart", &company.on));
            spread.into_iter().chain(with).chain(apart).map(move |(key, scope)| (name, key, scope))
        });
        let told = keys.filter_map(|(service, at, scope)| match scope {
            Scope::Label(key) if !known(key) => {
                Some(format!("services.{service}.placement.{at}: no node has a label `{key}`"))
            }
            _ => None,
        });
        told.collect()
    }

    fn others(&self, wish: WishId, company: &Company, itself: bool, except: Option<MemberId>) -> Others<'_> {
        let there = self.placed.there(wish, &company.service, except);
        let nodes = |member: MemberId| self.live.get(&member).and_then(|live| live.facts.as_ref());
        let mut values = BTreeSet::new();
        if let Scope::Label(key) = &company.on {
            let labels = there.members().filter_map(nodes).filter_map(|facts| facts.labels.get(key));
            values.extend(labels.map(String::as_str));
        }
        let here = company.on == Scope::Cluster && there.members().any(|member| nodes(member).is_some());
        let (service, on, weight) = (company.service.clone(), company.on.clone(), company.weight);
        Others { service, on, weight, itself, there, here, values }
    }
}
