//! The group of one instance: a directory in each hierarchy.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::{Cgroups, Controller, Hierarchy, Limits, Version};

/// Travels to the supervisor inside the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    dirs: Vec<Dir>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Dir {
    path: PathBuf,
    version: Version,
    controllers: Vec<Controller>,
}

/// What a group has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Charge {
    /// CPU time since the group was made.
    pub(crate) cpu: Duration,
    /// Bytes now, without page cache that can be dropped.
    pub(crate) memory: u64,
}

/// The length of a turn in which the share of CPU is measured, microseconds.
const PERIOD: u64 = 100_000;

impl Cgroups {
    /// Makes the group anew with these limits; the texts say which limit cannot be enforced here.
    ///
    /// # Errors
    /// When a directory cannot be made.
    pub(crate) fn create(&self, name: &str, limits: Limits) -> io::Result<(Group, Vec<String>)> {
        let group = self.group(name);
        group.remove()?;
        for dir in &group.dirs {
            // With those above: somebody may have tidied up while the node had no instance.
            fs::create_dir_all(&dir.path)?;
        }
        let notes = [
            group.limit(Controller::Cpu, limits.cpu_millis, Dir::limit_cpu),
            group.limit(Controller::Memory, limits.memory, Dir::limit_memory),
            group.limit(Controller::Pids, limits.pids, Dir::limit_pids),
        ];
        Ok((group, notes.into_iter().flatten().collect()))
    }

    /// The group of this name, whether it is there or not.
    pub(crate) fn group(&self, name: &str) -> Group {
        let dir = |h: &Hierarchy| Dir {
            path: h.base.join(name),
            version: h.version,
            controllers: h.controllers.iter().copied().collect(),
        };
        Group { dirs: self.hierarchies.iter().map(dir).collect() }
    }
}

// === impl Group ===

impl Group {
    /// Files to write `0` to; who does, with a single thread, is in the group.
    ///
    /// In version 1 a thread that moves itself needs no lock of the whole kernel (`tasks`), while
    /// moving a process waits milliseconds for all CPUs.
    pub(crate) fn entrances(&self) -> Vec<PathBuf> {
        let file = |version| match version {
            Version::V1 => "tasks",
            Version::V2 => "cgroup.procs",
        };
        self.dirs.iter().map(|dir| dir.path.join(file(dir.version))).collect()
    }

