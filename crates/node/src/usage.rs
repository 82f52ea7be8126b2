//! What the whole machine uses: CPU between two readings, memory and disk now, bytes moved since boot.

use std::path::PathBuf;

use holm_runtime::{Moved, Reading};

use crate::facts::tree::Tree;
use crate::facts::{disk, meminfo};

/// Reads `/proc` and the size of a file system; remembers the last reading of the CPU.
#[derive(Debug)]
pub(crate) struct Meter {
    tree: Tree,
    /// Whose file system counts as the machine's disk.
    data_dir: PathBuf,
    last: Option<Ticks>,
}

/// One look at the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) reading: Reading,
    /// Bytes.
    pub(crate) disk_used: u64,
    /// Bytes; 0 where nobody can tell.
    pub(crate) disk_total: u64,
    pub(crate) disk_free: u64,
}

/// The line `cpu` of `/proc/stat`, in clock ticks since boot over all cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    busy: u64,
    all: u64,
    cores: u64,
}

/// Of `/proc/diskstats`, whatever the disk's own sectors are.
const SECTOR: u64 = 512;

// === impl Meter ===

impl Meter {
    pub(crate) const fn new(tree: Tree, data_dir: PathBuf) -> Self {
        Self { tree, data_dir, last: None }
    }

    /// Usage since the last call; the first call reports the CPU since boot.
    pub(crate) fn read(&mut self) -> Sample {
        let now = self.tree.read("/proc/stat").and_then(|text| Ticks::parse(&text));
        let before = std::mem::replace(&mut self.last, now);
        let memory = meminfo(&self.tree, "MemTotal").zip(meminfo(&self.tree, "MemAvailable"));
        let reading = Reading {
            cpu_millis: now.map_or(0, |now| now.millis_since(before)),
            memory: memory.map_or(0, |(total, available)| total.saturating_sub(available)),
            disk: disks(&self.tree),
            network: interfaces(&self.tree),
        };
        let size = disk(&self.data_dir);
        let (disk_total, disk_free) = (size.total.0, size.free.0);
        Sample { reading, disk_used: disk_total.saturating_sub(disk_free), disk_total, disk_free }
    }
}

/// Bytes of all disks. Partitions are parts of disks, and what lies over disks (loops, volumes) moves the
/// same bytes again.
fn disks(tree: &Tree) -> Option<Moved> {
    let stats = tree.read("/proc/diskstats")?;
    let whole = |name: &str| tree.exists(&format!("/sys/block/{name}/device"));
    let moved = stats.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // major minor name, reads merged sectors ms, writes merged sectors ms, …
        let (name, read, written) = (*fields.get(2)?, *fields.get(5)?, *fields.get(9)?);
        let bytes = |sectors: &str| Some(sectors.parse::<u64>().ok()?.saturating_mul(SECTOR));
        whole(name).then_some(Moved { incoming: bytes(read)?, outgoing: bytes(written)? })
    });
    some_sum(moved.collect())
}

/// Bytes of the interfaces that lead out of the machine: bridges and tunnels move the same bytes again. In a
/// container, where none is real, all but the loopback count.
fn interfaces(tree: &Tree) -> Option<Moved> {
    let stats = tree.read("/proc/net/dev")?;
    let all: Vec<(&str, Moved)> =
        stats.lines().filter_map(interface).filter(|(name, _)| *name != "lo").collect();
    let real = |name: &str| tree.exists(&format!("/sys/class/net/{name}/device"));
    let any_real = all.iter().any(|(name, _)| real(name));
    some_sum(all.into_iter().filter(|(name, _)| !any_real || real(name)).map(|(_, moved)| moved).collect())
}

/// `eth0: bytes packets errs drop fifo frame compressed multicast bytes …`
fn interface(line: &str) -> Option<(&str, Moved)> {
    let (name, numbers) = line.split_once(':')?;
    let numbers: Vec<u64> = numbers.split_whitespace().map_while(|number| number.parse().ok()).collect();
    Some((name.trim(), Moved { incoming: *numbers.first()?, outgoing: *numbers.get(8)? }))
}

