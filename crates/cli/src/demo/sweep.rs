//! What a demo that was killed has left: daemons by their recorded processes, instances by their
//! nodes' directories and labels, namespaces by their recorded names. Nothing is found by guessing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use holm_node::{Files, Remains, RuntimesConfig};

use super::ground::{self, PREFIX, Record};
use super::plan::NODES;
use super::{engine, network};
use crate::failure::Failure;
use crate::output::say;

const GRACE: Duration = Duration::from_secs(3);

/// Ends and removes what dead demos left below `home`.
pub(super) async fn leftovers(home: &Path) -> Result<(), Failure> {
    for entry in std::fs::read_dir(home).into_iter().flatten().flatten() {
        let dir = entry.path();
        let named = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if named && dir.is_dir() && !alive(&dir) {
            say(&format!("Cleaning up after a demo that was killed ({}) …", dir.display()))?;
            demo(&dir).await?;
        }
    }
    Ok(())
}

fn alive(dir: &Path) -> bool {
    ground::read(dir).is_some_and(|record| record.demo.lives())
}

async fn demo(dir: &Path) -> Result<(), Failure> {
    let record = ground::read(dir);
    for child in record.iter().flat_map(|record| &record.children) {
        child.end(GRACE).await;
    }
    for name in NODES.map(|node| node.name) {
        let engine = record.as_ref().and_then(|record| record.engine.clone());
        node(&dir.join(name), &dir.join("holm"), engine).await;
    }
    if let Some(record) = &record {
        image(record).await;
        network::remove(record);
    }
    ground::remove_dir(dir, &record.map(|record| record.made).unwrap_or_default())
}

/// Takes the image back that an engine was lent. All containers of the demo must be gone.
pub(super) async fn image(record: &Record) {
    if let Some(image) = record.image.clone() {
        let engine = record.engine.clone();
        // Only a panic could be told, and it tells itself.
        let _ = tokio::task::spawn_blocking(move || engine::take_back(&image, engine)).await;
    }
}

/// Where a node with this data directory keeps its processes.
pub(super) fn instances(data_dir: &Path) -> PathBuf {
    data_dir.join("instances")
}

/// Ends whatever instances of a stopped node are still there, and removes their traces. What cannot be removed is
/// told about.
pub(super) async fn node(data_dir: &Path, program: &Path, engine: Option<PathBuf>) {
    let config = RuntimesConfig { engine, ..RuntimesConfig::new(program.to_owned()) };
    // None: it has never started an instance.
    let Some(remains) = Remains::of(data_dir, &config) else { return };
    for error in remains.end(Duration::ZERO, Files::Remove, &|_| {}).await {
        eprintln!("warning: {}", crate::failure::chain(&error));
    }
}
