//! The link to the orchestrator: dialled for ever, one session at a time.
//!
//! ```text
//!          connected                    welcome, changes, keep-alives
//!   Down ────────────→ LinkUp(line) ───────────────────────────────→ …
//!     ▲  ◄─ back-off      │ vanished, silent, refused, told to reconnect
//!     ├──────────── LinkDown ◄─┘
//!     └─ joined anew ◄─ revoked, and there is a new token; or the other membership, where there are two
//! ```
//!
//! The session's messages go to the agent, which owns the machine; keep-alives, certificates and
//! tunnels are the link's own business, so that a slow disk never looks like a lost node.

mod ask;
mod parting;
mod session;
mod upward;
mod witness;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use holm_core::node::{Farewell, NodeEvent};
use holm_link::backoff::Backoff;
use holm_link::certificate::SeaRoot;
use holm_link::clock::Clock;
use holm_link::credentials::Credentials;
use holm_link::dial::{Connected, DialError, Dialer, DialerError};
use holm_link::lane::Lane;
use holm_link::listen::Channel;
use holm_link::proxy::Proxies;
use holm_link::revocation::Revocations;
use holm_model::time::Time;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::ask::{AskError, ask};
use self::session::End;
pub(crate) use self::session::Line;
pub(crate) use self::witness::Witness;
use crate::agent::Input;
use crate::locating::Locating;
use crate::membership::Applicant;
use crate::memberships::{Memberships, Other};
use crate::tunnels::Host;
use crate::{clock, random};

/// How patient a link is.
#[derive(Clone, Debug)]
pub struct LinkTimes {
    /// Between two keep-alives of ours.
    pub keep_alive: Duration,
    /// Without any message for so long, the link counts as broken.
    pub silence: Duration,
    /// How long to wait before dialling again.
    pub backoff: Backoff,
    /// Longest wait after the orchestrator said no: trying again soon is of no use.
    pub refused: Duration,
}

/// For everybody who wants something of the link; clones are the same link.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    orders: mpsc::UnboundedSender<Order>,
    status: watch::Receiver<LinkStatus>,
    lane: watch::Receiver<Option<Arc<Lane>>>,
    root: watch::Receiver<SeaRoot>,
}

/// What the agent wants of the link.
#[derive(Debug)]
pub(crate) enum Order {
    /// A new chain for the key that was asked for.
    Certificate(Vec<Vec<u8>>),
    /// The orchestrator said why it ends the link.
    Refused(String),
    /// Close and open anew: answers are missing on it.
    Reconnect,
    /// From the next session on, this membership is used.
    Transfer { other: Box<Other>, done: oneshot::Sender<Result<(), String>> },
}

/// How a link is, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStatus {
    pub orchestrator: String,
    /// The proxy by which it is called, `host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    pub up: bool,
    pub since: Time,
    /// Why it is not up; empty when it is.
    pub reason: String,
    pub certificate_expires: Time,
}

/// What a link needs; it owns the credentials.
#[derive(Debug)]
pub(crate) struct Settings {
    /// `host:port`
    pub(crate) orchestrator: String,
    pub(crate) memberships: Memberships,
    /// A membership beside the one that is used, which is left as soon as we are welcome.
    pub(crate) other: Option<Arc<Other>>,
    /// Of the link that is started.
    pub(crate) orders: (mpsc::UnboundedSender<Order>, mpsc::UnboundedReceiver<Order>),
    /// Where renewed credentials are kept.
    pub(crate) data_dir: PathBuf,
    pub(crate) credentials: Credentials,
    /// Joins anew when the credentials are void.
    pub(crate) applicant: Applicant,
    pub(crate) revocations: Revocations,
    pub(crate) clock: Clock,
    pub(crate) times: LinkTimes,
    /// The revision that keep-alives tell.
    pub(crate) revision: watch::Receiver<u64>,
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) farewell: watch::Receiver<Farewell>,
    pub(crate) host: Arc<Host>,
    pub(crate) locating: Locating,
}

/// Nobody waits any more for what this node wipes.
const FORGOTTEN: &str = "this node was forgotten while it wipes itself; it ends when it has";

/// The task.
struct Caller {
    settings: Settings,
    status: watch::Sender<LinkStatus>,
    lane: watch::Sender<Option<Arc<Lane>>>,
    /// Of the sea that the credentials are of.
    root: watch::Sender<SeaRoot>,
    /// Counts sessions.
    line: u64,
    /// The membership that is in use on the disk already: from the next session on.
    next: Option<Box<Other>>,
    /// Since when the orchestrator has not been heard under this membership.
    unheard: Option<Instant>,
}

/// Of two memberships, one whose orchestrator is not reached for so long gives way to the other.
const UNHEARD: Duration = Duration::from_secs(30);

