//! Making a volume what another one is, file by file; an interruption loses nothing that has come.
//!
//! A file that comes is kept under [`STAGE`], by a name that says which state of it it is, until its digest is right;
//! then it takes the place of what was there in one step. That directory marks the volume as a copy which serves nobody,
//! until [`Mirror::settle`].

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use sha2::{Digest as _, Sha256};

use super::entry::{Entry, Kind};
use super::tree::{STAGE, Tree, mtime, names};

/// A volume that nobody uses while it becomes another's copy.
#[derive(Debug)]
pub struct Mirror {
    tree: Tree,
    stage: OwnedFd,
    /// Only the administrator can give files to others.
    gives: bool,
}

/// A file on its way.
#[derive(Debug)]
pub struct Part {
    file: File,
    name: OsString,
    digest: Sha256,
    length: u64,
}

const BLOCK: usize = 64 * 1024;

// === impl Mirror ===

impl Mirror {
    /// # Errors
    /// When the directory cannot be opened or written.
    pub fn open(root: &Path) -> io::Result<Self> {
        let tree = Tree::open(root)?;
        make_dir(&tree.root, OsStr::new(STAGE))?;
        let stage = tree.dir(Path::new(STAGE))?;
        Ok(Self { tree, stage, gives: rustix::process::geteuid().is_root() })
    }

    /// A volume that is a copy, whole or not, and serves nobody.
    #[must_use]
    pub fn is_copy(root: &Path) -> bool {
        root.join(STAGE).symlink_metadata().is_ok_and(|stage| stage.is_dir())
    }

