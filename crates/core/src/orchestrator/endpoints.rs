//! Addresses of services for those that connect to them.
//!
//! A member is sent the endpoints of every service that something placed on it connects to. A cluster
//! adds what its parent told it about instances elsewhere; of its own it knows better.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use holm_model::fact::InstanceReport;
use holm_model::id::MemberId;
use holm_model::item::{Endpoint, Endpoints, EndpointsKey, Item, ItemKey};
use holm_model::slot::ServiceKey;
use holm_model::state::InstanceState;

use super::Orchestrator;
use super::rows::Phase;

impl Orchestrator {
    /// Which members need which endpoints, from what is placed on them.
    fn consumers(&self) -> BTreeMap<EndpointsKey, BTreeSet<MemberId>> {
        let mut consumers: BTreeMap<EndpointsKey, BTreeSet<MemberId>> = BTreeMap::new();
        for placement in self.placements.values().filter(|p| p.phase != Phase::Retiring) {
            let origin = Self::slot_of(placement).0;
            let Some(spec) = self.demands.get(&origin).and_then(|demand| demand.spec.as_ref()) else {
                continue;
            };
            for connect in &spec.connects {
                let service = ServiceKey { wish: placement.part.wish, service: connect.service.clone() };
                let key = EndpointsKey { service, port: connect.port.clone() };
                consumers.entry(key).or_default().insert(placement.member);
            }
        }
        consumers
    }

    pub(super) fn derive_endpoints(&mut self) {
        for (key, members) in self.consumers() {
            let item = Item::Endpoints(self.endpoints(&key));
            for member in members {
                self.set_item(member, ItemKey::Endpoints(key.clone()), Some(item.clone()));
            }
        }
    }

    /// Brings the endpoints on the lists up to date, if something that they follow from has changed.
    pub(super) fn refresh_endpoints(&mut self) {
        if self.endpoints_dirty.is_empty() && self.touched.is_empty() {
            return;
        }
        self.endpoints_dirty.clear();
        let consumers = self.consumers();
        for (key, members) in &consumers {
            let item = Item::Endpoints(self.endpoints(key));
            for member in members {
                self.set_item(*member, ItemKey::Endpoints(key.clone()), Some(item.clone()));
            }
        }
        for (member, key) in self.listed_endpoints() {
            if !consumers.get(&key).is_some_and(|members| members.contains(&member)) {
                self.set_item(member, ItemKey::Endpoints(key), None);
            }
        }
    }

    fn endpoints(&self, key: &EndpointsKey) -> Endpoints {
        let (wish, service) = (key.service.wish, &key.service.service);
        let own = self.instances.values().filter(|r| r.wish == wish && r.service == *service && !r.held);
        let mut endpoints: Vec<Endpoint> = own.filter_map(|report| self.endpoint(report, key)).collect();
        if let Some(packed) = self.held.get(&ItemKey::Endpoints(key.clone()))
            && let Ok(Item::Endpoints(told)) = packed.unpack()
        {
            let elsewhere = told.endpoints.into_iter().filter(|e| !self.reigns.contains(&e.instance.0.epoch));
            endpoints.extend(elsewhere);
        }
        endpoints.sort_by(|a, b| (&a.slot, a.instance).cmp(&(&b.slot, b.instance)));
        endpoints.dedup_by_key(|endpoint| endpoint.instance);
        Endpoints { endpoints }
    }

    fn endpoint(&self, report: &InstanceReport, key: &EndpointsKey) -> Option<Endpoint> {
        if self.state_of(report) != InstanceState::Running {
            return None;
        }
        let port = *report.status.ports.get(&key.port)?;
        let direct = self.addresses(&report.node).into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        Some(Endpoint {
            instance: report.id,
            slot: report.slot.clone(),
            node: report.node.clone(),
            port,
            direct,
        })
    }

    fn addresses(&self, node: &[MemberId]) -> Vec<std::net::IpAddr> {
        let Some(live) = node.first().and_then(|first| self.live.get(first)) else { return Vec::new() };
        let facts =
            if node.len() == 1 { live.facts.as_ref() } else { live.nodes.get(node).map(|n| &n.facts) };
        facts.map(|facts| facts.addresses.clone()).unwrap_or_default()
    }

    /// Whether something on `member` connects to this instance's port: a tunnel may be opened.
    #[must_use]
    pub fn may_connect(&self, member: MemberId, instance: holm_model::id::AssignmentId, port: u16) -> bool {
        self.listed_endpoints().into_iter().filter(|(of, _)| *of == member).any(|(_, key)| {
            self.endpoints(&key).endpoints.iter().any(|e| e.instance == instance && e.port == port)
        })
    }
}
