//! What a store promises to its callers.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::time::Duration;

use holm_model::record::{AuditRecord, Batch, Change, Table, Write};
use holm_model::time::Time;
use holm_store::{
    AuditFilter, Break, ChangeFilter, CommitError, Keep, Kind, OpenError, Order, Snapshot, Store,
};

fn put(table: Table, key: &str, value: &str) -> Write {
    Write { table, key: key.to_owned(), value: Some(value.as_bytes().to_vec()) }
}

fn remove(table: Table, key: &str) -> Write {
    Write { table, key: key.to_owned(), value: None }
}

fn writes(writes: impl IntoIterator<Item = Write>) -> Batch {
    Batch { writes: writes.into_iter().collect(), ..Batch::default() }
}

fn change(at: i64, kind: &str, subject: &str, application: &str) -> Change {
    Change {
        at: Time(at),
        kind: kind.to_owned(),
        subject: subject.to_owned(),
        application: application.to_owned(),
        slot: String::new(),
        from: "STARTING".to_owned(),
        to: "RUNNING".to_owned(),
        cause: "node".to_owned(),
        reason: "it said \"ready\"".to_owned(),
    }
}

fn audit(at: i64, who: &str, verb: &str) -> AuditRecord {
    AuditRecord {
        at: Time(at),
        who: who.to_owned(),
        from: "unix".to_owned(),
        verb: verb.to_owned(),
        subject: "application default/building".to_owned(),
        outcome: "done".to_owned(),
    }
}

async fn open(dir: &Path) -> (Store, Snapshot) {
    Store::open(dir, Kind::Orchestrator).await.unwrap()
}

fn rows(snapshot: &Snapshot, table: Table) -> Vec<(String, String)> {
    let text = |value: &Vec<u8>| String::from_utf8(value.clone()).unwrap();
    snapshot[&table].iter().map(|(key, value)| (key.clone(), text(value))).collect()
}

fn row(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[tokio::test]
async fn what_was_committed_is_there_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, snapshot) = open(dir.path()).await;
    assert_eq!(snapshot.keys().copied().collect::<Vec<_>>().len(), Table::ALL.len());
    for table in Table::ALL {
        store
            .commit(&writes([put(table, "b", "1"), put(table, "a", "1"), put(table, "c", "1")]))
            .await
            .unwrap();
        // Within a batch the last write of a row wins.
        let batch =
            writes([put(table, "a", "2"), remove(table, "b"), put(table, "a", "3"), remove(table, "none")]);
        store.commit(&batch).await.unwrap();
    }
    store.close().await;
    let (_store, snapshot) = open(dir.path()).await;
    for table in Table::ALL {
        assert_eq!(rows(&snapshot, table), [row("a", "3"), row("c", "1")], "{}", table.name());
    }
}

#[tokio::test]
async fn large_batches_of_all_sizes_are_written_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path()).await;
    let mut total = 0;
    for size in [1, 7, 8, 63, 64, 65, 137, 1_000] {
        let batch = writes((0..size).map(|n| put(Table::Item, &format!("{size}-{n}"), "x")));
        store.commit(&batch).await.unwrap();
        total += size;
    }
    store.close().await;
    assert_eq!(open(dir.path()).await.1[&Table::Item].len(), total);
}

#[tokio::test]
async fn a_second_process_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (first, _) = open(dir.path()).await;
    let error = Store::open(dir.path(), Kind::Orchestrator).await.err().unwrap();
    assert!(matches!(error, OpenError::Held { .. }), "{error:?}");
    let text = format!("lock is held by process {} (", std::process::id());
    assert!(error.to_string().contains(&text), "{error}");
    first.close().await;
    open(dir.path()).await;
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path()).await;
    store.close().await;
    store.close().await;
    store.write_behind(writes([put(Table::Fact, "a", "1")]));
    assert!(matches!(store.commit(&Batch::default()).await, Err(CommitError::Closed)));
    assert!(store.changes(&ChangeFilter::default()).await.unwrap_err().to_string().contains("closed"));
}

