//! What waits for a disk that takes no writes, and when it is tried again.
//!
//! ```text
//! sound ──a commit fails──▶ in trouble: facts are kept here, nothing is obeyed but ends, or launched
//!   ▲                           │ tried after 1 s, 2 s, … 30 s
//!   └──the backlog is written───┘
//! ```

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use holm_model::record::Batch;
use tokio::time::Instant;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    batch: Batch,
    trouble: Option<Trouble>,
    /// Tries in a row that failed; a disk that was sound for a moment only has not earned a quick one.
    tries: u32,
    healed: Option<Instant>,
}

#[derive(Debug)]
struct Trouble {
    why: String,
    retry: Instant,
}

/// First and longest wait before the next try; so long it must be sound to count as mended.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Changes that are kept for the history; older ones are lost.
const MOST_CHANGES: usize = 1_000;
/// Bytes that must fit before the disk counts as writable: a store may find room for a row inside itself.
const PROBE: usize = 64 * 1024;

// === impl Backlog ===

impl Backlog {
    pub(crate) const fn is_troubled(&self) -> bool {
        self.trouble.is_some()
    }

    /// When the disk is to be tried again.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        self.trouble.as_ref().map(|trouble| trouble.retry)
    }

    pub(crate) const fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Kept until the disk takes it: the last write of each row.
    pub(crate) fn keep(&mut self, batch: Batch) {
        for write in batch.writes {
            self.batch.writes.retain(|old| (old.table, &old.key) != (write.table, &write.key));
            self.batch.writes.push(write);
        }
        self.batch.audit.extend(batch.audit);
        self.batch.changes.extend(batch.changes);
        let surplus = self.batch.changes.len().saturating_sub(MOST_CHANGES);
        self.batch.changes.drain(..surplus);
    }

    /// A write failed.
    pub(crate) fn failed(&mut self, why: String, now: Instant) {
        if self.healed.is_some_and(|at| now.duration_since(at) > WAITS.1) {
            self.tries = 0;
        }
        self.healed = None;
        let wait = WAITS.0.saturating_mul(1 << self.tries.min(10)).min(WAITS.1);
        self.tries += 1;
        self.trouble = Some(Trouble { why, retry: now + wait });
    }

    /// A try failed, as the one before did.
    pub(crate) fn failed_again(&mut self, now: Instant) {
        let why = self.trouble.take().map(|trouble| trouble.why).unwrap_or_default();
        self.failed(why, now);
    }

    /// Something happened that may have made room: the disk is tried at once.
    pub(crate) fn hurry(&mut self, now: Instant) {
        if let Some(trouble) = &mut self.trouble {
            trouble.retry = trouble.retry.min(now);
        }
    }

    /// Everything that was kept is written.
    pub(crate) fn written(&mut self, now: Instant) {
        (self.batch, self.trouble, self.healed) = (Batch::default(), None, Some(now));
    }
}

/// Whether a file of some size fits into the directory.
pub(crate) fn probe(dir: &Path) -> io::Result<()> {
    let path = dir.join("probe");
    let write = || {
        let mut file = fs::File::create(&path)?;
        file.write_all(&[0; PROBE])?;
        file.sync_all()
    };
    let written = write();
    fs::remove_file(&path)?;
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::record::{Table, Write};

    fn write(key: &str, value: &[u8]) -> Write {
        Write { table: Table::Instance, key: key.to_owned(), value: Some(value.to_vec()) }
    }

    #[test]
    fn the_last_write_of_each_row_is_kept() {
        let mut backlog = Backlog::default();
        for writes in [vec![write("a", b"1"), write("b", b"1")], vec![write("a", b"2")]] {
            backlog.keep(Batch { writes, ..Batch::default() });
        }
        assert_eq!(backlog.batch().writes, [write("b", b"1"), write("a", b"2")]);
        backlog.written(Instant::now());
        assert_eq!(backlog.batch(), &Batch::default());
    }

    #[test]
    fn waits_grow_also_for_a_disk_that_is_sound_for_a_moment_only() {
        let (mut backlog, mut now) = (Backlog::default(), Instant::now());
        let waits: Vec<u64> = (0..7)
            .map(|n| {
                backlog.failed("full".to_owned(), now);
                let retry = backlog.retry_at().unwrap();
                let wait = retry.duration_since(now).as_secs();
                now = retry;
                if n % 2 == 0 {
                    backlog.written(now);
                }
                wait
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        backlog.written(now);
        let later = now + Duration::from_secs(31);
        backlog.failed("full".to_owned(), later);
        assert_eq!(backlog.retry_at(), Some(later + Duration::from_secs(1)));
    }

    #[test]
    fn a_probe_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        probe(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(probe(&dir.path().join("none")).is_err());
    }
}
