//! The order of commits and of what is written behind them. Pure: the writer asks what is next.
//!
//! ```text
//! write_behind ──► waiting ──(250 ms, or full)──────────────► Job::Flush
//!                     └────(a commit is asked for)─► its job ► Job::Commit
//! ```
//!
//! A job takes along all facts that were waiting when it was asked for, so a fact is neither
//! written before an earlier commit nor after a later one of the same key.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use holm_model::record::{AuditRecord, Batch, Change, Table, Write};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::error::CommitError;
use crate::store::{Committed, Keep};

/// One transaction to make.
#[derive(Debug)]
pub(crate) enum Job {
    Commit {
        behind: Behind,
        batch: Batch,
        reply: Reply<Committed>,
    },
    /// Nobody waits for the reply when it was the facts' time that came.
    Flush {
        behind: Behind,
        reply: Option<Reply<Committed>>,
    },
    Prune {
        keep: Keep,
        reply: Reply<u64>,
    },
}

pub(crate) type Reply<T> = oneshot::Sender<Result<T, CommitError>>;

/// Facts that wait to be written; the newest value of a key wins.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    pub(crate) rows: BTreeMap<(Table, String), Option<Vec<u8>>>,
    pub(crate) audit: Vec<AuditRecord>,
    pub(crate) changes: VecDeque<Change>,
}

/// What the writer shall do now.
#[derive(Debug)]
pub(crate) enum Next {
    Do(Job),
    /// Until this moment, or for ever, or until something is asked.
    Wait(Option<Instant>),
    End,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    jobs: VecDeque<Job>,
    waiting: Behind,
    /// When `waiting` shall be written; set whenever it is not empty.
    due: Option<Instant>,
    closed: bool,
    lost: u64,
}

/// The longest that a fact waits for a commit.
pub(crate) const DELAY: Duration = Duration::from_millis(250);
/// The pause after facts could not be written.
const RETRY: Duration = Duration::from_secs(5);
/// Waiting rows, and waiting changes: at half of it they are written at once, beyond it facts are
/// lost. Only a disk that takes nothing gets us there.
pub(crate) const CAPACITY: usize = 16_384;

// === impl Queue ===

impl Queue {
    /// Takes the batch, and the facts that wait; drops the reply when the queue is closed.
    pub(crate) fn commit(&mut self, batch: Batch, reply: Reply<Committed>) {
        if !self.closed {
            let behind = self.take();
            self.jobs.push_back(Job::Commit { behind, batch, reply });
        }
    }

    /// Takes the facts that wait; drops the reply when the queue is closed.
    pub(crate) fn flush(&mut self, reply: Reply<Committed>) {
        if !self.closed {
            let behind = self.take();
            self.jobs.push_back(Job::Flush { behind, reply: Some(reply) });
        }
    }

    /// Drops the reply when the queue is closed.
    pub(crate) fn prune(&mut self, keep: Keep, reply: Reply<u64>) {
        if !self.closed {
            self.jobs.push_back(Job::Prune { keep, reply });
        }
    }

    /// Lets facts wait; `now` is when they came.
    pub(crate) fn write_behind(&mut self, batch: Batch, now: Instant) {
        if self.closed || batch.is_empty() {
            return;
        }
        self.lost += self.waiting.add(batch);
        let due = if self.waiting.len() >= CAPACITY / 2 { now } else { now + DELAY };
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }

    /// Facts of a transaction that failed wait again, before all that came after them.
    pub(crate) fn give_back(&mut self, older: Behind, now: Instant) {
        if let Some(next) = self.jobs.iter_mut().find_map(Job::behind_mut) {
            self.lost += next.put_before(older);
        } else if self.closed {
            self.lost += older.len() as u64;
        } else {
            self.lost += self.waiting.put_before(older);
            self.due = Some(now + RETRY);
        }
    }

    pub(crate) fn next(&mut self, now: Instant) -> Next {
        if let Some(job) = self.jobs.pop_front() {
            return Next::Do(job);
        }
        let flush = self.due.is_some_and(|due| due <= now || self.closed);
        if flush {
            return Next::Do(Job::Flush { behind: self.take(), reply: None });
        }
        if self.closed { Next::End } else { Next::Wait(self.due) }
    }

    /// No more jobs; those that wait are still done, and the facts that wait are written.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Facts that were lost because the queue was full or the store closed over a full disk.
    pub(crate) const fn lost(&self) -> u64 {
        self.lost
    }

    fn take(&mut self) -> Behind {
        self.due = None;
        std::mem::take(&mut self.waiting)
    }
}

// === impl Job ===

impl Job {
    const fn behind_mut(&mut self) -> Option<&mut Behind> {
        match self {
            Self::Commit { behind, .. } | Self::Flush { behind, .. } => Some(behind),
            Self::Prune { .. } => None,
        }
    }
}

// === impl Behind ===

impl Behind {
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        self.rows.len() + self.changes.len() + self.audit.len()
    }

    /// Adds newer facts; tells how many were lost for want of room.
    fn add(&mut self, batch: Batch) -> u64 {
        let mut lost = 0;
        for Write { table, key, value } in batch.writes {
            let key = (table, key);
            if self.rows.len() < CAPACITY || self.rows.contains_key(&key) {
                self.rows.insert(key, value);
            } else {
                lost += 1;
            }
        }
        self.audit.extend(batch.audit);
        self.changes.extend(batch.changes);
        lost + self.shrink()
    }

    /// Adds older facts; tells how many were lost for want of room.
    fn put_before(&mut self, mut older: Self) -> u64 {
        for (key, value) in older.rows {
            self.rows.entry(key).or_insert(value);
        }
        older.audit.append(&mut self.audit);
        older.changes.append(&mut self.changes);
        self.audit = older.audit;
        self.changes = older.changes;
        self.shrink()
    }

    /// The oldest changes go first.
    fn shrink(&mut self) -> u64 {
        let surplus = self.changes.len().saturating_sub(CAPACITY);
        self.changes.drain(..surplus);
        surplus as u64
    }

    /// Drops the rows that `batch` has overwritten.
    pub(crate) fn forget(&mut self, batch: &Batch) {
        for write in &batch.writes {
            self.rows.remove(&(write.table, write.key.clone()));
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
