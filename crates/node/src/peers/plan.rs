//! What follows from the list: which proxies there must be, and what stands in which file. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use holm_model::id::{AssignmentId, WishId};
use holm_model::item::{Endpoint, Endpoints, EndpointsKey};
use holm_model::name::Name;
use holm_model::service::Connect;
use holm_model::slot::ServiceKey;
use holm_model::tunnel::{Peer, PeersFile};

/// The part of the node's list that is about peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Instances of this node that connect to something.
    pub(crate) consumers: BTreeMap<AssignmentId, Consumer>,
    pub(crate) endpoints: BTreeMap<EndpointsKey, Endpoints>,
    /// All instances of this node.
    pub(crate) here: BTreeSet<AssignmentId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Consumer {
    pub(crate) wish: WishId,
    pub(crate) runtime: Name,
    pub(crate) connects: Vec<Connect>,
}

/// One proxy: where it listens for whom. Consumers of one runtime share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ProxyKey {
    pub(crate) listen: IpAddr,
    pub(crate) instance: AssignmentId,
    /// On the peer's node.
    pub(crate) port: u16,
}

#[derive(Debug)]
pub(crate) struct Plan<'a> {
    wish: &'a Wish,
    local: &'a BTreeMap<Name, IpAddr>,
    /// Proxies that must listen, with the endpoint behind each.
    pub(crate) proxies: BTreeMap<ProxyKey, &'a Endpoint>,
}

// === impl Plan ===

impl<'a> Plan<'a> {
    /// `local` says, by runtime, where its instances reach listeners of the node; instances of a
    /// runtime that is not in it get an empty file.
    pub(crate) fn new(wish: &'a Wish, local: &'a BTreeMap<Name, IpAddr>) -> Self {
        let mut plan = Self { wish, local, proxies: BTreeMap::new() };
        for consumer in wish.consumers.values() {
            let Some(listen) = local.get(&consumer.runtime) else { continue };
            for connect in &consumer.connects {
                for endpoint in plan.endpoints(consumer, connect) {
                    if !wish.here.contains(&endpoint.instance) {
                        plan.proxies.insert(ProxyKey::new(*listen, endpoint), endpoint);
                    }
                }
            }
        }
        plan
    }

    /// The file of each consumer, given where the proxies listen; a peer whose proxy does not is left
    /// out, and a port without peers is there with an empty list.
    pub(crate) fn files(
        &self,
        listening: impl Fn(&ProxyKey) -> Option<SocketAddr>,
    ) -> BTreeMap<AssignmentId, PeersFile> {
        let file = |(id, consumer): (&AssignmentId, &'a Consumer)| {
            let mut file = PeersFile::default();
            for connect in &consumer.connects {
                let peers = self.endpoints(consumer, connect).iter().filter_map(|endpoint| {
                    let address = self.address(consumer, endpoint, &listening)?;
                    let slot = format!("{}/{}", connect.service, endpoint.slot);
                    Some(Peer { slot, instance: endpoint.instance, address: address.to_string() })
                });
                let ports = file.services.entry(connect.service.clone()).or_default();
                ports.insert(connect.port.clone(), peers.collect());
            }
            (*id, file)
        };
        self.wish.consumers.iter().map(file).collect()
    }

    fn endpoints(&self, consumer: &Consumer, connect: &Connect) -> &'a [Endpoint] {
        let service = ServiceKey { wish: consumer.wish, service: connect.service.clone() };
        let key = EndpointsKey { service, port: connect.port.clone() };
        self.wish.endpoints.get(&key).map_or(&[], |found| &found.endpoints)
    }

    fn address(
        &self,
        consumer: &Consumer,
        endpoint: &Endpoint,
        listening: impl Fn(&ProxyKey) -> Option<SocketAddr>,
    ) -> Option<SocketAddr> {
        let local = *self.local.get(&consumer.runtime)?;
        if self.wish.here.contains(&endpoint.instance) {
            return Some(SocketAddr::new(local, endpoint.port));
        }
        listening(&ProxyKey::new(local, endpoint))
    }
}

// === impl ProxyKey ===

impl ProxyKey {
    const fn new(listen: IpAddr, endpoint: &Endpoint) -> Self {
        Self { listen, instance: endpoint.instance, port: endpoint.port }
    }
}
