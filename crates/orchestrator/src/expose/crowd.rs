//! How many connections there may be: of all ports together, and of one client at one port.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::resource::{Resource, getrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Of all ports together. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Crowd(Arc<Semaphore>);

/// Of each client at one port. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients(Arc<Mutex<BTreeMap<IpAddr, usize>>>);

/// A client's connection; it counts until this is dropped.
#[derive(Debug)]
pub(super) struct Client {
    clients: Clients,
    address: IpAddr,
}

/// When the system does not say how many files may be open: its usual number.
const DESCRIPTORS: u64 = 1024;
/// Connections of one client at one port at once.
const MOST_OF_ONE: usize = 256;

// === impl Crowd ===

impl Crowd {
    /// A quarter of what this process may have open: members, people and the store need the rest.
    pub(super) fn of_this_process() -> Self {
        let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(DESCRIPTORS, |(soft, _)| soft);
        let most = usize::try_from(descriptors / 4).unwrap_or(usize::MAX);
        Self::new(most.clamp(1, Semaphore::MAX_PERMITS))
    }

    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Semaphore::new(most)))
    }

    /// Waits for room for one connection.
    pub(super) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        Arc::clone(&self.0).acquire_owned().await.ok()
    }
}

// === impl Clients ===

impl Clients {
    /// `None`: the client has as many as it may.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Client> {
        let address = of_one(address);
        let mut all = self.all();
        let open = all.entry(address).or_default();
        if *open >= MOST_OF_ONE {
            return None;
        }
        *open += 1;
        Some(Client { clients: self.clone(), address })
    }

    /// Nothing that holds the lock can panic half-way.
    fn all(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who has one address of version 6 has its network of 64 bits.
fn of_one(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_none() => {
            Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into()
        }
        address => address,
    }
}

// === impl Client ===

impl Drop for Client {
    fn drop(&mut self) {
        let mut all = self.clients.all();
        if let Some(open) = all.get_mut(&self.address) {
            *open -= 1;
            if *open == 0 {
                all.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_has_a_part_whatever_address_of_its_network_it_takes() {
        let clients = Clients::default();
        let (one, other): (IpAddr, IpAddr) = ("fd00::1".parse().unwrap(), "fd00:0:0:1::1".parse().unwrap());
        let inside: Vec<_> = std::iter::from_fn(|| clients.enter(one)).collect();
        assert_eq!(inside.len(), MOST_OF_ONE);
        assert!(clients.enter("fd00::2".parse().unwrap()).is_none());
        assert!(clients.enter(other).is_some() && clients.enter("10.0.0.1".parse().unwrap()).is_some());
        drop(inside);
        assert!(clients.all().is_empty());
        assert!(clients.enter(one).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn all_ports_together_have_so_many() {
        let crowd = Crowd::new(2);
        let (first, _second) = (crowd.enter().await, crowd.enter().await);
        let third = crowd.enter();
        tokio::pin!(third);
        let wait = std::time::Duration::from_secs(60);
        assert!(tokio::time::timeout(wait, &mut third).await.is_err());
        drop(first);
        assert!(third.await.is_some());
    }
}
