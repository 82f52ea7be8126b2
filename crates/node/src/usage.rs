//! What the whole machine uses: CPU between two readings, memory at the last one.

use holm_model::member::Usage;

use crate::facts::meminfo;
use crate::facts::tree::Tree;

/// Reads `/proc/stat` and `/proc/meminfo`; remembers the last reading.
#[derive(Debug)]
pub(crate) struct Meter {
    tree: Tree,
    last: Option<Ticks>,
}

/// The line `cpu` of `/proc/stat`, in clock ticks since boot over all cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    busy: u64,
    all: u64,
    cores: u64,
}

// === impl Meter ===

impl Meter {
    pub(crate) const fn new(tree: Tree) -> Self {
        Self { tree, last: None }
    }

    /// Usage since the last call; the first call reports the CPU since boot.
    pub(crate) fn read(&mut self) -> Usage {
        let now = self.tree.read("/proc/stat").and_then(|text| Ticks::parse(&text));
        let before = std::mem::replace(&mut self.last, now);
        let memory = meminfo(&self.tree, "MemTotal").zip(meminfo(&self.tree, "MemAvailable"));
        Usage {
            cpu_millis: now.map_or(0, |now| now.millis_since(before)),
            memory: memory.map_or(0, |(total, available)| total.saturating_sub(available)),
        }
    }
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

    use super::*;

    #[test]
    fn cpu_is_measured_between_readings() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("proc")).unwrap();
        let stat = |user: u32, idle: u32| {
            let text = format!("cpu  {user} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1\ncpu1 1\nintr 5\n");
            fs::write(dir.path().join("proc/stat"), text).unwrap();
        };
        fs::write(dir.path().join("proc/meminfo"), "MemTotal: 8 kB\nMemAvailable: 2 kB\n").unwrap();
        let mut meter = Meter::new(Tree::new(dir.path()));
        stat(100, 100);
        assert_eq!(meter.read(), Usage { cpu_millis: 1000, memory: 6 << 10 });
        stat(150, 250);
        assert_eq!(meter.read().cpu_millis, 500);
        assert_eq!(meter.read().cpu_millis, 0);
    }

    #[test]
    fn nonsense_measures_nothing() {
        assert_eq!(Ticks::parse(""), None);
        assert_eq!(Ticks::parse("cpu x"), None);
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Meter::new(Tree::new(dir.path())).read(), Usage::default());
    }
}
