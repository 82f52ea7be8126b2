//! Where this orchestrator is in the network. A root is where it is; a cluster measures its way to its parent and to other
//! orchestrators.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holm_core::locating::Locator;
use holm_core::orchestrator::Event;
use holm_core::vivaldi::Vivaldi;
use holm_link::reach;
use holm_model::coordinate::{Coordinate, Landmark};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::handle::Inputs;

/// Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Locating {
    /// `None`: a root.
    locator: Option<Arc<Mutex<Locator>>>,
    begun: Instant,
}

/// For one landmark: after a second, a handshake whose packet was lost begins again, and tells nothing of the way.
const PATIENCE: Duration = Duration::from_millis(900);

// === impl Locating ===

impl Locating {
    pub(crate) fn root() -> Self {
        Self { locator: None, begun: Instant::now() }
    }

    pub(crate) fn cluster(name: &str) -> Self {
        Self { locator: Some(Arc::new(Mutex::new(Locator::new(name)))), begun: Instant::now() }
    }

    pub(crate) fn coordinate(&self) -> Coordinate {
        self.locator().map_or(Vivaldi::anchor(), |locator| locator.coordinate())
    }

    /// Begins a round: the stamp of its ping, and whom to dial.
    pub(crate) fn round(&self) -> Option<(u64, Vec<Landmark>)> {
        Some(self.locator()?.round(self.begun.elapsed()))
    }

    pub(crate) fn pause(&self) -> Duration {
        self.locator().map_or(Duration::MAX, |locator| locator.pause())
    }

    /// What the machine is to hear of it.
    pub(crate) fn pong(&self, stamp: u64, there: Coordinate) -> Option<Event> {
        let mut locator = self.locator()?;
        locator.pong(self.begun.elapsed(), stamp, there);
        locator.news().map(Event::Located)
    }

    pub(crate) fn hear(&self, landmarks: &[Landmark]) {
        if let Some(mut locator) = self.locator() {
            locator.hear(landmarks);
        }
    }

    pub(crate) async fn dial(&self, landmarks: Vec<Landmark>, inputs: &Inputs) {
        let mut dialling = JoinSet::new();
        for landmark in landmarks {
            dialling.spawn(async move {
                let took = reach::round_trip(landmark.address, PATIENCE).await;
                (landmark, took)
            });
        }
        while let Some(dialled) = dialling.join_next().await {
            // Who cannot be reached from here tells nothing.
            let Ok((landmark, Ok(took))) = dialled else { continue };
            if let Some(event) = self.dialled(&landmark, took) {
                inputs.event(event).await;
            }
        }
    }

    fn dialled(&self, landmark: &Landmark, took: Duration) -> Option<Event> {
        let mut locator = self.locator()?;
        locator.dialled(landmark, took);
        locator.news().map(Event::Located)
    }

    /// Nothing that holds the lock can panic half-way: a poisoned state is a whole one.
    fn locator(&self) -> Option<MutexGuard<'_, Locator>> {
        self.locator.as_ref().map(|locator| locator.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
