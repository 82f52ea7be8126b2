//! Secrets and files of instances, in memory: one directory each, on a file system without a disk.
//!
//! ```text
//! /run/holm-<label>/<instance>/secrets/<name>   for the instance's user only
//!                             /files/<name>     as well
//! ```

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown,
};
use std::path::{Path, PathBuf};

use holm_model::id::AssignmentId;
use holm_runtime::Access;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::unistd::Uid;

use crate::given::{FILES, SECRETS, Sorted};

/// The directory of this node, made when it is first needed.
#[derive(Clone, Debug)]
pub(crate) struct Tmpfs {
    candidates: Vec<PathBuf>,
    name: String,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TmpfsError {
    #[error(
        "secrets and files must not lie on a disk, and this node has no place in memory: none of {looked} is a tmpfs that can be written"
    )]
    NoMemory { looked: String },
    #[error("{} belongs to somebody else, or others can write there; remove it", path.display())]
    Foreign { path: PathBuf },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

// === impl Tmpfs ===

impl Tmpfs {
    /// `label` tells this node from others of the same machine.
    pub(crate) fn new(label: &str) -> Self {
        let run = Uid::effective().is_root().then(|| PathBuf::from("/run"));
        let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let candidates = run.into_iter().chain(own).chain([PathBuf::from("/dev/shm")]).collect();
        Self { candidates, name: format!("holm-{label}") }
    }

    /// Below `base` alone.
    #[cfg(test)]
    pub(crate) fn below(base: &Path) -> Self {
        Self { candidates: vec![base.to_owned()], name: "holm-test".to_owned() }
    }

    /// Writes the files of a launch, in place of all that is there; `None`: it has none.
    ///
    /// # Errors
    /// See [`TmpfsError`].
    pub(crate) fn place(
        &self,
        id: AssignmentId,
        given: &Sorted,
        access: Access,
    ) -> Result<Option<PathBuf>, TmpfsError> {
        self.remove(id);
        self.refresh(id, given, access)
    }

    /// As [`Tmpfs::place`], under an instance that runs: each file is replaced.
    ///
    /// # Errors
    /// See [`TmpfsError`].
    pub(crate) fn refresh(
        &self,
        id: AssignmentId,
        given: &Sorted,
        access: Access,
    ) -> Result<Option<PathBuf>, TmpfsError> {
        if given.is_without_files() {
            return Ok(None);
        }
        let dir = self.root()?.join(id.to_string());
        write(&dir, given, access).map_err(|source| TmpfsError::Write { path: dir.clone(), source })?;
        Ok(Some(dir))
    }

    /// Removes what an instance was given, if anything was.
    pub(crate) fn remove(&self, id: AssignmentId) {
        for dir in self.existing() {
            forget(&dir.join(id.to_string()));
        }
    }

    /// Removes what is left of instances that ended while nobody looked.
    pub(crate) fn keep_only(&self, alive: &BTreeSet<AssignmentId>) {
        let known: BTreeSet<String> = alive.iter().map(ToString::to_string).collect();
        for entry in self.existing().flat_map(fs::read_dir).flatten().flatten() {
            if !entry.file_name().to_str().is_some_and(|name| known.contains(name)) {
                forget(&entry.path());
            }
        }
    }

    /// Removes all of it, for a node that is given up.
    pub(crate) fn retire(&self) {
        self.existing().for_each(|dir| forget(&dir));
    }

    fn existing(&self) -> impl Iterator<Item = PathBuf> {
        let dirs = self.candidates.iter().map(|base| base.join(&self.name));
        dirs.filter(|dir| is_ours(dir).unwrap_or(false))
    }

    /// The directory itself, for what has an instance's id below it.
    ///
    /// # Errors
    /// See [`TmpfsError`].
    pub(crate) fn root(&self) -> Result<PathBuf, TmpfsError> {
        for base in self.candidates.iter().filter(|base| in_memory(base)) {
            let dir = base.join(&self.name);
            match DirBuilder::new().mode(0o711).create(&dir) {
                // Whatever our umask says: instances' users pass through.
                Ok(()) => drop(fs::set_permissions(&dir, Permissions::from_mode(0o711))),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(_) => continue,
            }
            return match is_ours(&dir) {
                Ok(true) => Ok(dir),
                _ => Err(TmpfsError::Foreign { path: dir }),
            };
        }
        let looked: Vec<String> = self.candidates.iter().map(|base| base.display().to_string()).collect();
        Err(TmpfsError::NoMemory { looked: looked.join(", ") })
    }
}

fn in_memory(base: &Path) -> bool {
    statfs(base).is_ok_and(|fs| fs.filesystem_type() == TMPFS_MAGIC)
}

/// Anybody may make a name in `/dev/shm`.
fn is_ours(dir: &Path) -> io::Result<bool> {
    let found = fs::symlink_metadata(dir)?;
    Ok(found.is_dir() && found.uid() == Uid::effective().as_raw() && found.mode() & 0o022 == 0)
}

fn forget(dir: &Path) {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(dir = %dir.display(), %error, "What an instance was given is still in memory.");
        }
        _ => {}
    }
}

