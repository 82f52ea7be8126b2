use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};

use holm_model::record::{AuditRecord, Batch, Write};
use holm_model::time::Time;

use super::*;
use crate::schema::STEPS;

const NEWER: &[&str] =
    &[STEPS[0], STEPS[1], STEPS[2], "CREATE TABLE extra (n INTEGER); INSERT INTO extra VALUES (7);"];
const BROKEN: &[&str] =
    &[STEPS[0], STEPS[1], STEPS[2], "CREATE TABLE extra (n INTEGER); INSERT INTO nowhere VALUES (7);"];

/// A closed store with `rows` wishes.
async fn filled(dir: &Path, rows: u32) -> Snapshot {
    let (store, _) = open(dir, Kind::Orchestrator, STEPS).await.unwrap();
    let write =
        |n: u32| Write { table: Table::Wish, key: format!("wish-{n:06}"), value: Some(vec![n as u8; 100]) };
    store.commit(&Batch { writes: (0..rows).map(write).collect(), ..Batch::default() }).await.unwrap();
    store.close().await;
    let (store, snapshot) = open(dir, Kind::Orchestrator, STEPS).await.unwrap();
    store.close().await;
    assert_eq!(snapshot[&Table::Wish].len(), rows as usize);
    snapshot
}

async fn refusal(dir: &Path, kind: Kind, steps: &[&'static str]) -> OpenError {
    open(dir, kind, steps).await.expect_err("it was opened")
}

#[tokio::test]
async fn the_schema_has_the_tables_of_the_model_and_the_history() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 1).await;
    let mut connection = sqlite::writer(&dir.path().join(FILE)).await.unwrap();
    let select = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let mut found: Vec<String> = sqlx::query_scalar(select).fetch_all(&mut connection).await.unwrap();
    let mut wanted: Vec<_> = Table::ALL.into_iter().map(Table::name).chain(["audit", "change"]).collect();
    found.sort();
    wanted.sort_unstable();
    assert_eq!(found, wanted, "a new table of the model needs a migration");
}

#[tokio::test]
async fn an_older_store_is_copied_and_migrated() {
    let dir = tempfile::tempdir().unwrap();
    let before = filled(dir.path(), 10).await;
    let (store, snapshot) = open(dir.path(), Kind::Orchestrator, NEWER).await.unwrap();
    assert_eq!(snapshot, before);
    store.close().await;

    let elsewhere = tempfile::tempdir().unwrap();
    let copy = dir.path().join("holm.db.v3");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    fs::copy(copy, elsewhere.path().join(FILE)).unwrap();
    let (store, snapshot) = open(elsewhere.path(), Kind::Orchestrator, STEPS).await.unwrap();
    assert_eq!(snapshot, before);
    store.close().await;

    let error = refusal(dir.path(), Kind::Orchestrator, STEPS).await;
    assert!(matches!(error, OpenError::Newer { found: 4, known: 3, .. }), "{error:?}");
    assert!(error.to_string().contains("schema version 4, this holm knows versions up to 3"), "{error}");
}

#[tokio::test]
async fn a_store_of_any_version_becomes_one_of_today() {
    for version in 1..STEPS.len() {
        let dir = tempfile::tempdir().unwrap();
        create(&dir.path().join(FILE), Kind::Node, &STEPS[..version]).await.unwrap();
        let (store, snapshot) = open(dir.path(), Kind::Node, STEPS).await.unwrap();
        assert_eq!(snapshot.keys().copied().collect::<Vec<_>>(), Table::ALL);
        store.close().await;
        assert!(dir.path().join(format!("holm.db.v{version}")).exists());
    }
}

#[tokio::test]
async fn records_of_before_there_was_a_chain_are_taken_into_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    create(&path, Kind::Orchestrator, &STEPS[..1]).await.unwrap();
    let mut connection = sqlite::writer(&path).await.unwrap();
    let [who, from, verb, subject, outcome] = ["ada", "unix", "apply", "s", "done"].map(str::to_owned);
    let record = AuditRecord { at: Time(7), who, from, verb, subject, outcome };
    let body = serde_json::to_string(&record).unwrap();
    let insert = "INSERT INTO audit (at, who, verb, subject, body) VALUES (7, 'ada', 'apply', 's', ?)";
    for _ in 0..2 {
        sqlx::query(insert).bind(&body).execute(&mut connection).await.unwrap();
    }
    sqlite::close(connection).await.unwrap();
    let (store, _) = open(dir.path(), Kind::Orchestrator, STEPS).await.unwrap();
    let proof = store.verify_audit(None).await.unwrap();
    assert_eq!((proof.checked, proof.broken), (2, None));
    store.close().await;
}

