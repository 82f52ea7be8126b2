//! The members' links: which there are, and what goes through them.
//!
//! Each link is a task of its own (see [`session`](crate::session)); this is the table by which the
//! owner and the tunnels reach them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holm_core::orchestrator::event::{Event, LinkId};
use holm_link::certificate::Serial;
use holm_link::clock::Clock;
use holm_link::lane::Lane;
use holm_link::session::{self, IncomingTunnels, Session, Transport};
use holm_link::verify::PeerIdentity;
use holm_model::id::MemberId;
use holm_model::member::Role;
use holm_model::message::{Down, Hello, READS_WITNESSES, Up};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Limits;
use crate::handle::Inputs;
use crate::locating::Locating;
use crate::meter::{Meter, Traffic};
use crate::session::{Outgoing, converse};
use crate::tunnels::Router;

/// All links that are open.
#[derive(Debug)]
pub(crate) struct Links {
    table: Mutex<Table>,
    tasks: TaskTracker,
    /// Whose time members are told.
    clock: Clock,
    meter: Arc<Meter>,
    /// Where members are told that we are.
    locating: Locating,
    /// Where the orchestrator above us is called by nodes that do not hear us; `None`: there is none.
    above: Option<Vec<String>>,
}

#[derive(Debug, Default)]
struct Table {
    /// Numbers are never used twice while the process lives.
    last: u64,
    open: HashMap<LinkId, Link>,
    /// By member the newest link: tunnels go through it.
    newest: BTreeMap<MemberId, LinkId>,
    /// Members that had a link in this run.
    known: BTreeSet<MemberId>,
}

/// What is kept of a link while it is open.
#[derive(Debug)]
struct Link {
    member: MemberId,
    /// The member's certificate has expired: nothing is heard but that it wants a new one.
    renew_only: bool,
    /// Of all certificates of the member's chain.
    serials: Vec<Serial>,
    queue: mpsc::Sender<Outgoing<Down>>,
    lane: Arc<Lane>,
    cut: CancellationToken,
}

/// A member whose certificate was accepted.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) member: MemberId,
    pub(crate) from: IpAddr,
    pub(crate) peer: PeerIdentity,
    pub(crate) session: Session,
}

// === impl Arrival ===

impl Arrival {
    /// None when the certificate is for something that cannot be a member of ours.
    pub(crate) fn new<IO: Transport>(
        peer: PeerIdentity,
        from: IpAddr,
        stream: IO,
        limits: &Limits,
    ) -> Option<Self> {
        let member = peer.identity.name().parse().ok()?;
        Some(Self { member, from, peer, session: Session::server(stream, &session_limits(limits)) })
    }
}

pub(crate) fn session_limits(limits: &Limits) -> session::Limits {
    session::Limits { max_frame: limits.message, max_tunnels: limits.tunnels, ..session::Limits::default() }
}

// === impl Links ===

impl Links {
    pub(crate) fn new(
        clock: Clock,
        meter: Arc<Meter>,
        locating: Locating,
        above: Option<Vec<String>>,
    ) -> Self {
        Self { table: Mutex::default(), tasks: TaskTracker::new(), clock, meter, locating, above }
    }

    pub(crate) fn traffic(&self) -> &Arc<Traffic> {
        &self.meter.traffic
    }

    /// How many are open.
    pub(crate) fn open(&self) -> usize {
        self.table().open.len()
    }

    /// Starts the task of a link; it ends with [`Event::LinkClosed`].
    pub(crate) fn start(self: &Arc<Self>, arrival: Arrival, inputs: Inputs, router: Router, limits: Limits) {
        let Arrival { member, from, peer, session } = arrival;
        let (queue, waiting) = mpsc::channel(limits.queue);
        let cut = CancellationToken::new();
        let serial = peer.serials.first().map(ToString::to_string).unwrap_or_default();
        let renew_only = peer.expired;
        let lane = Arc::new(Lane::new(session.tunnels.clone()));
        let link = Link {
            member,
            renew_only,
            serials: peer.serials,
            queue,
            lane: Arc::clone(&lane),
            cut: cut.clone(),
        };
        let link = self.add(link);
        let links = Arc::clone(self);
        self.tasks.spawn(async move {
            let opened = Event::LinkOpened { link, member, from: Some(from), serial, renew_only };
            if inputs.event(opened).await {
                if renew_only {
                    tracing::info!(%member, "Its certificate has expired; it is let in to renew it.");
                    links.tell_time(link);
                } else {
                    links.tasks.spawn(serve_tunnels(router, member, session.incoming, cut.clone()));
                    links.tasks.spawn(Arc::clone(&links).ask_for_bulk(link, lane, cut.clone()));
                }
                let event = |message: Up| match message {
                    Up::Ping { stamp } if !renew_only => {
                        links.pong(link, stamp);
                        None
                    }
                    message => {
                        if let Up::Hello(hello) = &message {
                            links.tell_above(link, hello);
                        }
                        Some(Event::LinkMessage { link, message })
                    }
                };
                let control = (session.sender, session.receiver);
                let end = converse(control, waiting, &limits, &cut, &inputs, event).await;
                tracing::info!(%member, %end, "A member's link is closed.");
            }
            cut.cancel();
            links.remove(link);
            inputs.event(Event::LinkClosed { link }).await;
        });
    }

