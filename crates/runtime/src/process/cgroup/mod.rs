//! Limits, freezer and accounting of control groups, versions 1 and 2, by their files.
//!
//! Both versions occur, even on one host. [`Cgroups::detect`] finds by trying what this agent may use;
//! what it may not is not pretended: [`Cgroups::create`] says which limit could not be set.

mod detect;
mod group;

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub(crate) use group::{Charge, Group};

/// The hierarchies that this agent may use, each with a directory of its own.
#[derive(Clone, Debug, Default)]
pub struct Cgroups {
    hierarchies: Vec<Hierarchy>,
    /// The directory of this label in each hierarchy that could be entered, also where it is of no use.
    bases: Vec<PathBuf>,
    /// Where supervisors go, so that a service manager which ends the agent's group spares them.
    refuges: Vec<PathBuf>,
}

/// One mounted hierarchy.
#[derive(Clone, Debug)]
struct Hierarchy {
    /// The directory in which instances get theirs.
    base: PathBuf,
    version: Version,
    controllers: BTreeSet<Controller>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Version {
    V1,
    V2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Controller {
    Cpu,
    /// Accounting of CPU time; always there in version 2.
    Cpuacct,
    Memory,
    Pids,
    Freezer,
}

/// Zero: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Thousandths of a core.
    pub(crate) cpu_millis: u64,
    /// Bytes, swap included where the kernel counts it.
    pub(crate) memory: u64,
    /// Processes and threads.
    pub(crate) pids: u64,
}

impl Cgroups {
    /// No limits at all, for agents that must not touch the host's groups.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Words for [`holm_model::member::RuntimeFacts::enforces`].
    #[must_use]
    pub fn enforces(&self) -> Vec<String> {
        let words = [(Controller::Cpu, "cpu"), (Controller::Memory, "memory"), (Controller::Pids, "pids")];
        words.iter().filter(|(c, _)| self.has(*c)).map(|(_, word)| (*word).to_owned()).collect()
    }

    /// Removes the directories of this label as far as they are empty, for a data directory that is
    /// given up; true when none is left.
    pub fn retire(&self) -> bool {
        for base in &self.bases {
            let inner = std::fs::read_dir(base).into_iter().flatten().flatten().map(|entry| entry.path());
            let own = [Some(base.as_path()), base.parent()].into_iter().flatten().map(PathBuf::from);
            for dir in inner.chain(own) {
                // Files cannot be removed, and groups that are in use must not be.
                let _ = std::fs::remove_dir(dir);
            }
        }
        !self.bases.iter().any(|base| base.exists())
    }

    pub(crate) fn refuges(&self) -> &[PathBuf] {
        &self.refuges
    }

    fn has(&self, controller: Controller) -> bool {
        self.hierarchies.iter().any(|h| h.controllers.contains(&controller))
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    /// Directories of this name in all hierarchies.
    fn named(name: &str, below: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(below).into_iter().flatten().flatten();
        let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let inside = |dir: PathBuf| {
            let mut found = named(name, &dir);
            found.extend(dir.ends_with(name).then_some(dir));
            found
        };
        dirs.flat_map(|dir| inside(dir.path())).collect()
    }

    #[test]
    fn of_a_label_that_is_retired_no_hierarchy_keeps_a_directory() {
        let label = format!("test-retired-{}", std::process::id());
        Cgroups::detect(&label).retire();
        assert_eq!(named(&label, Path::new("/sys/fs/cgroup")), Vec::<PathBuf>::new());
    }
}
