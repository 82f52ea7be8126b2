//! The way from a directory to a store: lock, create, identify, check, migrate, read.
//!
//! A file named `holm.db` is complete: it is made under another name first. So an empty or damaged
//! one is a loss, never a first start.

use std::collections::BTreeMap;
use std::path::Path;

use holm_model::record::Table;
use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::error::{Cause, OpenError};
use crate::file::{make_private, private, remove, sync, sync_parent, with_suffix};
use crate::lock::Lock;
use crate::schema::{self, Kind};
use crate::seal::{Seal, is_secret};
use crate::sqlite;
use crate::store::Store;
use crate::writer::Writer;

/// All rows of all tables, in the order of their keys.
pub type Snapshot = BTreeMap<Table, Vec<(String, Vec<u8>)>>;

const FILE: &str = "holm.db";

/// Opens the store of `kind` in `dir`; `steps` are the migrations to know.
pub(crate) async fn open(
    dir: &Path,
    kind: Kind,
    steps: &[&'static str],
) -> Result<(Store, Snapshot), OpenError> {
    let failed = |source| OpenError::Directory { dir: dir.to_owned(), source };
    // Files are touched without leaving the async thread: only here, before anything runs.
    make_private(dir).map_err(failed)?;
    let lock = Lock::acquire(dir)?;
    let path = dir.join(FILE);
    if !path.try_exists().map_err(failed)? {
        refuse_orphaned_log(&path)?;
        create(&path, kind, steps)
            .await
            .map_err(|source| OpenError::Create { path: path.clone(), source })?;
    }
    let reading = |source| OpenError::reading(path.clone(), source);
    let mut connection = sqlite::writer(&path).await.map_err(reading)?;
    let version = schema::identify(&mut connection, &path, kind, steps).await?;
    sqlx::query("PRAGMA journal_mode = WAL").execute(&mut connection).await.map_err(reading)?;
    schema::migrate(&mut connection, &path, version, steps).await?;
    let mut seal = Seal::beside(&path);
    let snapshot = read(&mut connection, &path, &mut seal).await?;
    let last_change = last_change(&mut connection).await.map_err(reading)?;
    Ok((Store::start(Writer::new(path, connection, seal, lock), last_change), snapshot))
}

/// A log without its database would be replayed into the next one.
fn refuse_orphaned_log(path: &Path) -> Result<(), OpenError> {
    let log = with_suffix(path, "-wal");
    if log.exists() { Err(OpenError::Incomplete { path: path.to_owned(), log }) } else { Ok(()) }
}

/// Makes the file, readable for its owner only (SQLite gives the log the same mode).
async fn create(path: &Path, kind: Kind, steps: &[&'static str]) -> Result<(), Cause> {
    let unfinished = with_suffix(path, ".new");
    for suffix in ["-journal", "-wal", "-shm"] {
        remove(&with_suffix(&unfinished, suffix))?;
    }
    private(&unfinished)?;
    let mut connection = sqlite::writer(&unfinished).await?;
    schema::create(&mut connection, kind, steps).await?;
    sqlx::query("PRAGMA journal_mode = WAL").execute(&mut connection).await?;
    sqlite::close(connection).await?;
    sync(&unfinished)?;
    std::fs::rename(&unfinished, path)?;
    Ok(sync_parent(path)?)
}

/// Checks and reads the tables of the state. The history is not checked here: it may be large, and
/// nobody decides by it.
async fn read(
    connection: &mut SqliteConnection,
    path: &Path,
    seal: &mut Seal,
) -> Result<Snapshot, OpenError> {
    let reading = |source| OpenError::reading(path.to_owned(), source);
    let mut snapshot = Snapshot::new();
    for table in Table::ALL {
        let check = format!("PRAGMA quick_check('{}')", table.name());
        let verdict: String = sqlx::query_scalar(AssertSqlSafe(check))
            .persistent(false)
            .fetch_one(&mut *connection)
            .await
            .map_err(reading)?;
        if verdict != "ok" {
            return Err(OpenError::Damaged { path: path.to_owned(), detail: verdict.replace('\n', "; ") });
        }
        let select = format!("SELECT key, value FROM {} ORDER BY key", table.name());
        let mut rows: Vec<(String, Vec<u8>)> = sqlx::query_as(AssertSqlSafe(select))
            .persistent(false)
            .fetch_all(&mut *connection)
            .await
            .map_err(reading)?;
        for (key, value) in rows.iter_mut().filter(|(key, _)| is_secret(table, key)) {
            *value = seal.open(table, key, value)?;
        }
        snapshot.insert(table, rows);
    }
    Ok(snapshot)
}

/// The highest number ever given to a change; pruning does not lower it.
async fn last_change(connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let last: Option<i64> = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'change'")
        .persistent(false)
        .fetch_optional(connection)
        .await?;
    Ok(last.and_then(|last| u64::try_from(last).ok()).unwrap_or(0))
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;
