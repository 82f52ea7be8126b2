//! Where the sockets lie, and who may open them: one directory each, on a file system without a disk.
//!
//! ```text
//! /run/holm-<label>-id/<instance>/run/identity.sock
//!                          │       └ for a container: mounted into it, alone
//!                          └ for a container: closed to everybody else
//! ```
//!
//! Directories stay while their instance does, whatever becomes of the agent: a container keeps the mount.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use holm_model::id::AssignmentId;
use holm_runtime::{Access, Mount};
use tokio::net::UnixListener;

use super::At;
use crate::tmpfs::{Tmpfs, TmpfsError};

/// All sockets of this node.
#[derive(Debug)]
pub(crate) struct Sockets(Tmpfs);

/// There is no socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    #[error(transparent)]
    Place(#[from] TmpfsError),
    #[error("cannot make {}: {source}", path.display())]
    Make { path: PathBuf, source: io::Error },
}

/// Where containers find the directory with their socket.
const MOUNTED: &str = "/run/holm-identity";
const SOCKET: &str = "identity.sock";

impl Sockets {
    /// `label` tells this node from others of the same machine.
    pub(crate) fn new(label: &str) -> Self {
        Self(Tmpfs::new(&format!("{label}-id")))
    }

    /// Below `base` alone.
    #[cfg(test)]
    pub(crate) fn below(base: &Path) -> Self {
        Self(Tmpfs::below(base))
    }

    /// A listening socket for the instance, in place of one that an earlier agent left.
    ///
    /// # Errors
    /// See [`SocketError`].
    pub(super) fn open(&self, id: AssignmentId, access: Access) -> Result<(UnixListener, At), SocketError> {
        let dir = self.0.root()?.join(id.to_string());
        let listener =
            listen(&dir, access).map_err(|source| SocketError::Make { path: dir.clone(), source })?;
        let run = dir.join(RUN);
        let at = match access {
            Access::Shared { .. } => At { path: run.join(SOCKET), mount: None },
            Access::Mounted { .. } => {
                let mount = Mount { source: run, target: MOUNTED.to_owned() };
                At { path: Path::new(MOUNTED).join(SOCKET), mount: Some(mount) }
            }
        };
        Ok((listener, at))
    }

    /// Removes what is left of instances that are not on the list any more.
    pub(super) fn keep_only(&self, ids: &BTreeSet<AssignmentId>) {
        self.0.keep_only(ids);
    }

    /// Removes all of it, for a node that is given up.
    pub(crate) fn retire(&self) {
        self.0.retire();
    }
}

/// The directory that has the socket, and nothing else.
const RUN: &str = "run";
/// Where it is made, out of reach, until its permissions are right.
const NEW: &str = "new";

fn listen(dir: &Path, access: Access) -> io::Result<UnixListener> {
    // A container's user is not known here: nobody else gets as far as its directory.
    let (pass, owner, mode) = match access {
        Access::Shared { owner } => (if owner.is_some() { 0o710 } else { 0o700 }, owner, 0o600),
        Access::Mounted { .. } => (0o700, None, 0o666),
    };
    let (run, new) = (dir.join(RUN), dir.join(NEW));
    make(dir, pass)?;
    if let Some((_, gid)) = owner {
        chown(dir, None, Some(gid))?;
    }
    make(&run, 0o755)?;
    make(&new, 0o700)?;
    let socket = new.join(SOCKET);
    match fs::remove_file(&socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&socket)?;
    fs::set_permissions(&socket, Permissions::from_mode(mode))?;
    if let Some((uid, gid)) = owner {
        chown(&socket, Some(uid), Some(gid))?;
    }
    fs::rename(&socket, run.join(SOCKET))?;
    Ok(listener)
}

/// Ours, whoever the instance runs as: it can replace nothing there.
fn make(dir: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::set_permissions(dir, Permissions::from_mode(mode))
}