// === impl Link ===

impl Link {
    /// Dials until `stop`; then the session is closed and the task ends.
    pub(crate) fn start(settings: Settings, stop: CancellationToken) -> (Self, JoinHandle<()>) {
        let proxies = Proxies::of_process();
        let proxy = proxies.for_address(&settings.orchestrator).map(ToString::to_string);
        let (status, status_seen) = watch::channel(LinkStatus {
            orchestrator: settings.orchestrator.clone(),
            proxy,
            up: false,
            since: clock::now().wall,
            reason: "not dialled yet".to_owned(),
            certificate_expires: expiry(&settings.credentials),
        });
        let (lane, lane_seen) = watch::channel(None);
        let (root, root_seen) = watch::channel(settings.credentials.root().clone());
        let orders = settings.orders.0.clone();
        let caller =
            Caller { settings, status, lane, root, line: 0, next: None, unheard: Some(Instant::now()) };
        let task = tokio::spawn(caller.run(stop));
        (Self { orders, status: status_seen, lane: lane_seen, root: root_seen }, task)
    }

    pub(crate) fn order(&self, order: Order) {
        // The link ends after the agent only.
        let _ = self.orders.send(order);
    }

    /// The root of the sea that this node is in; another one after it has joined another.
    pub(crate) fn root(&self) -> watch::Receiver<SeaRoot> {
        self.root.clone()
    }

    /// How it is from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<LinkStatus> {
        self.status.clone()
    }

    pub(crate) fn status(&self) -> LinkStatus {
        self.status.borrow().clone()
    }
}

// === impl LinkTimes ===

impl Default for LinkTimes {
    fn default() -> Self {
        Self {
            keep_alive: Duration::from_secs(5),
            silence: Duration::from_secs(15),
            backoff: Backoff::reconnect(),
            refused: Duration::from_secs(60),
        }
    }
}

// === impl Caller ===

