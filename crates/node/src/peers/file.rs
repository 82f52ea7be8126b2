//! The file an instance reads its peers from: always whole, readable by whoever the instance runs as.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use holm_model::tunnel::PeersFile;

/// Replaces the file in one step: a reader sees the old or the new one. It is not synced, since it is
/// written anew at each start of the agent.
pub(super) fn replace(path: &Path, peers: &PeersFile) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
        // Whatever our umask says: the instance may be another user.
        fs::set_permissions(dir, Permissions::from_mode(0o755))?;
    }
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    serde_json::to_writer_pretty(&mut file, peers)?;
    file.write_all(b"\n")?;
    fs::rename(&new, path)
}

/// Removes an instance's directory, if it is there.
pub(super) fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Directories of instances below `dir`.
pub(super) fn directories(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
