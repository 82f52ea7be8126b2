//! Addresses of services for those that connect to them.
//!
//! A member is sent the endpoints of every service that something placed on it connects to. A cluster
//! adds what its parent told it about instances elsewhere; of its own it knows better.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use holm_model::fact::InstanceReport;
use holm_model::id::MemberId;
use holm_model::item::{Endpoint, Endpoints, EndpointsKey, Item, ItemKey};
use holm_model::member::Role;

use super::Orchestrator;

/// Which members need which endpoints, with the number of placements that connect to them; members
/// stay with 0 until their list has been told.
pub(super) type Consumers = BTreeMap<EndpointsKey, BTreeMap<MemberId, u32>>;

impl Orchestrator {
    pub(super) fn consume(&mut self, member: MemberId, key: &EndpointsKey) {
        *self.index.consumers.entry(key.clone()).or_default().entry(member).or_default() += 1;
        self.todo.endpoints.insert(key.clone());
    }

    pub(super) fn stop_consuming(&mut self, member: MemberId, key: &EndpointsKey) {
        if let Some(count) = self.index.consumers.get_mut(key).and_then(|members| members.get_mut(&member)) {
            *count = count.saturating_sub(1);
            self.todo.endpoints.insert(key.clone());
        }
    }

    pub(super) fn derive_endpoints(&mut self) {
        self.todo.endpoints.extend(self.index.consumers.keys().cloned());
        self.refresh_endpoints();
    }

    /// Brings the endpoints on the lists up to date, where something that they follow from has changed.
    pub(super) fn refresh_endpoints(&mut self) {
        for key in std::mem::take(&mut self.todo.endpoints) {
            let Some(members) = self.index.consumers.get(&key).cloned() else { continue };
            let endpoints = self.endpoints(&key);
            // Clusters place by it; nodes have no use for it, and would write files anew.
            let of_nodes = Item::Endpoints(without_coordinates(&endpoints));
            let of_clusters = Item::Endpoints(endpoints);
            for (member, count) in &members {
                let role = self.members.get(member).map(|member| member.role);
                let item = if role == Some(Role::Cluster) { &of_clusters } else { &of_nodes };
                let item = (*count > 0).then_some(item);
                self.set_item(*member, ItemKey::Endpoints(key.clone()), item);
            }
            let mut left = members;
            left.retain(|_, count| *count > 0);
            if left.is_empty() {
                self.index.consumers.remove(&key);
            } else {
                self.index.consumers.insert(key, left);
            }
        }
    }

    fn endpoints(&self, key: &EndpointsKey) -> Endpoints {
        let own = self.instances_of(&key.service).filter(|report| !report.held);
        let mut endpoints: Vec<Endpoint> = own.filter_map(|report| self.endpoint(report, key)).collect();
        if let Some(packed) = self.held.get(&ItemKey::Endpoints(key.clone()))
            && let Ok(Item::Endpoints(told)) = packed.unpack()
        {
            let elsewhere = told.endpoints.into_iter().filter(|e| !self.reigns.contains(&e.instance.0.epoch));
            endpoints.extend(elsewhere);
        }
        endpoints.sort_by(|a, b| (&a.slot, a.instance).cmp(&(&b.slot, b.instance)));
        endpoints.dedup_by_key(|endpoint| endpoint.instance);
        if endpoints.iter().any(|endpoint| !endpoint.unready) {
            endpoints.retain(|endpoint| !endpoint.unready);
        }
        Endpoints { endpoints }
    }

    fn endpoint(&self, report: &InstanceReport, key: &EndpointsKey) -> Option<Endpoint> {
        if !self.serves(report) || !self.is_in_force(report) {
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
            unready: !report.status.is_ready(),
            coordinate: self.coordinate_of(&report.node),
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
        if self.is_unconfirmed(member) {
            return false;
        }
        let needs =
            self.index.consumers.iter().filter(|(_, members)| members.get(&member).is_some_and(|n| *n > 0));
        needs
            .map(|(key, _)| key)
            .any(|key| self.endpoints(key).endpoints.iter().any(|e| e.instance == instance && e.port == port))
    }
}

fn without_coordinates(endpoints: &Endpoints) -> Endpoints {
    let plain = |endpoint: &Endpoint| Endpoint { coordinate: None, ..endpoint.clone() };
    Endpoints { endpoints: endpoints.endpoints.iter().map(plain).collect() }
}