impl Caller {
    async fn run(mut self, stop: CancellationToken) {
        let mut backoff = self.settings.times.backoff.clone();
        loop {
            self.change_over().await;
            let end = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                dialled = self.dial() => match dialled {
                    Ok(connected) => self.session(connected, &stop, &mut backoff).await,
                    Err(DialError::Refused { alert, .. }) => End::by_alert(&alert),
                    Err(error) => End::Broken(chain(&error)),
                },
            };
            let wait = match end {
                End::Stopped => return,
                End::Renewed => continue,
                End::Revoked | End::Broken(_) | End::Refused(_) if self.gives_way(&end) => {
                    self.go_back(&end);
                    backoff.failed(random())
                }
                End::Broken(reason) => self.down(&reason, backoff.failed(random())),
                // It was probably forgotten: to know that surely takes one more call.
                End::Refused(reason) if self.farewell() == Farewell::Wiped => {
                    self.down(&reason, backoff.failed(random()))
                }
                End::Refused(reason) => self.refused(&reason),
                End::Revoked if self.farewell() == Farewell::Wiped => {
                    return self.tell(Input::Forgotten).await;
                }
                End::Revoked if self.farewell() == Farewell::Wipes => self.refused(FORGOTTEN),
                End::Revoked => match stop.run_until_cancelled(self.join_anew()).await {
                    None => return,
                    Some(true) => continue,
                    Some(false) => self.revoked(),
                },
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// What is in use on the disk is used.
    async fn change_over(&mut self) {
        let Some(next) = self.next.take() else { return };
        let Other { credentials, address } = *next;
        (self.settings.credentials, self.settings.orchestrator) = (credentials, address);
        self.settings.other = self.settings.memberships.other_if_sound();
        self.unheard = Some(Instant::now());
        self.certificate_changed();
        let orchestrator = &self.settings.orchestrator;
        self.status.send_modify(|status| status.orchestrator.clone_from(orchestrator));
        tracing::info!(%orchestrator, identity = %self.settings.credentials.identity(), "This node changes its orchestrator.");
        self.tell(Input::Machine(NodeEvent::Resettled)).await;
    }

    /// Whether the other membership, if there is one, is to be used.
    fn gives_way(&self, end: &End) -> bool {
        let late = self.unheard.is_some_and(|since| since.elapsed() >= UNHEARD);
        let free = self.next.is_none() && self.farewell() == Farewell::Stays;
        free && self.settings.other.is_some() && (late || matches!(end, End::Revoked))
    }

    fn go_back(&mut self, end: &End) {
        let orchestrator = &self.settings.orchestrator;
        let reason = match end {
            End::Broken(reason) | End::Refused(reason) => reason,
            _ => "it has forgotten this node",
        };
        tracing::warn!(%orchestrator, reason, "This orchestrator does not take the node; it goes to the one of its other membership.");
        let memberships = &self.settings.memberships;
        match memberships.exchange().and_then(|()| Ok(memberships.used()?)) {
            Ok(used) => {
                self.next = used.map(Box::new);
                if matches!(end, End::Revoked) {
                    // Void: nobody goes back to it, and there is nothing to leave.
                    memberships.drop_other();
                }
            }
            Err(error) => tracing::error!(error = chain(&error), "It stays with this one."),
        }
    }

    /// The new membership is in use on the disk; until the session ends, the old one is here.
    fn take_over(&mut self, other: Box<Other>) -> Result<(), String> {
        let Settings { credentials, orchestrator, memberships, .. } = &self.settings;
        if self.settings.other.is_some() || self.next.is_some() {
            return Err("it has not left its orchestrator before this one yet; try again later".to_owned());
        }
        if self.farewell() != Farewell::Stays {
            return Err("it is being decommissioned".to_owned());
        }
        if other.credentials.root().fingerprint() != credentials.root().fingerprint() {
            return Err("the invitation is of another sea".to_owned());
        }
        let kept = memberships.keep((credentials, orchestrator), &other);
        if let Err(error) = kept.and_then(|()| memberships.exchange()) {
            memberships.drop_other();
            return Err(chain(&error));
        }
        self.next = Some(other);
        Ok(())
    }

    fn farewell(&self) -> Farewell {
        *self.settings.farewell.borrow()
    }

    async fn dial(&self) -> Result<Connected, DialError> {
        let orchestrator = &self.settings.orchestrator;
        match self.dialer() {
            Ok(dialer) => dialer.connect(orchestrator, Channel::Control).await,
            // Credentials that were used or installed before; nothing but a new joining mends them.
            Err(error) => Err(DialError::Refused { address: orchestrator.clone(), alert: chain(&error) }),
        }
    }

    fn dialer(&self) -> Result<Dialer, DialerError> {
        let Settings { credentials, revocations, clock, .. } = &self.settings;
        Dialer::new(credentials, revocations.clone(), clock.clone())
    }

    fn down(&self, reason: &str, wait: Duration) -> Duration {
        // Said once per outage and reason; a node may be cut off for weeks.
        if self.set_status(false, reason) {
            let orchestrator = &self.settings.orchestrator;
            tracing::warn!(%orchestrator, reason, "No link to the orchestrator; this node goes on and tries again.");
        }
        wait
    }

    /// Half of the longest wait at least.
    fn refused(&self, reason: &str) -> Duration {
        if self.set_status(false, reason) {
            let orchestrator = &self.settings.orchestrator;
            tracing::error!(%orchestrator, reason, "The orchestrator refuses this node.");
        }
        let half = self.settings.times.refused / 2;
        half + Backoff::new(half, half).failed(random())
    }

    /// As [`Caller::refused`]: only a new token mends it.
    fn revoked(&self) -> Duration {
        let name = &self.settings.applicant.name;
        self.refused(&format!(
            "this node was revoked or removed; to let it join anew, say there `holm node remove {name}` if it is \
             still listed, make a token with `holm token create --role node`, and start it again with \
             `holm node --token …`: what it runs goes on until then, and ends if its new list does not name it",
        ))
    }

    /// Whether there are new credentials: with a token that was not used here yet, as another member.
    async fn join_anew(&mut self) -> bool {
        let Settings { applicant, clock, .. } = &mut self.settings;
        match applicant.anew(clock).await {
            Ok(Some(credentials)) => {
                self.settings.credentials = credentials;
                self.certificate_changed();
                true
            }
            Ok(None) => false,
            Err(error) => {
                tracing::error!(error = chain(&error), "This node was revoked, and cannot join anew.");
                // What was refused once is not asked again.
                applicant.token = None;
                false
            }
        }
    }

    fn certificate_changed(&self) {
        let expires = expiry(&self.settings.credentials);
        self.root.send_replace(self.settings.credentials.root().clone());
        self.status.send_modify(|status| status.certificate_expires = expires);
    }

    /// Whether it is news.
    fn set_status(&self, up: bool, reason: &str) -> bool {
        self.status.send_if_modified(|status| {
            let news = status.up != up || status.reason != reason;
            if status.up != up {
                status.up = up;
                status.since = clock::now().wall;
            }
            reason.clone_into(&mut status.reason);
            news
        })
    }
}

fn expiry(credentials: &Credentials) -> Time {
    let seconds = i64::try_from(credentials.expires_at().as_secs()).unwrap_or(i64::MAX / 1000);
    Time(seconds.saturating_mul(1000))
}

/// An error with its causes, for the log and for people.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
