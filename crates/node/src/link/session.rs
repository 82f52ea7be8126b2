//! One session: messages to and from the agent, keep-alives, the certificate's renewal.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holm_link::UnixTime;
use holm_link::backoff::Backoff;
use holm_link::cbor;
use holm_link::dial::Connected;
use holm_link::lane::Lane;
use holm_link::renewal::Renewal;
use holm_link::session::{
    ControlReceiver, ControlSender, IncomingTunnels, Limits, Session, SessionEnd, TrySendError,
};
use holm_link::verify::PeerIdentity;
use holm_model::message::{Down, READS_LATENCY, Up};
use serde_bytes::ByteBuf;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::parting::leave;
use super::witness::Above;
use super::{Caller, Order, Settings, chain};
use crate::agent::Input;
use crate::tunnels::{Host, Opener};

/// The sending end of one session, for the agent.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Tells sessions apart.
    pub(crate) number: u64,
    sender: ControlSender,
}

/// Why a session ended.
#[derive(Debug)]
pub(super) enum End {
    /// We were told to stop.
    Stopped,
    /// It was good for a new certificate only, which is there.
    Renewed,
    Broken(String),
    /// Trying again soon is of no use.
    Refused(String),
    /// The credentials are void: this node was revoked or removed.
    Revoked,
}

/// A session's own memory.
struct Talk {
    line: Line,
    receiver: ControlReceiver,
    /// Until when the next message must come.
    silent: Instant,
    /// Messages in a row that could not be read.
    garbled: u32,
    renewal: Renewal,
    /// The orchestrator as its certificate proved it.
    peer: PeerIdentity,
    lane: Arc<Lane>,
    /// The orchestrator's tunnels on their way.
    serving: JoinSet<()>,
    /// When the ways are measured next; far away while the orchestrator answers no pings.
    measure_at: Instant,
    measuring: JoinSet<()>,
    /// Leaving the other membership.
    parting: JoinSet<()>,
}

/// So many unreadable messages in a row are no accident.
const MOST_GARBLED: u32 = 100;
/// Control frames that wait for a slow network; more of them cut the link, and the next session
/// begins with a snapshot.
const QUEUE: usize = 1024;
/// Longer than any session.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// The TLS alert for a certificate that was revoked.
pub(super) const REVOKED: &str = "CertificateRevoked";

// === impl End ===

impl End {
    /// By the TLS alert with which the orchestrator refused our certificate.
    pub(super) fn by_alert(alert: &str) -> Self {
        if alert == REVOKED {
            return Self::Revoked;
        }
        Self::Refused(format!("the orchestrator refused us: {alert}"))
    }
}

// === impl Line ===

impl Line {
    /// Queues a message. A link that cannot take it is cut: what is missing is told anew on the next.
    pub(crate) fn send(&self, message: &Up) {
        let sent = cbor::encode(message).map_err(|error| error.to_string()).and_then(|bytes| {
            match self.sender.try_send(Bytes::from(bytes)) {
                Err(TrySendError::Send(holm_link::session::SendError::Over)) | Ok(()) => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        });
        if let Err(error) = sent {
            tracing::warn!(error, "A message cannot be sent; the link is opened anew.");
            self.sender.close();
        }
    }
}

// === impl Caller ===

impl Caller {
    /// Runs a session to its end. `backoff` is eased once the orchestrator has spoken: only then has
    /// it accepted our certificate.
    pub(super) async fn session(
        &mut self,
        connected: Connected,
        stop: &CancellationToken,
        backoff: &mut Backoff,
    ) -> End {
        let Session { sender, receiver, tunnels, incoming } = Session::client(connected.stream, &limits());
        self.line += 1;
        let line = Line { number: self.line, sender };
        let silent = Instant::now() + self.settings.times.silence;
        let (renewal, peer) = (Renewal::begin(), connected.peer);
        let lane = Arc::new(Lane::new(tunnels));
        self.lane.send_replace(Some(Arc::clone(&lane)));
        let mut serving = JoinSet::new();
        serving.spawn(accept(incoming, Arc::clone(&self.settings.host), Opener::Own));
        let number = line.number;
        self.tell(Input::LinkUp(line.clone())).await;
        let (measure_at, measuring, parting) = (Instant::now() + NEVER, JoinSet::new(), JoinSet::new());
        let mut talk = Talk {
            line,
            receiver,
            silent,
            garbled: 0,
            renewal,
            peer,
            lane,
            serving,
            measure_at,
            measuring,
            parting,
        };
        let end = self.talk(&mut talk, stop, backoff).await;
        self.lane.send_replace(None);
        talk.line.sender.close();
        self.tell(Input::LinkDown(number)).await;
        end
    }