    /// The volume is an instance's own from now on.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn settle(root: &Path) -> io::Result<()> {
        if !Self::is_copy(root) {
            return Ok(());
        }
        let mirror = Self::open(root)?;
        mirror.clear_stage()?;
        rustix::fs::unlinkat(&mirror.tree.root, STAGE, AtFlags::REMOVEDIR)?;
        Ok(rustix::fs::fsync(&mirror.tree.root)?)
    }

    /// Makes directories and links; says whether a file's bytes are wanted.
    ///
    /// # Errors
    /// When the entry's path leads elsewhere, or what is there cannot be replaced.
    pub fn meet(&self, entry: &Entry) -> io::Result<bool> {
        if entry.path.is_empty() {
            return Ok(false);
        }
        let (parent, name) = entry.place()?;
        let parent = self.tree.dir(parent)?;
        let there = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        let found = there.as_ref().map(|stat| FileType::from_raw_mode(stat.st_mode));
        match &entry.kind {
            Kind::Dir if found == Some(FileType::Directory) => Ok(false),
            Kind::Dir => {
                remove(&parent, name, found)?;
                make_dir(&parent, name).map(|()| false)
            }
            Kind::Link(to) => {
                let to = OsStr::from_bytes(to);
                let same = found == Some(FileType::Symlink)
                    && rustix::fs::readlinkat(&parent, name, Vec::new())?.as_bytes() == to.as_bytes();
                if !same {
                    remove(&parent, name, found)?;
                    rustix::fs::symlinkat(to, &parent, name)?;
                }
                self.dress(&parent, name, entry)?;
                Ok(false)
            }
            Kind::File(size) => {
                let same = there.is_some_and(|stat| {
                    found == Some(FileType::RegularFile)
                        && u64::try_from(stat.st_size) == Ok(*size)
                        && mtime(&stat) == entry.mtime
                });
                if same {
                    self.dress(&parent, name, entry)?;
                }
                Ok(!same)
            }
        }
    }

    /// How many bytes of this state of the file have come.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn staged(&self, entry: &Entry) -> io::Result<u64> {
        match rustix::fs::statat(&self.stage, staged(entry), AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => Ok(0),
            stat => Ok(u64::try_from(stat?.st_size).unwrap_or(0)),
        }
    }

    /// What has come of this state of the file before, and room for the rest.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn part(&self, entry: &Entry) -> io::Result<Part> {
        let name = staged(entry);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mut file = File::from(rustix::fs::openat(&self.stage, &name, flags, Mode::from_raw_mode(0o600))?);
        let (mut digest, mut length, mut block) = (Sha256::new(), 0, vec![0; BLOCK]);
        loop {
            let read = file.read(&mut block)?;
            if read == 0 {
                break;
            }
            digest.update(&block[..read]);
            length += read as u64;
        }
        Ok(Part { file, name: name.into(), digest, length })
    }

    /// The whole file is there: it takes its place.
    ///
    /// # Errors
    /// When its digest is another one; then it is forgotten, and comes anew.
    pub fn keep(&self, part: Part, entry: &Entry, digest: &[u8]) -> io::Result<()> {
        let Part { file, name: staged, digest: own, length } = part;
        if own.finalize().as_slice() != digest || Kind::File(length) != entry.kind {
            rustix::fs::unlinkat(&self.stage, &staged, AtFlags::empty())?;
            let what = format!("`{}` came damaged or changed", String::from_utf8_lossy(&entry.path));
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        file.set_len(length)?;
        drop(file);
        self.dress(&self.stage, &staged, entry)?;
        let (parent, name) = entry.place()?;
        let parent = self.tree.dir(parent)?;
        let found = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        let found = found.map(|stat| FileType::from_raw_mode(stat.st_mode));
        if found == Some(FileType::Directory) {
            remove(&parent, name, found)?;
        }
        Ok(rustix::fs::renameat(&self.stage, &staged, &parent, name)?)
    }

    /// Removes what the other has not, gives directories their owners and times, and has all of it on the disk.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn finish(self, entries: &[Entry]) -> io::Result<()> {
        self.clear_stage()?;
        let wanted: BTreeSet<&[u8]> = entries.iter().map(|entry| &entry.path[..]).collect();
        for found in self.tree.list()?.iter().rev().filter(|found| !wanted.contains(&found.path[..])) {
            let (parent, name) = found.place()?;
            let flags = if found.kind == Kind::Dir { AtFlags::REMOVEDIR } else { AtFlags::empty() };
            rustix::fs::unlinkat(self.tree.dir(parent)?, name, flags)?;
        }
        for entry in entries.iter().rev().filter(|entry| entry.kind == Kind::Dir) {
            if entry.path.is_empty() {
                self.dress(&self.tree.root, OsStr::new("."), entry)?;
            } else {
                let (parent, name) = entry.place()?;
                self.dress(&self.tree.dir(parent)?, name, entry)?;
            }
        }
        Ok(rustix::fs::syncfs(&self.tree.root)?)
    }

    /// Parts of states that are over.
    fn clear_stage(&self) -> rustix::io::Result<()> {
        for name in names(&self.stage).map_err(|_| rustix::io::Errno::IO)? {
            rustix::fs::unlinkat(&self.stage, name, AtFlags::empty())?;
        }
        Ok(())
    }

    /// Whoever sent it may be no friend of this machine: a program comes without set-id bits.
    fn dress(&self, parent: &OwnedFd, name: &OsStr, entry: &Entry) -> io::Result<()> {
        if self.gives {
            let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
            rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        if !matches!(entry.kind, Kind::Link(_)) {
            let is_dir = entry.kind == Kind::Dir;
            let (kind, taken) = if is_dir { (OFlags::DIRECTORY, 0o3777) } else { (OFlags::NONBLOCK, 0o1777) };
            // By descriptor: what has this name now may be a link that leads elsewhere.
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | kind;
            let there = rustix::fs::openat(parent, name, flags, Mode::empty())?;
            rustix::fs::fchmod(&there, Mode::from_raw_mode(entry.mode & taken))?;
        }
        let at = Timespec { tv_sec: entry.mtime.0, tv_nsec: entry.mtime.1.into() };
        let times = Timestamps { last_access: at, last_modification: at };
        Ok(rustix::fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

// === impl Part ===

impl Part {
    /// Bytes that are there.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// The next bytes; those that are all 0 take no room on the disk.
    ///
    /// # Errors
    /// Those of the file system: it may be full.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for block in bytes.chunks(BLOCK) {
            if block.iter().all(|byte| *byte == 0) {
                let end = self.length + block.len() as u64;
                self.file.set_len(end)?;
                self.file.seek(SeekFrom::Start(end))?;
            } else {
                self.file.write_all(block)?;
            }
            self.digest.update(block);
            self.length += block.len() as u64;
        }
        Ok(())
    }
}

fn staged(entry: &Entry) -> String {
    let state = format!("\0{:?} {:?}", entry.kind, entry.mtime);
    let about = Sha256::new().chain_update(&entry.path).chain_update(state).finalize();
    about.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn make_dir(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
        Err(rustix::io::Errno::EXIST) => Ok(()),
        made => Ok(made?),
    }
}

fn remove(parent: &OwnedFd, name: &OsStr, found: Option<FileType>) -> io::Result<()> {
    match found {
        None => Ok(()),
        Some(FileType::Directory) => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let dir = rustix::fs::openat(parent, name, flags, Mode::empty())?;
            for below in names(&dir)? {
                let stat = rustix::fs::statat(&dir, &below, AtFlags::SYMLINK_NOFOLLOW)?;
                remove(&dir, &below, Some(FileType::from_raw_mode(stat.st_mode)))?;
            }
            Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
        }
        Some(_) => Ok(rustix::fs::unlinkat(parent, name, AtFlags::empty())?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    use std::path::PathBuf;

    fn bytes(root: &Path, entry: &Entry) -> Vec<u8> {
        let mut bytes = Vec::new();
        Tree::open(root).unwrap().file(&entry.path).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// How many files came.
    fn mirror(from: &Path, to: &Path) -> usize {
        let entries = Tree::open(from).unwrap().list().unwrap();
        let mirror = Mirror::open(to).unwrap();
        let mut came = 0;
        for entry in &entries {
            if mirror.meet(entry).unwrap() {
                let bytes = bytes(from, entry);
                let mut part = mirror.part(entry).unwrap();
                part.write(&bytes[usize::try_from(part.length()).unwrap()..]).unwrap();
                mirror.keep(part, entry, &Sha256::digest(&bytes)).unwrap();
                came += 1;
            }
        }
        mirror.finish(&entries).unwrap();
        assert_eq!(Tree::open(to).unwrap().list().unwrap().len(), entries.len());
        came
    }

    fn two() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir(&from).unwrap();
        fs::create_dir(&to).unwrap();
        (dir, from, to)
    }

    #[test]
    fn a_volume_becomes_what_the_other_is_and_then_only_what_differs_comes() {
        let (_dir, from, to) = two();
        fs::create_dir_all(from.join("a/b")).unwrap();
        for (name, text) in [("one", "1"), ("a/two", "22"), ("a/b/three", "333")] {
            fs::write(from.join(name), text).unwrap();
        }
        fs::set_permissions(from.join("a/two"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::set_permissions(from.join("a"), fs::Permissions::from_mode(0o2750)).unwrap();
        fs::set_permissions(from.join("one"), fs::Permissions::from_mode(0o6755)).unwrap();
        symlink("/etc/passwd", from.join("link")).unwrap();
        fs::create_dir(to.join("one")).unwrap();
        fs::write(to.join("one/in the way"), "x").unwrap();
        fs::write(to.join("surplus"), "x").unwrap();
        assert_eq!(mirror(&from, &to), 3);
        assert_eq!(fs::read_to_string(to.join("a/b/three")).unwrap(), "333");
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("/etc/passwd"));
        assert_eq!(fs::metadata(to.join("a/two")).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::metadata(to.join("a")).unwrap().mode() & 0o7777, 0o2750);
        assert_eq!(fs::metadata(to.join("one")).unwrap().mode() & 0o7777, 0o755);
        let mtimes = [&from, &to].map(|root| fs::metadata(root.join("a")).unwrap().modified().unwrap());
        assert_eq!(mtimes[0], mtimes[1]);
        assert!(!to.join("surplus").exists() && Mirror::is_copy(&to) && !Mirror::is_copy(&from));
        Mirror::settle(&to).unwrap();
        assert!(!to.join(STAGE).exists());
        assert_eq!(mirror(&from, &to), 0, "nothing has changed");
        fs::write(from.join("a/two"), "other").unwrap();
        fs::remove_dir_all(from.join("a/b")).unwrap();
        assert_eq!(mirror(&from, &to), 1);
        assert_eq!(fs::read_to_string(to.join("a/two")).unwrap(), "other");
    }

    #[test]
    fn a_link_in_the_place_of_a_directory_leads_no_mode_elsewhere() {
        let (dir, from, to) = two();
        fs::create_dir(from.join("a")).unwrap();
        let secret = dir.path().join("secret");
        fs::write(&secret, "x").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let mut entries = Tree::open(&from).unwrap().list().unwrap();
        for entry in &mut entries {
            entry.mode = 0o777;
        }
        symlink(&secret, to.join("a")).unwrap();
        assert!(Mirror::open(&to).unwrap().finish(&entries).is_err());
        assert_eq!(fs::metadata(&secret).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_interrupted_file_goes_on_where_it_was_and_a_damaged_one_comes_anew() {
        let (_dir, from, to) = two();
        fs::write(from.join("big"), vec![7; 200_000]).unwrap();
        let entry = Tree::open(&from).unwrap().list().unwrap().pop().unwrap();
        let open = || Mirror::open(&to).unwrap();
        open().part(&entry).unwrap().write(&vec![7; 150_000]).unwrap();
        let mirror = open();
        let mut part = mirror.part(&entry).unwrap();
        assert_eq!(part.length(), 150_000);
        part.write(&vec![8; 50_000]).unwrap();
        let error = mirror.keep(part, &entry, &Sha256::digest(vec![7; 200_000])).unwrap_err();
        assert_eq!(error.to_string(), "`big` came damaged or changed");
        assert!(!to.join("big").exists());
        assert_eq!(mirror.part(&entry).unwrap().length(), 0);
    }

    #[test]
    fn holes_take_no_room() {
        let (_dir, from, to) = two();
        let file = File::create(from.join("sparse")).unwrap();
        file.set_len(8 << 20).unwrap();
        assert_eq!(mirror(&from, &to), 1);
        let meta = fs::metadata(to.join("sparse")).unwrap();
        assert!(meta.len() == 8 << 20 && meta.blocks() < 1024, "{}", meta.blocks());
    }

    #[test]
    fn nothing_leads_out_of_a_volume() {
        let (dir, from, to) = two();
        fs::write(dir.path().join("secret"), "s").unwrap();
        symlink(dir.path(), to.join("way")).unwrap();
        symlink(dir.path(), from.join("way")).unwrap();
        let mirror = Mirror::open(&to).unwrap();
        let kind = Kind::File(1);
        let entry = |path: &str| Entry {
            path: path.into(),
            kind: kind.clone(),
            mode: 0o600,
            uid: 0,
            gid: 0,
            mtime: (0, 0),
        };
        for path in ["../secret", "/etc/passwd", "a/../../secret", "..", "way/secret"] {
            assert!(mirror.meet(&entry(path)).is_err(), "{path}");
        }
        for path in ["../secret", "way/secret", "way"] {
            assert!(Tree::open(&from).unwrap().file(path.as_bytes()).is_err(), "{path}");
        }
    }
}
