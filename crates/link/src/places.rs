//! Places that many may take, nobody more than a share. Pure.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many places there are, and how many of them one may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub each: usize,
    pub all: usize,
}

/// Places; clones are the same ones. Remembers those who have one, nobody else.
#[derive(Debug)]
pub struct Places<K: Eq + Hash> {
    share: Share,
    taken: Arc<Mutex<Taken<K>>>,
}

/// One place; free again when it is dropped.
#[derive(Debug)]
pub struct Place<K: Eq + Hash> {
    owner: Option<K>,
    taken: Arc<Mutex<Taken<K>>>,
}

/// There is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// This one has their share.
    Each,
    /// All are taken.
    All,
}

#[derive(Debug)]
struct Taken<K> {
    all: usize,
    each: HashMap<K, usize>,
}

/// Whom an address stands for: one customer of an IPv6 network has 2⁶⁴ addresses.
#[must_use]
pub fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

// === impl Places ===

impl<K: Eq + Hash> Places<K> {
    #[must_use]
    pub fn new(share: Share) -> Self {
        Self { share, taken: Arc::new(Mutex::new(Taken { all: 0, each: HashMap::new() })) }
    }

    #[must_use]
    pub const fn share(&self) -> Share {
        self.share
    }

    /// A place for `owner`; without one, its place counts among all only.
    ///
    /// # Errors
    /// When there is none.
    pub fn take(&self, owner: Option<K>) -> Result<Place<K>, Full>
    where
        K: Clone,
    {
        let mut taken = lock(&self.taken);
        if taken.all >= self.share.all {
            return Err(Full::All);
        }
        if let Some(owner) = &owner {
            let has = taken.each.entry(owner.clone()).or_insert(0);
            if *has >= self.share.each {
                return Err(Full::Each);
            }
            *has += 1;
        }
        taken.all += 1;
        Ok(Place { owner, taken: Arc::clone(&self.taken) })
    }
}

impl<K: Eq + Hash> Clone for Places<K> {
    fn clone(&self) -> Self {
        Self { share: self.share, taken: Arc::clone(&self.taken) }
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.all -= 1;
        if let Some(owner) = self.owner.take()
            && let Entry::Occupied(mut has) = taken.each.entry(owner)
        {
            *has.get_mut() -= 1;
            if *has.get() == 0 {
                has.remove();
            }
        }
    }
}

fn lock<K>(taken: &Mutex<Taken<K>>) -> MutexGuard<'_, Taken<K>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_more_than_a_share_and_what_is_left_is_free_again() {
        let places = Places::new(Share { each: 2, all: 3 });
        let ada: Vec<_> = (0..2).map(|_| places.take(Some("ada")).unwrap()).collect();
        assert_eq!(places.take(Some("ada")).unwrap_err(), Full::Each);
        let bob = places.take(Some("bob")).unwrap();
        assert_eq!(places.take(Some("cyd")).unwrap_err(), Full::All);
        drop(ada);
        assert!(places.take(Some("ada")).is_ok());
        drop(bob);
        assert!(lock(&places.taken).each.is_empty(), "who has nothing is forgotten");
        assert_eq!(lock(&places.taken).all, 0);
    }

    #[test]
    fn a_place_without_an_owner_counts_among_all() {
        let places = Places::<u8>::new(Share { each: 1, all: 2 });
        let all: Vec<_> = (0..2).map(|_| places.take(None).unwrap()).collect();
        assert_eq!(places.take(None).unwrap_err(), Full::All);
        assert_eq!(all.len(), 2);
    }

    #[test]
    fn an_ipv6_network_is_one_neighbourhood() {
        let of = |text: &str| neighbourhood(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
