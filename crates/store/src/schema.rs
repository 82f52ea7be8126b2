//! The tables, and how older ones become today's.
//!
//! The file says itself what it is: `application_id` is the kind of its owner, `user_version` the
//! number of steps that were applied.

use std::fmt;
use std::path::Path;

use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::chain;
use crate::error::{Cause, OpenError};
use crate::file::{private, sync, sync_parent, with_suffix};

/// Whose store it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Orchestrator,
    Node,
}

/// SQL that makes version n+1 of version n; step n has index n. Never edited once released, only added to.
pub(crate) const STEPS: &[&str] = &[
    include_str!("../migrations/1.sql"),
    include_str!("../migrations/2.sql"),
    include_str!("../migrations/3.sql"),
];

/// Since this version audit records have hashes.
const CHAINED: u32 = 2;

// === impl Kind ===

impl Kind {
    const ALL: [Self; 2] = [Self::Orchestrator, Self::Node];

    const fn application_id(self) -> i32 {
        match self {
            Self::Orchestrator => i32::from_be_bytes(*b"HolO"),
            Self::Node => i32::from_be_bytes(*b"HolN"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Orchestrator => "an orchestrator",
            Self::Node => "a node",
        })
    }
}

/// Refuses what is not a store of `wanted` that knows at most `steps`; tells its version.
pub(crate) async fn identify(
    connection: &mut SqliteConnection,
    path: &Path,
    wanted: Kind,
    steps: &[&str],
) -> Result<u32, OpenError> {
    let failed = |source| OpenError::reading(path.to_owned(), source);
    let id: i32 =
        sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await.map_err(failed)?;
    let version: i32 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await.map_err(failed)?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(connection)
        .await
        .map_err(failed)?;
    let path = path.to_owned();
    if tables == 0 {
        return Err(OpenError::Damaged { path, detail: "it is empty".to_owned() });
    }
    let Some(found) = Kind::ALL.into_iter().find(|kind| kind.application_id() == id) else {
        return Err(OpenError::Foreign { path });
    };
    if found != wanted {
        return Err(OpenError::OtherKind { path, found, wanted });
    }
    let known = known(steps);
    match u32::try_from(version) {
        Err(_) | Ok(0) => Err(OpenError::Damaged { path, detail: format!("schema version {version}") }),
        Ok(found) if found > known => Err(OpenError::Newer { path, found, known }),
        Ok(found) => Ok(found),
    }
}

/// Makes an empty database a store of `kind`, in one transaction.
pub(crate) async fn create(
    connection: &mut SqliteConnection,
    kind: Kind,
    steps: &[&'static str],
) -> Result<(), sqlx::Error> {
    let identity = format!("PRAGMA application_id = {}", kind.application_id());
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    sqlx::query(AssertSqlSafe(identity)).execute(&mut *connection).await?;
    apply(connection, steps, 0).await?;
    sqlx::query("COMMIT").execute(&mut *connection).await?;
    Ok(())
}

/// Brings a store of version `from` to today's: a consistent copy first (`holm.db.v<from>`), then
/// all steps in one transaction.
pub(crate) async fn migrate(
    connection: &mut SqliteConnection,
    path: &Path,
    from: u32,
    steps: &[&'static str],
) -> Result<(), OpenError> {
    let to = known(steps);
    if from == to {
        return Ok(());
    }
    let kept = with_suffix(path, &format!(".v{from}"));
    copy(connection, &kept).await.map_err(|source| OpenError::Copy { path: kept.clone(), source })?;
    tracing::info!(store = %path.display(), from, to, copy = %kept.display(), "migrating the store");
    let done = async {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
        apply(connection, steps, from).await?;
        if from < CHAINED {
            chain::begin(connection).await?;
        }
        sqlx::query("COMMIT").execute(&mut *connection).await
    };
    // No ROLLBACK: the connection of a failed opening is dropped, and the transaction with it.
    done.await.map_err(|source| OpenError::Migrate { path: path.to_owned(), from, to, source })?;
    Ok(())
}

/// Applies the steps after version `from` inside the caller's transaction.
async fn apply(
    connection: &mut SqliteConnection,
    steps: &[&'static str],
    from: u32,
) -> Result<(), sqlx::Error> {
    for step in steps.iter().skip(from as usize) {
        sqlx::raw_sql(*step).execute(&mut *connection).await?;
    }
    let version = format!("PRAGMA user_version = {}", known(steps));
    sqlx::query(AssertSqlSafe(version)).execute(connection).await?;
    Ok(())
}

/// Writes a consistent copy to `target`: whole and on the disk, or not there.
pub(crate) async fn copy(connection: &mut SqliteConnection, target: &Path) -> Result<(), Cause> {
    let unfinished = with_suffix(target, ".new");
    private(&unfinished)?;
    sqlx::query("VACUUM INTO ?").bind(unfinished.to_string_lossy()).execute(connection).await?;
    sync(&unfinished)?;
    std::fs::rename(&unfinished, target)?;
    Ok(sync_parent(target)?)
}

fn known(steps: &[&str]) -> u32 {
    u32::try_from(steps.len()).unwrap_or(u32::MAX)
}
