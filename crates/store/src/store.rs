//! What callers can ask of a store.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holm_model::record::{AuditRecord, Batch, Change};
use holm_model::time::Time;
use sqlx::SqlitePool;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, sleep};

use crate::chain::{self, Proof};
use crate::error::{CommitError, CopyError, OpenError, ReadError};
use crate::history::{self, AuditFilter, ChangeFilter, Numbered};
use crate::open::{Snapshot, open};
use crate::queue::{Queue, Reply};
use crate::schema::{self, Kind, STEPS};
use crate::sqlite;
use crate::transaction::PRUNED_AT_ONCE;
use crate::writer::Writer;

/// An open store; clones are the same store.
///
/// The directory stays locked until [`Store::close`] has returned, or until the last clone is gone
/// and the writer has ended.
#[derive(Clone, Debug)]
pub struct Store {
    handle: Arc<Handle>,
}

/// A batch is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The highest number of a change so far. The n changes of the batch itself, if any, have the
    /// numbers `change - n + 1 ..= change`.
    pub change: u64,
}

/// What [`Store::prune`] leaves.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// At most so many changes, the newest.
    pub rows: u64,
    /// None before this time.
    pub since: Time,
}

#[derive(Debug)]
struct Handle {
    path: PathBuf,
    shared: Arc<Shared>,
    readers: SqlitePool,
    /// Its sender is dropped when the writer has ended.
    ended: watch::Receiver<()>,
}

/// Between the callers and the writer.
#[derive(Debug)]
pub(crate) struct Shared {
    queue: Mutex<Queue>,
    wake: Notify,
    pub(crate) last_change: AtomicU64,
}

/// How long a predecessor may hold the directory while it dies, ...
const DYING: Duration = Duration::from_secs(2);
/// ... and the time between two looks whether it still does.
const AGAIN: Duration = Duration::from_millis(50);

// === impl Store ===

impl Store {
    /// As [`Store::open`], for a process that takes the place of another: one that is killed lets go of
    /// the directory only when the kernel has cleared it away, so for 2 s it is waited for.
    ///
    /// # Errors
    /// See [`OpenError`]; [`OpenError::Held`] by one that does not die.
    pub async fn succeed(dir: &Path, kind: Kind) -> Result<(Self, Snapshot), OpenError> {
        let deadline = Instant::now() + DYING;
        loop {
            match Self::open(dir, kind).await {
                Err(OpenError::Held { .. }) if Instant::now() < deadline => sleep(AGAIN).await,
                opened => return opened,
            }
        }
    }

    /// Opens the store in `dir`, which is made when it is not there, and reads all rows.
    ///
    /// # Errors
    /// See [`OpenError`]; the directory is unlocked again.
    pub async fn open(dir: &Path, kind: Kind) -> Result<(Self, Snapshot), OpenError> {
        open(dir, kind, STEPS).await
    }

    pub(crate) fn start(writer: Writer, last_change: u64) -> Self {
        let path = writer.path().clone();
        let shared = Arc::new(Shared::new(last_change));
        let (alive, ended) = watch::channel(());
        let readers = sqlite::readers(&path);
        let for_writer = Arc::clone(&shared);
        tokio::spawn(async move {
            writer.run(for_writer).await;
            drop(alive);
        });
        Self { handle: Arc::new(Handle { path, shared, readers, ended }) }
    }

    /// Writes the batch in one transaction, together with the facts that wait; returns when it is
    /// on the disk. Once polled, dropping the future does not take the batch back.
    ///
    /// # Errors
    /// Nothing of the batch is visible then, and a later commit may succeed.
    pub async fn commit(&self, batch: &Batch) -> Result<Committed, CommitError> {
        let batch = batch.clone();
        self.ask(|queue, reply| queue.commit(batch, reply)).await
    }

    /// Writes facts that gate nothing: with the next commit, or after 250 ms. A killed process
    /// loses those that wait; audit records therefore belong into [`Store::commit`].
    ///
    /// Of several values of one row only the newest is written. When the disk takes nothing for
    /// long, facts are lost in the end ([`Store::lost`]).
    pub fn write_behind(&self, batch: Batch) {
        self.shared().queue().write_behind(batch, Instant::now());
        self.shared().wake.notify_one();
    }

