//! The outbox's files: `00000000000000000001.log` and so on, and `lock`.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::record::Record;

#[derive(Debug)]
pub(super) struct Segments {
    dir: PathBuf,
    /// Ascending.
    numbers: Vec<u64>,
}

impl Segments {
    pub(super) fn open(dir: &Path) -> io::Result<(Self, File)> {
        fs::create_dir_all(dir)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                io::Error::other("another process has this outbox open; end it first")
            }
            TryLockError::Error(error) => error,
        })?;
        let mut numbers = Vec::new();
        for file in fs::read_dir(dir)? {
            let name = file?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".log")?.parse::<u64>().ok());
            numbers.extend(number);
        }
        numbers.sort_unstable();
        Ok((Self { dir: dir.to_owned(), numbers }, lock))
    }

    pub(super) fn all(&self) -> &[u64] {
        &self.numbers
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:020}.log"))
    }

    pub(super) fn read(&self, number: u64) -> io::Result<Vec<u8>> {
        fs::read(self.path(number))
    }

    /// The newest segment, to go on with. What was read of it is on disk then: it may be sent, and its sequences are used up.
    pub(super) fn newest(&self) -> io::Result<Option<File>> {
        let Some(&newest) = self.numbers.last() else { return Ok(None) };
        let file = OpenOptions::new().append(true).open(self.path(newest))?;
        file.sync_all()?;
        File::open(&self.dir)?.sync_all()?;
        Ok(Some(file))
    }

    /// A new segment with where each series stands; it is on disk, and so is its name.
    pub(super) fn begin(&mut self, heads: impl Iterator<Item = Record>) -> io::Result<File> {
        let number = self.numbers.last().map_or(1, |last| last + 1);
        let mut bytes = Vec::new();
        for head in heads {
            head.write(&mut bytes)?;
        }
        let mut file = OpenOptions::new().create_new(true).append(true).open(self.path(number))?;
        self.numbers.push(number);
        file.write_all(&bytes)?;
        file.sync_all()?;
        File::open(&self.dir)?.sync_all()?;
        Ok(file)
    }

    pub(super) fn size(&self) -> io::Result<u64> {
        self.numbers.iter().map(|number| Ok(fs::metadata(self.path(*number))?.len())).sum()
    }

    /// How many bytes are free now.
    pub(super) fn remove_oldest(&mut self) -> io::Result<u64> {
        let Some(&oldest) = self.numbers.first() else { return Ok(0) };
        let size = fs::metadata(self.path(oldest))?.len();
        fs::remove_file(self.path(oldest))?;
        self.numbers.remove(0);
        Ok(size)
    }
}
