//! Connections as Holm wants them, and what their errors mean.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

/// What an error asks of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No space: try again later.
    Full,
    /// The file is no sound database: no use trying again.
    Damaged,
    /// The pool of readers was closed.
    Closed,
    Other,
}

/// Only another tool (a backup, a shell) can hold the file: our writer is alone.
const BUSY: Duration = Duration::from_secs(5);
const READERS: u32 = 2;
/// Idle readers cost memory; opening one takes less than a millisecond.
const READER_IDLE: Duration = Duration::from_secs(30);
/// Page cache in KiB (negative: SQLite's way to say "not pages").
const WRITER_CACHE: &str = "-1024";
/// Texts that the writer keeps prepared, each of several statements.
const PREPARED: usize = 24;
const READER_CACHE: &str = "-256";
/// Bytes kept of a write-ahead log that had grown.
const LOG_KEPT: &str = "4194304";

/// The one connection that writes. It does not choose the journal mode: whether the file is ours is
/// not known yet.
pub(crate) async fn writer(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    options(path)
        .pragma("cache_size", WRITER_CACHE)
        .pragma("journal_size_limit", LOG_KEPT)
        .statement_cache_capacity(PREPARED)
        .synchronous(SqliteSynchronous::Full)
        .connect()
        .await
}

/// Connections that can only read, opened when wanted.
pub(crate) fn readers(path: &Path) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .idle_timeout(READER_IDLE)
        .connect_lazy_with(options(path).read_only(true).pragma("cache_size", READER_CACHE))
}

/// Closes `connection`; the last one to close empties the write-ahead log into the database.
pub(crate) async fn close(connection: SqliteConnection) -> Result<(), sqlx::Error> {
    connection.close().await
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(BUSY)
        .disable_statement_logging()
}

/// What `error` asks of us.
pub(crate) fn fault(error: &sqlx::Error) -> Fault {
    /// The shared-memory file could not be made larger: in practice no space.
    const IOERR_SHMSIZE: i32 = 4874;
    match error {
        sqlx::Error::PoolClosed => return Fault::Closed,
        sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::StorageFull => return Fault::Full,
        _ => {}
    }
    match code(error) {
        Some(IOERR_SHMSIZE) => Fault::Full,
        Some(code) => match code & 0xff {
            13 => Fault::Full,
            // SQLITE_CORRUPT, SQLITE_NOTADB
            11 | 26 => Fault::Damaged,
            _ => Fault::Other,
        },
        None => Fault::Other,
    }
}

/// SQLite's extended result code.
pub(crate) fn code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}
