//! A tree of files becomes an archive. Links are stored, not followed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;
use tar::EntryType;

use super::item::{DEPTH, MODE, Reason};
use super::write::{Marks, Writer};
use super::{Copied, CopyError};

/// Writes `source` and everything below it, under its own name. What is neither file, directory nor link,
/// or cannot be read, is passed over and told.
///
/// # Errors
/// When `source` itself cannot be read, or the archive cannot be written.
pub fn pack(source: &Path, output: impl Write) -> Result<Copied, CopyError> {
    pack_each(source, output, || {})
}

/// As [`pack`]; `each` is called for each file, directory and link once it is written.
///
/// # Errors
/// As [`pack`].
pub fn pack_each(source: &Path, output: impl Write, each: impl FnMut()) -> Result<Copied, CopyError> {
    let failed = |error: Errno| CopyError::file(source)(error.into());
    let here = statat(CWD, source, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    // What was asked for may be a link; what lies below is not followed.
    let real = match FileType::from_raw_mode(here.st_mode) {
        FileType::Symlink => source.canonicalize().map_err(CopyError::file(source))?,
        _ => source.to_owned(),
    };
    let stat = statat(CWD, &real, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    let name = match source.file_name() {
        Some(name) => name.to_owned(),
        None => {
            let whole = source.canonicalize().map_err(CopyError::file(source))?;
            whole.file_name().map_or_else(|| OsString::from("root"), OsStr::to_owned)
        }
    };
    let mut packer = Packer { writer: Writer::new(output), copied: Copied::default(), each };
    packer.thing(CWD, real.as_os_str(), &PathBuf::from(name), &stat, 0)?;
    if let ([(_, Reason::Unreadable(why))], 0) = (&packer.copied.refused.first[..], packer.copied.entries) {
        return Err(CopyError::file(source)(io::Error::other(why.clone())));
    }
    packer.writer.finish()?;
    Ok(packer.copied)
}

struct Packer<W: Write, E: FnMut()> {
    writer: Writer<W>,
    copied: Copied,
    each: E,
}

/// A file that may shrink while it is read: what is missing are zeros, as its size was said already.
struct Exact {
    file: File,
    left: u64,
}

fn marks(stat: &Stat) -> Marks {
    Marks { mode: stat.st_mode & MODE, mtime: u64::try_from(stat.st_mtime).unwrap_or(0) }
}

// === impl Packer ===

impl<W: Write, E: FnMut()> Packer<W, E> {
    /// `name` in `dir`, stored as `path`.
    fn thing(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        stat: &Stat,
        depth: usize,
    ) -> Result<(), CopyError> {
        let open = |flags| openat(dir, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
        let marks = marks(stat);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if depth >= DEPTH => self.refuse(path, Reason::Deep),
            FileType::Directory => match open(OFlags::DIRECTORY) {
                Ok(inner) => {
                    self.writer.directory(path, marks)?;
                    self.written();
                    self.directory(&inner, path, depth)?;
                }
                Err(error) => self.unreadable(path, error),
            },
            // Without waiting, should it have become a pipe.
            FileType::RegularFile => match open(OFlags::RDONLY | OFlags::NONBLOCK) {
                Ok(file) => self.file(file, path)?,
                Err(error) => self.unreadable(path, error),
            },
            FileType::Symlink => match readlinkat(dir, name, Vec::new()) {
                Ok(target) => {
                    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                    self.writer.link(EntryType::Symlink, path, &target, marks)?;
                    self.written();
                }
                Err(error) => self.unreadable(path, error),
            },
            FileType::CharacterDevice | FileType::BlockDevice => self.refuse(path, Reason::Device),
            FileType::Fifo | FileType::Socket => self.refuse(path, Reason::Pipe),
            FileType::Unknown => self.refuse(path, Reason::Unknown),
        }
        Ok(())
    }

    fn file(&mut self, file: OwnedFd, path: &Path) -> Result<(), CopyError> {
        let stat = match fstat(&file) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => stat,
            Ok(_) => {
                self.refuse(path, Reason::Unknown);
                return Ok(());
            }
            Err(error) => {
                self.unreadable(path, error);
                return Ok(());
            }
        };
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let data = Exact { file: File::from(file), left: size };
        self.writer.file(path, size, marks(&stat), data)?;
        self.written();
        Ok(())
    }

    fn directory(&mut self, dir: &OwnedFd, path: &Path, depth: usize) -> Result<(), CopyError> {
        let entries = match Dir::read_from(dir) {
            Ok(entries) => entries,
            Err(error) => {
                self.unreadable(path, error);
                return Ok(());
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.unreadable(path, error);
                    return Ok(());
                }
            };
            let name = OsString::from_vec(entry.file_name().to_bytes().to_vec());
            if name == "." || name == ".." {
                continue;
            }
            let path = path.join(&name);
            match statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => self.thing(dir.as_fd(), &name, &path, &stat, depth + 1)?,
                // Removed meanwhile.
                Err(Errno::NOENT) => {}
                Err(error) => self.unreadable(&path, error),
            }
        }
        Ok(())
    }

    fn written(&mut self) {
        self.copied.entries += 1;
        (self.each)();
    }

    fn unreadable(&mut self, path: &Path, error: Errno) {
        self.refuse(path, Reason::Unreadable(io::Error::from(error).to_string()));
    }

    fn refuse(&mut self, path: &Path, reason: Reason) {
        self.copied.refused.add(path.as_os_str().as_encoded_bytes(), reason);
    }
}

// === impl Exact ===

impl Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = &mut buffer[..most];
        let read = match self.file.read(buffer)? {
            0 => {
                buffer.fill(0);
                most
            }
            read => read,
        };
        self.left -= read as u64;
        Ok(read)
    }
}
