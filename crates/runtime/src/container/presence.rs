//! Whether the engine is there, for whoever wants to know when that changes.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// One task says what it sees, one waits for changes.
#[derive(Debug, Default)]
pub(super) struct Presence {
    there: AtomicBool,
    /// Keeps one change for whoever waits next.
    changed: Notify,
}

// === impl Presence ===

impl Presence {
    /// Tells whether that is new.
    pub(super) fn is(&self, there: bool) -> bool {
        let new = self.there.swap(there, Ordering::Relaxed) != there;
        if new {
            self.changed.notify_one();
        }
        new
    }

    /// Can be dropped and called again without missing a change.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}