#[tokio::test]
async fn facts_and_commits_of_one_row_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path()).await;
    for n in 0..50 {
        let first = writes([put(Table::Fact, "a", "commit"), put(Table::Fact, "c", "commit")]);
        let second = writes([put(Table::Fact, "b", &format!("commit {n}"))]);
        store.write_behind(writes([put(Table::Fact, "c", "fact")]));
        // Both commits are in the queue before the first is done.
        let (first, second) = tokio::join!(store.commit(&first), async {
            store.write_behind(writes([put(Table::Fact, "a", "fact"), put(Table::Fact, "b", "fact")]));
            store.commit(&second).await
        });
        first.unwrap();
        second.unwrap();
        store.write_behind(writes([put(Table::Fact, "a", &format!("fact {n}"))]));
    }
    store.close().await;
    let snapshot = open(dir.path()).await.1;
    assert_eq!(
        rows(&snapshot, Table::Fact),
        [row("a", "fact 49"), row("b", "commit 49"), row("c", "commit")]
    );
}

#[tokio::test]
async fn a_fact_is_written_unasked() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path()).await;
    let batch = Batch { changes: vec![change(1, "instance", "1", "a/b")], ..Batch::default() };
    store.write_behind(batch);
    let written = async {
        while store.last_change() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), written).await.unwrap();
    assert_eq!(store.changes(&ChangeFilter::default()).await.unwrap()[0].seq, 1);
}

#[tokio::test]
async fn changes_are_found_by_what_they_concern() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path()).await;
    let changes: Vec<_> = (1..=30)
        .map(|n| {
            let kind = if n % 3 == 0 { "node" } else { "instance" };
            change(n, kind, &format!("s-{}", n % 5), if n % 2 == 0 { "default/even" } else { "default/odd" })
        })
        .collect();
    let batch = Batch { changes: changes.clone(), ..Batch::default() };
    assert_eq!(store.commit(&batch).await.unwrap().change, 30);

    let first = store.changes(&ChangeFilter { limit: Some(20), ..ChangeFilter::default() }).await.unwrap();
    let cursor = first.last().map(|numbered| numbered.seq);
    let rest = store.changes(&ChangeFilter { cursor, ..ChangeFilter::default() }).await.unwrap();
    let all: Vec<_> = first.into_iter().chain(rest).map(|numbered| numbered.record).collect();
    assert_eq!(all, changes);

    let filter = ChangeFilter {
        order: Order::NewestFirst,
        cursor: Some(30),
        limit: Some(2),
        kind: Some("node".to_owned()),
        application: Some("default/even".to_owned()),
        ..ChangeFilter::default()
    };
    let found = store.changes(&filter).await.unwrap();
    assert_eq!(found.iter().map(|numbered| numbered.seq).collect::<Vec<_>>(), [24, 18]);
    let filter = ChangeFilter { subject: Some("s-0".to_owned()), ..ChangeFilter::default() };
    assert_eq!(store.changes(&filter).await.unwrap().len(), 6);
}

#[tokio::test]
async fn what_was_changed_in_the_audit_log_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let sql = async |text: &str| {
        let url = format!("sqlite://{}", dir.path().join("holm.db").display());
        let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(text.to_owned())).execute(&mut connection).await.unwrap();
        sqlx::Connection::close(connection).await.unwrap();
    };
    let proof = async |noted: Option<&str>| {
        let (store, _) = Store::open(dir.path(), Kind::Orchestrator).await.unwrap();
        let proof = store.verify_audit(noted).await.unwrap();
        store.close().await;
        proof
    };
    assert_eq!(proof(None).await.checked, 0);
    let (store, _) = Store::open(dir.path(), Kind::Orchestrator).await.unwrap();
    for batch in 0..3 {
        let records = (0..70).map(|n| audit(n, "ada", &format!("verb-{batch}"))).collect();
        store.commit(&Batch { audit: records, ..Batch::default() }).await.unwrap();
    }
    store.close().await;
    let whole = proof(None).await;
    assert_eq!((whole.checked, whole.broken), (210, None));
    assert!(proof(Some(&whole.head)).await.has_noted);
    assert!(!proof(Some(&"0".repeat(64))).await.has_noted);
    // The newest is taken out: its number is missed. Who makes it forgotten is told by a head that was noted.
    sql("DELETE FROM audit WHERE seq = 210").await;
    assert_eq!(proof(None).await.broken, Some(Break::Cut(210)));
    sql("UPDATE sqlite_sequence SET seq = 209 WHERE name = 'audit'").await;
    assert_eq!(proof(None).await.broken, None);
    assert!(!proof(Some(&whole.head)).await.has_noted);
    for (text, broken) in [
        ("UPDATE audit SET who = 'eve' WHERE seq = 200", Break::Filed(200)),
        ("UPDATE audit SET verb = 'x' WHERE seq = 190", Break::Filed(190)),
        ("UPDATE audit SET subject = 'x' WHERE seq = 180", Break::Filed(180)),
        ("UPDATE audit SET at = 5 WHERE seq = 170", Break::Filed(170)),
        ("UPDATE audit SET body = replace(body, 'ada', 'eve') WHERE seq = 140", Break::Order(140)),
        ("DELETE FROM audit WHERE seq = 100", Break::Order(101)),
        ("UPDATE audit SET hash = NULL WHERE seq = 50", Break::Bare(50)),
        ("UPDATE audit SET hash = NULL", Break::Bare(1)),
        (
            "INSERT INTO audit SELECT 0, at, who, verb, subject, body, hash FROM audit WHERE seq = 7",
            Break::Bare(0),
        ),
        ("DELETE FROM audit", Break::Cut(1)),
    ] {
        sql(text).await;
        assert_eq!(proof(None).await.broken, Some(broken), "{text}");
    }
}

