//! The serial numbers that are valid no more.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::watch;

use crate::certificate::Serial;

/// A set of revoked serial numbers, shared by everybody who judges certificates.
///
/// It is consulted for every certificate of a chain, so revoking a cluster's intermediate ends all
/// of the cluster's members. Sessions that are open already are the business of whoever
/// [subscribes](Self::subscribe).
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    set: Arc<watch::Sender<Arc<HashSet<Serial>>>>,
}

impl Revocations {
    /// Adds `serials`; a revocation is never taken back, so lists merge by union.
    pub fn revoke(&self, serials: impl IntoIterator<Item = Serial>) {
        self.set.send_if_modified(|set| {
            let before = set.len();
            Arc::make_mut(set).extend(serials);
            set.len() != before
        });
    }

    #[must_use]
    pub fn contains(&self, serial: &Serial) -> bool {
        self.set.borrow().contains(serial)
    }

    /// The current set and each later one.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<HashSet<Serial>>> {
        self.set.subscribe()
    }
}

impl FromIterator<Serial> for Revocations {
    fn from_iter<I: IntoIterator<Item = Serial>>(serials: I) -> Self {
        let all = Self::default();
        all.revoke(serials);
        all
    }
}
