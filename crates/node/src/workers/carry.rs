//! The named volumes of an instance that moves: fetched before its first start, removed after it has moved away.
//!
//! ```text
//! a round ──the old one runs──► told ──► another round …
//!    │    ──it has ended before the round──► all is here: the launch goes on
//!    └─ broken: again a little later, from where it was
//! ```

use std::path::PathBuf;
use std::time::Duration;

use holm_core::node::{Launch, RuntimeEvent};
use holm_model::id::{AssignmentId, WishId};
use holm_model::name::Name;
use holm_runtime::{Runtime, volume};
use tokio::time::{Instant, sleep_until};

use super::worker::{Failure, Prepared, Worker};
use crate::volumes::{Round, TakeError, take};

/// Between two rounds while the old one runs.
const PAUSE: Duration = Duration::from_millis(100);
/// After a round that broke.
const AGAIN: Duration = Duration::from_secs(1);

impl Worker {
    /// Watches the queue meanwhile: the move may be broken off.
    pub(super) async fn fetch(
        &mut self,
        from: AssignmentId,
        launch: &Launch,
        runtime: &dyn Runtime,
    ) -> Result<Prepared, Failure> {
        let mut roots = Vec::new();
        for key in volume::keys(launch.part.wish, &launch.spec) {
            roots.push(runtime.volume(key).await?);
        }
        let (incarnation, mut told) = (launch.incarnation, false);
        loop {
            let ended = self.unless_ended(round(self, from, &roots)).await;
            let Some(ended) = ended else { return Ok(Prepared::Cancelled) };
            let pause = match ended {
                Ok(Round { over: true, .. }) => return Ok(Prepared::Done),
                Ok(Round { held, .. }) => {
                    if !told {
                        self.tell(incarnation, RuntimeEvent::Copied(held)).await;
                        told = true;
                    }
                    PAUSE
                }
                Err(TakeError::Volume(error)) => {
                    return Err(Failure {
                        reason: format!("its volumes cannot be fetched: {error}"),
                        retry: true,
                    });
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

    /// They are with the successor.
    pub(super) async fn discard(&self, wish: WishId, runtime: &Name, volumes: Vec<String>) {
        let Some(runtime) = self.tools.runtimes.get(runtime) else { return };
        for source in volumes {
            if let Err(error) = runtime.discard(volume::key(wish, &source)).await {
                tracing::warn!(instance = %self.id, volume = source, %error, "A volume that moved away is left here.");
            }
        }
    }
}

fn round(
    worker: &Worker,
    from: AssignmentId,
    roots: &[PathBuf],
) -> impl Future<Output = Result<Round, TakeError>> + use<> {
    let (upward, to, roots) = (worker.tools.upward.clone(), worker.id, roots.to_vec());
    async move { take(upward.volumes(from, to).await?, &roots).await }
}