#[tokio::test]
async fn audit_records_are_found_and_never_pruned() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path()).await;
    let records = vec![audit(1, "admin", "apply"), audit(2, "token:7", "scale"), audit(3, "admin", "scale")];
    store.commit(&Batch { audit: records.clone(), ..Batch::default() }).await.unwrap();
    store.prune(Keep { rows: 0, since: Time(i64::MAX) }).await.unwrap();
    let all = store.audit(&AuditFilter::default()).await.unwrap();
    assert_eq!(all.into_iter().map(|numbered| numbered.record).collect::<Vec<_>>(), records);
    let filter = AuditFilter { who: Some("admin".to_owned()), ..AuditFilter::default() };
    assert_eq!(store.audit(&filter).await.unwrap().len(), 2);
    let filter = AuditFilter { order: Order::NewestFirst, limit: Some(1), ..AuditFilter::default() };
    assert_eq!(store.audit(&filter).await.unwrap()[0].record, records[2]);
}

#[tokio::test]
async fn pruning_keeps_the_newest_and_never_gives_a_number_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path()).await;
    let changes = (1..=12_000).map(|n| change(n, "instance", "s", "a")).collect();
    store.commit(&Batch { changes, ..Batch::default() }).await.unwrap();
    assert_eq!(store.prune(Keep { rows: 100_000, since: Time(11) }).await.unwrap(), 10);
    assert_eq!(store.kept_changes().await.unwrap(), Some(11..=12_000));
    assert_eq!(store.prune(Keep { rows: 500, since: Time(0) }).await.unwrap(), 11_490);
    assert_eq!(store.kept_changes().await.unwrap(), Some(11_501..=12_000));
    assert_eq!(store.prune(Keep { rows: 500, since: Time(0) }).await.unwrap(), 0);
    assert_eq!(store.prune(Keep { rows: 500, since: Time(i64::MAX) }).await.unwrap(), 500);
    assert_eq!(store.kept_changes().await.unwrap(), None);
    store.close().await;

    let (store, _) = open(dir.path()).await;
    assert_eq!(store.last_change(), 12_000);
    let batch = Batch { changes: vec![change(1, "instance", "s", "a")], ..Batch::default() };
    assert_eq!(store.commit(&batch).await.unwrap().change, 12_001);
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_no_half_batch() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path()).await;
    let big = writes((0..1_000).map(|n| put(Table::Item, &n.to_string(), "x")));
    // Polled once, then dropped.
    let given_up = tokio::time::timeout(Duration::ZERO, store.commit(&big)).await;
    assert!(given_up.is_err());
    store.commit(&writes([put(Table::Meta, "after", "1")])).await.unwrap();
    store.close().await;
    let snapshot = open(dir.path()).await.1;
    assert_eq!((snapshot[&Table::Item].len(), snapshot[&Table::Meta].len()), (1_000, 1));
}

#[tokio::test]
async fn a_predecessor_that_is_dying_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let (predecessor, _) = Store::succeed(dir.path(), Kind::Node).await.unwrap();
    let mut opening = std::pin::pin!(Store::succeed(dir.path(), Kind::Node));
    let held = tokio::time::timeout(Duration::from_millis(200), &mut opening).await;
    assert!(held.is_err(), "it is not given up at once");
    predecessor.close().await;
    opening.await.unwrap().0.close().await;
}

#[tokio::test]
async fn one_that_lives_is_not_waited_for_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let (first, _) = Store::open(dir.path(), Kind::Node).await.unwrap();
    let second = Store::succeed(dir.path(), Kind::Node).await;
    assert!(matches!(second, Err(OpenError::Held { .. })), "{second:?}");
    first.close().await;
}
