//! A port that leads to a service: listening, letting in, keeping count.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holm_core::orchestrator::Event;
use holm_core::orchestrator::exposing::{Exposure, Target};
use holm_model::id::AssignmentId;
use holm_model::name::Name;
use holm_model::wish::AppKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

use super::carry::carry;
use super::choose::choose;
use super::counters::{Counters, Snapshot};
use super::crowd::{Clients, Crowd};
use super::rooms::{Room, Rooms};
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
    port: u16,
    clients: Clients,
    /// Connections that look for an instance.
    looking: AtomicUsize,
    pub(super) counters: Counters,
}

/// One that looks for an instance; it counts until this is dropped.
#[derive(Debug)]
pub(super) struct Looking<'a>(&'a AtomicUsize);

/// A connection that is with an instance; it counts until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    door: Arc<Door>,
    pub(super) target: Target,
    /// `None`: its link has no room, and it is not asked.
    pub(super) room: Option<Room>,
}

/// Connections of one port at once; who comes then waits in the system's queue.
const MOST: usize = 1024;
/// So many connections wait for an instance where there is none; whoever comes then is sent away.
const PATIENT: usize = 64;
/// A port that cannot be opened is tried again after this; so many times at first, sooner.
const SOON: Duration = Duration::from_millis(200);
const SOONER: u32 = 5;
const RETRY: Duration = Duration::from_secs(5);
/// How long to wait when the system has no file descriptor left.
const EXHAUSTED: Duration = Duration::from_millis(100);

// === impl Door ===

impl Door {
    pub(super) fn new(exposure: &Exposure, rooms: Rooms) -> Self {
        let Exposure { app, service, name, port, .. } = exposure.clone();
        Self {
            app,
            service,
            name,
            targets: watch::Sender::new(Arc::new([])),
            open: Mutex::default(),
            turn: AtomicUsize::default(),
            rooms,
            port,
            clients: Clients::default(),
            looking: AtomicUsize::default(),
            counters: Counters::default(),
        }
    }

    pub(super) fn leads_to(&self, exposure: &Exposure) -> bool {
        (&self.app, &self.service, &self.name) == (&exposure.app, &exposure.service, &exposure.name)
    }

    /// Who takes connections from now on.
    pub(super) fn aim(&self, targets: Arc<[Target]>) {
        self.targets.send_if_modified(|now| {
            let changed = *now != targets;
            *now = targets;
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
    pub(super) async fn serve(
        self: Arc<Self>,
        address: SocketAddr,
        inputs: Inputs,
        router: Router,
        crowd: Crowd,
    ) {
        let listener = self.listen(address, &inputs).await;
        let room = Arc::new(Semaphore::new(MOST));
        let mut exhausted = false;
        loop {
            // It is never closed.
            let Ok(own) = Arc::clone(&room).acquire_owned().await else { return };
            let Some(of_all) = crowd.enter().await else { return };
            match listener.accept().await {
                Ok((stream, from)) => {
                    exhausted = false;
                    self.let_in((stream, from.ip()), router.clone(), (own, of_all));
                }
                Err(error) => {
                    // Said once, until somebody comes in again.
                    if !std::mem::replace(&mut exhausted, true) {
                        tracing::warn!(%error, port = self.port, "Connections to a service cannot be accepted.");
                    }
                    sleep(EXHAUSTED).await;
                }
            }
        }
    }

    async fn listen(&self, address: SocketAddr, inputs: &Inputs) -> TcpListener {
        // Whoever had it a moment ago may not have let go of it yet.
        let mut patience = SOONER;
        loop {
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    inputs.event(self.told(Ok(()))).await;
                    return listener;
                }
                Err(_) if patience > 0 => {
                    patience -= 1;
                    sleep(SOON).await;
                }
                Err(error) => {
                    let reason = format!("cannot listen on {address}: {error}; is another program there?");
                    tracing::warn!(%address, %error, "A port that leads to a service cannot be opened.");
                    inputs.event(self.told(Err(reason))).await;
                    sleep(RETRY).await;
                }
            }
        }
    }

    fn told(&self, outcome: Result<(), String>) -> Event {
        let leads_to = (self.app.clone(), self.service.clone(), self.name.clone());
        Event::Exposed { port: self.port, leads_to, outcome }
    }

    fn let_in(
        self: &Arc<Self>,
        (stream, from): (TcpStream, IpAddr),
        router: Router,
        permits: (OwnedSemaphorePermit, OwnedSemaphorePermit),
    ) {
        let Some(client) = self.clients.enter(from) else {
            Counters::add(&self.counters.accepted, 1);
            return Counters::add(&self.counters.failed, 1);
        };
        let door = Arc::clone(self);
        tokio::spawn(async move {
            carry(door, stream, router).await;
            drop((client, permits));
        });
    }

    /// `None`: there is no instance, and enough others wait for one.
    pub(super) fn look(&self) -> Option<Looking<'_>> {
        let before = self.looking.fetch_add(1, Ordering::Relaxed);
        let looking = Looking(&self.looking);
        (before < PATIENT || !self.targets.borrow().is_empty()).then_some(looking)
    }

    /// Who takes a connection, none of those that were `tried`.
    pub(super) fn take(self: &Arc<Self>, tried: &BTreeSet<AssignmentId>) -> Option<Place> {
        let targets = self.targets.borrow().clone();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut open = self.open();
        let target = choose(&targets, &open, tried, turn)?.clone();
        *open.entry(target.instance).or_default() += 1;
        drop(open);
        let room = self.rooms.enter(&target.path, self.port);
        Some(Place { door: Arc::clone(self), target, room })
    }

    /// Nothing that holds the lock can panic half-way.
    fn open(&self) -> MutexGuard<'_, BTreeMap<AssignmentId, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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
