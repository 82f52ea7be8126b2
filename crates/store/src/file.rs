//! Files that are there whole and for their owner only, or not at all; and the directories above them.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Makes a directory that others can pass through, and what is missing above it alike, whatever the umask is;
/// what is there stays as it is.
///
/// Daemons of one machine keep their data below one directory: were it closed by the first of them, users of
/// instances would not reach what is theirs below the node's.
///
/// # Errors
/// When one of them cannot be made.
pub fn make_passable(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o711).create(dir) {
        Ok(()) => std::fs::set_permissions(dir, Permissions::from_mode(0o711)),
        Err(_) if dir.is_dir() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_passable(above(dir).ok_or(error)?)?;
            make_passable(dir)
        }
        Err(error) => Err(error),
    }
}

/// Makes a directory for its owner only, if it is not there; what is missing above it is passable.
pub(crate) fn make_private(dir: &Path) -> io::Result<()> {
    if dir.try_exists()? {
        return Ok(());
    }
    above(dir).map_or(Ok(()), make_passable)?;
    DirBuilder::new().mode(0o700).create(dir)?;
    sync_parent(dir)
}

/// Makes an empty file that only its owner can read, in place of what is left of an earlier try.
pub(crate) fn private(path: &Path) -> io::Result<()> {
    remove(path)?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop)
}

/// Removes the file, if it is there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Waits until the content is on the disk.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Waits until the name is on the disk.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    sync(above(path).unwrap_or_else(|| Path::new(".")))
}

/// The directory of `path`, when the path names it.
fn above(path: &Path) -> Option<&Path> {
    path.parent().filter(|parent| !parent.as_os_str().is_empty())
}

/// `path` with `suffix` added to its file name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::{Mode, umask};

    use super::*;

    /// Each test has a process of its own, and a umask.
    #[test]
    fn users_of_instances_pass_whatever_the_umask_is() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |made: &str| dir.path().join(made).metadata().unwrap().permissions().mode() & 0o777;
        let before = umask(Mode::from_bits_truncate(0o077));
        make_private(&dir.path().join("a/b/root")).unwrap();
        make_passable(&dir.path().join("a/b/node/deep")).unwrap();
        umask(before);
        for made in ["a", "a/b", "a/b/node", "a/b/node/deep"] {
            assert_eq!(mode(made), 0o711, "{made}");
        }
        assert_eq!(mode("a/b/root"), 0o700);
        make_passable(&dir.path().join("a/b/root")).unwrap();
        make_private(&dir.path().join("a/b/node")).unwrap();
        assert_eq!((mode("a/b/root"), mode("a/b/node")), (0o700, 0o711), "what is there stays as it is");
    }
}
