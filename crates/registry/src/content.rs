//! Content on disk, named by its digest, below one directory.
//!
//! ```text
//! blobs/sha256/ab/<hex>   whole and verified; never changed
//! temp/                   what is being written; emptied at the start
//! ```
//!
//! A file gets its name when its bytes are on the disk and are what the name says; the name is on the disk when
//! [`Sealed::keep`] returns. All of it blocks: it belongs on a thread that may.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tempfile::TempPath;

use crate::digest::Digest;

/// The directory.
#[derive(Debug)]
pub struct Content {
    root: PathBuf,
}

/// Content that is being written.
#[derive(Debug)]
pub struct Draft {
    file: File,
    path: Place,
    hasher: Sha256,
    length: u64,
}

/// Where a draft lies.
#[derive(Debug)]
enum Place {
    /// In `temp/`: removed with the draft.
    Temp(TempPath),
    /// Where somebody finds it again after a restart.
    Lasting(PathBuf),
}

/// Content that is whole, verified and on the disk, and has no name yet.
#[derive(Debug)]
pub struct Sealed {
    path: Place,
    digest: Digest,
    length: u64,
}

/// Why content was not kept. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// It is not what it was said to be.
    #[error("the content has the digest {found}, not {expected}")]
    Digest {
        /// As it was announced.
        expected: Digest,
        /// As it came.
        found: Digest,
    },
    /// The disk did not take it.
    #[error("cannot keep {}: {source}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

// === impl Content ===

impl Content {
    /// Makes what is missing of the directory, and removes what a process that was killed was writing. One process
    /// per directory: the caller sees to that.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open(root: &Path) -> io::Result<Self> {
        let temp = root.join("temp");
        match fs::remove_dir_all(&temp) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(&temp)?,
        }
        let blobs = root.join("blobs/sha256");
        for first in 0..=u8::MAX {
            fs::create_dir_all(blobs.join(format!("{first:02x}")))?;
        }
        for dir in [&blobs, &root.join("blobs"), root] {
            sync(dir)?;
        }
        Ok(Self { root: root.to_owned() })
    }

    /// Begins to write something that is gone unless it is kept.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn draft(&self) -> io::Result<Draft> {
        let (file, path) = tempfile::NamedTempFile::new_in(self.root.join("temp"))?.into_parts();
        Ok(Draft { file, path: Place::Temp(path), hasher: Sha256::new(), length: 0 })
    }

    /// Opens what is kept, and says how long it is.
    ///
    /// # Errors
    /// `NotFound` when it is not here; or when the disk refuses.
    pub fn read(&self, digest: &Digest) -> io::Result<(File, u64)> {
        let file = File::open(self.path(digest))?;
        let length = file.metadata()?.len();
        Ok((file, length))
    }

    /// All of what is kept: manifests, which are small.
    ///
    /// # Errors
    /// `NotFound` when it is not here; or when the disk refuses.
    pub fn bytes(&self, digest: &Digest) -> io::Result<Vec<u8>> {
        fs::read(self.path(digest))
    }

    /// Removes it, if it is here. Who reads it now reads it to its end.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remove(&self, digest: &Digest) -> io::Result<()> {
        match fs::remove_file(self.path(digest)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// Everything that is kept and begins with this byte.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn list(&self, first: u8) -> io::Result<Vec<Digest>> {
        let dir = self.root.join(format!("blobs/sha256/{first:02x}"));
        let mut found = Vec::new();
        for entry in fs::read_dir(dir)? {
            found.extend(entry?.file_name().to_str().and_then(Digest::from_hex));
        }
        Ok(found)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.root.join("blobs/sha256").join(&hex[..2]).join(hex)
    }
}

// === impl Draft ===

