//! Finding by trying which hierarchies this agent may use.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Cgroups, Controller, Hierarchy, Version};

/// A mounted hierarchy, and in which of its groups the agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mounted {
    point: PathBuf,
    version: Version,
    /// Of version 1: `cpu`, `memory`, `name=systemd`, …
    names: Vec<String>,
    own: PathBuf,
}

const CONTROLLERS: [(Controller, &str, &str); 5] = [
    (Controller::Cpu, "cpu", "cpu.cfs_quota_us"),
    (Controller::Cpuacct, "cpuacct", "cpuacct.usage"),
    (Controller::Memory, "memory", "memory.limit_in_bytes"),
    (Controller::Pids, "pids", "pids.max"),
    (Controller::Freezer, "freezer", "freezer.state"),
];

impl Cgroups {
    /// Finds what can be used. `label` names this agent's directory and must be its own on this host.
    #[must_use]
    pub fn detect(label: &str) -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mut found = Self::default();
        for mounted in parse(&mounts, &own) {
            found.add(&mounted, label);
        }
        found.drop_superfluous();
        found
    }

    /// Beside version 1, version 2 often is mounted for nothing but following processes.
    fn drop_superfluous(&mut self) {
        let limits = [Controller::Cpu, Controller::Memory, Controller::Pids];
        let frozen = |h: &Hierarchy| h.version == Version::V1 && h.controllers.contains(&Controller::Freezer);
        if self.hierarchies.iter().any(frozen) {
            let useful = |h: &Hierarchy| limits.iter().any(|limit| h.controllers.contains(limit));
            self.hierarchies.retain(|h| h.version == Version::V1 || useful(h));
        }
    }

    fn add(&mut self, mounted: &Mounted, label: &str) {
        // What a service manager follows processes by: its own hierarchy, or the one of version 2.
        let followed = mounted.version == Version::V2 || mounted.names.iter().any(|n| n == "name=systemd");
        let wanted = |name: &String| CONTROLLERS.iter().any(|(_, wanted, _)| name == wanted);
        if !followed && !mounted.names.iter().any(wanted) {
            return;
        }
        let top = mounted.point.join("holm");
        let nested = mounted.own.join("holm");
        let Some(base) = [top, nested].into_iter().map(|dir| dir.join(label)).find(|dir| usable(dir)) else {
            return;
        };
        self.bases.push(base.clone());
        if followed && mounted.own != mounted.point {
            let refuge = base.join("supervisors");
            if usable(&refuge) {
                self.refuges.push(refuge);
            }
        }
        let controllers = match mounted.version {
            Version::V1 => v1_controllers(&base, &mounted.names),
            Version::V2 => v2_controllers(&mounted.point, &base),
        };
        if !controllers.is_empty() {
            self.hierarchies.push(Hierarchy { base, version: mounted.version, controllers });
        }
    }
}

fn usable(dir: &Path) -> bool {
    fs::create_dir_all(dir).is_ok()
        && fs::metadata(dir.join("cgroup.procs"))
            .is_ok_and(|_| fs::OpenOptions::new().write(true).open(dir.join("cgroup.procs")).is_ok())
}

fn v1_controllers(base: &Path, names: &[String]) -> BTreeSet<Controller> {
    let usable = |(controller, name, file): &(Controller, &str, &str)| {
        let there = names.iter().any(|n| n == name) && base.join(file).exists();
        there.then_some(*controller)
    };
    CONTROLLERS.iter().filter_map(usable).collect()
}

/// Hands the controllers down from the mount to the children of `base`.
fn v2_controllers(point: &Path, base: &Path) -> BTreeSet<Controller> {
    let mut levels: Vec<&Path> = base.ancestors().take_while(|dir| dir.starts_with(point)).collect();
    levels.reverse();
    let mut found = BTreeSet::new();
    for (controller, name, _) in CONTROLLERS {
        let passed = || levels.iter().all(|dir| hand_down(dir, name).is_ok());
        match controller {
            Controller::Cpuacct => {}
            // Not a controller in version 2 but a file of every group.
            Controller::Freezer if base.join("cgroup.freeze").exists() => _ = found.insert(controller),
            Controller::Cpu | Controller::Memory | Controller::Pids if passed() => {
                found.insert(controller);
            }
            _ => {}
        }
    }
    if !found.is_empty() {
        found.insert(Controller::Cpuacct);
    }
    found
}