    /// Queues a message. A member that takes too few is cut: it comes back and asks for the rest.
    pub(crate) fn send(&self, link: LinkId, message: Down) {
        let greets = matches!(message, Down::Welcome(_));
        self.queue(link, Outgoing::Message(message));
        if greets {
            self.tell_time(link);
        }
    }

    pub(crate) fn tell_time_to_all(&self) {
        let open: Vec<LinkId> = self.table().open.keys().copied().collect();
        open.into_iter().for_each(|link| self.tell_time(link));
    }

    fn pong(&self, link: LinkId, stamp: u64) {
        self.queue(link, Outgoing::Message(Down::Pong { stamp, coordinate: self.locating.coordinate() }));
    }

    /// Whom a node tells what it runs when it does not hear us.
    fn tell_above(&self, link: LinkId, hello: &Hello) {
        let reads = hello.role == Role::Node && hello.reads >= READS_WITNESSES;
        if let Some(addresses) = self.above.clone().filter(|_| reads) {
            self.queue(link, Outgoing::Message(Down::Above { addresses }));
        }
    }

    fn tell_time(&self, link: LinkId) {
        self.queue(link, Outgoing::Message(Down::Time { now: self.clock.now().as_secs() }));
    }

    /// Says why, and closes the link.
    pub(crate) fn close(&self, link: LinkId, reason: String) {
        self.queue(link, Outgoing::Last(Down::Refused { reason }));
    }

    /// Ends the link without a word, as a broken network would: the member comes back at once.
    pub(crate) fn cut(&self, link: LinkId) {
        if let Some(link) = self.table().open.get(&link) {
            link.cut.cancel();
        }
    }

    /// Cuts every link whose chain has a certificate that is valid no more.
    pub(crate) fn cut_revoked(&self, is_revoked: impl Fn(&Serial) -> bool) {
        let table = self.table();
        for link in table.open.values().filter(|link| link.serials.iter().any(&is_revoked)) {
            link.cut.cancel();
        }
    }

    /// Cuts all links and waits until they are closed.
    ///
    /// `Refused` would make members wait longer than a restart takes.
    pub(crate) async fn close_all(&self) {
        self.table().open.values().for_each(|link| link.cut.cancel());
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// How to open tunnels to the member; none when it has no link.
    pub(crate) fn lane(&self, member: MemberId) -> Option<Arc<Lane>> {
        self.newest(member).map(|(lane, _)| lane)
    }

    /// Carries tunnels of the member's link over a second connection, and ends with the link.
    pub(crate) fn carry(self: &Arc<Self>, arrival: Arrival, router: Router) {
        let Arrival { member, peer, session, .. } = arrival;
        let Some((lane, cut)) = self.newest(member).filter(|_| !peer.expired) else {
            tracing::debug!(%member, "A second connection without a link is closed.");
            return;
        };
        self.tasks.spawn(async move {
            let serve = |incoming| serve_tunnels(router, member, incoming, cut.clone());
            tokio::select! {
                () = lane.carry(session, serve) => {}
                () = cut.cancelled() => {}
            }
        });
    }

    /// Only the member can dial.
    async fn ask_for_bulk(self: Arc<Self>, link: LinkId, lane: Arc<Lane>, cut: CancellationToken) {
        let ask = async {
            loop {
                lane.wanted().await;
                self.send(link, Down::Bulk);
            }
        };
        tokio::select! {
            () = ask => {}
            () = cut.cancelled() => {}
        }
    }

    fn newest(&self, member: MemberId) -> Option<(Arc<Lane>, CancellationToken)> {
        let table = self.table();
        let link = table.open.get(table.newest.get(&member)?)?;
        Some((Arc::clone(&link.lane), link.cut.clone()))
    }

    fn queue(&self, link: LinkId, outgoing: Outgoing<Down>) {
        let table = self.table();
        let Some(link) = table.open.get(&link) else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = link.queue.try_send(outgoing) {
            tracing::warn!(member = %link.member, "A member takes its messages too slowly; its link is cut.");
            link.cut.cancel();
        }
    }

    fn add(&self, link: Link) -> LinkId {
        let mut table = self.table();
        table.last += 1;
        let id = LinkId(table.last);
        if !link.renew_only {
            self.meter.sessions.increment();
            if !table.known.insert(link.member) {
                self.meter.reconnects.increment();
            }
            table.newest.insert(link.member, id);
        }
        table.open.insert(id, link);
        id
    }

    fn remove(&self, id: LinkId) {
        let mut table = self.table();
        if let Some(link) = table.open.remove(&id)
            && table.newest.get(&link.member) == Some(&id)
        {
            table.newest.remove(&link.member);
        }
    }

    /// Nothing that holds the lock can panic half-way: a poisoned table is a whole one.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve_tunnels(
    router: Router,
    member: MemberId,
    mut incoming: IncomingTunnels,
    cut: CancellationToken,
) {
    let accept_all = async {
        while let Some(tunnel) = incoming.accept().await {
            let router = router.clone();
            tokio::spawn(async move { router.serve_member(member, tunnel).await });
        }
    };
    tokio::select! {
        () = accept_all => {}
        () = cut.cancelled() => {}
    }
}