impl Draft {
    /// Goes on with the file at `path`, or begins it. It stays there until it is kept or somebody removes it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn at(path: &Path) -> io::Result<Self> {
        let mut file = File::options().read(true).append(true).create(true).open(path)?;
        let mut hasher = Sha256::new();
        let mut length = 0;
        let mut buffer = vec![0; PIECE];
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                return Ok(Self { file, path: Place::Lasting(path.to_owned()), hasher, length });
            }
            hasher.update(&buffer[..read]);
            length += read as u64;
        }
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// When the disk refuses: what is there of `bytes` is taken back then.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Returns when all bytes so far are on the disk.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Bytes so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Reads it from its beginning, while it is there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn reader(&self) -> io::Result<File> {
        File::open(self.path.as_path())
    }

    /// The digest of the bytes so far.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::finish(self.hasher.clone())
    }

    /// Nothing is added any more: all of it is on the disk, and it is what was expected.
    ///
    /// # Errors
    /// When it is something else than `expected`, or the disk refuses.
    pub fn seal(self, expected: &Digest) -> Result<Sealed, KeepError> {
        let found = self.digest();
        if found != *expected {
            return Err(KeepError::Digest { expected: *expected, found });
        }
        let failed = |source| KeepError::Write { path: self.path.as_path().to_owned(), source };
        self.file.sync_all().map_err(failed)?;
        Ok(Sealed { path: self.path, digest: found, length: self.length })
    }
}

impl io::Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl Place ===

impl Place {
    fn as_path(&self) -> &Path {
        match self {
            Self::Temp(path) => path,
            Self::Lasting(path) => path,
        }
    }
}

// === impl Sealed ===

impl Sealed {
    /// What it is.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Gives it its name, for good: when this returns, the name is on the disk.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep(self, content: &Content) -> Result<(), KeepError> {
        let path = content.path(&self.digest);
        let failed = |source| KeepError::Write { path: path.clone(), source };
        match self.path {
            Place::Temp(temp) => temp.persist(&path).map_err(|error| failed(error.error))?,
            Place::Lasting(lasting) => fs::rename(lasting, &path).map_err(failed)?,
        }
        // The name has a directory: it was made from one.
        path.parent().map_or(Ok(()), sync).map_err(failed)
    }
}

/// Read at once.
const PIECE: usize = 256 * 1024;

pub(crate) fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn files(dir: &Path) -> usize {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
    }

    fn write(content: &Content, parts: &[&[u8]], digest: &Digest) -> Result<(), KeepError> {
        let mut draft = content.draft().unwrap();
        parts.iter().for_each(|part| draft.append(part).unwrap());
        draft.seal(digest)?.keep(content)
    }

    #[test]
    fn what_is_kept_is_read_again_also_by_the_next_process() {
        let dir = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"hello");
        write(&Content::open(dir.path()).unwrap(), &[b"he", b"", b"llo"], &digest).unwrap();
        let content = Content::open(dir.path()).unwrap();
        write(&content, &[b"hello"], &digest).unwrap();
        let (mut file, length) = content.read(&digest).unwrap();
        content.remove(&digest).unwrap();
        content.remove(&digest).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), length), ("hello", 5));
        assert_eq!(content.read(&digest).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(files(dir.path()), 0);
    }

    #[test]
    fn what_is_not_what_it_was_said_to_be_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let content = Content::open(dir.path()).unwrap();
        let (expected, found) = (Digest::of(b"right"), Digest::of(b"wrong"));
        let error = write(&content, &[b"wrong"], &expected).unwrap_err();
        assert!(matches!(error, KeepError::Digest { expected: e, found: f } if e == expected && f == found));
        assert_eq!(files(dir.path()), 0);
    }

    #[test]
    fn a_lasting_draft_is_gone_on_with_by_the_next_process() {
        let dir = tempfile::tempdir().unwrap();
        let content = Content::open(dir.path()).unwrap();
        let path = dir.path().join("upload");
        Draft::at(&path).unwrap().append(b"hel").unwrap();
        let mut draft = Draft::at(&path).unwrap();
        assert_eq!(draft.length(), 3);
        draft.append(b"lo").unwrap();
        let digest = Digest::of(b"hello");
        draft.seal(&digest).unwrap().keep(&content).unwrap();
        assert_eq!(content.list(digest.first()).unwrap(), [digest]);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_killed_process_was_writing_is_gone_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let content = Content::open(dir.path()).unwrap();
        let mut draft = content.draft().unwrap();
        draft.append(b"half").unwrap();
        assert_eq!(draft.length(), 4);
        std::mem::forget(draft);
        assert_eq!(files(dir.path()), 1);
        Content::open(dir.path()).unwrap();
        assert_eq!(files(dir.path()), 0);
    }
}
