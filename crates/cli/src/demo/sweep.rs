//! What a demo that was killed has left: daemons by their recorded processes, instances by their
//! nodes' directories and labels, namespaces by their recorded names. Nothing is found by guessing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use holm_runtime::Runtime;
use holm_runtime::container::{ContainerConfig, ContainerRuntime};
use holm_runtime::process::cgroup::Cgroups;
use holm_runtime::process::{ProcessConfig, ProcessRuntime};
use tokio::sync::mpsc;

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
        node(&dir.join(name), &dir.join("holm")).await;
    }
    if let Some(record) = &record {
        image(record).await;
        network::remove(record);
    }
    ground::remove_dir(dir)
}

/// Takes the image back that an engine was lent. All containers of the demo must be gone.
pub(super) async fn image(record: &Record) {
    if let Some(image) = record.image.clone() {
        // Only a panic could be told, and it tells itself.
        let _ = tokio::task::spawn_blocking(move || engine::take_back(&image)).await;
    }
}

/// Where a node with this data directory keeps its processes.
pub(super) fn instances(data_dir: &Path) -> PathBuf {
    data_dir.join("instances")
}

/// Ends whatever instances of a stopped node are still there, and removes their traces.
pub(super) async fn node(data_dir: &Path, program: &Path) {
    // No label: it has never started an instance.
    let Ok(label) = std::fs::read_to_string(data_dir.join("label")) else { return };
    // Nobody listens: what ends here is ended by us.
    let (events, _) = mpsc::channel(1);
    let config = ProcessConfig::new(instances(data_dir), program.to_owned());
    let cgroups = Cgroups::detect(&label);
    remove_all(&ProcessRuntime::new(config, cgroups.clone(), events.clone())).await;
    cgroups.retire();
    if let Some(socket) = ContainerConfig::usual_socket() {
        remove_all(&ContainerRuntime::new(ContainerConfig::new(socket, label), events)).await;
    }
}

/// What cannot be removed is told about, and the rest is removed all the same.
async fn remove_all(runtime: &dyn Runtime) {
    if runtime.facts().await.unavailable.is_some() {
        return;
    }
    let survivors = match runtime.survivors().await {
        Ok(survivors) => survivors,
        Err(error) => return eprintln!("warning: {}", crate::failure::chain(&error)),
    };
    for survivor in survivors {
        if let Err(error) = runtime.remove(survivor.id).await {
            eprintln!("warning: instance {}: {}", survivor.id, crate::failure::chain(&error));
        }
    }
}
