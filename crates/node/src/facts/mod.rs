//! What this machine is: found by looking, below a root directory that tests replace by a fake tree.
//!
//! | module | what |
//! | --- | --- |
//! | [`tree`] | bounded reading below the root directory |
//! | [`system`] | host name, distribution, kernel, boot |
//! | [`processor`] | architecture, model, cores that we may use |
//! | [`storage`] | memory and disk |
//! | [`network`] | addresses of the interfaces |
//! | [`emulation`] | architectures whose programs run here beside its own |
//! | [`hardware`] | GPUs, sensors and attached devices, with the capabilities that follow |
//!
//! What cannot be read is left empty: a board without `/sys/class/hwmon` is no error.

mod emulation;
mod hardware;
mod network;
mod processor;
mod storage;
mod system;
pub(crate) mod tree;

pub(crate) use self::storage::{Disk, disk, meminfo};

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use holm_model::amendment::Amendments;
use holm_model::capability::Capability;
use holm_model::geo::Point;
use holm_model::member::{NodeFacts, RuntimeFacts};
use holm_model::resources::Resources;
use holm_model::units::Units;

use self::tree::Tree;

/// Where to look, and what only the operator can say.
#[derive(Clone, Debug)]
pub(crate) struct Detector {
    pub(crate) tree: Tree,
    /// The file system whose size counts as the node's disk.
    pub(crate) data_dir: PathBuf,
    pub(crate) capabilities: BTreeSet<Capability>,
    pub(crate) units: Units,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) location: Option<Point>,
    /// Kept back for the machine itself; instances may take the rest.
    pub(crate) reserve: Resources,
}

// === impl Detector ===

impl Detector {
    /// Reads some hundred small files: call it where blocking is allowed.
    #[must_use]
    pub(crate) fn detect(&self, runtimes: Vec<RuntimeFacts>) -> NodeFacts {
        let tree = &self.tree;
        let (hardware, emulated) = (hardware::detect(tree), emulation::detect(tree));
        let total = Resources::new(processor::cores(tree), storage::memory(tree));
        let disk = disk(&self.data_dir);
        NodeFacts {
            hostname: system::hostname(tree),
            addresses: network::addresses(),
            arch: processor::architecture().to_owned(),
            os: std::env::consts::OS.to_owned(),
            os_version: system::distribution(tree),
            kernel: system::kernel(tree),
            cpu_model: processor::model(tree),
            total,
            allocatable: total.less(&self.reserve),
            disk_total: disk.total,
            disk_free: disk.free,
            gpus: hardware.gpus,
            devices: hardware.devices,
            runtimes,
            capabilities: self
                .capabilities
                .iter()
                .cloned()
                .chain(hardware.capabilities)
                .chain(emulated)
                .collect(),
            units: self.units.clone(),
            labels: self.labels.clone(),
            location: self.location,
            coordinate: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: system::boot_id(tree),
            amendments: Amendments::default(),
            crowded: None,
        }
    }
}

#[cfg(test)]
mod tests;
