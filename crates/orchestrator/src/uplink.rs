//! Our own link to the parent: a cluster orchestrator is a member, too.
//!
//! ```text
//! dialing ──► open ──(ended, cut, silent)──► waiting ──(back-off)──► dialing …
//! ```

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holm_core::orchestrator::Event;
use holm_link::backoff::Backoff;
use holm_link::clock::Clock;
use holm_link::credentials::{CredentialRequest, Credentials};
use holm_link::dial::{DialError, Dialer, DialerError};
use holm_link::listen::Channel;
use holm_link::revocation::Revocations;
use holm_link::session::{IncomingTunnels, Session, Tunnels};
use holm_model::message::{Down, Up};
use serde_bytes::ByteBuf;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::Limits;
use crate::describe::describe;
use crate::ground::Parent;
use crate::handle::Inputs;
use crate::links::session_limits;
use crate::session::{Outgoing, converse};
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
}

#[derive(Debug)]
struct State {
    credentials: Arc<Credentials>,
    /// A renewal that was asked for on this link.
    renewing: Option<CredentialRequest>,
    open: Option<Open>,
}

/// The link while it is open.
#[derive(Debug)]
struct Open {
    queue: mpsc::Sender<Outgoing<Up>>,
    tunnels: Tunnels,
    cut: CancellationToken,
}

/// There was no link, or it could not be opened.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Dialer(#[from] DialerError),
    #[error(transparent)]
    Dial(#[from] DialError),
}

const BASE: Duration = Duration::from_millis(50);
const CAP: Duration = Duration::from_secs(30);
/// How often the age of the certificate is looked at; a renewal without answer is asked for again.
const RENEWAL_CHECK: Duration = Duration::from_secs(60);

// === impl Uplink ===

impl Uplink {
    pub(crate) fn new(
        parent: Parent,
        data_dir: PathBuf,
        revocations: Revocations,
        clock: Clock,
        limits: Limits,
    ) -> Self {
        let (parent, credentials) = (parent.address, Arc::new(parent.credentials));
        let state = Mutex::new(State { credentials, renewing: None, open: None });
        Self { parent, data_dir, revocations, clock, limits, state }
    }

    /// Keeps the link open until it is told to stop.
    pub(crate) async fn run(self: Arc<Self>, inputs: Inputs, router: Router, stop: CancellationToken) {
        let mut backoff = Backoff::new(BASE, CAP);
        let mut last = String::new();
        while !stop.is_cancelled() {
            match self.call(&inputs, &router, &stop).await {
                Ok(true) => backoff.succeeded(),
                Ok(false) => {}
                Err(error) => {
                    let reason = describe(&error);
                    // The same reason again is no news.
                    if reason != last {
                        tracing::warn!(parent = %self.parent, reason, "There is no link to the parent; it is tried again.");
                        last = reason;
                    }
                }
            }
            let wait = backoff.failed(getrandom::u64().unwrap_or(u64::MAX));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// One link from its beginning to its end; tells whether the parent has said anything.
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
        let session = Session::client(dialed.stream, &session_limits(&self.limits));
        let (queue, waiting) = mpsc::channel(self.limits.queue);
        let cut = stop.child_token();
        let tunnels = session.tunnels.clone();
        self.state().open = Some(Open { queue, tunnels, cut: cut.clone() });
        let mut heard = false;
        let event = |message: Down| {
            heard = true;
            if let Down::Refused { reason } = &message {
                tracing::warn!(parent = %self.parent, reason, "The parent has ended the link.");
            }
            Event::ParentMessage(message)
        };
        inputs.event(Event::ParentOpened).await;
        let control = (session.sender, session.receiver);
        let end = tokio::select! {
            end = converse(control, waiting, &self.limits, &cut, inputs, event) => end,
            end = self.renew() => end,
            end = serve_tunnels(router, session.incoming) => end,
        };
        tracing::info!(parent = %self.parent, %end, "The link to the parent is closed.");
        self.state().close();
        inputs.event(Event::ParentClosed).await;
        Ok(heard)
    }

    /// Queues a message; without a link it is dropped, since the next one begins anew.
    pub(crate) fn send(&self, message: Up) {
        let state = self.state();
        let Some(open) = &state.open else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = open.queue.try_send(Outgoing::Message(message)) {
            tracing::warn!(parent = %self.parent, "The parent takes messages too slowly; the link is cut.");
            open.cut.cancel();
        }
    }

    /// Ends the link; it is opened anew.
    pub(crate) fn cut(&self) {
        if let Some(open) = &self.state().open {
            open.cut.cancel();
        }
    }

    /// How to open tunnels to the parent; none without a link.
    pub(crate) fn tunnels(&self) -> Option<Tunnels> {
        self.state().open.as_ref().map(|open| open.tunnels.clone())
    }

    /// A renewal has come: kept first, then used for the next link. The open one goes on.
    pub(crate) fn install(&self, chain: Vec<Vec<u8>>) {
        let mut state = self.state();
        let Some(request) = state.renewing.take() else { return };
        let chain = chain.into_iter().map(Into::into).collect();
        match state.credentials.renewed(request, chain) {
            Err(error) => tracing::warn!(%error, "The parent's new certificate for us is unusable."),
            Ok(renewed) => {
                if let Err(error) = renewed.save(&self.data_dir) {
                    tracing::error!(%error, "Our new certificate could not be kept; it is used all the same.");
                }
                state.credentials = Arc::new(renewed);
                tracing::info!("Our certificate was renewed.");
            }
        }
    }

    /// Asks for a new certificate whenever ours is due, for as long as the link is open.
    async fn renew<T>(&self) -> T {
        loop {
            if self.clock.now() >= self.state().credentials.renew_at() {
                match CredentialRequest::new() {
                    Ok(request) => {
                        let csr = ByteBuf::from(request.csr().to_vec());
                        self.state().renewing = Some(request);
                        self.send(Up::Renew { csr });
                    }
                    Err(error) => tracing::warn!(%error, "No key for a new certificate can be made."),
                }
            }
            tokio::time::sleep(RENEWAL_CHECK).await;
        }
    }

    /// Nothing that holds the lock can panic half-way: a poisoned state is a whole one.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// What was asked for on the link is asked for again on the next.
    fn close(&mut self) {
        (self.open, self.renewing) = (None, None);
    }
}

/// Serves the parent's tunnels. Never ends by itself: the control stream tells the link's end.
async fn serve_tunnels<T>(router: &Router, mut incoming: IncomingTunnels) -> T {
    while let Some(tunnel) = incoming.accept().await {
        let router = router.clone();
        tokio::spawn(async move { router.serve_parent(tunnel).await });
    }
    std::future::pending().await
}