#[tokio::test]
async fn a_migration_that_fails_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let before = filled(dir.path(), 10).await;
    let error = refusal(dir.path(), Kind::Orchestrator, BROKEN).await;
    assert!(matches!(error, OpenError::Migrate { from: 3, to: 4, .. }), "{error:?}");
    let (store, snapshot) = open(dir.path(), Kind::Orchestrator, NEWER).await.unwrap();
    assert_eq!(snapshot, before);
    store.close().await;
}

#[tokio::test]
async fn only_stores_of_the_wanted_kind_are_opened() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 1).await;
    let error = refusal(dir.path(), Kind::Node, STEPS).await;
    assert!(error.to_string().contains("is the store of an orchestrator, not of a node"), "{error}");

    let foreign = tempfile::tempdir().unwrap();
    let path = foreign.path().join(FILE);
    private(&path).unwrap();
    let mut connection = sqlite::writer(&path).await.unwrap();
    sqlx::query("CREATE TABLE other (n INTEGER)").execute(&mut connection).await.unwrap();
    sqlite::close(connection).await.unwrap();
    let before = fs::read(&path).unwrap();
    let error = refusal(foreign.path(), Kind::Node, STEPS).await;
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
    assert_eq!(fs::read(&path).unwrap(), before, "a refused file was changed");
}

#[tokio::test]
async fn damage_is_named_and_never_taken_for_a_first_start() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 2_000).await;
    let path = dir.path().join(FILE);
    let whole = fs::read(&path).unwrap();
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 4] = [
        ("another header", |bytes| bytes[..16].fill(b'x')),
        ("cut in half", |bytes| bytes.truncate(bytes.len() / 2)),
        ("noise in the pages", |bytes| bytes[4096 * 14..].fill(0x5a)),
        ("empty", Vec::clear),
    ];
    for (name, damage) in damages {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        let error = refusal(dir.path(), Kind::Orchestrator, STEPS).await;
        assert!(matches!(error, OpenError::Damaged { .. }), "{name}: {error:?}");
        assert!(error.to_string().contains("move it away and restore a backup"), "{name}: {error}");
    }
    fs::write(&path, whole).unwrap();
    let (store, _) = open(dir.path(), Kind::Orchestrator, STEPS).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn every_flipped_page_is_refused_or_read_without_panic() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 300).await;
    let path = dir.path().join(FILE);
    let whole = fs::read(&path).unwrap();
    for page in 0..whole.len() / 4096 {
        fs::write(&path, &whole).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[0xff; 64], page as u64 * 4096).unwrap();
        match open(dir.path(), Kind::Orchestrator, STEPS).await {
            Ok((store, _)) => store.close().await,
            Err(error) => assert!(error.to_string().contains("holm.db"), "page {page}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn a_log_without_its_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("holm.db-wal"), b"log").unwrap();
    let error = refusal(dir.path(), Kind::Node, STEPS).await;
    assert!(matches!(error, OpenError::Incomplete { .. }), "{error:?}");
}

#[tokio::test]
async fn an_interrupted_first_start_is_started_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("holm.db.new"), b"half").unwrap();
    fs::write(dir.path().join("holm.db.new-wal"), b"half").unwrap();
    let (store, snapshot) = open(dir.path(), Kind::Node, STEPS).await.unwrap();
    assert!(snapshot.values().all(Vec::is_empty));
    store.close().await;
    assert!(!dir.path().join("holm.db.new").exists());
}

#[tokio::test]
async fn a_new_directory_is_for_its_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("a").join("data");
    let (store, _) = open(&data, Kind::Node, STEPS).await.unwrap();
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(data.join(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
    store.close().await;
}
