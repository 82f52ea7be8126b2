//! While the orchestrator is silent the one above it is told what runs here, so that it is not replaced elsewhere.
//!
//! Nothing is obeyed there, and nothing changes hands: the link to the orchestrator is dialled on all the time, and
//! when it is up, this ends.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holm_core::node::NodeMachine;
use holm_link::backoff::Backoff;
use holm_link::cbor;
use holm_link::clock::Clock;
use holm_link::credentials::Credentials;
use holm_link::dial::Dialer;
use holm_link::listen::Channel;
use holm_link::revocation::Revocations;
use holm_link::session::{Session, SessionEnd};
use holm_model::id::AssignmentId;
use holm_model::message::{Hearing, Testimony};
use holm_model::name::Name;
use holm_model::state::InstanceState;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::session::{accept, limits};
use super::{LinkStatus, chain};
use crate::agent::{Input, Question};
use crate::guest::Guest;
use crate::random;
use crate::tunnels::{Host, Opener};

/// Where the orchestrator above is called, as the node's own one has told.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Above {
    /// Who has told so; another one's word is of no use.
    by: String,
    addresses: Vec<String>,
}

/// The task.
pub(crate) struct Witness {
    /// What the machine becomes above, where it is invited.
    pub(crate) guest: Guest,
    pub(crate) name: Name,
    /// Serves whoever looks at instances from above.
    pub(crate) host: Arc<Host>,
    pub(crate) data_dir: PathBuf,
    pub(crate) status: watch::Receiver<LinkStatus>,
    pub(crate) revocations: Revocations,
    pub(crate) clock: Clock,
    pub(crate) inputs: mpsc::Sender<Input>,
    /// How long the orchestrator has been silent before.
    pub(crate) after: Duration,
    /// Between two words.
    pub(crate) pace: Duration,
}

const FILE: &str = "above.json";
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// For an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Of what is told; nobody has more ways than that.
const MOST_ADDRESSES: usize = 8;
const LONGEST_ADDRESS: usize = 300;

// === impl Above ===

impl Above {
    /// Kept where it is new; it is bounded by us, whoever told it.
    pub(super) fn keep(credentials: &Credentials, addresses: Vec<String>, dir: &Path) -> io::Result<()> {
        let fits = addresses.into_iter().filter(|address| address.len() <= LONGEST_ADDRESS);
        let above = Self { by: teller(credentials), addresses: fits.take(MOST_ADDRESSES).collect() };
        if Self::read(dir).as_ref() == Some(&above) {
            return Ok(());
        }
        let new = dir.join(FILE).with_extension("new");
        fs::write(&new, serde_json::to_vec_pretty(&above)?)?;
        fs::File::open(&new)?.sync_all()?;
        fs::rename(&new, dir.join(FILE))
    }

    fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(dir.join(FILE)).ok()?).ok()
    }
}

fn teller(credentials: &Credentials) -> String {
    credentials.identity().parent().map(|parent| parent.to_string()).unwrap_or_default()
}

// === impl Witness ===

impl Witness {
    /// Ends with the link.
    pub(crate) async fn run(self) {
        let mut status = self.status.clone();
        loop {
            if status.wait_for(|link| !link.up).await.is_err() {
                return;
            }
            let alone = async {
                sleep(self.after).await;
                self.testify_on().await;
            };
            tokio::select! {
                up = status.wait_for(|link| link.up) => if up.is_err() { return },
                () = alone => {}
            }
        }
    }

    /// Until it is dropped.
    async fn testify_on(&self) {
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        let mut said = String::new();
        loop {
            // Renewed, or exchanged, since.
            if let Ok(Some(credentials)) = Credentials::load(&self.data_dir)
                && let Some(above) =
                    Above::read(&self.data_dir).filter(|above| above.by == teller(&credentials))
            {
                for address in &above.addresses {
                    let reason = self.testify(&credentials, address, &mut backoff).await;
                    if said != reason {
                        tracing::warn!(address, reason, "The orchestrator above is not told what runs here.");
                        said = reason;
                    }
                }
            }
            sleep(backoff.failed(random())).await;
        }
    }

    /// Why it has ended.
    async fn testify(&self, credentials: &Credentials, address: &str, backoff: &mut Backoff) -> String {
        let dialer = match Dialer::above(credentials, self.revocations.clone(), self.clock.clone()) {
            Ok(dialer) => dialer,
            Err(error) => return chain(&error),
        };
        let connected = match dialer.connect(address, Channel::Witness).await {
            Ok(connected) => connected,
            Err(error) => return chain(&error),
        };
        let Session { sender, mut receiver, incoming, .. } = Session::client(connected.stream, &limits());
        // They end with the connection.
        let mut serving = JoinSet::new();
        serving.spawn(accept(incoming, Arc::clone(&self.host), Opener::Above));
        let mut heard: Option<Instant> = None;
        loop {
            // Whoever is back soon finds all as it was.
            let late = heard.is_some_and(|since| since.elapsed() >= self.after);
            let asks = (late && !self.guest.is_here()).then(|| self.name.clone());
            let Some(runs) = Question::ask(&self.inputs, running).await else {
                return "this node ends".to_owned();
            };
            let Ok(frame) = cbor::encode(&Testimony { runs, asks }) else { return "a bug".to_owned() };
            if sender.send(Bytes::from(frame)).await.is_err() {
                return ended(receiver.ended().await);
            }
            let answer = match timeout(PATIENCE, receiver.recv()).await {
                Ok(Some(Ok(frame))) => cbor::decode::<Hearing>(&frame, usize::MAX),
                Ok(Some(Err(_))) => return "it answered too much".to_owned(),
                Ok(None) => return ended(receiver.ended().await),
                Err(_) => return "it does not answer".to_owned(),
            };
            match answer {
                Ok(Hearing { refused: Some(reason), .. }) => return reason,
                Ok(Hearing { invited: Some(invited), .. }) => {
                    if let Err(error) = self.guest.come(invited, address).await {
                        tracing::warn!(%error, "This node cannot keep what it is invited with.");
                    }
                }
                Ok(_) => {}
                Err(error) => return chain(&error),
            }
            if heard.is_none() {
                heard = Some(Instant::now());
                backoff.succeeded();
                tracing::info!(
                    address,
                    "The orchestrator is silent; the one above it is told what runs here."
                );
            }
            sleep(self.pace).await;
        }
    }
}

/// What is in memory.
fn running(machine: &NodeMachine) -> Vec<AssignmentId> {
    let there = |state| matches!(state, InstanceState::Running | InstanceState::Paused);
    machine.instances().filter(|(_, record)| there(record.state)).map(|(id, _)| id).collect()
}

fn ended(end: SessionEnd) -> String {
    match end {
        SessionEnd::Refused(alert) => format!("it refused us: {alert}"),
        other => other.to_string(),
    }
}
