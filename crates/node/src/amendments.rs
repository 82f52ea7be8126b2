//! What an operator said about this node, kept in its data directory, and the facts that follow.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holm_core::node::NodeEvent;
use holm_model::amendment::{Amendment, AmendmentError, Amendments};
use holm_model::coordinate::Coordinate;
use holm_model::member::NodeFacts;
use tokio::sync::{Mutex, mpsc};

use crate::agent::Input;

/// Tells the agent the node's facts, as found and amended. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Narrator {
    path: PathBuf,
    /// Held until the agent is told, so that it hears the newest last.
    known: Arc<Mutex<Known>>,
}

#[derive(Debug)]
struct Known {
    found: NodeFacts,
    amendments: Amendments,
    /// Where it is in the network, once that is known.
    coordinate: Option<Coordinate>,
}

/// An amendment was not taken; the node is as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AmendError {
    #[error(transparent)]
    Senseless(#[from] AmendmentError),
    #[error("the node cannot keep it in {}: {source}", path.display())]
    Keep { path: PathBuf, source: io::Error },
    #[error("the node is being stopped; try again when it is back")]
    Stopping,
}

const FILE: &str = "amendments.json";

// === impl Narrator ===

impl Narrator {
    /// Reads what was said before; the first facts are those that `found` becomes by it.
    pub(crate) fn load(dir: &Path, found: NodeFacts) -> (Self, NodeFacts) {
        let path = dir.join(FILE);
        let amendments = read(&path).unwrap_or_else(|error| {
            // A node that does not start helps nobody.
            tracing::error!(path = %path.display(), %error, "What was said about this node cannot be read; say it again.");
            Amendments::default()
        });
        let told = amendments.applied_to(found.clone());
        let known = Arc::new(Mutex::new(Known { found, amendments, coordinate: None }));
        (Self { path, known }, told)
    }

    /// The node was looked at again. False when there is no agent any more.
    pub(crate) async fn found(&self, facts: NodeFacts, agent: &mpsc::Sender<Input>) -> bool {
        let mut known = self.known.lock().await;
        known.found = facts;
        known.tell(agent).await
    }

    /// The node has found out where it is in the network.
    pub(crate) async fn located(&self, coordinate: Coordinate, agent: &mpsc::Sender<Input>) {
        let mut known = self.known.lock().await;
        known.coordinate = Some(coordinate);
        known.tell(agent).await;
    }

    /// Whether somebody in charge of this node has said that it builds images.
    pub(crate) async fn builds(&self) -> bool {
        let known = self.known.lock().await;
        let facts = known.amendments.applied_to(known.found.clone());
        holm_model::build::builds(&facts.capabilities)
    }

    /// Returns when it is on the disk and the agent was told.
    ///
    /// # Errors
    /// See [`AmendError`].
    pub(crate) async fn amend(
        &self,
        amendment: Amendment,
        agent: &mpsc::Sender<Input>,
    ) -> Result<(), AmendError> {
        let mut known = self.known.lock().await;
        let mut amendments = known.amendments.clone();
        amendments.amend(&known.found, amendment)?;
        let (path, text) = (self.path.clone(), amendments.clone());
        let kept = tokio::task::spawn_blocking(move || write(&path, &text)).await;
        kept.map_err(io::Error::other)
            .flatten()
            .map_err(|source| AmendError::Keep { path: self.path.clone(), source })?;
        known.amendments = amendments;
        if known.tell(agent).await { Ok(()) } else { Err(AmendError::Stopping) }
    }
}

// === impl Known ===

impl Known {
    async fn tell(&self, agent: &mpsc::Sender<Input>) -> bool {
        let mut facts = self.amendments.applied_to(self.found.clone());
        facts.coordinate = self.coordinate;
        agent.send(Input::Machine(NodeEvent::Facts(Box::new(facts)))).await.is_ok()
    }
}

fn read(path: &Path) -> io::Result<Amendments> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Amendments::default()),
        Err(error) => Err(error),
    }
}

/// In one step, and for good.
fn write(path: &Path, amendments: &Amendments) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(&serde_json::to_vec_pretty(amendments)?)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zigbee(has: bool) -> Amendment {
        Amendment::Capability { capability: "hardware/zigbee".parse().unwrap(), has }
    }

    async fn told(inbox: &mut mpsc::Receiver<Input>) -> NodeFacts {
        match inbox.recv().await {
            Some(Input::Machine(NodeEvent::Facts(facts))) => *facts,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_was_said_outlives_looks_and_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let (agent, mut inbox) = mpsc::channel(8);
        let (narrator, first) = Narrator::load(dir.path(), NodeFacts::default());
        assert!(first.capabilities.is_empty());
        narrator.amend(zigbee(true), &agent).await.unwrap();
        assert_eq!(told(&mut inbox).await.capabilities.len(), 1);
        assert!(narrator.found(NodeFacts::default(), &agent).await);
        assert_eq!(told(&mut inbox).await.capabilities.len(), 1);
        let (narrator, first) = Narrator::load(dir.path(), NodeFacts::default());
        assert_eq!(first.capabilities.len(), 1);
        narrator.amend(zigbee(false), &agent).await.unwrap();
        assert!(told(&mut inbox).await.amendments.is_empty());
    }

    #[tokio::test]
    async fn what_cannot_be_kept_is_not_so() {
        let dir = tempfile::tempdir().unwrap();
        let (agent, mut inbox) = mpsc::channel(8);
        let (narrator, _) = Narrator::load(&dir.path().join("gone"), NodeFacts::default());
        let error = narrator.amend(zigbee(true), &agent).await.unwrap_err();
        assert!(matches!(error, AmendError::Keep { .. }), "{error}");
        assert!(narrator.found(NodeFacts::default(), &agent).await);
        assert!(told(&mut inbox).await.capabilities.is_empty());
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert_eq!(Narrator::load(dir.path(), NodeFacts::default()).1, NodeFacts::default(), "damaged");
    }
}
