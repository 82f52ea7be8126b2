//! One session: messages to and from the agent, keep-alives, the certificate's renewal.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holm_link::backoff::Backoff;
use holm_link::cbor;
use holm_link::credentials::CredentialRequest;
use holm_link::dial::Connected;
use holm_link::session::{
    ControlReceiver, ControlSender, IncomingTunnels, Limits, Session, SessionEnd, TrySendError,
};
use holm_model::message::{Down, Up};
use serde_bytes::ByteBuf;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Caller, Order, chain};
use crate::agent::Input;
use crate::tunnels::Host;

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
    Broken(String),
    /// Trying again soon is of no use.
    Refused(String),
}

/// A session's own memory.
struct Talk {
    line: Line,
    receiver: ControlReceiver,
    /// Until when the next message must come.
    silent: Instant,
    /// Messages in a row that could not be read.
    garbled: u32,
    /// The key for which a certificate was asked, and when.
    renewal: Option<(CredentialRequest, Instant)>,
}

/// So many unreadable messages in a row are no accident.
const MOST_GARBLED: u32 = 100;
/// Control frames that wait for a slow network; more of them cut the link, and the next session
/// begins with a snapshot.
const QUEUE: usize = 1024;
/// An unanswered request for a certificate is repeated after so long.
const RENEW_AGAIN: Duration = Duration::from_secs(60 * 60);

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
        let limits = Limits { queue: QUEUE, ..Limits::default() };
        let Session { sender, receiver, tunnels, incoming } = Session::client(connected.stream, &limits);
        self.line += 1;
        let line = Line { number: self.line, sender };
        let silent = Instant::now() + self.settings.times.silence;
        let mut talk = Talk { line: line.clone(), receiver, silent, garbled: 0, renewal: None };
        let mut serving = JoinSet::new();
        serving.spawn(accept(incoming, Arc::clone(&self.settings.host)));
        self.tunnels.send_replace(Some(tunnels));
        let number = line.number;
        self.tell(Input::LinkUp(line)).await;
        let end = self.talk(&mut talk, stop, backoff).await;
        self.tunnels.send_replace(None);
        talk.line.sender.close();
        self.tell(Input::LinkDown(number)).await;
        end
    }

    async fn tell(&self, input: Input) {
        // Without an agent the link is about to be stopped.
        let _ = self.settings.inputs.send(input).await;
    }

    async fn talk(&mut self, talk: &mut Talk, stop: &CancellationToken, backoff: &mut Backoff) -> End {
        let mut alive = interval(self.settings.times.keep_alive);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first message is the agent's: it says who we are.
        alive.reset();
        loop {
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
                Some(order) = self.orders.recv() => {
                    if let Some(end) = self.obey(talk, order) {
                        return end;
                    }
                }
                _ = alive.tick() => {
                    let revision = *self.settings.revision.borrow();
                    talk.line.send(&Up::Alive { revision });
                    self.renew(talk);
                }
                () = sleep_until(talk.silent) => {
                    return End::Broken("the orchestrator is silent".to_owned());
                }
            }
        }
    }

    async fn received(&self, talk: &mut Talk, frame: &[u8], backoff: &mut Backoff) -> Option<End> {
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
        if matches!(down, Down::Welcome(_)) {
            backoff.succeeded();
            if self.set_status(true, "") {
                tracing::info!(orchestrator = %self.settings.orchestrator, "Linked to the orchestrator.");
            }
        }
        self.tell(Input::Received(talk.line.number, down)).await;
        None
    }

    fn obey(&mut self, talk: &mut Talk, order: Order) -> Option<End> {
        match order {
            Order::Certificate(chain) => {
                self.install(talk, chain);
                None
            }
            Order::Refused(reason) => Some(End::Refused(reason)),
            // One from before this session is as good: it costs one more handshake.
            Order::Reconnect => Some(End::Broken("answers were lost here; asking anew".to_owned())),
        }
    }

    /// Asks for a new certificate when two thirds of the old one's life are over.
    fn renew(&self, talk: &mut Talk) {
        let due = self.settings.clock.now() >= self.settings.credentials.renew_at();
        let asked = talk.renewal.as_ref().is_some_and(|(_, at)| at.elapsed() < RENEW_AGAIN);
        if !due || asked {
            return;
        }
        match CredentialRequest::new() {
            Ok(request) => {
                talk.line.send(&Up::Renew { csr: ByteBuf::from(request.csr()) });
                talk.renewal = Some((request, Instant::now()));
            }
            Err(error) => tracing::error!(%error, "No key can be made for a new certificate."),
        }
    }

    /// The open session goes on with the old certificate, the next one takes the new.
    fn install(&mut self, talk: &mut Talk, certificates: Vec<Vec<u8>>) {
        let Some((request, _)) = talk.renewal.take() else {
            tracing::debug!("A certificate came that was not asked for.");
            return;
        };
        let certificates = certificates.into_iter().map(Into::into).collect();
        let renewed = self.settings.credentials.renewed(request, certificates);
        let saved = renewed.map_err(|error| chain(&error)).and_then(|renewed| {
            renewed.save(&self.settings.data_dir).map_err(|error| chain(&error))?;
            Ok(renewed)
        });
        match saved {
            Ok(renewed) => {
                self.settings.credentials = renewed;
                self.set_status(true, "");
                tracing::info!("The certificate was renewed.");
            }
            Err(error) => tracing::error!(error, "The new certificate cannot be used; asking again later."),
        }
    }
}

fn ended(end: SessionEnd) -> End {
    match end {
        SessionEnd::Refused(alert) => End::Refused(format!("the orchestrator refused us: {alert}")),
        other => End::Broken(other.to_string()),
    }
}

/// Serves tunnels; they end with the session.
async fn accept(mut incoming: IncomingTunnels, host: Arc<Host>) {
    let mut serving = JoinSet::new();
    while let Some(tunnel) = incoming.accept().await {
        let host = Arc::clone(&host);
        serving.spawn(async move { host.serve(tunnel).await });
        while serving.try_join_next().is_some() {}
    }
}
