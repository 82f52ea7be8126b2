//! Looking into a volume that others may be writing.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};

use super::entry::{Entry, Kind, MOST_ENTRIES};

/// What a mirror keeps in the volume until it is whole; no part of it.
pub(super) const STAGE: &str = ".holm-moving";

/// An open volume.
#[derive(Debug)]
pub struct Tree {
    pub(super) root: OwnedFd,
}

impl Tree {
    /// # Errors
    /// When there is no such directory, or it may not be read.
    pub fn open(root: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: rustix::fs::openat(CWD, root, flags, Mode::empty())? })
    }

    /// A file of the volume, for reading.
    ///
    /// # Errors
    /// When it is not there, is no file, or a link is on the way.
    pub fn file(&self, path: &[u8]) -> io::Result<File> {
        // A pipe would wait for somebody to write into it.
        let file =
            File::from(self.beneath(Path::new(OsStr::from_bytes(path)), OFlags::RDONLY | OFlags::NONBLOCK)?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    pub(super) fn dir(&self, path: &Path) -> io::Result<OwnedFd> {
        self.beneath(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    fn beneath(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        Ok(rustix::fs::openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?)
    }

    /// All of it, directories before what is in them, the root first. What goes away meanwhile is left out.
    ///
    /// # Errors
    /// When a directory cannot be read, or there are more than [`MOST_ENTRIES`].
    pub fn list(&self) -> io::Result<Vec<Entry>> {
        let root = rustix::fs::fstat(&self.root)?;
        let mut all = vec![entry(Vec::new(), Kind::Dir, &root)];
        let mut open = vec![PathBuf::new()];
        while let Some(at) = open.pop() {
            let dir = match self.dir(&at) {
                Err(error) if is_gone(&error) => continue,
                dir => dir?,
            };
            for name in names(&dir)? {
                if at.as_os_str().is_empty() && name == STAGE {
                    continue;
                }
                let stat = match rustix::fs::statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(rustix::io::Errno::NOENT) => continue,
                    stat => stat?,
                };
                let path = at.join(&name);
                let kind = match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => {
                        open.push(path.clone());
                        Kind::Dir
                    }
                    FileType::RegularFile => Kind::File(u64::try_from(stat.st_size).unwrap_or(0)),
                    FileType::Symlink => match rustix::fs::readlinkat(&dir, &name, Vec::new()) {
                        Ok(to) => Kind::Link(to.into_bytes()),
                        Err(_) => continue,
                    },
                    _ => continue,
                };
                if all.len() >= MOST_ENTRIES {
                    let what = format!("a volume with more than {MOST_ENTRIES} files does not move");
                    return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
                }
                all.push(entry(path.into_os_string().into_vec(), kind, &stat));
            }
        }
        Ok(all)
    }
}

pub(super) fn names(dir: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir.as_fd())? {
        let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// It was there a moment ago, or is something else now.
fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
        || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

pub(super) fn mtime(stat: &Stat) -> (i64, u32) {
    (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0))
}

fn entry(path: Vec<u8>, kind: Kind, stat: &Stat) -> Entry {
    Entry { path, kind, mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid, mtime: mtime(stat) }
}
