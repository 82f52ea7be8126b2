//! What was acknowledged survives `kill -9` at any instant, and batches are whole.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use holm_model::record::{AuditRecord, Batch, Change, Table, Write};
use holm_model::time::Time;
use holm_store::{AuditFilter, Kind, Order, Store};

/// Set for the child: the directory of its store.
const CHILD: &str = "HOLM_STORE_TEST_CHILD";
const MARK: &str = "acknowledged ";

/// The n-th batch: its row, the counter, one audit record and one change.
fn batch(n: u64) -> Batch {
    let text = || n.to_string();
    let counter = n.to_be_bytes().to_vec();
    Batch {
        writes: vec![
            Write { table: Table::Wish, key: format!("{n:08}"), value: Some(vec![0; 2_000]) },
            Write { table: Table::Meta, key: "counter".to_owned(), value: Some(counter) },
        ],
        audit: vec![AuditRecord {
            at: Time(1),
            who: text(),
            from: text(),
            verb: text(),
            subject: text(),
            outcome: text(),
        }],
        changes: vec![Change {
            at: Time(1),
            kind: text(),
            subject: text(),
            application: text(),
            slot: text(),
            from: text(),
            to: text(),
            cause: text(),
            reason: text(),
        }],
    }
}

/// Not a test of its own: the child of the one below. Commits until it is killed.
#[tokio::test]
async fn child() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let (store, snapshot) = Store::open(Path::new(&dir), Kind::Node).await.unwrap();
    let mut n = snapshot[&Table::Wish].len() as u64;
    loop {
        n += 1;
        let committed = store.commit(&batch(n)).await.unwrap();
        assert_eq!(committed.change, n);
        // Past the capture of the test harness, which may have begun the line.
        writeln!(std::io::stdout(), "\n{MARK}{n}").unwrap();
    }
}

fn start_child(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// Kills the child after `count` acknowledgements; tells the last that it gave.
fn killed_after(mut child: Child, count: usize) -> u64 {
    let mut acknowledged = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix(MARK)?.parse().ok());
    let reached = acknowledged.by_ref().nth(count - 1).expect("the child ended early");
    child.kill().unwrap();
    let last = acknowledged.last().unwrap_or(reached);
    child.wait().unwrap();
    last
}

#[tokio::test]
async fn nothing_that_was_acknowledged_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    for count in [1, 2, 40, 300, 7, 90] {
        let last = killed_after(start_child(dir.path()), count);
        let (store, snapshot) = Store::open(dir.path(), Kind::Node).await.unwrap();
        let found = snapshot[&Table::Wish].len() as u64;
        assert!(found == last || found == last + 1, "{last} acknowledged, {found} found");
        let keys: Vec<_> = snapshot[&Table::Wish].iter().map(|(key, _)| key.clone()).collect();
        assert_eq!(keys, (1..=found).map(|n| format!("{n:08}")).collect::<Vec<_>>());
        assert_eq!(snapshot[&Table::Meta][0].1, found.to_be_bytes());
        assert_eq!(store.last_change(), found);
        let newest = AuditFilter { order: Order::NewestFirst, limit: Some(1), ..AuditFilter::default() };
        assert_eq!(store.audit(&newest).await.unwrap()[0].record, batch(found).audit[0]);
        store.close().await;
    }
}
