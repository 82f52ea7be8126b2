//! Which instances have connections open through tunnels, so that a stop can wait for them.
//!
//! ```text
//! open ──(a stop begins)──► draining: no new ones, and the stop waits ──(a launch)──► open
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holm_model::id::AssignmentId;
use tokio::sync::watch;
use tokio::time::timeout;

/// Shared; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections(Arc<Mutex<BTreeMap<AssignmentId, Gate>>>);

#[derive(Debug, Default)]
struct Gate {
    open: watch::Sender<usize>,
    draining: bool,
}

/// One connection; it counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Pass {
    connections: Connections,
    id: AssignmentId,
}

// === impl Connections ===

impl Connections {
    /// `None`: the instance is going to stop.
    pub(crate) fn enter(&self, id: AssignmentId) -> Option<Pass> {
        let mut gates = self.gates();
        let gate = gates.entry(id).or_default();
        if gate.draining {
            return None;
        }
        gate.open.send_modify(|open| *open += 1);
        Some(Pass { connections: self.clone(), id })
    }

    /// Lets in no new connection, and waits for those that are open, at most so long.
    pub(crate) async fn drain(&self, id: AssignmentId, most: Duration) {
        let mut open = {
            let mut gates = self.gates();
            let gate = gates.entry(id).or_default();
            gate.draining = true;
            gate.open.subscribe()
        };
        let left = timeout(most, open.wait_for(|open| *open == 0)).await.is_err();
        if left && !most.is_zero() {
            let open = *open.borrow();
            tracing::info!(instance = %id, open, "An instance is stopped with connections that did not end in time.");
        }
    }

    /// It takes connections, until the next stop.
    pub(crate) fn begin(&self, id: AssignmentId) {
        if let Some(gate) = self.gates().get_mut(&id) {
            gate.draining = false;
        }
    }

    /// Nothing is left of the instance.
    pub(crate) fn forget(&self, id: AssignmentId) {
        self.gates().remove(&id);
    }

    /// Nothing that holds the lock can panic half-way.
    fn gates(&self) -> MutexGuard<'_, BTreeMap<AssignmentId, Gate>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(gate) = self.connections.gates().get(&self.id) {
            gate.open.send_modify(|open| *open = open.saturating_sub(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::id::{Epoch, Uid};
    use tokio::time::Instant;

    const ID: AssignmentId = AssignmentId(Uid { epoch: Epoch::new(1, 1), counter: 1 });

    #[tokio::test(start_paused = true)]
    async fn a_stop_waits_for_connections_and_no_longer_than_it_may() {
        let (connections, second) = (Connections::default(), Duration::from_secs(1));
        let begun = Instant::now();
        connections.drain(ID, 10 * second).await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "there is none");
        assert!(connections.enter(ID).is_none(), "it is going to stop");

        connections.begin(ID);
        let (short, long) = (connections.enter(ID).unwrap(), connections.enter(ID).unwrap());
        tokio::spawn(async move {
            tokio::time::sleep(2 * second).await;
            drop(short);
        });
        connections.drain(ID, 5 * second).await;
        assert_eq!(begun.elapsed(), 5 * second, "one stays open");
        drop(long);
        connections.drain(ID, 5 * second).await;
        assert_eq!(begun.elapsed(), 5 * second);
    }
}
