//! Memory and disk.

use std::path::Path;

use holm_model::resources::Memory;
use nix::sys::statvfs::statvfs;

use super::tree::Tree;

#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) total: Memory,
    /// For users without privileges.
    pub(crate) free: Memory,
}

/// Limits of a cgroup that a node in a container may be held to, v2 and v1.
const LIMITS: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// Bytes of memory: what is there, or the limit of our own container.
pub(super) fn memory(tree: &Tree) -> Memory {
    let there = meminfo(tree, "MemTotal").unwrap_or(0);
    let limits = LIMITS.iter().filter_map(|path| tree.read(path)?.parse::<u64>().ok());
    Memory(limits.fold(there, u64::min))
}

/// A value of `/proc/meminfo` in bytes.
pub(crate) fn meminfo(tree: &Tree, key: &str) -> Option<u64> {
    let text = tree.read("/proc/meminfo")?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let kibibytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes.saturating_mul(1024))
}

/// The file system of `dir`.
pub(crate) fn disk(dir: &Path) -> Disk {
    let Ok(stat) = statvfs(dir) else { return Disk::default() };
    // The types differ between architectures.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "u32 on 32-bit targets")]
    let bytes = |blocks| Memory((blocks as u64).saturating_mul(stat.fragment_size() as u64));
    Disk { total: bytes(stat.blocks()), free: bytes(stat.blocks_available()) }
}
