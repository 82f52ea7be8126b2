//! The log directory of an instance: numbered segments, bounded by size and age.
//!
//! The supervisor is the only writer; readers follow the numbers. A write that fails (a full disk)
//! is dropped and counted, and said in the log once there is room again: the program never waits.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holm_model::time::Time;
use holm_model::tunnel::LogStream;
use serde::{Deserialize, Serialize};

use super::record;

/// What is kept of an instance's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimits {
    /// Bytes on disk, all segments together.
    pub bytes: u64,
    pub age: Duration,
}

/// Appends records.
#[derive(Debug)]
pub(crate) struct Writer {
    dir: PathBuf,
    limits: LogLimits,
    current: Option<Current>,
    next: u64,
    pending: Vec<u8>,
    pending_records: u64,
    lost: Option<Lost>,
}

#[derive(Debug)]
struct Current {
    file: File,
    size: u64,
    since: Time,
}

#[derive(Debug)]
struct Lost {
    records: u64,
    why: io::Error,
}

/// A segment is this part of what is kept: so much is forgotten at once.
const PART: u32 = 4;

impl Default for LogLimits {
    fn default() -> Self {
        Self { bytes: 4 << 20, age: Duration::from_secs(7 * 24 * 3600) }
    }
}

/// The segments in `dir`, oldest first.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers: Vec<u64> = fs::read_dir(dir)?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix("log.")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

pub(crate) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("log.{number:08}"))
}

// === impl Writer ===

impl Writer {
    /// Continues after the segments that are there.
    pub(crate) fn new(dir: PathBuf, limits: LogLimits) -> Self {
        let next = list(&dir).ok().and_then(|numbers| numbers.last().copied()).map_or(0, |last| last + 1);
        Self { dir, limits, current: None, next, pending: Vec::new(), pending_records: 0, lost: None }
    }

    /// Takes one line; [`Writer::flush`] writes it.
    pub(crate) fn push(&mut self, now: Time, stream: LogStream, text: &[u8]) {
        record::encode(&mut self.pending, now, stream, text);
        self.pending_records += 1;
    }

    /// Writes what was taken, or drops and counts it.
    pub(crate) fn flush(&mut self, now: Time) {
        if self.pending.is_empty() {
            return;
        }
        let note = self.lost.as_ref().map(|lost| format!("{} lines were lost: {}", lost.records, lost.why));
        if let Some(note) = note {
            let mut text = Vec::new();
            record::encode(&mut text, now, LogStream::Node, note.as_bytes());
            text.append(&mut self.pending);
            self.pending = text;
        }
        match self.write(now) {
            Ok(()) => self.lost = None,
            Err(why) => {
                let records = self.pending_records + self.lost.as_ref().map_or(0, |lost| lost.records);
                self.lost = Some(Lost { records, why });
            }
        }
        self.pending.clear();
        self.pending_records = 0;
    }

    /// Forgets what is too old; to be called again after the time that is returned.
    pub(crate) fn tidy(&mut self, now: Time) -> Duration {
        let part = self.limits.age / PART;
        if self.current.as_ref().is_some_and(|current| now.since(current.since) >= part) {
            self.current = None;
        }
        self.prune(now);
        part.max(Duration::from_secs(1))
    }

    fn write(&mut self, now: Time) -> io::Result<()> {
        let full = |current: &Current| current.size >= self.limits.bytes / u64::from(PART);
        if self.current.as_ref().is_some_and(full) {
            self.current = None;
            self.prune(now);
        }
        let current = match &mut self.current {
            Some(current) => current,
            None => {
                let file = File::options()
                    .create_new(true)
                    .append(true)
                    .mode(0o600)
                    .open(path(&self.dir, self.next))?;
                self.next += 1;
                self.current.insert(Current { file, size: 0, since: now })
            }
        };
        let written = current.file.write_all(&self.pending);
        match written {
            Ok(()) => current.size += self.pending.len() as u64,
            // Half a record must not stay: the next one would be glued to it.
            Err(_) => current.file.set_len(current.size)?,
        }
        written
    }

    /// Removes the oldest segments beyond the limits, never the one being written.
    fn prune(&self, now: Time) {
        let mut numbers = list(&self.dir).unwrap_or_default();
        if self.current.is_some() {
            numbers.pop();
        }
        let most = self.limits.bytes - self.limits.bytes / u64::from(PART);
        let mut kept = 0;
        for number in numbers.into_iter().rev() {
            let path = path(&self.dir, number);
            let Ok(meta) = fs::metadata(&path) else { continue };
            kept += meta.len();
            let old = meta.modified().is_ok_and(|at| now.since(to_time(at)) > self.limits.age);
            if kept > most || old {
                // What cannot be removed now is tried again at the next turn.
                let _ = fs::remove_file(&path);
            }
        }
    }
}

pub(crate) fn to_time(at: std::time::SystemTime) -> Time {
    let since = at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(dir: &Path) -> u64 {
        list(dir).unwrap().into_iter().map(|n| fs::metadata(path(dir, n)).unwrap().len()).sum()
    }

    #[test]
    fn size_is_bounded_and_the_newest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let limits = LogLimits { bytes: 4000, age: Duration::from_secs(60) };
        let mut writer = Writer::new(dir.path().into(), limits);
        for i in 0..2000 {
            writer.push(Time(i), LogStream::Stdout, format!("line {i}").as_bytes());
            writer.flush(Time(i));
        }
        assert!(bytes(dir.path()) <= 4100, "{}", bytes(dir.path()));
        let last = fs::read_to_string(path(dir.path(), *list(dir.path()).unwrap().last().unwrap())).unwrap();
        assert!(last.ends_with("1999 o line 1999\n"), "{last}");
    }

    #[test]
    fn age_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer =
            Writer::new(dir.path().into(), LogLimits { bytes: 4000, age: Duration::from_secs(60) });
        let now = to_time(std::time::SystemTime::now());
        writer.push(now, LogStream::Stdout, b"soon forgotten");
        writer.flush(now);
        writer.tidy(Time(now.0 + 20_000));
        assert_eq!(list(dir.path()).unwrap().len(), 1, "young enough");
        writer.tidy(Time(now.0 + 100_000));
        assert_eq!(list(dir.path()).unwrap(), [0; 0]);
    }

    #[test]
    fn another_incarnation_continues_the_numbers() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            let mut writer = Writer::new(dir.path().into(), LogLimits::default());
            writer.push(Time(1), LogStream::Node, b"started");
            writer.flush(Time(1));
        }
        assert_eq!(list(dir.path()).unwrap(), [0, 1, 2]);
    }
}