    /// Stops or starts the clocks of all members; false when the host cannot.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn freeze(&self, frozen: bool) -> io::Result<bool> {
        let Some(dir) = self.with(Controller::Freezer) else { return Ok(false) };
        let (file, word) = match (dir.version, frozen) {
            (Version::V1, true) => ("freezer.state", "FROZEN"),
            (Version::V1, false) => ("freezer.state", "THAWED"),
            (Version::V2, true) => ("cgroup.freeze", "1"),
            (Version::V2, false) => ("cgroup.freeze", "0"),
        };
        fs::write(dir.path.join(file), word).map(|()| true)
    }

    /// Whether somebody froze it.
    pub(crate) fn frozen(&self) -> bool {
        let Some(dir) = self.with(Controller::Freezer) else { return false };
        match dir.version {
            Version::V1 => read(&dir.path.join("freezer.state")).trim() != "THAWED",
            Version::V2 => read(&dir.path.join("cgroup.freeze")).trim() == "1",
        }
    }

    /// `None` on a host without groups.
    pub(crate) fn members(&self) -> Option<Vec<i32>> {
        let dir = self.dirs.first()?;
        Some(read(&dir.path.join("cgroup.procs")).lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// SIGKILL to every member once, frozen ones included; true when there was none.
    pub(crate) fn kill(&self) -> bool {
        let pids = self.members().unwrap_or_default();
        for pid in &pids {
            // Gone already: that is what is wanted.
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        if !pids.is_empty() {
            // In version 1 a frozen process dies when it is thawed.
            let _ = self.freeze(false);
        }
        pids.is_empty()
    }

    /// How often the kernel killed a member for want of memory.
    pub(crate) fn oom_kills(&self) -> u64 {
        let Some(dir) = self.with(Controller::Memory) else { return 0 };
        let file = match dir.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        field(&read(&dir.path.join(file)), "oom_kill")
    }

    /// `None` where groups count nothing.
    pub(crate) fn charge(&self) -> Option<Charge> {
        let (cpu, memory) = (self.with(Controller::Cpuacct)?, self.with(Controller::Memory)?);
        let time = match cpu.version {
            Version::V1 => Duration::from_nanos(number(&cpu.path.join("cpuacct.usage"))),
            Version::V2 => Duration::from_micros(field(&read(&cpu.path.join("cpu.stat")), "usage_usec")),
        };
        let (now, idle) = match memory.version {
            Version::V1 => ("memory.usage_in_bytes", "total_inactive_file"),
            Version::V2 => ("memory.current", "inactive_file"),
        };
        let idle = field(&read(&memory.path.join("memory.stat")), idle);
        Some(Charge { cpu: time, memory: number(&memory.path.join(now)).saturating_sub(idle) })
    }

    /// Removes the directories; its members must be gone.
    ///
    /// # Errors
    /// When one is still in use.
    pub(crate) fn remove(&self) -> io::Result<()> {
        for dir in &self.dirs {
            match fs::remove_dir(&dir.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn with(&self, controller: Controller) -> Option<&Dir> {
        self.dirs.iter().find(|dir| dir.controllers.contains(&controller))
    }

    fn limit(
        &self,
        controller: Controller,
        amount: u64,
        set: impl Fn(&Dir, u64) -> io::Result<()>,
    ) -> Option<String> {
        if amount == 0 {
            return None;
        }
        let why = match self.with(controller) {
            None => "this node's control groups do not offer it to the agent".to_owned(),
            Some(dir) => set(dir, amount).err()?.to_string(),
        };
        let what = match controller {
            Controller::Memory => "memory",
            Controller::Pids => "number of processes",
            _ => "CPU",
        };
        Some(format!("the limit of {what} is not enforced: {why}"))
    }
}

// === impl Dir ===

impl Dir {
    fn limit_cpu(&self, millis: u64) -> io::Result<()> {
        let quota = (millis * PERIOD / 1000).max(1000);
        match self.version {
            Version::V1 => {
                self.set("cpu.cfs_period_us", &PERIOD.to_string())?;
                self.set("cpu.cfs_quota_us", &quota.to_string())
            }
            Version::V2 => self.set("cpu.max", &format!("{quota} {PERIOD}")),
        }
    }

    fn limit_memory(&self, bytes: u64) -> io::Result<()> {
        let text = bytes.to_string();
        match self.version {
            Version::V1 => {
                self.set("memory.limit_in_bytes", &text)?;
                // Kernels without accounting of swap have no such file.
                let _ = self.set("memory.memsw.limit_in_bytes", &text);
            }
            Version::V2 => {
                self.set("memory.max", &text)?;
                let _ = self.set("memory.swap.max", "0");
                let _ = self.set("memory.oom.group", "1");
            }
        }
        Ok(())
    }

    fn limit_pids(&self, most: u64) -> io::Result<()> {
        self.set("pids.max", &most.to_string())
    }

    fn set(&self, file: &str, text: &str) -> io::Result<()> {
        fs::write(self.path.join(file), text)
    }
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

fn number(file: &Path) -> u64 {
    read(file).trim().parse().unwrap_or(0)
}

/// The number behind `key` in lines of `key number`.
fn field(text: &str, key: &str) -> u64 {
    let value = |line: &str| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok();
    text.lines().find_map(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn fake(base: &Path, version: Version, controllers: &[Controller]) -> Cgroups {
        let controllers: BTreeSet<_> = controllers.iter().copied().collect();
        Cgroups {
            hierarchies: vec![Hierarchy { base: base.into(), version, controllers }],
            ..Cgroups::none()
        }
    }

    const LIMITS: Limits = Limits { cpu_millis: 250, memory: 32 << 20, pids: 7 };

    #[test]
    fn version_2_limits() {
        let root = tempfile::tempdir().unwrap();
        let all = [Controller::Cpu, Controller::Cpuacct, Controller::Memory, Controller::Pids];
        let (_, notes) = fake(root.path(), Version::V2, &all).create("i", LIMITS).unwrap();
        assert!(notes.is_empty(), "{notes:?}");
        let said = |file| read(&root.path().join("i").join(file));
        assert_eq!(said("cpu.max"), "25000 100000");
        assert_eq!((said("memory.max"), said("memory.swap.max")), ("33554432".into(), "0".into()));
        assert_eq!(said("pids.max"), "7");
    }

    #[test]
    fn what_is_missing_is_said() {
        let root = tempfile::tempdir().unwrap();
        let (_, notes) = fake(root.path(), Version::V1, &[Controller::Cpu]).create("i", LIMITS).unwrap();
        assert_eq!(notes.len(), 2);
        assert!(notes[0].starts_with("the limit of memory is not enforced: "), "{notes:?}");
    }

    #[test]
    fn usage_is_read_without_droppable_cache() {
        let root = tempfile::tempdir().unwrap();
        let cgroups = fake(root.path(), Version::V2, &[Controller::Cpuacct, Controller::Memory]);
        let (group, _) = cgroups.create("i", Limits::default()).unwrap();
        let dir = root.path().join("i");
        fs::write(dir.join("cpu.stat"), "usage_usec 1500\nuser_usec 1\n").unwrap();
        fs::write(dir.join("memory.current"), "1000\n").unwrap();
        fs::write(dir.join("memory.stat"), "anon 5\ninactive_file 400\n").unwrap();
        fs::write(dir.join("memory.events"), "oom 3\noom_kill 2\noom_group_kill 0\n").unwrap();
        assert_eq!(group.charge(), Some(Charge { cpu: Duration::from_micros(1500), memory: 600 }));
        assert_eq!(group.oom_kills(), 2);
    }
}
