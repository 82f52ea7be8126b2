//! A full disk, played by a limit on the pages of the file.

use std::path::Path;
use std::sync::Arc;

use holm_model::record::{AuditRecord, Change, Table, Write};
use holm_model::time::Time;
use sqlx::AssertSqlSafe;

use super::*;
use crate::history::{AuditFilter, ChangeFilter};
use crate::open::Snapshot;
use crate::schema::Kind;
use crate::store::Store;

const BIG: usize = 1 << 20;

fn put(table: Table, key: &str, size: usize) -> Batch {
    let write = Write { table, key: key.to_owned(), value: Some(vec![7; size]) };
    Batch { writes: vec![write], ..Batch::default() }
}

/// With an audit record and a change.
fn told(mut batch: Batch) -> Batch {
    let text = || "x".to_owned();
    batch.audit.push(AuditRecord {
        at: Time(1),
        who: text(),
        from: text(),
        verb: text(),
        subject: text(),
        outcome: text(),
    });
    batch.changes.push(Change {
        at: Time(1),
        kind: text(),
        subject: text(),
        application: text(),
        slot: text(),
        from: text(),
        to: text(),
        cause: text(),
        reason: text(),
    });
    batch
}

/// The writer of a new store on a disk with room for `pages` more pages.
async fn nearly_full(dir: &Path, pages: i64) -> Writer {
    let (store, _) = Store::open(dir, Kind::Node).await.unwrap();
    store.close().await;
    let path = dir.join("holm.db");
    let mut connection = sqlite::writer(&path).await.unwrap();
    let used: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut connection).await.unwrap();
    limit(&mut connection, used + pages).await;
    let seal = Seal::beside(&path);
    Writer::new(path, connection, seal, Lock::acquire(dir).unwrap())
}

async fn limit(connection: &mut SqliteConnection, pages: i64) {
    let sql = format!("PRAGMA max_page_count = {pages}");
    sqlx::query(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}

async fn reopened(dir: &Path) -> Snapshot {
    let (store, snapshot) = Store::open(dir, Kind::Node).await.unwrap();
    store.close().await;
    snapshot
}

fn keys(snapshot: &Snapshot, table: Table) -> Vec<&str> {
    snapshot[&table].iter().map(|(key, _)| key.as_str()).collect()
}

#[tokio::test]
async fn nothing_of_a_batch_that_found_no_space_is_visible() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::start(nearly_full(dir.path(), 8).await, 0);
    let mut batch = told(put(Table::Meta, "small", 1));
    batch.writes.extend(put(Table::Wish, "big", BIG).writes);

    let error = store.commit(&batch).await.unwrap_err();
    assert!(matches!(error, CommitError::Full { .. }), "{error:?}");
    assert!(std::error::Error::source(&error).is_none(), "its source would say the same again");
    let committed = store.commit(&told(put(Table::Meta, "later", 1))).await.unwrap();
    assert_eq!(committed, Committed { change: 1 });
    assert_eq!(store.changes(&ChangeFilter::default()).await.unwrap().len(), 1);
    assert_eq!(store.audit(&AuditFilter::default()).await.unwrap().len(), 1);
    store.close().await;

    let snapshot = reopened(dir.path()).await;
    assert_eq!(keys(&snapshot, Table::Meta), ["later"]);
    assert_eq!(keys(&snapshot, Table::Wish), [""; 0]);
}

#[tokio::test]
async fn facts_without_space_wait_and_hold_up_no_commit() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::start(nearly_full(dir.path(), 8).await, 0);
    store.write_behind(put(Table::Fact, "big", BIG));
    let error = store.flush().await.unwrap_err();
    assert!(matches!(error, CommitError::Full { .. }), "{error:?}");
    store.commit(&put(Table::Meta, "small", 1)).await.unwrap();
    // A smaller value takes the place of the one that waits.
    store.write_behind(put(Table::Fact, "big", 1));
    store.flush().await.unwrap();
    store.close().await;

    let snapshot = reopened(dir.path()).await;
    assert_eq!(keys(&snapshot, Table::Meta), ["small"]);
    assert_eq!(snapshot[&Table::Fact], [("big".to_owned(), vec![7])]);
}

#[tokio::test]
async fn the_same_writer_goes_on_when_there_is_space_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = nearly_full(dir.path(), 8).await;
    let shared = Arc::new(Shared::new(0));
    let batch = told(put(Table::Wish, "big", BIG));
    for _ in 0..3 {
        let error = writer.write(&Behind::default(), &batch, &shared).await.unwrap_err();
        assert!(matches!(error, CommitError::Full { .. }), "{error:?}");
    }
    limit(writer.connection.as_mut().unwrap(), 1 << 20).await;
    writer.write(&Behind::default(), &batch, &shared).await.unwrap();
    drop(writer);
    assert_eq!(keys(&reopened(dir.path()).await, Table::Wish), ["big"]);
}

#[tokio::test]
async fn a_lost_connection_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = nearly_full(dir.path(), 8).await;
    writer.connection = None;
    let shared = Shared::new(0);
    writer.write(&Behind::default(), &put(Table::Wish, "a", 1), &shared).await.unwrap();
}
