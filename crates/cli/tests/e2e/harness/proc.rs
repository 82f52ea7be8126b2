//! Processes of this machine, as `/proc` shows them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid};

/// The program of an instance, known by what its node told it in its environment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Program {
    pub(crate) application: String,
    /// As in `web/2`.
    pub(crate) slot: String,
    pub(crate) node: String,
    pub(crate) instance: String,
    pub(crate) pid: i32,
}

// === impl Program ===

impl Program {
    pub(crate) fn lives(&self) -> bool {
        program(self.pid).as_ref() == Some(self)
    }

    /// To the whole group: what the program started ends with it.
    pub(crate) fn signal(&self, signal: Signal) {
        // It may have ended just now.
        let _ = kill(Pid::from_raw(-self.pid), signal);
    }

    pub(crate) fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }
}

/// All programs of instances that have their working directory below `dir`.
pub(crate) fn programs(dir: &Path) -> Vec<Program> {
    let mut programs: Vec<_> = pids().filter(|pid| works_in(*pid, dir)).filter_map(program).collect();
    programs.sort();
    programs
}

/// Processes whose program, working directory or arguments lie below `dir`; not this one.
pub(crate) fn touching(dir: &Path) -> Vec<i32> {
    let own = i32::try_from(std::process::id()).expect("a pid");
    let named = |pid: i32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&words).contains(&*dir.to_string_lossy())
    };
    let runs = |pid: i32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.starts_with(dir));
    pids().filter(|pid| *pid != own && (works_in(*pid, dir) || runs(*pid) || named(*pid))).collect()
}

/// Proportional set size in KiB: what the process itself costs.
pub(crate) fn pss(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the process lives");
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).expect("a line for it");
    line.split_whitespace().next().expect("a number").parse().expect("a number")
}

/// The most memory that it ever held, in KiB.
pub(crate) fn peak(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line for it");
    line.split_whitespace().next().expect("a number").parse().expect("a number")
}

/// Processes of this machine with `word` in their command line; not this one.
pub(crate) fn saying(word: &str) -> Vec<i32> {
    let own = i32::try_from(std::process::id()).expect("a pid");
    let says = |pid: &i32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        *pid != own && String::from_utf8_lossy(&words).contains(word)
    };
    pids().filter(says).collect()
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").expect("/proc is there").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn works_in(pid: i32, dir: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(dir))
}

/// None when it leads no group, is no instance's, or is only what is left of one.
fn program(pid: i32) -> Option<Program> {
    if getpgid(Some(Pid::from_raw(pid))).ok()?.as_raw() != pid {
        return None;
    }
    let bytes = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let told: BTreeMap<_, _> = text.split('\0').filter_map(|entry| entry.split_once('=')).collect();
    let word = |key: &str| told.get(key).map(|value| (*value).to_owned());
    Some(Program {
        application: word("HOLM_APPLICATION")?,
        slot: word("HOLM_SLOT")?,
        node: word("HOLM_NODE")?,
        instance: word("HOLM_INSTANCE")?,
        pid,
    })
}
