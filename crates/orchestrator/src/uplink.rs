//! Our own link to the parent: a cluster orchestrator is a member, too.
//!
//! ```text
//! dialing ──► open ──(ended, cut, silent)──► waiting ──(back-off)──► dialing …
//! ```

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holm_core::orchestrator::Event;
use holm_link::UnixTime;
use holm_link::backoff::Backoff;
use holm_link::clock::Clock;
use holm_link::credentials::Credentials;
use holm_link::dial::{DialError, Dialer, DialerError};
use holm_link::lane::Lane;
use holm_link::listen::Channel;
use holm_link::renewal::Renewal;
use holm_link::revocation::Revocations;
use holm_link::session::{IncomingTunnels, Session, SessionEnd};
use holm_link::verify::PeerIdentity;
use holm_model::message::{Down, READS_LATENCY, Up};
use serde_bytes::ByteBuf;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Limits;
use crate::describe::describe;
use crate::ground::Parent;
use crate::handle::Inputs;
use crate::links::session_limits;
use crate::locating::Locating;
use crate::meter::{Counted, Meter};
use crate::session::{End, Outgoing, converse};
use crate::tunnels::Router;

/// The table by which owner and tunnels reach the parent.
#[derive(Debug)]
pub(crate) struct Uplink {
    /// `host:port`
    parent: String,
    data_dir: PathBuf,
    revocations: Revocations,
    clock: Clock,
    limits: Limits,
    state: Mutex<State>,
    /// The clock was raised, or a renewal has come.
    looked: Notify,
    meter: Arc<Meter>,
    locating: Locating,
}

#[derive(Debug)]
struct State {
    credentials: Arc<Credentials>,
    open: Option<Open>,
}

/// The link while it is open.
#[derive(Debug)]
struct Open {
    queue: mpsc::Sender<Outgoing<Up>>,
    lane: Arc<Lane>,
    cut: CancellationToken,
    renewal: Renewal,
    /// The parent as its certificate proved it.
    parent: PeerIdentity,
    /// The parent answers pings.
    answers: bool,
}

/// There was no link, or it could not be opened.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Dialer(#[from] DialerError),
    #[error(transparent)]
    Dial(DialError),
    /// Only people can mend that.
    #[error("it refused our certificate: {0}")]
    Refused(String),
}

/// Longest time between two calls of a parent that refuses our certificate.
const REFUSED: Duration = Duration::from_secs(5 * 60);

// === impl CallError ===

impl From<DialError> for CallError {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Refused { alert, .. } => Self::Refused(alert),
            error => Self::Dial(error),
        }
    }
}

// === impl Uplink ===

impl Uplink {
    pub(crate) fn new(
        parent: Parent,
        data_dir: PathBuf,
        revocations: Revocations,
        clock: Clock,
        limits: Limits,
        meter: Arc<Meter>,
        locating: Locating,
    ) -> Self {
        let (parent, credentials) = (parent.address, Arc::new(parent.credentials));
        let state = Mutex::new(State { credentials, open: None });
        Self { parent, data_dir, revocations, clock, limits, state, looked: Notify::new(), meter, locating }
    }

