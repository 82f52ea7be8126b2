//! What all members together have received.

use std::sync::atomic::{AtomicU64, Ordering};

use holm_model::message::ListChange;
use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};

#[derive(Debug, Default)]
pub(crate) struct Tally {
    online: AtomicU64,
    items: AtomicU64,
    removed: AtomicU64,
    changes: AtomicU64,
    /// When the last item came, in nanoseconds of `CLOCK_MONOTONIC`.
    last: AtomicU64,
}

impl Tally {
    /// A member is in step.
    pub(crate) fn online(&self) {
        self.online.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn change(&self, change: &ListChange) -> Result<(), Errno> {
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.items.fetch_add(change.put.len() as u64, Ordering::Relaxed);
        self.removed.fetch_add(change.removed.len() as u64, Ordering::Relaxed);
        if !change.put.is_empty() {
            let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
            let now = now.tv_sec().unsigned_abs() * 1_000_000_000 + now.tv_nsec().unsigned_abs();
            self.last.fetch_max(now, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        serde_json::json!({
            "online": read(&self.online),
            "items": read(&self.items),
            "removed": read(&self.removed),
            "changes": read(&self.changes),
            "last_ns": read(&self.last),
        })
    }
}
