//! A port that leads to a service: listening, letting in, keeping count.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holm_core::orchestrator::Event;
use holm_core::orchestrator::exposing::{Exposure, Target};
use holm_model::id::AssignmentId;
use holm_model::name::Name;
use holm_model::wish::AppKey;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

use super::carry::carry;
use super::choose::choose;
use super::counters::{Counters, Snapshot};
use super::rooms::Rooms;
use crate::handle::Inputs;
use crate::tunnels::Router;

#[derive(Debug)]
pub(super) struct Door {
    app: AppKey,
    service: Name,
    name: Name,
    targets: watch::Sender<Arc<[Target]>>,
    /// Connections of each instance, as far as there are any.
    open: Mutex<BTreeMap<AssignmentId, usize>>,
    turn: AtomicUsize,
    rooms: Rooms,
    pub(super) counters: Counters,
}

/// A connection that is with an instance; it counts until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    door: Arc<Door>,
    pub(super) target: Target,
    /// `None`: its link has no room, and it is not asked.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

/// Connections of one port at once; who comes then waits in the system's queue.
const MOST: usize = 1024;
/// A port that cannot be opened is tried again after this; so many times at first, sooner.
const SOON: Duration = Duration::from_millis(200);
const SOONER: u32 = 5;
const RETRY: Duration = Duration::from_secs(5);
/// How long to wait when the system has no file descriptor left.
const EXHAUSTED: Duration = Duration::from_millis(100);

// === impl Door ===

impl Door {
    pub(super) fn new(exposure: &Exposure, rooms: Rooms) -> Self {
        let Exposure { app, service, name, .. } = exposure.clone();
        Self {
            app,
            service,
            name,
            targets: watch::Sender::new(Arc::new([])),
            open: Mutex::default(),
            turn: AtomicUsize::default(),
            rooms,
            counters: Counters::default(),
        }
    }

    pub(super) fn leads_to(&self, exposure: &Exposure) -> bool {
        (&self.app, &self.service, &self.name) == (&exposure.app, &exposure.service, &exposure.name)
    }

    /// Who takes connections from now on.
    pub(super) fn aim(&self, targets: Vec<Target>) {
        self.targets.send_if_modified(|now| {
            let changed = now[..] != targets[..];
            if changed {
                *now = targets.into();
            }
            changed
        });
    }

    pub(super) fn watch(&self) -> watch::Receiver<Arc<[Target]>> {
        self.targets.subscribe()
    }

    pub(super) fn counted(&self) -> Snapshot {
        self.counters.snapshot()
    }

    /// Listens and lets in until it is dropped; tells the machine whether it can.
    pub(super) async fn serve(self: Arc<Self>, address: SocketAddr, inputs: Inputs, router: Router) {
        let port = address.port();
        // Whoever had it a moment ago may not have let go of it yet.
        let mut patience = SOONER;
        let listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(_) if patience > 0 => {
                    patience -= 1;
                    sleep(SOON).await;
                }
                Err(error) => {
                    let reason = format!("cannot listen on {address}: {error}; is another program there?");
                    tracing::warn!(%address, %error, "A port that leads to a service cannot be opened.");
                    inputs.event(Event::Exposed { port, outcome: Err(reason) }).await;
                    sleep(RETRY).await;
                }
            }
        };
        inputs.event(Event::Exposed { port, outcome: Ok(()) }).await;
        let room = Arc::new(Semaphore::new(MOST));
        loop {
            // It is never closed.
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (door, router) = (Arc::clone(&self), router.clone());
                    tokio::spawn(async move {
                        carry(door, stream, router).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, port, "A connection to a service could not be accepted.");
                    sleep(EXHAUSTED).await;
                }
            }
        }
    }

    /// Who takes a connection, none of those that were `tried`.
    pub(super) fn take(self: &Arc<Self>, tried: &BTreeSet<AssignmentId>) -> Option<Place> {
        let targets = self.targets.borrow().clone();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut open = self.open();
        let target = choose(&targets, &open, tried, turn)?.clone();
        *open.entry(target.instance).or_default() += 1;
        drop(open);
        let room = self.rooms.enter(&target.path);
        Some(Place { door: Arc::clone(self), target, room })
    }

    /// Nothing that holds the lock can panic half-way.
    fn open(&self) -> MutexGuard<'_, BTreeMap<AssignmentId, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.door.open();
        if let Some(count) = open.get_mut(&self.target.instance) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.target.instance);
            }
        }
    }
}
