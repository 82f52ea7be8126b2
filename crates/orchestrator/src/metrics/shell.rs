//! Queue, commits, links, disk, certificates.

use std::path::Path;
use std::sync::Arc;

use holm_metrics::{Family, Process};
use holm_model::time::Time;
use nix::sys::statvfs::statvfs;

use crate::meter::Meter;

/// What is known beside the machine, at one moment.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) started: Time,
    pub(crate) process: Process,
    pub(crate) meter: Arc<Meter>,
    /// Inputs that wait for the owner, of how many at most.
    pub(crate) queue: (usize, usize),
    /// Links of members that are open.
    pub(crate) links: usize,
    pub(crate) read_only: bool,
    pub(crate) disk: Option<Disk>,
    /// What it is of, and when it expires, in Unix seconds.
    pub(crate) certificates: Vec<(&'static str, u64)>,
}

/// The file system of the data directory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    size: u64,
    free: u64,
}

// === impl Disk ===

impl Disk {
    /// `None` when the system does not tell.
    pub(crate) fn of(data_dir: &Path) -> Option<Self> {
        let found = statvfs(data_dir).ok()?;
        // The types differ between architectures.
        #[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "u32 on 32-bit targets")]
        let bytes = |blocks| (blocks as u64).saturating_mul(found.fragment_size() as u64);
        Some(Self { size: bytes(found.blocks()), free: bytes(found.blocks_available()) })
    }
}

pub(super) fn families(around: &Surroundings) -> Vec<Family> {
    let mut all = queue(around);
    all.extend(links(around));
    if let Some(Disk { size, free }) = around.disk {
        let help = "The file system of the data directory.";
        all.push(Family::gauge("holm_disk_size_bytes", help).with(&[], size));
        all.push(Family::gauge("holm_disk_free_bytes", "Of it, what is free.").with(&[], free));
    }
    let mut expiry = Family::gauge(
        "holm_certificate_expiry_timestamp_seconds",
        "When the certificate of the server, of the CA or for calling the parent ends, in seconds since 1970.",
    );
    for (of, at) in &around.certificates {
        expiry.add(&[("certificate", of)], *at);
    }
    all.push(expiry);
    all
}

fn queue(around: &Surroundings) -> Vec<Family> {
    let meter = &around.meter;
    let (waiting, most) = around.queue;
    vec![
        Family::gauge("holm_queue_length", "Events and requests that wait for the machine.")
            .with(&[], waiting),
        Family::gauge("holm_queue_limit", "Beyond it, whoever asks waits.").with(&[], most),
        Family::histogram("holm_queue_wait_seconds", "How long they wait.", &meter.waits),
        Family::histogram("holm_commit_duration_seconds", "How long a transaction takes.", &meter.commits),
        Family::counted("holm_commit_failures_total", "Transactions that failed.", &meter.failed_commits),
        Family::gauge("holm_store_read_only", "Whether nothing is accepted since the disk takes no writes.")
            .with(&[], around.read_only),
    ]
}

fn links(around: &Surroundings) -> Vec<Family> {
    let meter = &around.meter;
    let mut bytes =
        Family::counter("holm_link_bytes_total", "Bytes on links of members and to the parent, inside TLS.");
    bytes.add(&[("direction", "received")], meter.traffic.received.get());
    bytes.add(&[("direction", "sent")], meter.traffic.sent.get());
    vec![
        Family::gauge("holm_links_open", "Links of members that are open.").with(&[], around.links),
        Family::counted("holm_link_sessions_total", "Links that members opened.", &meter.sessions),
        Family::counted(
            "holm_link_reconnects_total",
            "Those of members that had one before since the start.",
            &meter.reconnects,
        ),
        Family::counted("holm_parent_sessions_total", "Links to the parent that were opened.", &meter.calls),
        bytes,
    ]
}