    pub(super) async fn tell(&self, input: Input) {
        // Without an agent the link is about to be stopped.
        let _ = self.settings.inputs.send(input).await;
    }

    async fn talk(&mut self, talk: &mut Talk, stop: &CancellationToken, backoff: &mut Backoff) -> End {
        let mut alive = interval(self.settings.times.keep_alive);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first message is the agent's: it says who we are.
        alive.reset();
        loop {
            let Settings { clock, credentials, .. } = &self.settings;
            let renew_at = talk.renewal.look_at(credentials, clock.now());
            tokio::select! {
                biased;
                () = stop.cancelled() => return End::Stopped,
                frame = talk.receiver.recv() => {
                    let Some(frame) = frame else { return ended(talk.receiver.ended().await) };
                    let Ok(frame) = frame else {
                        return End::Broken("the orchestrator sent an oversized message".to_owned());
                    };
                    talk.silent = Instant::now() + self.settings.times.silence;
                    if let Some(end) = self.received(talk, &frame, backoff).await {
                        return end;
                    }
                }
                Some(order) = self.settings.orders.1.recv() => {
                    if let Some(end) = self.obey(talk, order) {
                        return end;
                    }
                }
                _ = alive.tick() => {
                    let revision = *self.settings.revision.borrow();
                    talk.line.send(&Up::Alive { revision });
                }
                () = sleep_until(renew_at) => self.renew(talk),
                () = talk.lane.wanted() => self.open_bulk(talk),
                () = sleep_until(talk.measure_at) => {
                    talk.measure_at = self.settings.locating.round(&talk.line, &mut talk.measuring);
                }
                Some(Ok(_)) = talk.parting.join_next() => {
                    tracing::info!("This node has left its other orchestrator.");
                    self.settings.memberships.drop_other();
                    self.settings.other = None;
                }
                () = sleep_until(talk.silent) => {
                    return End::Broken("the orchestrator is silent".to_owned());
                }
            }
        }
    }

    async fn received(&mut self, talk: &mut Talk, frame: &[u8], backoff: &mut Backoff) -> Option<End> {
        let down: Down = match cbor::decode(frame, usize::MAX) {
            Ok(down) => down,
            Err(error) => {
                talk.garbled += 1;
                tracing::warn!(%error, "A message of the orchestrator cannot be read and is skipped.");
                let enough = talk.garbled >= MOST_GARBLED;
                return enough.then(|| End::Broken("the orchestrator's messages cannot be read".to_owned()));
            }
        };
        talk.garbled = 0;
        match down {
            Down::Time { now } => {
                let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
                self.settings.clock.hear(now, &talk.peer);
                return None;
            }
            Down::Bulk => {
                talk.lane.want();
                return None;
            }
            Down::Pong { stamp, coordinate } => {
                self.settings.locating.pong(stamp, coordinate).await;
                return None;
            }
            Down::Landmarks { landmarks } => {
                self.settings.locating.hear(&landmarks);
                return None;
            }
            Down::Above { addresses } => {
                let Settings { credentials, data_dir, .. } = &self.settings;
                if let Err(error) = Above::keep(credentials, addresses, data_dir) {
                    tracing::warn!(%error, "Who is above its orchestrator cannot be kept.");
                }
                return None;
            }
            _ => {}
        }
        if let Down::Welcome(welcome) = &down {
            if welcome.reads >= READS_LATENCY {
                talk.measure_at = Instant::now();
            }
            talk.renewal.welcomed();
            backoff.succeeded();
            self.unheard = None;
            self.part(talk);
            if self.set_status(true, "") {
                tracing::info!(orchestrator = %self.settings.orchestrator, "Linked to the orchestrator.");
            }
        }
        self.tell(Input::Received(talk.line.number, down)).await;
        None
    }

