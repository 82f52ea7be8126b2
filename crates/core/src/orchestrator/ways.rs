//! How far a service's others are: where they are in the network, as far as is known here.

use holm_model::coordinate::{Coordinate, Region};
use holm_model::id::{MemberId, WishId};
use holm_model::item::{EndpointsKey, Item, ItemKey};
use holm_model::name::Name;
use holm_model::placement::{Bound, Strategy};
use holm_model::service::{Connect, ServiceSpec};
use holm_model::slot::ServiceKey;

use super::Orchestrator;
use crate::scheduler::{Spot, Target, There, Way};

impl Orchestrator {
    /// From `service` to what it connects to, to whatever wants to be near it, and to its users. Without a bound a way
    /// counts for the strategy `latency` only. `own`: the service's other instances.
    pub(super) fn ways(&self, wish: WishId, service: &Name, spec: &ServiceSpec, own: There<'_>) -> Vec<Way> {
        let all = *spec.placement.strategy_or(&self.config.strategy) == Strategy::Latency;
        let counts = |connect: &&Connect| all || connect.bound.is_some();
        let near =
            self.placed.siblings(wish).filter(|(name, _)| *name != service).flat_map(|(name, sibling)| {
                let to_us =
                    sibling.connects.iter().filter(|connect| connect.service == *service).filter(counts);
                to_us.map(move |connect| {
                    let others = self.spots(wish, service, own);
                    let at = self.far_from_all(wish, name, &others, connect.bound);
                    Way { to: Target::Service { name: name.clone(), at }, bound: connect.bound }
                })
            });
        self.own_ways(wish, spec).into_iter().chain(near).collect()
    }

    /// As [`Self::ways`], of what the service itself asks for.
    pub(super) fn own_ways(&self, wish: WishId, spec: &ServiceSpec) -> Vec<Way> {
        let all = *spec.placement.strategy_or(&self.config.strategy) == Strategy::Latency;
        let counts = |connect: &&Connect| all || connect.bound.is_some();
        let connects = spec.connects.iter().filter(counts);
        let connects =
            connects.map(|connect| Way { to: self.connected(wish, connect), bound: connect.bound });
        let users = spec.placement.near;
        let users = users.map(|near| Way { to: Target::Users(near.users), bound: Some(near.bound) });
        connects.chain(users).collect()
    }

    /// Where a service is that something connects to: what is placed here, and what others told of it.
    pub(super) fn connected(&self, wish: WishId, connect: &Connect) -> Target {
        let service = ServiceKey { wish, service: connect.service.clone() };
        let key = ItemKey::Endpoints(EndpointsKey { service, port: connect.port.clone() });
        let mut at = self.spots(wish, &connect.service, self.placed.there(wish, &connect.service, None));
        if let Some(Item::Endpoints(told)) = self.held.get(&key).and_then(|packed| packed.unpack().ok()) {
            let elsewhere = told.endpoints.iter().filter(|e| !self.reigns.contains(&e.instance.0.epoch));
            let region = |there: Option<Coordinate>| there.filter(Coordinate::is_settled).map(Region::from);
            at.extend(elsewhere.map(|e| Spot { on: None, region: region(e.coordinate) }));
        }
        Target::Service { name: connect.service.clone(), at }
    }

    /// Instances of `name` that none of `others` is near enough to: of several, one is enough.
    fn far_from_all(&self, wish: WishId, name: &Name, others: &[Spot], bound: Option<Bound>) -> Vec<Spot> {
        let near = |spot: &Spot| {
            let most = bound.map(|bound| bound.latency);
            others.iter().filter_map(|other| other.way_to(spot)).any(|way| Some(way) <= most)
        };
        let mut at = self.spots(wish, name, self.placed.there(wish, name, None));
        at.retain(|spot| !near(spot));
        at
    }

    /// Of a service's instances on our own members.
    fn spots(&self, wish: WishId, service: &Name, there: There<'_>) -> Vec<Spot> {
        let on = |member: MemberId| {
            let regions = self.regions_on(member, wish, service);
            let unknown = regions.is_empty().then_some(None);
            let regions = regions.into_iter().map(Some).chain(unknown);
            regions.map(move |region| Spot { on: Some(member), region })
        };
        there.members().flat_map(on).collect()
    }

    /// As far as is known.
    fn regions_on(&self, member: MemberId, wish: WishId, service: &Name) -> Vec<Region> {
        let Some(live) = self.live.get(&member) else { return Vec::new() };
        if live.facts.is_some() {
            return self.coordinate_of(&[member]).map(Region::from).into_iter().collect();
        }
        let key = ServiceKey { wish, service: service.clone() };
        let there = self.instances_of(&key).filter(|report| report.node.first() == Some(&member));
        let exact: Vec<_> =
            there.filter_map(|report| self.coordinate_of(&report.node)).map(Region::from).collect();
        if exact.is_empty() {
            live.aggregate.classes.iter().filter_map(|class| class.region).collect()
        } else {
            exact
        }
    }

    /// Of a node, by its path from here; `None`: it does not know yet, or says what cannot be.
    pub(super) fn coordinate_of(&self, node: &[MemberId]) -> Option<Coordinate> {
        let live = self.live.get(node.first()?)?;
        let facts =
            if node.len() == 1 { live.facts.as_ref() } else { live.nodes.get(node).map(|node| &node.facts) };
        facts?.coordinate.filter(Coordinate::is_settled)
    }
}
