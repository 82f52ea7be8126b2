//! What is valid no more: certificates by their serial numbers, members by their ids.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::watch;

use crate::certificate::Serial;
use crate::identity::Identity;

/// What is revoked, shared by everybody who judges certificates.
///
/// It is consulted for every certificate of a chain, so revoking a cluster's intermediate, or the cluster itself,
/// ends all of the cluster's members. Sessions that are open already are the business of whoever
/// [subscribes](Self::subscribe).
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    set: Arc<watch::Sender<Arc<Revoked>>>,
}

/// What is revoked at one moment.
#[derive(Clone, Debug, Default)]
pub struct Revoked {
    serials: HashSet<Serial>,
    /// By id, as identities name them: whoever revokes one need not know what certificates it has.
    members: HashSet<String>,
}

// === impl Revocations ===

impl Revocations {
    /// Adds `serials`; a revocation is never taken back, so lists merge by union.
    pub fn revoke(&self, serials: impl IntoIterator<Item = Serial>) {
        self.add(|revoked| revoked.serials.extend(serials));
    }

    /// Adds members, by their ids: none of them and nobody below is believed. Ids are never given again.
    pub fn revoke_members(&self, ids: impl IntoIterator<Item = String>) {
        self.add(|revoked| revoked.members.extend(ids));
    }

    fn add(&self, add: impl FnOnce(&mut Revoked)) {
        self.set.send_if_modified(|set| {
            let before = set.len();
            add(Arc::make_mut(set));
            set.len() != before
        });
    }

    #[must_use]
    pub fn contains(&self, serial: &Serial) -> bool {
        self.set.borrow().contains(serial)
    }

    /// Whether this is a revoked member, or below one. For an instance it says nothing: its name is made of others.
    #[must_use]
    pub fn voids(&self, member: &Identity) -> bool {
        let set = self.set.borrow();
        member.path().iter().any(|id| set.members.contains(id))
    }

    /// The current set and each later one.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Revoked>> {
        self.set.subscribe()
    }
}

// === impl Revoked ===

impl Revoked {
    #[must_use]
    pub fn contains(&self, serial: &Serial) -> bool {
        self.serials.contains(serial)
    }

    fn len(&self) -> usize {
        self.serials.len() + self.members.len()
    }
}