    /// Keeps the link open until it is told to stop.
    pub(crate) async fn run(self: Arc<Self>, inputs: Inputs, router: Router, stop: CancellationToken) {
        let mut backoff = Backoff::reconnect();
        let mut last = String::new();
        while !stop.is_cancelled() {
            let called = self.call(&inputs, &router, &stop).await;
            if matches!(called, Ok(true)) {
                backoff.succeeded();
                last.clear();
            }
            let mut wait = backoff.failed(random());
            if let Err(error) = called {
                if matches!(error, CallError::Refused(_)) {
                    wait = REFUSED / 2 + Backoff::new(REFUSED / 2, REFUSED / 2).failed(random());
                }
                self.tell(&error, &mut last);
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Says why there is no link; the same reason again is no news.
    fn tell(&self, error: &CallError, last: &mut String) {
        let (parent, reason) = (&self.parent, describe(error));
        if reason == *last {
            return;
        }
        match error {
            CallError::Refused(_) => tracing::error!(
                %parent,
                reason,
                "The parent refuses this cluster, which was removed there or had its certificate revoked. What runs \
                 here goes on. To join anew, start it with another --data-dir and a token (`holm token create --role \
                 cluster` at the parent), and let its nodes join it again; otherwise stop it."
            ),
            _ => tracing::warn!(%parent, reason, "There is no link to the parent; it is tried again."),
        }
        *last = reason;
    }

    /// One link from its beginning to its end; tells whether the parent has let us in.
    async fn call(
        &self,
        inputs: &Inputs,
        router: &Router,
        stop: &CancellationToken,
    ) -> Result<bool, CallError> {
        let credentials = self.state().credentials.clone();
        let dialer = Dialer::new(&credentials, self.revocations.clone(), self.clock.clone())?;
        let dialed = tokio::select! {
            dialed = dialer.connect(&self.parent, Channel::Control) => dialed?,
            () = stop.cancelled() => return Ok(false),
        };
        self.meter.calls.increment();
        let stream = Counted::new(dialed.stream, &self.meter.traffic);
        let session = Session::client(stream, &session_limits(&self.limits));
        let (queue, waiting) = mpsc::channel(self.limits.queue);
        let cut = stop.child_token();
        let lane = Arc::new(Lane::new(session.tunnels.clone()));
        let (renewal, parent) = (Renewal::begin(), dialed.peer);
        self.state().open =
            Some(Open { queue, lane: Arc::clone(&lane), cut: cut.clone(), renewal, parent, answers: false });
        let mut let_in = false;
        let event = |message: Down| {
            let_in |= matches!(message, Down::Welcome(_) | Down::Certificate { .. });
            self.hear(message)
        };
        inputs.event(Event::ParentOpened).await;
        let control = (session.sender, session.receiver);
        let end = tokio::select! {
            end = converse(control, waiting, &self.limits, &cut, inputs, event) => end,
            end = self.renew() => end,
            end = self.measure(inputs) => end,
            () = serve_tunnels(router, session.incoming) => End::Cut,
            end = self.bulk(&lane, router) => end,
        };
        self.state().open = None;
        inputs.event(Event::ParentClosed).await;
        if let End::Ended(SessionEnd::Refused(alert)) = end {
            return Err(CallError::Refused(alert));
        }
        tracing::info!(parent = %self.parent, %end, "The link to the parent is closed.");
        Ok(let_in)
    }

    /// Until when we may call.
    pub(crate) fn expires_at(&self) -> UnixTime {
        self.state().credentials.expires_at()
    }

    /// Queues a message; without a link it is dropped, since the next one begins anew.
    pub(crate) fn send(&self, message: Up) {
        if let Some(open) = &self.state().open {
            open.send(message);
        }
    }

    /// Ends the link; it is opened anew.
    pub(crate) fn cut(&self) {
        if let Some(open) = &self.state().open {
            open.cut.cancel();
        }
    }

    /// How to open tunnels to the parent; none without a link.
    pub(crate) fn lane(&self) -> Option<Arc<Lane>> {
        self.state().open.as_ref().map(|open| Arc::clone(&open.lane))
    }

    /// Opens the second connection whenever it is wanted, for as long as the link is open.
    async fn bulk<T>(&self, lane: &Lane, router: &Router) -> T {
        loop {
            lane.wanted().await;
            let credentials = self.state().credentials.clone();
            let limits = session_limits(&self.limits);
            let serve = |incoming| serve_tunnels(router, incoming);
            let called = match Dialer::new(&credentials, self.revocations.clone(), self.clock.clone()) {
                Ok(dialer) => lane.call(&dialer, &self.parent, &limits, serve).await.map_err(CallError::from),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = called {
                let reason = describe(&error);
                tracing::info!(reason, "No second connection to the parent: tunnels share the first.");
            }
        }
    }

    /// Takes what is the link's own business, and hands on the rest.
    fn hear(&self, message: Down) -> Option<Event> {
        match &message {
            Down::Bulk => {
                if let Some(open) = &self.state().open {
                    open.lane.want();
                }
                return None;
            }
            Down::Time { now } => {
                if let Some(open) = &self.state().open {
                    self.clock.hear(UnixTime::since_unix_epoch(Duration::from_secs(*now)), &open.parent);
                }
                self.looked.notify_one();
                return None;
            }
            Down::Pong { stamp, coordinate } => return self.locating.pong(*stamp, *coordinate),
            Down::Landmarks { landmarks } => self.locating.hear(landmarks),
            Down::Welcome(welcome) => {
                if let Some(open) = &mut self.state().open {
                    open.answers = welcome.reads >= READS_LATENCY;
                    open.renewal.welcomed();
                }
            }
            Down::Refused { reason } => {
                tracing::warn!(parent = %self.parent, reason, "The parent has ended the link.");
            }
            _ => {}
        }
        Some(Event::ParentMessage(message))
    }

    /// A renewal has come: kept first, then used for the next link. The open one goes on, unless it is
    /// good for nothing else.
    pub(crate) fn install(&self, chain: Vec<Vec<u8>>) {
        let mut state = self.state();
        let State { credentials, open: Some(open) } = &mut *state else { return };
        let chain = chain.into_iter().map(Into::into).collect();
        match open.renewal.answered(credentials, chain, &self.data_dir) {
            Ok(renewed) => {
                *credentials = Arc::new(renewed);
                tracing::info!("Our certificate was renewed.");
                if !open.renewal.is_welcome() {
                    open.cut.cancel();
                }
            }
            Err(error) => {
                let reason = describe(&error);
                tracing::error!(reason, "The parent's new certificate for us is not taken; asking again.");
            }
        }
        self.looked.notify_one();
    }

    /// Asks for a new certificate whenever ours is due, for as long as the link is open.
    async fn renew<T>(&self) -> T {
        loop {
            let Some(look_at) = self.renew_if_due() else { return std::future::pending().await };
            tokio::select! {
                () = tokio::time::sleep_until(look_at) => {}
                () = self.looked.notified() => {}
            }
        }
    }

    /// Measures the ways for as long as the link is open.
    async fn measure<T>(&self, inputs: &Inputs) -> T {
        loop {
            let answers = self.state().open.as_ref().is_some_and(|open| open.answers);
            if answers && let Some((stamp, landmarks)) = self.locating.round() {
                self.send(Up::Ping { stamp });
                self.locating.dial(landmarks, inputs).await;
            }
            tokio::time::sleep(self.locating.pause()).await;
        }
    }

    /// When to look again; none without a link.
    fn renew_if_due(&self) -> Option<Instant> {
        let now = self.clock.now();
        let mut state = self.state();
        let State { credentials, open: Some(open) } = &mut *state else { return None };
        if open.renewal.is_due(credentials, now) {
            match open.renewal.ask(credentials) {
                Ok(csr) => open.send(Up::Renew { csr: ByteBuf::from(csr) }),
                Err(error) => tracing::warn!(%error, "No key for a new certificate can be made."),
            }
        }
        Some(open.renewal.look_at(credentials, now))
    }

    /// Nothing that holds the lock can panic half-way: a poisoned state is a whole one.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Open ===

impl Open {
    fn send(&self, message: Up) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(Outgoing::Message(message)) {
            tracing::warn!("The parent takes messages too slowly; the link is cut.");
            self.cut.cancel();
        }
    }
}

/// For jitter only: without random numbers all wait equally long.
fn random() -> u64 {
    getrandom::u64().unwrap_or(u64::MAX)
}

/// Serves the parent's tunnels. Never ends by itself: the control stream tells the end.
async fn serve_tunnels(router: &Router, mut incoming: IncomingTunnels) {
    while let Some(tunnel) = incoming.accept().await {
        let router = router.clone();
        tokio::spawn(async move { router.serve_parent(tunnel).await });
    }
    std::future::pending().await
}
