//! Where this node is in the network: measures the ways, and tells the agent what they mean.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holm_core::locating::Locator;
use holm_link::reach;
use holm_model::coordinate::{Coordinate, Landmark};
use holm_model::message::Up;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::agent::Input;
use crate::amendments::Narrator;
use crate::link::Line;

/// It outlives sessions. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Locating {
    locator: Arc<Mutex<Locator>>,
    begun: Instant,
    narrator: Narrator,
    agent: mpsc::Sender<Input>,
}

/// For one landmark: after a second, a handshake whose packet was lost begins again, and tells nothing of the way.
const PATIENCE: Duration = Duration::from_millis(900);

// === impl Locating ===

impl Locating {
    pub(crate) fn new(name: &str, narrator: Narrator, agent: mpsc::Sender<Input>) -> Self {
        let locator = Arc::new(Mutex::new(Locator::new(name)));
        Self { locator, begun: Instant::now(), narrator, agent }
    }

    /// One round; landmarks are dialled in tasks of the session.
    ///
    /// # Returns
    /// When the next one is due.
    pub(crate) fn round(&self, line: &Line, tasks: &mut JoinSet<()>) -> Instant {
        let (stamp, landmarks) = self.locator().round(self.begun.elapsed());
        line.send(&Up::Ping { stamp });
        while tasks.try_join_next().is_some() {}
        for landmark in landmarks {
            let this = self.clone();
            tasks.spawn(async move { this.dial(landmark).await });
        }
        Instant::now() + self.locator().pause()
    }

    pub(crate) async fn pong(&self, stamp: u64, there: Coordinate) {
        self.locator().pong(self.begun.elapsed(), stamp, there);
        self.tell().await;
    }

    pub(crate) fn hear(&self, landmarks: &[Landmark]) {
        self.locator().hear(landmarks);
    }

    async fn dial(&self, landmark: Landmark) {
        // Who cannot be reached from here tells nothing.
        let Ok(took) = reach::round_trip(landmark.address, PATIENCE).await else { return };
        self.locator().dialled(&landmark, took);
        self.tell().await;
    }

    async fn tell(&self) {
        let news = self.locator().news();
        if let Some(coordinate) = news {
            self.narrator.located(coordinate, &self.agent).await;
        }
    }

    /// Nothing that holds the lock can panic half-way: a poisoned state is a whole one.
    fn locator(&self) -> MutexGuard<'_, Locator> {
        self.locator.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
