//! Where the engine keeps a named volume, for an agent that may look there.

use std::path::PathBuf;

use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::RemoveVolumeOptions;

use super::Shared;
use super::engine::status;
use super::ledger::Thing;
use crate::error::{RunError, Step};

/// The volume's directory; the engine makes the volume if it has none of the name.
///
/// # Errors
/// When the engine is not on this machine, or the agent may not read its files.
pub(super) async fn place(shared: &Shared, key: String) -> Result<PathBuf, RunError> {
    let client = shared.engine.client(Step::Volume).await?;
    let noted = shared.ledger.note(Thing::Volume, &key);
    noted.map_err(|source| RunError::System { step: Step::Volume, source })?;
    let request = VolumeCreateRequest { name: Some(key), ..VolumeCreateRequest::default() };
    let volume = client.create_volume(request).await;
    let volume = volume.map_err(|error| shared.engine.failed(Step::Volume, error))?;
    let path = PathBuf::from(volume.mountpoint);
    match tokio::fs::read_dir(&path).await {
        Ok(_) => Ok(path),
        Err(source) => Err(RunError::File { step: Step::Volume, path, source }),
    }
}

/// One that is not there is gone.
pub(super) async fn discard(shared: &Shared, key: &str) -> Result<(), RunError> {
    let client = shared.engine.client(Step::Volume).await?;
    let removed = client.remove_volume(key, None::<RemoveVolumeOptions>).await;
    match status(removed.as_ref().err()) {
        Some(404) => Ok(()),
        _ => removed.map_err(|error| shared.engine.failed(Step::Volume, error)),
    }
}
