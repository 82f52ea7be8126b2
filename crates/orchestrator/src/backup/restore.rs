//! Making an orchestrator's directory of a backup.

use std::fs::{File, Permissions};
use std::io::{self, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use holm_core::orchestrator::restored::{self, Distrusted};
use holm_link::authority::{Authority, LoadAuthorityError};
use holm_model::time::Time;
use holm_store::{CommitError, Kind, OpenError, Store};

use super::archive::{self, ArchiveError, Contents};
use super::envelope::{EnvelopeError, Lock, Reader};
use crate::clock;

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// `root` or `cluster`.
    pub role: String,
    pub name: String,
    pub sea: String,
    pub fingerprint: String,
    /// When the backup was made.
    pub taken: Time,
    pub distrusted: Distrusted,
}

/// Nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("{} is not empty; restore into a new directory, or move this one away first", .0.display())]
    NotEmpty(PathBuf),
    #[error("{} cannot be used", path.display())]
    Place { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Authority(#[from] LoadAuthorityError),
    #[error("the CA in the backup is not that of the sea it was made of")]
    OtherSea,
    #[error("a row of the store in the backup cannot be read")]
    Row(#[from] holm_core::table::LoadError),
}

/// Makes `dir` of the backup in `file`: whole, or not there.
///
/// # Errors
/// See [`RestoreError`].
pub async fn restore(file: &Path, dir: &Path, lock: &Lock) -> Result<Restored, RestoreError> {
    let place = |path: &Path| {
        let path = path.to_owned();
        move |source| RestoreError::Place { path, source }
    };
    if dir.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(RestoreError::NotEmpty(dir.to_owned()));
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    holm_store::make_passable(parent).map_err(place(parent))?;
    let mut unfinished = tempfile::Builder::new();
    unfinished.prefix(".restoring-").permissions(Permissions::from_mode(0o700));
    let unfinished = unfinished.tempdir_in(parent).map_err(place(parent))?;
    let input = BufReader::new(File::open(file).map_err(place(file))?);
    let contents = archive::read(Reader::new(input, lock)?, unfinished.path())?;
    check(&contents, unfinished.path())?;
    let distrusted = distrust(unfinished.path()).await?;
    // An empty directory that is there already makes room.
    match std::fs::remove_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(place(dir)(error)),
        _ => {}
    }
    std::fs::rename(unfinished.path(), dir).map_err(place(dir))?;
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(place(parent))?;
    let Contents { role, name, sea, fingerprint, created: taken, .. } = contents;
    Ok(Restored { role, name, sea, fingerprint, taken, distrusted })
}

fn check(contents: &Contents, dir: &Path) -> Result<(), RestoreError> {
    let authority = Authority::load(dir)?.ok_or_else(|| ArchiveError::Missing("ca.key".to_owned()))?;
    let same = authority.fingerprint().to_string() == contents.fingerprint
        && authority.identity().sea() == contents.sea;
    if same { Ok(()) } else { Err(RestoreError::OtherSea) }
}

/// What was revoked since is not known here.
async fn distrust(dir: &Path) -> Result<Distrusted, RestoreError> {
    let (store, snapshot) = Store::open(dir, Kind::Orchestrator).await?;
    let done = async {
        let (batch, distrusted) = restored::distrust(snapshot, clock::wall())?;
        store.commit(&batch).await?;
        Ok(distrusted)
    };
    let done = done.await;
    store.close().await;
    done
}
