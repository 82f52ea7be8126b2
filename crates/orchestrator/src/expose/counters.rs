//! What is counted of a port since this orchestrator began: plain numbers, for metrics and for people.

use std::sync::atomic::{AtomicU64, Ordering};

/// What was counted of one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub port: u16,
    pub counts: Snapshot,
}

/// As it was at one moment; all but `open` only rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Connections that are open now.
    pub open: u64,
    /// Connections that were let in.
    pub accepted: u64,
    /// Instances that did not take one of them, so that the next was asked.
    pub retried: u64,
    /// Connections that no instance took in time.
    pub failed: u64,
    /// Bytes from clients to instances.
    pub received: u64,
    /// Bytes from instances to clients.
    pub sent: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) open: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) retried: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) sent: AtomicU64,
}

// === impl Counters ===

impl Counters {
    pub(super) fn add(counter: &AtomicU64, number: u64) {
        counter.fetch_add(number, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            open: of(&self.open),
            accepted: of(&self.accepted),
            retried: of(&self.retried),
            failed: of(&self.failed),
            received: of(&self.received),
            sent: of(&self.sent),
        }
    }
}
