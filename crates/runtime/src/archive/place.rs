//! Directories below the target. Each step is one name, opened in the directory before it, and never a link:
//! whatever an archive has planted, nothing outside is reached.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    FileType, Mode, OFlags, Timespec, Timestamps, fchmod, fstat, futimens, mkdirat, open, openat,
};
use rustix::io::Errno;

use super::item::{Beneath, Reason};

/// The way to the directory that is open now; archives come in the order of their trees, so most steps are
/// there already.
#[derive(Debug)]
pub(super) struct Place {
    top: OwnedFd,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: std::ffi::OsString,
    dir: OwnedFd,
    /// Set when it is left: a read-only directory could not be filled, and filling it changes its time.
    after: Option<(u32, u64)>,
}

/// A step that was not made.
#[derive(Debug)]
pub(super) enum NoStep {
    Refused(Reason),
    Io(io::Error),
}

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

pub(super) fn times(mtime: u64) -> Timestamps {
    let at = Timespec { tv_sec: i64::try_from(mtime).unwrap_or(i64::MAX), tv_nsec: 0 };
    Timestamps { last_access: at, last_modification: at }
}

// === impl Place ===

impl Place {
    /// # Errors
    /// When `target` is no directory.
    pub(super) fn new(target: &Path) -> io::Result<Self> {
        Ok(Self { top: open(target, DIRECTORY, Mode::empty())?, steps: Vec::new() })
    }

    /// The directory that is open now.
    pub(super) fn dir(&self) -> &OwnedFd {
        self.steps.last().map_or(&self.top, |step| &step.dir)
    }

    /// Goes to the directory in which the last name of `path` lies; what is missing on the way is made.
    pub(super) fn above<'a>(&mut self, path: &'a Beneath) -> Result<Option<&'a OsStr>, NoStep> {
        let Some((name, way)) = path.0.split_last() else { return Ok(None) };
        let same = self.steps.iter().zip(way).take_while(|(step, name)| step.name == **name).count();
        self.back_to(same)?;
        for name in &way[same..] {
            self.step(name, None)?;
        }
        Ok(Some(name))
    }

    /// Makes the directory `name` in the one that is open now, if it is not there, and goes into it.
    pub(super) fn step(&mut self, name: &OsStr, after: Option<(u32, u64)>) -> Result<(), NoStep> {
        let made = match mkdirat(self.dir(), name, Mode::from_raw_mode(0o755)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(NoStep::Io(error.into())),
        };
        let dir = match openat(self.dir(), name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(dir) => dir,
            Err(Errno::NOTDIR | Errno::LOOP) => return Err(NoStep::Refused(Reason::BehindLink)),
            Err(error) => return Err(NoStep::Io(error.into())),
        };
        // One that was there before stays as it is.
        self.steps.push(Step { name: name.to_owned(), dir, after: after.filter(|_| made) });
        Ok(())
    }

    /// An earlier file of the same archive, which is no link.
    pub(super) fn file(&mut self, path: &Beneath) -> Result<OwnedFd, NoStep> {
        let name = self.above(path)?.ok_or(NoStep::Refused(Reason::LeadsOut))?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(self.dir(), name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::LOOP | Errno::NOENT) => return Err(NoStep::Refused(Reason::LeadsOut)),
            Err(error) => return Err(NoStep::Io(error.into())),
        };
        let kind = FileType::from_raw_mode(fstat(&file).map_err(io::Error::from)?.st_mode);
        if kind == FileType::RegularFile { Ok(file) } else { Err(NoStep::Refused(Reason::LeadsOut)) }
    }

    /// Leaves every directory.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.back_to(0)
    }

    fn back_to(&mut self, count: usize) -> io::Result<()> {
        while self.steps.len() > count {
            if let Some(Step { dir, after: Some((mode, mtime)), .. }) = self.steps.pop() {
                fchmod(&dir, Mode::from_raw_mode(mode))?;
                futimens(&dir, &times(mtime))?;
            }
        }
        Ok(())
    }
}

impl From<io::Error> for NoStep {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
