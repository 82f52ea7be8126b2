//! Making a backup of a running orchestrator.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Seek as _;
use std::path::PathBuf;

use holm_store::CopyError;
use tempfile::TempDir;

use super::archive::{self, ArchiveError, Contents, KEPT, STORE};
use super::envelope::{self, EnvelopeError, Lock};
use crate::clock;
use crate::handle::Handle;

/// No backup was made.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    #[error("no room for the backup beside the store")]
    Room(#[from] std::io::Error),
    #[error("the backup was not finished (a bug)")]
    Ended,
}

impl Handle {
    /// A backup of this moment, in a file that has no name any more: whoever reads it to its end has it all.
    ///
    /// # Errors
    /// See [`TakeError`].
    pub async fn backup(&self, lock: Lock) -> Result<File, TakeError> {
        let dir = tempfile::Builder::new().prefix("backup-").tempdir_in(self.data_dir())?;
        self.store().copy_to(&dir.path().join(STORE)).await?;
        let (data, status) = (self.data_dir().to_owned(), self.status());
        let work = move || {
            let files = files(&data, &dir);
            let sums = files.iter().map(|(name, path)| Ok((name.clone(), archive::sum(path)?)));
            let contents = Contents {
                format: archive::format(),
                version: status.version,
                role: status.role,
                name: status.name,
                sea: status.sea,
                fingerprint: status.fingerprint,
                created: clock::wall(),
                files: sums.collect::<std::io::Result<_>>()?,
            };
            let out = envelope::Writer::new(tempfile::tempfile_in(&data)?, &lock)?;
            let mut file = archive::write(out, &contents, &files)?.finish()?;
            file.rewind()?;
            Ok(file)
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| TakeError::Ended)?
    }
}

/// Where each part is now: the store's copy, and the other files as they are; none changes but as a whole.
fn files(data: &std::path::Path, copy: &TempDir) -> BTreeMap<String, PathBuf> {
    let place = |name: &str| if name == STORE { copy.path().join(name) } else { data.join(name) };
    let all = KEPT.iter().map(|name| ((*name).to_owned(), place(name)));
    all.filter(|(_, path)| path.is_file()).collect()
}