fn write(dir: &Path, given: &Sorted, access: Access) -> io::Result<()> {
    // A container's user is not known here: nobody else gets as far as its directory.
    let (owner, pass, inner, secret) = match access {
        Access::Shared { owner } => (owner, if owner.is_some() { 0o710 } else { 0o700 }, 0o700, 0o400),
        Access::Mounted { .. } => (None, 0o700, 0o755, 0o444),
    };
    // Ours, so that its user puts nothing in the place of what we write; others do not even pass.
    make(dir, pass, owner.map(|(_, gid)| (Uid::effective().as_raw(), gid)))?;
    let (secrets, files) = (dir.join(SECRETS), dir.join(FILES));
    make(&secrets, inner, owner)?;
    make(&files, inner, owner)?;
    for (name, bytes) in &given.secrets {
        replace(&secrets.join(name.as_str()), bytes, secret, owner)?;
    }
    for (name, file) in &given.files {
        let path = files.join(name.as_str());
        match access {
            Access::Shared { .. } => replace(&path, &file.bytes, file.mode, owner)?,
            // It may be mounted by itself, and a mount stays with the file that it was made of.
            Access::Mounted { .. } => overwrite(&path, &file.bytes, file.mode)?,
        }
    }
    Ok(())
}

fn make(dir: &Path, mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    if let Some((uid, gid)) = owner {
        chown(dir, Some(uid), Some(gid))?;
    }
    fs::set_permissions(dir, Permissions::from_mode(mode))
}

/// A reader sees the old or the new one.
fn replace(path: &Path, bytes: &[u8], mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = fresh(&new)?;
    file.write_all(bytes)?;
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::fchown(&file, Some(uid), Some(gid))?;
    }
    file.set_permissions(Permissions::from_mode(mode))?;
    fs::rename(&new, path)
}

fn overwrite(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.set_permissions(Permissions::from_mode(mode))
}

/// In a directory of an instance's user nothing is opened that was there before.
fn fresh(path: &Path) -> io::Result<fs::File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use holm_model::id::{Epoch, Uid as Id};
    use holm_model::name::Name;

    use super::*;
    use crate::given::File;

    const SHARED: Access = Access::Shared { owner: None };

    fn id(counter: u64) -> AssignmentId {
        AssignmentId(Id { epoch: Epoch::new(1, 7), counter })
    }

    fn given(secret: &[u8]) -> Sorted {
        let name = |text: &str| Name::new(text).unwrap();
        let mut given = Sorted::default();
        given.secrets.insert(name("tls"), secret.to_vec());
        given.files.insert(name("conf"), File { mode: 0o440, bytes: b"a=b".to_vec() });
        given
    }

    /// In memory, as the place has to be.
    fn base() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").unwrap()
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o777
    }

    #[test]
    fn files_are_for_the_instance_only_and_go_with_it() {
        let base = base();
        let tmpfs = Tmpfs::below(base.path());
        let dir = tmpfs.place(id(1), &given(b"one"), SHARED).unwrap().unwrap();
        let secret = dir.join("secrets/tls");
        assert_eq!(fs::read(&secret).unwrap(), b"one");
        assert_eq!(
            (mode(&secret), mode(&dir.join("secrets")), mode(&dir.join("files/conf"))),
            (0o400, 0o700, 0o440)
        );
        tmpfs.refresh(id(1), &given(b"two"), SHARED).unwrap();
        assert_eq!(fs::read(&secret).unwrap(), b"two");
        tmpfs.place(id(2), &given(b"x"), SHARED).unwrap();
        tmpfs.keep_only(&BTreeSet::from([id(1)]));
        assert!(secret.exists() && !dir.with_file_name(id(2).to_string()).exists());
        tmpfs.remove(id(1));
        assert!(!dir.exists());
    }

    #[test]
    fn a_file_that_is_mounted_by_itself_stays_the_same_file() {
        let base = base();
        let tmpfs = Tmpfs::below(base.path());
        let access = Access::Mounted { secrets: "/run/secrets", files: "/run/holm-files" };
        let dir = tmpfs.place(id(1), &given(b"one"), access).unwrap().unwrap();
        let inode = |dir: &Path| dir.join("files/conf").metadata().unwrap().ino();
        let before = inode(&dir);
        tmpfs.refresh(id(1), &given(b"two"), access).unwrap();
        assert_eq!(inode(&dir), before);
        assert_eq!((mode(&dir), mode(&dir.join("secrets/tls"))), (0o700, 0o444));
    }

    #[test]
    fn neither_a_disk_nor_what_somebody_else_made_is_used() {
        let base = base();
        fs::create_dir(base.path().join("holm-test")).unwrap();
        fs::set_permissions(base.path().join("holm-test"), Permissions::from_mode(0o777)).unwrap();
        let error = Tmpfs::below(base.path()).place(id(1), &given(b"x"), SHARED).unwrap_err();
        assert!(matches!(error, TmpfsError::Foreign { .. }), "{error}");
        let error = Tmpfs::below(Path::new("/proc")).place(id(1), &given(b"x"), SHARED).unwrap_err();
        assert!(error.to_string().contains("none of /proc"), "{error}");
    }
}
