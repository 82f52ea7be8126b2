//! The task that owns the writing connection: one job of the queue after the other.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use holm_model::record::Batch;
use sqlx::SqliteConnection;
use tokio::time::Instant;

use crate::chain;
use crate::error::CommitError;
use crate::lock::Lock;
use crate::queue::{Behind, Job, Next};
use crate::seal::Seal;
use crate::sqlite;
use crate::store::{Committed, Keep, Shared};
use crate::transaction::{self, Transaction, TransactionError};

#[derive(Debug)]
pub(crate) struct Writer {
    path: PathBuf,
    /// None after an error that left it in doubt; the next job opens a new one.
    connection: Option<SqliteConnection>,
    /// The hash that the next audit record follows, when it is known.
    head: Option<chain::Hash>,
    seal: Seal,
    /// Let go after the connection: fields are dropped in this order.
    _lock: Lock,
}

// === impl Writer ===

impl Writer {
    pub(crate) const fn new(path: PathBuf, connection: SqliteConnection, seal: Seal, lock: Lock) -> Self {
        Self { path, connection: Some(connection), head: None, seal, _lock: lock }
    }

    pub(crate) const fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Works until the queue is closed and empty.
    pub(crate) async fn run(mut self, shared: Arc<Shared>) {
        loop {
            let next = shared.queue().next(Instant::now());
            match next {
                Next::Do(job) => self.perform(job, &shared).await,
                Next::Wait(until) => shared.wait(until).await,
                Next::End => break,
            }
        }
        if let Some(connection) = self.connection.take()
            && let Err(error) = sqlite::close(connection).await
        {
            // Nothing is lost: the log is read again by the next one who opens it.
            tracing::warn!(store = %self.path.display(), %error, "the store was not closed cleanly");
        }
    }

    /// The one who asked may be gone; what was asked for is done all the same.
    async fn perform(&mut self, job: Job, shared: &Shared) {
        match job {
            Job::Commit { behind, batch, reply } => {
                drop(reply.send(self.commit(behind, &batch, shared).await))
            }
            Job::Flush { behind, reply } => match (reply, self.flush(behind, shared).await) {
                (Some(reply), result) => drop(reply.send(result)),
                (None, Ok(_)) => {}
                (None, Err(error)) => {
                    let cause = error.source().map(ToString::to_string);
                    tracing::warn!(%error, cause, "facts are not written; trying again later");
                }
            },
            Job::Prune { keep, reply } => drop(reply.send(self.prune(keep).await)),
        }
    }

    /// Facts gate nothing: what cannot be committed with them is tried without them.
    async fn commit(
        &mut self,
        mut behind: Behind,
        batch: &Batch,
        shared: &Shared,
    ) -> Result<Committed, CommitError> {
        let mut result = self.write(&behind, batch, shared).await;
        if result.is_err() && !behind.is_empty() {
            result = self.write(&Behind::default(), batch, shared).await;
            if result.is_ok() {
                behind.forget(batch);
            }
            shared.queue().give_back(behind, Instant::now());
        }
        result
    }

    async fn flush(&mut self, behind: Behind, shared: &Shared) -> Result<Committed, CommitError> {
        let result = self.write(&behind, &Batch::default(), shared).await;
        if result.is_err() {
            shared.queue().give_back(behind, Instant::now());
        }
        result
    }

    async fn write(
        &mut self,
        behind: &Behind,
        batch: &Batch,
        shared: &Shared,
    ) -> Result<Committed, CommitError> {
        if behind.is_empty() && batch.is_empty() {
            return Ok(Committed { change: shared.last_change.load(Ordering::Acquire) });
        }
        let transaction = Transaction::new(behind, batch, &mut self.seal)?;
        let head = self.head.take();
        let done = match self.connection().await {
            Ok(connection) => transaction.run(head, connection).await,
            Err(source) => return Err(CommitError::writing(self.path.clone(), source)),
        };
        match done {
            Ok(written) => {
                self.head = written.head;
                if let Some(last) = written.change.and_then(|last| u64::try_from(last).ok()) {
                    shared.last_change.store(last, Ordering::Release);
                }
                Ok(Committed { change: shared.last_change.load(Ordering::Acquire) })
            }
            Err(error) => {
                self.roll_back().await;
                Err(match error {
                    TransactionError::Sqlite(source) => CommitError::writing(self.path.clone(), source),
                    TransactionError::Encode(source) => CommitError::Encode(source),
                })
            }
        }
    }

    async fn prune(&mut self, keep: Keep) -> Result<u64, CommitError> {
        let done = match self.connection().await {
            Ok(connection) => transaction::prune(connection, keep).await,
            Err(error) => Err(error),
        };
        done.map_err(|source| CommitError::writing(self.path.clone(), source))
    }

    async fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => sqlite::writer(&self.path).await?,
        };
        Ok(self.connection.insert(connection))
    }

    /// Ends a failed transaction. After some errors SQLite has done so itself, which it says with a
    /// plain SQLITE_ERROR; after any other answer the connection is given up.
    async fn roll_back(&mut self) {
        const NO_TRANSACTION: Option<i32> = Some(1);
        let Some(connection) = &mut self.connection else { return };
        match sqlx::query("ROLLBACK").execute(connection).await {
            Ok(_) => {}
            Err(error) if sqlite::code(&error) == NO_TRANSACTION => {}
            Err(_) => self.connection = None,
        }
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