fn hand_down(dir: &Path, controller: &str) -> io::Result<()> {
    let file = dir.join("cgroup.subtree_control");
    let there = fs::read_to_string(&file)?;
    if there.split_whitespace().any(|word| word == controller) {
        return Ok(());
    }
    fs::write(file, format!("+{controller}"))
}

/// From the texts of `/proc/self/mountinfo` and `/proc/self/cgroup`.
fn parse(mounts: &str, own: &str) -> Vec<Mounted> {
    let mut found: Vec<Mounted> = mounts.lines().filter_map(|line| parse_mount(line, own)).collect();
    // A hierarchy that is mounted twice counts once.
    found.sort_by(|a, b| (&a.names, &a.point).cmp(&(&b.names, &b.point)));
    found.dedup_by(|a, b| a.version == b.version && a.names == b.names);
    found
}

fn parse_mount(line: &str, own: &str) -> Option<Mounted> {
    let (left, right) = line.split_once(" - ")?;
    let point = PathBuf::from(left.split(' ').nth(4)?);
    let (kind, rest) = right.split_once(' ')?;
    let version = match kind {
        "cgroup" => Version::V1,
        "cgroup2" => Version::V2,
        _ => return None,
    };
    let options = rest.split_once(' ')?.1.split(',');
    let names: Vec<String> = match version {
        Version::V1 => options.filter(|o| !matches!(*o, "rw" | "ro" | "xattr")).map(str::to_owned).collect(),
        Version::V2 => Vec::new(),
    };
    let path = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (mine, path) = (parts.next()?, parts.next()?);
        let same = match version {
            Version::V1 => mine.split(',').any(|name| names.iter().any(|n| n == name)),
            Version::V2 => mine.is_empty(),
        };
        same.then_some(path)
    });
    let own = point.join(path.unwrap_or("/").trim_start_matches('/'));
    let own = if own.is_dir() { own } else { point.clone() };
    Some(Mounted { point, version, names, own })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_found() {
        let mounts = "\
25 24 0:22 / /sys/fs/cgroup/cpu rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct
26 24 0:23 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
27 24 0:24 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
28 24 0:25 / /proc rw - proc proc rw";
        let found = parse(mounts, "2:cpu,cpuacct:/\n1:name=systemd:/\n0::/");
        let seen: Vec<_> = found.iter().map(|m| (m.version, m.names.join(","))).collect();
        assert_eq!(
            seen,
            [
                (Version::V2, String::new()),
                (Version::V1, "cpu,cpuacct".into()),
                (Version::V1, "name=systemd".into()),
            ]
        );
    }

    #[test]
    fn version_2_hands_controllers_down() {
        let root = tempfile::tempdir().unwrap();
        let base = root.path().join("holm/n1");
        fs::create_dir_all(&base).unwrap();
        for dir in [root.path(), &root.path().join("holm"), &base] {
            fs::write(dir.join("cgroup.subtree_control"), "memory pids").unwrap();
        }
        let found = v2_controllers(root.path(), &base);
        assert_eq!(
            found,
            BTreeSet::from([Controller::Cpu, Controller::Cpuacct, Controller::Memory, Controller::Pids])
        );
    }

    #[test]
    fn without_permission_nothing_is_claimed() {
        let nowhere = Mounted {
            point: "/proc/no-such-place".into(),
            version: Version::V2,
            names: Vec::new(),
            own: "/proc/no-such-place".into(),
        };
        let mut found = Cgroups::none();
        found.add(&nowhere, "n1");
        assert!(found.enforces().is_empty());
    }
}