    /// We are welcome here: the other membership ends.
    fn part(&self, talk: &mut Talk) {
        let Some(other) = self.settings.other.clone().filter(|_| talk.parting.is_empty()) else { return };
        let Settings { applicant, revocations, clock, .. } = &self.settings;
        talk.parting.spawn(leave(other, applicant.name.clone(), revocations.clone(), clock.clone()));
    }

    fn obey(&mut self, talk: &mut Talk, order: Order) -> Option<End> {
        match order {
            // It would be kept in place of the membership that comes next.
            Order::Certificate(_) if self.next.is_some() => None,
            Order::Certificate(chain) => self.install(talk, chain),
            Order::Transfer { other, done } => {
                // Nobody waits any more: then it is not done.
                if !done.is_closed() {
                    let _ = done.send(self.take_over(other));
                }
                None
            }
            Order::Refused(reason) => Some(End::Refused(reason)),
            // One from before this session is as good: it costs one more handshake.
            Order::Reconnect => Some(End::Broken("answers were lost here; asking anew".to_owned())),
        }
    }

    /// Opens the session's second connection; it ends with the session, or when nobody uses it.
    fn open_bulk(&self, talk: &mut Talk) {
        let (lane, host) = (Arc::clone(&talk.lane), Arc::clone(&self.settings.host));
        let (dialer, address) = (self.dialer(), self.settings.orchestrator.clone());
        while talk.serving.try_join_next().is_some() {}
        talk.serving.spawn(async move {
            // Credentials that opened this session can open another connection of it.
            let Ok(dialer) = dialer else { return };
            let serve = |incoming| accept(incoming, host, Opener::Own);
            if let Err(error) = lane.call(&dialer, &address, &limits(), serve).await {
                let reason = chain(&error);
                tracing::info!(reason, "No second connection: tunnels share the first.");
            }
        });
    }

    /// Asks for a new certificate if it is time.
    fn renew(&self, talk: &mut Talk) {
        let Settings { clock, credentials, .. } = &self.settings;
        if !talk.renewal.is_due(credentials, clock.now()) {
            return;
        }
        match talk.renewal.ask(credentials) {
            Ok(csr) => talk.line.send(&Up::Renew { csr: ByteBuf::from(csr) }),
            Err(error) => tracing::error!(%error, "No key can be made for a new certificate."),
        }
    }

    /// The open session goes on with the old certificate, unless it is good for nothing else; the next
    /// one takes the new.
    fn install(&mut self, talk: &mut Talk, certificates: Vec<Vec<u8>>) -> Option<End> {
        let certificates = certificates.into_iter().map(Into::into).collect();
        let Settings { credentials, data_dir, .. } = &self.settings;
        match talk.renewal.answered(credentials, certificates, data_dir) {
            Ok(renewed) => {
                self.settings.credentials = renewed;
                self.certificate_changed();
                tracing::info!("The certificate was renewed.");
                (!talk.renewal.is_welcome()).then_some(End::Renewed)
            }
            Err(error) => {
                let error = chain(&error);
                tracing::error!(error, "The new certificate is not taken; asking again later.");
                None
            }
        }
    }
}

pub(super) fn limits() -> Limits {
    Limits { queue: QUEUE, ..Limits::default() }
}

fn ended(end: SessionEnd) -> End {
    match end {
        SessionEnd::Refused(alert) => End::by_alert(&alert),
        other => End::Broken(other.to_string()),
    }
}

/// Serves tunnels; they end with the session.
pub(super) async fn accept(mut incoming: IncomingTunnels, host: Arc<Host>, opener: Opener) {
    let mut serving = JoinSet::new();
    while let Some(tunnel) = incoming.accept().await {
        let host = Arc::clone(&host);
        serving.spawn(async move { host.serve(tunnel, opener).await });
        while serving.try_join_next().is_some() {}
    }
}
