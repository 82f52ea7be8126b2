//! The registry of images that an orchestrator carries.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use holm_api::Doorman;
use holm_orchestrator::handle::Handle;
use holm_registry::{Dial, Limits, OverHttp, Registry, Way};

use crate::failure::Failure;

/// How often what nobody needs is removed.
const CLEAN: Duration = Duration::from_secs(600);

/// The way through the link to the registry of the root.
#[derive(Debug)]
struct Uplink(Handle);

impl Dial for Uplink {
    fn dial(&self) -> BoxFuture<'_, Result<Box<dyn Way>, String>> {
        async move {
            let tunnel = self.0.open_registry_above().await.map_err(|error| error.to_string())?;
            Ok(Box::new(tunnel) as Box<dyn Way>)
        }
        .boxed()
    }
}

/// Opens it in the data directory, and keeps it clean until the orchestrator stops. That of a cluster is a cache of
/// the root's.
pub(super) async fn open(data_dir: &Path, handle: &Handle, is_root: bool) -> Result<Registry, Failure> {
    let (dir, doorman) = (data_dir.join("registry"), Arc::new(Doorman::new(handle.clone())));
    let (gate, above) = (Arc::clone(&doorman), OverHttp::new(Uplink(handle.clone())));
    let open = move || {
        let registry = Registry::open(&dir, Limits::default(), gate)?;
        if is_root { Ok(registry) } else { registry.over(&dir, Arc::new(above)) }
    };
    let opened = tokio::task::spawn_blocking(open).await;
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