    /// Writes the facts that wait now.
    ///
    /// # Errors
    /// The facts go on waiting then.
    pub async fn flush(&self) -> Result<Committed, CommitError> {
        self.ask(Queue::flush).await
    }

    /// Forgets the oldest changes; audit records are kept for ever. Tells how many rows went.
    ///
    /// # Errors
    /// Some of them may be gone already; call again.
    pub async fn prune(&self, keep: Keep) -> Result<u64, CommitError> {
        let mut pruned = 0;
        loop {
            let some = self.ask(|queue, reply| queue.prune(keep, reply)).await?;
            pruned += some;
            if some < u64::from(PRUNED_AT_ONCE) {
                return Ok(pruned);
            }
        }
    }

    /// One page of changes; facts that wait are not among them.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn changes(&self, filter: &ChangeFilter) -> Result<Vec<Numbered<Change>>, ReadError> {
        history::changes(&self.handle.readers, &self.handle.path, filter).await
    }

    /// The numbers of the changes that are kept, if any: a reader whose cursor is lower than
    /// `start - 1` has missed some.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn kept_changes(&self) -> Result<Option<RangeInclusive<u64>>, ReadError> {
        history::kept_changes(&self.handle.readers, &self.handle.path).await
    }

    /// One page of audit records.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn audit(&self, filter: &AuditFilter) -> Result<Vec<Numbered<AuditRecord>>, ReadError> {
        history::audit(&self.handle.readers, &self.handle.path, filter).await
    }

    /// Writes a consistent copy of this moment to `target`, which must not exist; commits go on meanwhile.
    ///
    /// # Errors
    /// See [`CopyError`]; nothing stays at `target` then.
    pub async fn copy_to(&self, target: &Path) -> Result<(), CopyError> {
        // What was written behind is worth having, but no copy waits for a disk that takes nothing.
        if let Err(error) = self.flush().await {
            tracing::debug!(%error, "The newest facts are not in the copy.");
        }
        let done = async { schema::copy(&mut *self.handle.readers.acquire().await?, target).await };
        done.await.map_err(|source| CopyError { path: target.to_owned(), source })
    }

    /// Looks through the chain of the audit log. `noted`: a head, in hexadecimal, that somebody has written down.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn verify_audit(&self, noted: Option<&str>) -> Result<Proof, ReadError> {
        chain::verify(&self.handle.readers, &self.handle.path, noted).await
    }

    /// The highest number of a change so far; the cursor of one who wants only what comes. It rises
    /// just after readers can see the change.
    #[must_use]
    pub fn last_change(&self) -> u64 {
        self.shared().last_change.load(Ordering::Acquire)
    }

    /// Facts that were lost since the store was opened.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared().queue().lost()
    }

    /// Writes what waits, closes the file and unlocks the directory. Later calls get `Closed`.
    pub async fn close(&self) {
        self.handle.readers.close().await;
        self.shared().close();
        // Nothing is ever sent: this ends when the writer does.
        let _ = self.handle.ended.clone().changed().await;
    }

    async fn ask<T>(&self, put: impl FnOnce(&mut Queue, Reply<T>)) -> Result<T, CommitError> {
        let (reply, answer) = oneshot::channel();
        put(&mut self.shared().queue(), reply);
        self.shared().wake.notify_one();
        answer.await.unwrap_or(Err(CommitError::Closed))
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }
}

// === impl Handle ===

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

// === impl Shared ===

impl Shared {
    pub(crate) fn new(last_change: u64) -> Self {
        Self { queue: Mutex::default(), wake: Notify::new(), last_change: AtomicU64::new(last_change) }
    }

    /// Nothing that holds the lock can panic half-way: a poisoned queue is a whole one.
    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something is asked, or until the given moment.
    pub(crate) async fn wait(&self, until: Option<Instant>) {
        match until {
            Some(until) => drop(tokio::time::timeout_at(until, self.wake.notified()).await),
            None => self.wake.notified().await,
        }
    }

    fn close(&self) {
        self.queue().close();
        self.wake.notify_one();
    }
}
