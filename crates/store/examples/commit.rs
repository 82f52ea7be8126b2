//! How fast a store commits: `cargo run --example commit -p holm-store [--release] [-- <directory>]`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use holm_model::record::{Batch, Change, Table, Write};
use holm_model::time::Time;
use holm_store::{Kind, Store};

const SMALL: usize = 2_000;
const LARGE: usize = 50;
const ROWS: usize = 1_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = match std::env::args_os().nth(1) {
        Some(dir) => PathBuf::from(dir),
        None => std::env::temp_dir().join(format!("holm-commit-{}", std::process::id())),
    };
    let (store, _) = Store::open(&dir, Kind::Orchestrator).await?;
    let small = measure(&store, SMALL, |n| batch(n, 3, 0)).await?;
    report("3 rows", &small);
    report("3 rows, 2 changes", &measure(&store, SMALL, |n| batch(n, 3, 2)).await?);
    let large = measure(&store, LARGE, |n| batch(n, ROWS, 0)).await?;
    report("1000 rows", &large);
    println!("  {:.0} rows/s", (LARGE * ROWS) as f64 / large.iter().sum::<Duration>().as_secs_f64());
    report("1000 rows, 1000 changes", &measure(&store, LARGE, |n| batch(n, ROWS, ROWS)).await?);
    store.close().await;
    let started = Instant::now();
    let (store, snapshot) = Store::open(&dir, Kind::Orchestrator).await?;
    let rows: usize = snapshot.values().map(Vec::len).sum();
    println!("open with {rows} rows: {:?}", started.elapsed());
    store.close().await;
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

/// Rows of 200 bytes; every batch has keys of its own.
fn batch(n: usize, rows: usize, changes: usize) -> Batch {
    let write = |row: usize| Write {
        table: Table::Placement,
        key: format!("{rows}-{n}-{row}"),
        value: Some(vec![7; 200]),
    };
    let change = |row: usize| Change {
        at: Time(n as i64),
        kind: "instance".to_owned(),
        subject: format!("1-0123456789ab-{row}"),
        application: "default/building".to_owned(),
        slot: "web/0".to_owned(),
        from: "STARTING".to_owned(),
        to: "RUNNING".to_owned(),
        cause: "node".to_owned(),
        reason: String::new(),
    };
    Batch {
        writes: (0..rows).map(write).collect(),
        audit: Vec::new(),
        changes: (0..changes).map(change).collect(),
    }
}

async fn measure(
    store: &Store,
    count: usize,
    make: impl Fn(usize) -> Batch,
) -> Result<Vec<Duration>, holm_store::CommitError> {
    let mut times = Vec::with_capacity(count);
    for n in 0..count {
        let batch = make(n);
        let started = Instant::now();
        store.commit(&batch).await?;
        times.push(started.elapsed());
    }
    times.sort();
    Ok(times)
}

fn report(what: &str, sorted: &[Duration]) {
    let at = |percent: usize| sorted[(sorted.len() - 1) * percent / 100];
    println!("{what}: p50 {:?}, p95 {:?}, max {:?}", at(50), at(95), at(100));
}
