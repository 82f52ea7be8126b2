//! The end of a node that is decommissioned: all of ours goes from this machine.
//!
//! ```text
//! nothing of its instances is left ──► wipe: volumes, images, files ──► told ──► void ──► finish: keys, store
//! ```
//!
//! Keys and store stay until the certificate is void: whoever is interrupted before goes on from them. Files are
//! removed, not overwritten: a disk that must not be read by anybody needs encryption.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holm_model::wipe::WipeReport;
use holm_runtime::process::cgroup::Cgroups;

use crate::guest;
use crate::identity::Sockets;
use crate::runtimes::Runtimes;
use crate::tmpfs::Tmpfs;

/// Needed until the certificate is void.
const KEPT: [&str; 11] = [
    "credentials.pem",
    "decommission.json",
    guest::DIR,
    "holm.db",
    "join-token",
    "label",
    "lock",
    "node.sock",
    "orchestrators.json",
    "platform-time",
    "seal.key",
];
/// What was brought to engines: as long as they keep any of it, whoever is interrupted has to ask them again.
const BROUGHT: &str = "engine";
/// What attempts that were interrupted have wiped.
const REPORT: &str = "decommission.json";
/// Says that the machine was decommissioned, to whoever starts an agent here again.
const TOMBSTONE: &str = "decommissioned";

/// An engine may let go late of what it has just ended.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(2);

/// Wipes all but keys and store; again after an interruption.
pub(crate) async fn wipe(data_dir: PathBuf, runtimes: Runtimes) -> WipeReport {
    tracing::warn!("This node is decommissioned: it wipes its volumes, images and files.");
    let mut report = WipeReport::default();
    for attempt in 1..=TRIES {
        let found = runtimes.wipe().await;
        report.left = found.left.clone();
        if guest::is_in(&data_dir) {
            report.left.insert("what this machine runs as a node of the root, too".to_owned());
        }
        report.add_earlier(found);
        if report.left.is_empty() {
            break;
        }
        if attempt < TRIES {
            tokio::time::sleep(PAUSE).await;
        }
    }
    let (dir, before) = (data_dir.clone(), report.clone());
    match tokio::task::spawn_blocking(move || sweep(&dir, before)).await {
        Ok(report) => report,
        // What is not known to be gone is not told as wiped.
        Err(error) => {
            report.left.insert(format!("{}: {error}", data_dir.display()));
            report
        }
    }
}

/// Files that are not needed any more, beside what was wiped before.
fn sweep(data_dir: &Path, mut report: WipeReport) -> WipeReport {
    let earlier = fs::read(data_dir.join(REPORT)).ok();
    if let Some(earlier) = earlier.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        report.add_earlier(earlier);
    }
    let kept_by_engines = !report.left.is_empty();
    let unread = |error: io::Error| format!("{} cannot be read: {error}", data_dir.display());
    let entries = match fs::read_dir(data_dir) {
        Ok(entries) => entries.collect(),
        Err(error) => vec![Err(error)],
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                report.left.insert(unread(error));
                continue;
            }
        };
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // With what SQLite keeps beside it.
        if KEPT.contains(&&*name) || name.starts_with("holm.db") || kept_by_engines && name == BROUGHT {
            continue;
        }
        let (files, bytes) = measured(&entry.path());
        match remove(&entry.path()) {
            Ok(()) => (report.files, report.bytes) = (report.files + files, report.bytes + bytes),
            Err(error) => drop(report.left.insert(format!("{}: {error}", entry.path().display()))),
        }
    }
    let kept = WipeReport { left: std::collections::BTreeSet::new(), ..report.clone() };
    // Without it, an interruption now makes the proof shorter, not wrong.
    let _ = serde_json::to_vec(&kept).map(|bytes| fs::write(data_dir.join(REPORT), bytes));
    report
}

fn remove(path: &Path) -> io::Result<()> {
    let removed =
        if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Files and bytes of a tree; links are not followed.
fn measured(path: &Path) -> (u64, u64) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return (0, 0) };
    if !metadata.is_dir() {
        return (1, metadata.len());
    }
    let inner = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| measured(&entry.path()));
    inner.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// The last of it: keys, store, and what is in memory. The store must be closed.
///
/// # Errors
/// What could not be removed, first.
pub(crate) fn finish(data_dir: &Path, label: &str) -> io::Result<()> {
    Tmpfs::new(label).retire();
    Sockets::new(label).retire();
    Cgroups::detect(label).retire();
    let entries: Vec<_> = fs::read_dir(data_dir)?.collect();
    // First, so that an agent that is started in between does not join anew.
    let text = format!("decommissioned at {}\n", crate::clock::now().wall);
    fs::write(data_dir.join(TOMBSTONE), text)?;
    // One that fails keeps none of the others.
    let removed: Vec<_> =
        entries.into_iter().map(|entry| entry.and_then(|entry| remove(&entry.path()))).collect();
    removed.into_iter().collect()
}

/// When the machine was decommissioned, if it was.
pub(crate) fn tombstone(data_dir: &Path) -> Option<String> {
    let text = fs::read_to_string(data_dir.join(TOMBSTONE)).ok()?;
    Some(text.trim().to_owned())
}

/// Somebody wants the machine back.
///
/// # Errors
/// When it cannot be removed.
pub(crate) fn forget_tombstone(data_dir: &Path) -> io::Result<()> {
    remove(&data_dir.join(TOMBSTONE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_goes_but_what_the_proof_needs_and_then_that() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["credentials.pem", "holm.db", "holm.db-wal", "label", "place.json", "amendments.json"] {
            fs::write(at(name), "1234").unwrap();
        }
        fs::create_dir_all(at("instances/1/log")).unwrap();
        fs::write(at("instances/1/log/out"), "a line").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", at("instances/1/link")).unwrap();
        let volumes = ["data".to_owned()].into();
        let report = sweep(dir.path(), WipeReport { volumes, ..WipeReport::default() });
        assert!(report.left.is_empty() && report.files == 4 && report.bytes >= 14, "{report:?}");
        assert!(!at("instances").exists() && !at("place.json").exists() && at("holm.db-wal").exists());
        assert!(Path::new("/etc/hostname").exists(), "links are not followed");
        // Interrupted before it was told: the proof still has it.
        let again = sweep(dir.path(), WipeReport::default());
        assert_eq!((again.files, again.volumes.len()), (4, 1));

        // What an engine did not give up is asked for again by the next attempt.
        fs::create_dir_all(at("engine/image")).unwrap();
        sweep(dir.path(), WipeReport { left: ["web:1".to_owned()].into(), ..WipeReport::default() });
        assert!(at("engine/image").exists());
        sweep(dir.path(), WipeReport::default());
        assert!(!at("engine").exists());

        // What cannot be listed is not told as wiped.
        let report = sweep(&at("label"), WipeReport::default());
        assert!(report.left.iter().any(|left| left.contains("label cannot be read")), "{report:?}");

        assert_eq!(tombstone(dir.path()), None);
        finish(dir.path(), "0123456789abcdef").unwrap();
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, [TOMBSTONE]);
        assert!(tombstone(dir.path()).unwrap().starts_with("decommissioned at 20"));
        forget_tombstone(dir.path()).unwrap();
        assert_eq!(tombstone(dir.path()), None);
    }
}
