//! How much of the links all ports together may use: the rest is for logs, shells, copies, and services that
//! connect to each other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use holm_model::id::MemberId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// By the member at the other end of the link. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Rooms {
    /// Connections through one link at once.
    most: usize,
    links: Arc<Mutex<BTreeMap<MemberId, Arc<Semaphore>>>>,
}

// === impl Rooms ===

impl Rooms {
    /// For links with so many tunnels.
    pub(super) fn new(tunnels: usize) -> Self {
        Self { most: tunnels - tunnels / 4, links: Arc::default() }
    }

    /// Room for one connection, until it is dropped; `None`: all is taken.
    pub(super) fn enter(&self, path: &[MemberId]) -> Option<OwnedSemaphorePermit> {
        // Nothing that holds the lock can panic half-way.
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let room = links.entry(*path.first()?).or_insert_with(|| Arc::new(Semaphore::new(self.most)));
        Arc::clone(room).try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::id::{Epoch, Uid};

    #[test]
    fn a_quarter_of_each_link_is_left_whatever_comes_in() {
        let member = |counter| MemberId(Uid { epoch: Epoch::new(1, 1), counter });
        let rooms = Rooms::new(8);
        let mut inside: Vec<_> = (0..6).map(|_| rooms.enter(&[member(1), member(3)]).unwrap()).collect();
        assert!(rooms.enter(&[member(1)]).is_none());
        assert!(rooms.enter(&[member(2)]).is_some(), "another link");
        inside.pop();
        assert!(rooms.enter(&[member(1)]).is_some());
        assert!(rooms.enter(&[]).is_none());
    }
}
