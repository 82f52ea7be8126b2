//! How much of the links all ports together may use: the rest is for logs, shells, copies, and services that
//! connect to each other. And how much of that one port may use: the last quarter is for ports that have little.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holm_model::id::MemberId;
use tokio::time::Instant;

/// By the member at the other end of the link. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Rooms {
    /// Connections through one link at once.
    most: usize,
    links: Arc<Mutex<BTreeMap<MemberId, Taken>>>,
}

/// What ports have of one link.
#[derive(Debug, Default)]
struct Taken {
    by_port: BTreeMap<u16, usize>,
    /// When a connection found no room last.
    refused: Option<Instant>,
}

/// Room for one connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    rooms: Rooms,
    link: MemberId,
    port: u16,
}

/// Not one of our ports: connections of our parent, which only pass through.
pub(crate) const PASSING: u16 = 0;
/// A link is crowded for so long after it had no room for somebody.
const CROWDED: Duration = Duration::from_secs(60);

/// Whether a port that has `own` of the `taken` places of a link may have one more.
fn admits(most: usize, taken: usize, own: usize) -> bool {
    taken < most && (taken < most - most / 4 || own < (most / 8).max(1))
}

// === impl Rooms ===

impl Rooms {
    /// For links with so many tunnels.
    pub(crate) fn new(tunnels: usize) -> Self {
        Self { most: tunnels - tunnels / 4, links: Arc::default() }
    }

    /// `None`: all that the port may have is taken.
    pub(crate) fn enter(&self, path: &[MemberId], port: u16) -> Option<Room> {
        let link = *path.first()?;
        let mut links = self.links();
        let taken = links.entry(link).or_default();
        let own = taken.by_port.get(&port).copied().unwrap_or_default();
        if !admits(self.most, taken.by_port.values().sum(), own) {
            taken.refused = Some(Instant::now());
            return None;
        }
        taken.by_port.insert(port, own + 1);
        Some(Room { rooms: self.clone(), link, port })
    }

    /// Nothing that holds the lock can panic half-way.
    fn links(&self) -> MutexGuard<'_, BTreeMap<MemberId, Taken>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Room ===

impl Room {
    /// Others would have it, if it is not used.
    pub(crate) fn is_wanted(&self) -> bool {
        let links = self.rooms.links();
        let refused = links.get(&self.link).and_then(|taken| taken.refused);
        refused.is_some_and(|at| at.elapsed() < CROWDED)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut links = self.rooms.links();
        let Some(taken) = links.get_mut(&self.link) else { return };
        if let Some(own) = taken.by_port.get_mut(&self.port) {
            *own -= 1;
            if *own == 0 {
                taken.by_port.remove(&self.port);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::id::{Epoch, Uid};

    fn member(counter: u64) -> MemberId {
        MemberId(Uid { epoch: Epoch::new(1, 1), counter })
    }

    fn fill(rooms: &Rooms, link: u64, port: u16) -> Vec<Room> {
        std::iter::from_fn(|| rooms.enter(&[member(link), member(3)], port)).collect()
    }

    #[test]
    fn a_quarter_of_each_link_is_left_whatever_comes_in() {
        let rooms = Rooms::new(64);
        let inside: Vec<Vec<Room>> = (1..10).map(|port| fill(&rooms, 1, port)).collect();
        assert_eq!(inside.iter().map(Vec::len).sum::<usize>(), 48);
        assert_eq!(fill(&rooms, 2, 1).len(), 36, "another link");
        drop(inside);
        assert_eq!(fill(&rooms, 1, 1).len(), 36);
        assert!(rooms.enter(&[], 1).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn one_port_leaves_room_for_the_others() {
        let rooms = Rooms::new(64);
        let greedy = fill(&rooms, 1, 1);
        assert!(greedy[0].is_wanted());
        assert_eq!((greedy.len(), fill(&rooms, 1, 2).len()), (36, 6));
        tokio::time::advance(CROWDED).await;
        assert!(!greedy[0].is_wanted());
    }

    #[test]
    fn links_with_next_to_no_tunnels_have_room_for_each() {
        assert_eq!(fill(&Rooms::new(1), 1, 1).len(), 1);
        assert!(admits(4, 3, 0) && !admits(4, 3, 1));
    }
}
