//! Gives the files of an instance to its user, when that is another one than it was: agents of before ran
//! programs of all projects as one user.
//!
//! Other programs of the former user may still run and change the tree meanwhile, so every step is by
//! descriptors, no link is followed, and what has a second name elsewhere stays as it is.

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, chownat, fchown, fstat, open, openat, statat};
use rustix::process::{Gid, Uid};

use super::user::Identity;

/// Files and directories that are given at one start.
const MOST: u32 = 1_000_000;
const DEEPEST: u32 = 200;

/// From whom, to whom, and how much of it is left to do.
struct Handover {
    from: u32,
    device: u64,
    uid: Uid,
    gid: Gid,
    left: u32,
}

/// Gives `root`, and whatever below it is of the same user and on the same disk, to `to`. Blocks.
///
/// # Errors
/// Those of the file system; when there are too many files, or they lie too deep.
pub(super) fn give(root: &Path, to: &Identity) -> io::Result<()> {
    let dir = open(root, FLAGS, Mode::empty())?;
    let Stat { st_uid: from, st_dev: device, .. } = fstat(&dir)?;
    if from == to.uid {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(to.uid), Gid::from_raw(to.gid));
    let mut handover = Handover { from, device, uid, gid, left: MOST };
    handover.below(&dir, 0)?;
    // Last: until then it is begun anew at the next start.
    Ok(fchown(&dir, Some(uid), Some(gid))?)
}

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Handover {
    fn below(&mut self, dir: &OwnedFd, depth: u32) -> io::Result<()> {
        if depth > DEEPEST {
            return Err(io::Error::other(format!(
                "directories lie more than {DEEPEST} deep; chown it by hand"
            )));
        }
        for entry in Dir::read_from(dir)? {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                self.one(dir, entry.file_name(), depth)?;
            }
        }
        Ok(())
    }

    fn one(&mut self, dir: &OwnedFd, name: &CStr, depth: u32) -> io::Result<()> {
        self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| io::Error::other(format!("it has more than {MOST} files; chown it by hand")))?;
        let there = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if there.st_uid != self.from || there.st_dev != self.device {
            return Ok(());
        }
        let is_dir = FileType::from_raw_mode(there.st_mode) == FileType::Directory;
        if is_dir {
            let below = openat(dir, name, FLAGS, Mode::empty())?;
            // Whatever has this name now.
            let opened = fstat(&below)?;
            if opened.st_uid != self.from || opened.st_dev != self.device {
                return Ok(());
            }
            self.below(&below, depth + 1)?;
            return Ok(fchown(&below, Some(self.uid), Some(self.gid))?);
        }
        if there.st_nlink > 1 {
            return Ok(());
        }
        Ok(chownat(dir, name, Some(self.uid), Some(self.gid), AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, lchown, symlink};

    use super::*;

    #[test]
    fn everything_of_the_former_user_is_given_and_nothing_else_needs_root() {
        if !nix::unistd::Uid::effective().is_root() {
            return println!("skipped: needs root");
        }
        let home = tempfile::tempdir().unwrap();
        let (work, outside) = (home.path().join("work"), home.path().join("outside"));
        fs::create_dir_all(work.join("a/b")).unwrap();
        for file in ["outside", "outside-2", "work/a/b/file", "work/roots"] {
            fs::write(home.path().join(file), "x").unwrap();
        }
        fs::hard_link(home.path().join("outside-2"), work.join("twice")).unwrap();
        symlink(&outside, work.join("link")).unwrap();
        for of_nobody in ["outside", "outside-2", "work", "work/a", "work/a/b", "work/a/b/file", "work/link"]
        {
            lchown(home.path().join(of_nobody), Some(65534), Some(65534)).unwrap();
        }
        let to = Identity { uid: 70_001, gid: 70_002, groups: Vec::new() };
        give(&work, &to).unwrap();
        let owner = |path: &str| {
            let meta = fs::symlink_metadata(home.path().join(path)).unwrap();
            (meta.uid(), meta.gid())
        };
        for given in ["work", "work/a", "work/a/b", "work/a/b/file", "work/link"] {
            assert_eq!(owner(given), (70_001, 70_002), "{given}");
        }
        assert_eq!((owner("outside"), owner("outside-2")), ((65534, 65534), (65534, 65534)), "behind links");
        assert_eq!(owner("work/roots"), (0, 0));
        symlink(&outside, home.path().join("not-a-dir")).unwrap();
        assert!(give(&home.path().join("not-a-dir"), &to).is_err());
    }
}
