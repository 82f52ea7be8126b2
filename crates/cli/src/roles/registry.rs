//! The registry of images that an orchestrator carries.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holm_api::Doorman;
use holm_orchestrator::handle::Handle;
use holm_registry::{Limits, Registry};

use crate::failure::Failure;

/// How often what nobody needs is removed.
const CLEAN: Duration = Duration::from_secs(600);

/// Opens it in the data directory, and keeps it clean until the orchestrator stops.
pub(super) async fn open(data_dir: &Path, handle: &Handle) -> Result<Registry, Failure> {
    let (dir, doorman) = (data_dir.join("registry"), Arc::new(Doorman::new(handle.clone())));
    let gate = Arc::clone(&doorman);
    let opened = tokio::task::spawn_blocking(move || Registry::open(&dir, Limits::default(), gate)).await;
    let registry = opened
        .map_err(|error| Failure::from_error("the registry of images met a bug", &error))?
        .map_err(|error| Failure::from_error("the registry of images cannot be opened", &error))?;
    tokio::spawn(keep_clean(registry.clone(), doorman, handle.stopping()));
    Ok(registry)
}

async fn keep_clean(
    registry: Registry,
    doorman: Arc<Doorman>,
    stopping: tokio_util::sync::CancellationToken,
) {
    while stopping.run_until_cancelled(tokio::time::sleep(CLEAN)).await.is_some() {
        if !doorman.learn().await {
            continue;
        }
        match registry.clean(Instant::now()).await {
            Ok(gone) if gone.files > 0 => tracing::info!(
                manifests = gone.manifests,
                blobs = gone.blobs,
                bytes = gone.bytes,
                "Images that nobody needs were removed from the registry."
            ),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "The registry could not be cleaned; it is tried again."),
        }
    }
}
