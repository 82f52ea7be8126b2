//! This process, as all programs tell of themselves to Prometheus: names and units by its conventions.

use std::fs;

use crate::Family;

/// What the kernel tells; what it does not is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    cpu_seconds: Option<f64>,
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    open_fds: Option<u64>,
    max_fds: Option<u64>,
    threads: Option<u64>,
    /// In seconds since 1970.
    started: Option<f64>,
}

/// Clock ticks per second in what the kernel tells programs: the same on all architectures that Rust's Linux targets
/// have, whatever its own clock does.
const TICKS: f64 = 100.0;

impl Process {
    /// As it is now.
    #[must_use]
    pub fn look() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let open = fs::read_dir("/proc/self/fd").map(Iterator::count).ok();
        // The directory that is read is one of them.
        let open_fds = open.and_then(|open| u64::try_from(open.saturating_sub(1)).ok());
        let (status, limits) = (text("/proc/self/status"), text("/proc/self/limits"));
        Self { open_fds, ..Self::read(&text("/proc/self/stat"), &status, &limits, &text("/proc/stat")) }
    }

    fn read(stat: &str, status: &str, limits: &str, system: &str) -> Self {
        // The name, in brackets, may have anything in it. What follows begins with the third field.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        let (user, kernel, since_boot) = (ticks(14), ticks(15), ticks(22));
        let booted = number_after(system, "btime ").map(|seconds| seconds as f64);
        Self {
            cpu_seconds: user.zip(kernel).map(|(user, kernel)| (user + kernel) / TICKS),
            resident_bytes: number_after(status, "VmRSS:").map(|kib| kib * 1024),
            virtual_bytes: number_after(status, "VmSize:").map(|kib| kib * 1024),
            open_fds: None,
            max_fds: number_after(limits, "Max open files"),
            threads: number_after(status, "Threads:"),
            started: booted.zip(since_boot).map(|(booted, ticks)| booted + ticks / TICKS),
        }
    }

    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        let whole = |number: Option<u64>| number.map(|number| number as f64);
        let cpu = Family::counter("process_cpu_seconds_total", "User and system CPU time spent.");
        let all = [
            (cpu, self.cpu_seconds),
            (
                Family::gauge("process_resident_memory_bytes", "Resident memory size."),
                whole(self.resident_bytes),
            ),
            (
                Family::gauge("process_virtual_memory_bytes", "Virtual memory size."),
                whole(self.virtual_bytes),
            ),
            (Family::gauge("process_open_fds", "File descriptors that are open."), whole(self.open_fds)),
            (Family::gauge("process_max_fds", "File descriptors that may be open."), whole(self.max_fds)),
            (Family::gauge("process_threads", "Threads of the operating system."), whole(self.threads)),
            (
                Family::gauge("process_start_time_seconds", "When it was started, in seconds since 1970."),
                self.started,
            ),
        ];
        all.into_iter().filter_map(|(family, number)| Some(family.with(&[], number?))).collect()
    }
}

/// The first number behind `key`, at the beginning of a line.
fn number_after(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text;

    #[test]
    fn what_the_kernel_says_is_told_in_the_words_of_prometheus() {
        let stat = "7 (ho) lm (x) S 1 7 7 0 -1 4194560 99 0 0 0 150 50 0 0 20 0 3 0 12345 1000000 300";
        let status = "Name:\tholm\nVmSize:\t    9000 kB\nVmRSS:\t    2048 kB\nThreads:\t3\n";
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024  524288  files\n";
        let process = Process::read(stat, status, limits, "cpu 1 2\nbtime 1700000000\n");
        let text = text(&process.families());
        for line in [
            "process_cpu_seconds_total 2",
            "process_resident_memory_bytes 2097152",
            "process_virtual_memory_bytes 9216000",
            "process_max_fds 1024",
            "process_threads 3",
            "process_start_time_seconds 1700000123.45",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("process_open_fds"), "{text}");
        assert_eq!(Process::read("", "", "unlimited", "").families(), []);
    }

    #[test]
    fn this_process_is_there() {
        let families = Process::look().families();
        assert_eq!(families.len(), 7, "{families:?}");
    }
}
