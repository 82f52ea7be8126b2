//! Ports of this orchestrator that lead to services: opened as the machine says, balanced over the instances that
//! take connections, through the links that their nodes have opened.
//!
//! ```text
//! machine ── table ──► balancer ──► door (a port) ──► connection ──► tunnel ──► node ──► instance
//!    ▲                                 │
//!    └──── open, or why not ◄──────────┘
//! ```
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`choose`] | who takes a connection; pure |
//! | [`door`] | a port: listening, letting in |
//! | [`carry`] | one connection: finding an instance, passing bytes on |
//! | [`rooms`] | how much of a link all ports, and one of them, may use |
//! | [`crowd`] | how many connections there may be, and of one client |
//! | [`counters`] | what is counted |

mod carry;
mod choose;
pub mod counters;
mod crowd;
mod door;
pub(crate) mod rooms;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holm_core::orchestrator::exposing::{Exposed, Exposure};
use holm_model::view::expose::ExposureView;
use tokio_util::task::AbortOnDropHandle;

use self::counters::{Counted, Snapshot};
use self::crowd::Crowd;
use self::door::Door;
use self::rooms::Rooms;
use crate::handle::Inputs;
use crate::tunnels::Router;

/// Where ports are opened that nobody said the address of.
pub const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// All ports that lead to services. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Balancer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    address: IpAddr,
    inputs: Inputs,
    router: Router,
    rooms: Rooms,
    crowd: Crowd,
    /// `None`: shut, and it stays so.
    open: Mutex<Option<BTreeMap<u16, Open>>>,
}

/// A door and the task that keeps it; it shuts when this is dropped, and whoever is inside may stay.
#[derive(Debug)]
struct Open {
    door: Arc<Door>,
    _task: AbortOnDropHandle<()>,
}

// === impl Balancer ===

impl Balancer {
    pub(crate) fn new(address: IpAddr, inputs: Inputs, router: Router, rooms: Rooms) -> Self {
        let crowd = Crowd::of_this_process();
        let open = Mutex::new(Some(BTreeMap::new()));
        Self(Arc::new(Shared { address, inputs, router, rooms, crowd, open }))
    }

    pub(crate) fn address(&self) -> IpAddr {
        self.0.address
    }

    /// All that there must be from now on.
    pub(crate) fn wish(&self, table: Vec<Exposure>) {
        let granted = table.into_iter().filter(|exposure| exposure.refused.is_none());
        let mut open = self.open();
        let Some(open) = open.as_mut() else { return };
        let mut before = std::mem::take(open);
        for exposure in granted {
            let port = exposure.port;
            // One that leads elsewhere is shut before it is opened anew.
            let kept = before.remove(&port).filter(|kept| kept.door.leads_to(&exposure));
            let kept = kept.unwrap_or_else(|| self.open_one(&exposure));
            kept.door.aim(exposure.targets);
            open.insert(port, kept);
        }
    }

    fn open_one(&self, exposure: &Exposure) -> Open {
        let door = Arc::new(Door::new(exposure, self.0.rooms.clone()));
        let (address, inputs) = ((self.0.address, exposure.port).into(), self.0.inputs.clone());
        let (router, crowd) = (self.0.router.clone(), self.0.crowd.clone());
        let serve = Arc::clone(&door).serve(address, inputs, router, crowd);
        Open { door, _task: AbortOnDropHandle::new(tokio::spawn(serve)) }
    }

    /// What was counted, by port.
    pub(crate) fn counted(&self) -> Vec<Counted> {
        let one = |(port, open): (&u16, &Open)| Counted { port: *port, counts: open.door.counted() };
        self.open().iter().flatten().map(one).collect()
    }

    /// Nobody new is let in, whatever is wished from now on.
    pub(crate) fn shut(&self) {
        *self.open() = None;
    }

    pub(crate) fn count_of(&self, port: u16) -> Option<Snapshot> {
        self.open().as_ref()?.get(&port).map(|open| open.door.counted())
    }

    /// Nothing that holds the lock can panic half-way.
    fn open(&self) -> MutexGuard<'_, Option<BTreeMap<u16, Open>>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A port as the API shows it.
pub(crate) fn view(address: IpAddr, exposed: Exposed, counts: Snapshot) -> ExposureView {
    let Exposed { exposure, outcome } = exposed;
    let Exposure { port, app, service, name, refused, targets } = exposure;
    let (open, reason) = match (refused, outcome) {
        (Some(reason), _) | (None, Some(Err(reason))) => (false, reason),
        (None, Some(Ok(()))) => (true, String::new()),
        (None, None) => (false, "it is being opened".to_owned()),
    };
    let Snapshot { open: connections, accepted, retried, failed, received, sent } = counts;
    ExposureView {
        port,
        address: SocketAddr::new(address, port).to_string(),
        project: app.project.to_string(),
        application: app.application.to_string(),
        service: service.to_string(),
        service_port: name.to_string(),
        open,
        reason,
        ready: u32::try_from(targets.len()).unwrap_or(u32::MAX),
        connections,
        accepted,
        retried,
        failed,
        received,
        sent,
    }
}
