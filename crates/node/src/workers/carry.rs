//! The named volumes of an instance that moves: fetched before it may start, removed with a copy that has given them or
//! never served.
//!
//! ```text
//! a round ──the old one runs──► told ──► another round …
//!    │    ──it has ended before the round──► all is here: told, and nothing more before the word
//!    └─ broken: again a little later, from where it was
//! ```

use std::time::Duration;

use holm_core::node::{Discard, RuntimeEvent};
use holm_model::id::AssignmentId;
use holm_runtime::volume::Mirror;
use holm_runtime::{Runtime, volume};
use tokio::time::{Instant, sleep_until};

use super::worker::{Failure, Prepared, Worker};
use crate::volumes::{Round, TakeError, on_disk, take};

/// Between two rounds while the old one runs.
const PAUSE: Duration = Duration::from_millis(100);
/// After a round that broke.
const AGAIN: Duration = Duration::from_secs(1);

impl Worker {
    /// Watches the queue meanwhile: the move may be broken off.
    pub(super) async fn fetch(
        &mut self,
        from: AssignmentId,
        (incarnation, volumes): (u32, Vec<String>),
        runtime: &dyn Runtime,
    ) -> Result<Prepared, Failure> {
        let mut roots = Vec::new();
        for key in volumes {
            roots.push(runtime.volume(key).await?);
        }
        let mut told = false;
        loop {
            let (upward, to, roots) = (self.tools.upward.clone(), self.id, roots.clone());
            let round = async move { take(&roots, || upward.volumes(from, to)).await };
            let Some(ended) = self.unless_ended(round).await else { return Ok(Prepared::Cancelled) };
            let pause = match ended {
                Ok(Round { over: true, .. }) => return Ok(Prepared::Fetched),
                Ok(Round { held, .. }) => {
                    if !told {
                        self.tell(incarnation, RuntimeEvent::Copied(held)).await;
                        told = true;
                    }
                    PAUSE
                }
                Err(error @ (TakeError::Volume(_) | TakeError::Same)) => {
                    let retry = !matches!(error, TakeError::Same);
                    return Err(Failure { reason: format!("its volumes cannot be fetched: {error}"), retry });
                }
                Err(error) => {
                    let progress = format!("its volumes cannot be fetched, it is tried again: {error}");
                    self.tell(incarnation, RuntimeEvent::Preparing { progress }).await;
                    AGAIN
                }
            };
            let until = Instant::now() + pause;
            if self.unless_ended(async move { sleep_until(until).await }).await.is_none() {
                return Ok(Prepared::Cancelled);
            }
        }
    }

    /// Removes the instance and its volumes, as far as they are its own.
    pub(super) async fn discard(&mut self, incarnation: u32, what: Discard) {
        self.remove_traces().await;
        if let Some(runtime) = self.tools.runtimes.get(&what.runtime) {
            for source in &what.volumes {
                if let Err(error) = discard(&**runtime, volume::key(what.wish, source), what.unused).await {
                    tracing::warn!(instance = %self.id, volume = source, reason = error.reason, "A volume that serves nobody is left here.");
                }
            }
        }
        self.tell(incarnation, RuntimeEvent::Removed).await;
    }
}

/// Volumes that were fetched are its own from now on.
pub(super) async fn settle(volumes: &[String], runtime: &dyn Runtime) -> Result<(), Failure> {
    for key in volumes {
        let root = runtime.volume(key.clone()).await?;
        on_disk(move || Mirror::settle(&root)).await.map_err(|error| Failure {
            reason: format!("its volumes cannot be taken over: {error}"),
            retry: true,
        })?;
    }
    Ok(())
}

async fn discard(runtime: &dyn Runtime, key: String, unused: bool) -> Result<(), Failure> {
    if unused {
        let root = runtime.volume(key.clone()).await?;
        let copy = on_disk(move || Ok(Mirror::is_copy(&root))).await.map_err(Failure::of)?;
        if !copy {
            return Ok(());
        }
    }
    Ok(runtime.discard(key).await?)
}
