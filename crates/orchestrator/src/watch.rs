//! Published state: changes with their cursors, and the status.

use std::sync::Arc;

use holm_model::record::Change;
use holm_model::view::{EventView, StatusView};
use tokio::sync::{broadcast, watch};

/// For those who watch.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    changes: broadcast::Sender<Arc<EventView>>,
    status: watch::Receiver<StatusView>,
}

/// For the owner, who alone publishes.
#[derive(Debug)]
pub(crate) struct Publisher {
    changes: broadcast::Sender<Arc<EventView>>,
    status: watch::Sender<StatusView>,
    /// The number of the last change. The store numbers changes in the order it gets them, so those
    /// that are written behind have theirs before they are written.
    cursor: u64,
}

/// Changes that a watcher may lag behind.
const CAPACITY: usize = 4096;

/// Both ends; `cursor` is the store's last change.
pub(crate) fn channel(status: StatusView, cursor: u64) -> (Publisher, Watch) {
    let (changes, _) = broadcast::channel(CAPACITY);
    let (sender, receiver) = watch::channel(status);
    let watch = Watch { changes: changes.clone(), status: receiver };
    (Publisher { changes, status: sender, cursor }, watch)
}

/// A change as the API shows it.
pub(crate) fn event_view(cursor: u64, change: Change) -> EventView {
    let Change { at, kind, subject, application, slot, from, to, cause, reason } = change;
    EventView { cursor, at, kind, subject, application, slot, from, to, cause, reason }
}

// === impl Watch ===

impl Watch {
    pub(crate) fn changes(&self) -> broadcast::Receiver<Arc<EventView>> {
        self.changes.subscribe()
    }

    pub(crate) fn status(&self) -> StatusView {
        self.status.borrow().clone()
    }
}

// === impl Publisher ===

impl Publisher {
    /// A commit told the number of the last change, those of the commit included.
    pub(crate) fn committed(&mut self, last: u64, changes: Vec<Change>) {
        self.cursor = last.saturating_sub(changes.len() as u64);
        self.publish(changes);
    }

    /// Changes that were handed to the store in this order.
    pub(crate) fn publish(&mut self, changes: Vec<Change>) {
        for change in changes {
            self.cursor += 1;
            // Without watchers there is nothing to do.
            let _ = self.changes.send(Arc::new(event_view(self.cursor, change)));
        }
    }

    /// Changes the status; watchers hear of real changes only.
    pub(crate) fn status(&self, change: impl FnOnce(&mut StatusView)) {
        self.status.send_if_modified(|status| {
            let old = status.clone();
            change(status);
            *status != old
        });
    }
}

#[cfg(test)]
mod tests {
    use holm_model::time::Time;

    use super::*;

    fn change(to: &str) -> Change {
        Change {
            at: Time(0),
            kind: "instance".to_owned(),
            subject: String::new(),
            application: String::new(),
            slot: String::new(),
            from: String::new(),
            to: to.to_owned(),
            cause: String::new(),
            reason: String::new(),
        }
    }

    #[test]
    fn cursors_follow_the_stores_numbers() {
        let status = StatusView {
            version: String::new(),
            role: String::new(),
            name: String::new(),
            sea: String::new(),
            epoch: String::new(),
            revision: 0,
            read_only: None,
            parent: String::new(),
            parent_address: None,
            proxy: None,
            fingerprint: String::new(),
        };
        let (mut publisher, watch) = channel(status, 40);
        let mut changes = watch.changes();
        publisher.publish(vec![change("a"), change("b")]);
        publisher.committed(44, vec![change("c"), change("d")]);
        publisher.publish(vec![change("e")]);
        let cursors: Vec<u64> = std::iter::from_fn(|| changes.try_recv().ok()).map(|e| e.cursor).collect();
        assert_eq!(cursors, [41, 42, 43, 44, 45]);
    }
}
