//! Host name, distribution, kernel, boot.

use super::tree::Tree;

pub(super) fn hostname(tree: &Tree) -> String {
    tree.read("/proc/sys/kernel/hostname").unwrap_or_default()
}

pub(super) fn kernel(tree: &Tree) -> String {
    tree.read("/proc/sys/kernel/osrelease").unwrap_or_default()
}

/// Changes when the machine was started anew.
pub(super) fn boot_id(tree: &Tree) -> String {
    tree.read("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// The distribution as it names itself: `Debian GNU/Linux 12 (bookworm)`.
pub(super) fn distribution(tree: &Tree) -> String {
    let text = tree.read("/etc/os-release").or_else(|| tree.read("/usr/lib/os-release")).unwrap_or_default();
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim().trim_matches(['"', '\'']).to_owned())
    };
    value("PRETTY_NAME").or_else(|| value("NAME")).unwrap_or_default()
}
