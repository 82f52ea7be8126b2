//! An archive becomes files. Each file is written beside its place and takes it when it is whole.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, fchmod, futimens, openat, renameat, symlinkat, unlinkat};

use super::item::{Item, Kind, Reason};
use super::place::{NoStep, Place, times};
use super::{Copied, CopyError, Target, read};

/// Unpacks `input` below `target`. Files belong to whoever runs this.
///
/// # Errors
/// See [`CopyError`]; a file that was begun is not left behind.
pub fn unpack(input: impl Read, target: &Target) -> Result<Copied, CopyError> {
    unpack_each(input, target, || {})
}

/// As [`unpack`]; `each` is called for each file, directory and link once it is there.
///
/// # Errors
/// As [`unpack`].
pub fn unpack_each(input: impl Read, target: &Target, mut each: impl FnMut()) -> Result<Copied, CopyError> {
    let place = Place::new(&target.dir).map_err(CopyError::file(&target.dir))?;
    let mut unpacker = Unpacker { place, target, top: None, copied: Copied::default(), begun: 0 };
    read::each(input, usize::from(target.rename.is_some()), |name, item, data| {
        let done = match item {
            Ok(item) => unpacker.take(name, item, data)?,
            Err(reason) => Err(reason),
        };
        match done {
            Ok(()) => {
                unpacker.copied.entries += 1;
                each();
            }
            Err(reason) => unpacker.copied.refused.add(name, reason),
        }
        Ok(())
    })?;
    unpacker.place.finish().map_err(CopyError::file(&target.dir))?;
    Ok(unpacker.copied)
}

struct Unpacker<'a> {
    place: Place,
    target: &'a Target,
    /// The first name of every path, where the target names it anew.
    top: Option<OsString>,
    copied: Copied,
    /// Numbers files that are not whole yet.
    begun: u64,
}

/// The first name becomes `rename`; a second thing at the top is refused.
pub(super) fn renamed(
    path: &mut [OsString],
    rename: Option<&OsStr>,
    top: &mut Option<OsString>,
) -> Result<(), Reason> {
    if let (Some(rename), Some(first)) = (rename, path.first_mut()) {
        if top.get_or_insert_with(|| first.clone()) != first {
            return Err(Reason::Second);
        }
        *first = rename.to_owned();
    }
    Ok(())
}

// === impl Unpacker ===

impl Unpacker<'_> {
    fn take(
        &mut self,
        name: &[u8],
        mut item: Item,
        data: &mut dyn Read,
    ) -> Result<Result<(), Reason>, CopyError> {
        let rename = self.target.rename.as_deref();
        let mut anew = |path: &mut [OsString]| renamed(path, rename, &mut self.top);
        let again = if let Kind::Again { target } = &mut item.kind { anew(&mut target.0) } else { Ok(()) };
        if let Err(reason) = anew(&mut item.path.0).and(again) {
            return Ok(Err(reason));
        }
        match self.make(&item, name, data) {
            Ok(()) => Ok(Ok(())),
            Err(Failed::Step(NoStep::Refused(reason))) => Ok(Err(reason)),
            Err(Failed::Step(NoStep::Io(error))) => Err(CopyError::file(self.shown(&item))(error)),
            Err(Failed::Copy(error)) => Err(error),
        }
    }

    fn make(&mut self, item: &Item, name: &[u8], data: &mut dyn Read) -> Result<(), Failed> {
        let mut earlier = match &item.kind {
            Kind::Again { target } => Some(File::from(self.place.file(target)?)),
            _ => None,
        };
        let Some(own) = self.place.above(&item.path)? else { return Ok(()) };
        match &item.kind {
            Kind::Directory => Ok(self.place.step(own, Some((item.mode, item.mtime)))?),
            Kind::Symlink { target } => self.whole(own, |place, beside| {
                Ok(symlinkat(target, place.dir(), beside).map_err(io::Error::from)?)
            }),
            Kind::File { size } => self.whole(own, |place, beside| {
                let written = write(place, beside, item, data)?;
                let cut_off = || CopyError::CutOff { name: super::shown(name) };
                if written == *size { Ok(()) } else { Err(Failed::Copy(cut_off())) }
            }),
            Kind::Again { .. } => self.whole(own, |place, beside| {
                let earlier = earlier.as_mut().ok_or(NoStep::Refused(Reason::LeadsOut))?;
                write(place, beside, item, earlier).map(drop)
            }),
        }
    }

    /// Makes something beside `own`, then gives it this name.
    fn whole(
        &mut self,
        own: &OsStr,
        make: impl FnOnce(&Place, &Path) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        self.begun += 1;
        let beside = PathBuf::from(format!(".holm-cp-{}-{}", std::process::id(), self.begun));
        let dir = self.place.dir();
        let made = make(&self.place, &beside)
            .and_then(|()| Ok(renameat(dir, &beside, dir, own).map_err(io::Error::from)?));
        if made.is_err() {
            // Not even begun, perhaps.
            let _ = unlinkat(dir, &beside, AtFlags::empty());
        }
        made
    }

    fn shown(&self, item: &Item) -> PathBuf {
        item.path.0.iter().fold(self.target.dir.clone(), |path, name| path.join(name))
    }
}

fn write(place: &Place, beside: &Path, item: &Item, data: &mut dyn Read) -> Result<u64, Failed> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(place.dir(), beside, flags, Mode::from_raw_mode(0o600)).map_err(io::Error::from)?;
    let mut file = File::from(file);
    let written = io::copy(data, &mut file)?;
    fchmod(&file, Mode::from_raw_mode(item.mode)).map_err(io::Error::from)?;
    futimens(&file, &times(item.mtime)).map_err(io::Error::from)?;
    Ok(written)
}

/// An entry was not made.
#[derive(Debug)]
enum Failed {
    Step(NoStep),
    Copy(CopyError),
}

impl From<NoStep> for Failed {
    fn from(error: NoStep) -> Self {
        Self::Step(error)
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Step(NoStep::Io(error))
    }
}