fn some_sum(moved: Vec<Moved>) -> Option<Moved> {
    (!moved.is_empty()).then(|| moved.into_iter().sum())
}

// === impl Ticks ===

impl Ticks {
    fn parse(stat: &str) -> Option<Self> {
        let mut lines = stat.lines();
        let fields: Vec<u64> =
            lines.next()?.strip_prefix("cpu ")?.split_whitespace().map_while(|f| f.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; guest time is part of user's.
        let all: u64 = fields.iter().take(8).sum();
        let idle: u64 = fields.get(3..5)?.iter().sum();
        let cores = lines.filter(|line| line.starts_with("cpu")).count().max(1);
        Some(Self { busy: all - idle, all, cores: cores as u64 })
    }

    fn millis_since(self, before: Option<Self>) -> u64 {
        let (busy, all) = before.map_or((0, 0), |before| (before.busy, before.all));
        let (busy, all) = (self.busy.saturating_sub(busy), self.all.saturating_sub(all));
        busy.saturating_mul(1000 * self.cores).checked_div(all).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn meter(root: &Path) -> Meter {
        Meter::new(Tree::new(root), root.join("nowhere"))
    }

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn cpu_is_measured_between_readings() {
        let dir = tempfile::tempdir().unwrap();
        let stat = |user: u32, idle: u32| {
            let text = format!("cpu  {user} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1\ncpu1 1\nintr 5\n");
            write(dir.path(), "proc/stat", &text);
        };
        write(dir.path(), "proc/meminfo", "MemTotal: 8 kB\nMemAvailable: 2 kB\n");
        let mut meter = meter(dir.path());
        stat(100, 100);
        let reading = Reading { cpu_millis: 1000, memory: 6 << 10, disk: None, network: None };
        assert_eq!(meter.read(), Sample { reading, ..Sample::default() });
        stat(150, 250);
        assert_eq!(meter.read().reading.cpu_millis, 500);
        assert_eq!(meter.read().reading.cpu_millis, 0);
    }

    #[test]
    fn bytes_are_counted_once() {
        let dir = tempfile::tempdir().unwrap();
        let disks = "8 0 sda 1 0 10 0 1 0 20 0 0 0 0\n8 1 sda1 1 0 10 0 1 0 20 0 0 0 0\n\
                     7 0 loop0 1 0 10 0 1 0 20 0 0 0 0\n253 0 dm-0 1 0 10 0 1 0 20 0 0 0 0\nnonsense\n";
        write(dir.path(), "proc/diskstats", disks);
        write(dir.path(), "sys/block/sda/device/model", "x");
        let network = "Inter-| Receive | Transmit\n face |bytes packets|bytes\n\
                       lo: 9 0 0 0 0 0 0 0 9 0 0 0 0 0 0 0\n eth0: 100 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0\n\
                       docker0: 7 0 0 0 0 0 0 0 7 0 0 0 0 0 0 0\n";
        write(dir.path(), "proc/net/dev", network);
        let reading = || meter(dir.path()).read().reading;
        assert_eq!(reading().disk, Some(Moved { incoming: 5120, outgoing: 10240 }));
        assert_eq!(reading().network, Some(Moved { incoming: 107, outgoing: 207 }), "none is real");
        write(dir.path(), "sys/class/net/eth0/device/vendor", "x");
        assert_eq!(reading().network, Some(Moved { incoming: 100, outgoing: 200 }));
    }

    #[test]
    fn nonsense_measures_nothing() {
        assert_eq!(Ticks::parse(""), None);
        assert_eq!(Ticks::parse("cpu x"), None);
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(meter(dir.path()).read(), Sample::default());
    }

    #[test]
    fn this_machine_can_be_measured() {
        let sample = Meter::new(Tree::default(), "/".into()).read();
        assert!(sample.reading.memory > 0 && sample.disk_used > 0, "{sample:?}");
    }
}
