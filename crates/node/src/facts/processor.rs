//! Architecture, model, and the cores that we may use.

use std::num::NonZero;
use std::thread::available_parallelism;

use holm_model::resources::Cpu;

use super::tree::Tree;

/// The architecture in OCI's words.
pub(super) const fn architecture() -> &'static str {
    match std::env::consts::ARCH.as_bytes() {
        b"x86_64" => "amd64",
        b"x86" => "386",
        b"aarch64" => "arm64",
        b"powerpc64" => "ppc64le",
        _ => std::env::consts::ARCH,
    }
}

/// x86 says `model name`, Arm boards `Model` or `Hardware`, and device trees their own.
pub(super) fn model(tree: &Tree) -> String {
    let cpuinfo = tree.read("/proc/cpuinfo").unwrap_or_default();
    let value = |key: &str| {
        cpuinfo.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            (found.trim() == key).then(|| value.trim().to_owned())
        })
    };
    ["model name", "Model", "Hardware", "cpu model", "uarch"]
        .iter()
        .find_map(|key| value(key).filter(|value| !value.is_empty()))
        .or_else(|| tree.read("/proc/device-tree/model"))
        .unwrap_or_default()
}

/// Cores that are there and that this process may use: CPU affinity and cgroup quota of a node that
/// itself runs in a container count.
pub(super) fn cores(tree: &Tree) -> Cpu {
    let cpuinfo = tree.read("/proc/cpuinfo").unwrap_or_default();
    let there = cpuinfo.lines().filter(|line| is_processor(line)).count().max(1);
    let allowed = available_parallelism().map_or(there, NonZero::get);
    Cpu(1000 * there.min(allowed) as u64)
}

fn is_processor(line: &str) -> bool {
    line.strip_prefix("processor").is_some_and(|rest| rest.trim_start().starts_with(':'))
}
