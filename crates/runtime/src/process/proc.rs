//! What `/proc` says of processes.

use std::collections::BTreeMap;
use std::time::Duration;

use procfs::Current as _;
use procfs::process::{Process, Stat, all_processes};

use super::cgroup::Charge;
use crate::reading::Moved;

fn stat(pid: i32) -> Option<Stat> {
    Process::new(pid).ok()?.stat().ok()
}

/// When the process started, in ticks since boot.
pub(crate) fn start(pid: i32) -> Option<u64> {
    Some(stat(pid)?.starttime)
}

/// Whether a signal stopped it.
pub(crate) fn stopped(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| stat.state == 'T')
}

/// How long a process that started at `start` has been there.
pub(crate) fn age(start: u64) -> Duration {
    let up = procfs::Uptime::current().map_or(0.0, |up| up.uptime);
    Duration::try_from_secs_f64(up - seconds(start)).unwrap_or_default()
}

/// The sum over all below `pid`, for hosts without control groups; ended ones are not counted.
pub(crate) fn charge_below(pid: i32) -> Charge {
    let charge = |stat: Stat| Charge {
        cpu: Duration::try_from_secs_f64(seconds(stat.utime + stat.stime)).unwrap_or_default(),
        memory: stat.rss * procfs::page_size(),
    };
    below(pid).into_iter().map(charge).fold(Charge::default(), |sum, one| Charge {
        cpu: sum.cpu + one.cpu,
        memory: sum.memory + one.memory,
    })
}

/// The processes below `pid`, for hosts without control groups.
pub(crate) fn pids_below(pid: i32) -> Vec<i32> {
    below(pid).into_iter().map(|stat| stat.pid).collect()
}

fn below(pid: i32) -> Vec<Stat> {
    let mut children: BTreeMap<i32, Vec<Stat>> = BTreeMap::new();
    for stat in all_processes().into_iter().flatten().filter_map(|process| process.ok()?.stat().ok()) {
        children.entry(stat.ppid).or_default().push(stat);
    }
    let (mut found, mut next) = (Vec::new(), vec![pid]);
    while let Some(parent) = next.pop() {
        let children = children.remove(&parent).unwrap_or_default();
        next.extend(children.iter().map(|stat| stat.pid));
        found.extend(children);
    }
    found
}

/// Bytes that these processes moved from and to disks, with those of children that they waited for; none
/// where the kernel does not tell.
pub(crate) fn moved(pids: impl Iterator<Item = i32>) -> Option<Moved> {
    let told: Vec<Moved> = pids
        .filter_map(|pid| {
            let io = Process::new(pid).ok()?.io().ok()?;
            Some(Moved { incoming: io.read_bytes, outgoing: io.write_bytes })
        })
        .collect();
    (!told.is_empty()).then(|| told.into_iter().sum())
}

/// The processes of the session that `leader` made, itself included.
pub(crate) fn session(leader: i32) -> Vec<i32> {
    let stats = all_processes().into_iter().flatten().filter_map(|process| process.ok()?.stat().ok());
    stats.filter(|stat| stat.session == leader).map(|stat| stat.pid).collect()
}

#[expect(clippy::cast_precision_loss, reason = "2^52 ticks are more than a million years")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / procfs::ticks_per_second() as f64
}
