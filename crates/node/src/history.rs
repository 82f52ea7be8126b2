//! What the machine and its instances used in the last hour, in memory only.
//!
//! Each series is a ring of stretches; a stretch holds the means over what was measured in it. Stretches are
//! counted in boot time, which never jumps, and shown in wall time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holm_model::id::AssignmentId;
use holm_model::time::{Now, Time};
use holm_model::usage::{Flow, STEP, STRETCHES, UsageHistory, UsagePoint};
use holm_runtime::{Moved, Reading};

use crate::usage::Sample;

/// Shared; clones are the same history.
#[derive(Clone, Debug, Default)]
pub(crate) struct History(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    node: Series,
    instances: BTreeMap<AssignmentId, Series>,
}

#[derive(Debug, Default)]
struct Series {
    /// For the bytes between two readings.
    last: Option<(Duration, Reading)>,
    stretches: VecDeque<Stretch>,
}

/// `at / STEP` is the same for all that is in it.
#[derive(Debug, Default)]
struct Stretch {
    /// Of the last measurement, in boot time.
    at: Duration,
    cpu: Mean,
    memory: Mean,
    disk: MeanFlow,
    network: MeanFlow,
    disk_used: Mean,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: u64,
    count: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct MeanFlow {
    incoming: Mean,
    outgoing: Mean,
}

// === impl History ===

impl History {
    pub(crate) fn add_node(&self, now: Duration, sample: Sample) {
        self.kept().node.add(now, sample.reading, Some(sample.disk_used));
    }

    pub(crate) fn add_instance(&self, now: Duration, id: AssignmentId, reading: Reading) {
        self.kept().instances.entry(id).or_default().add(now, reading, None);
    }

    /// Forgets instances that are not among `known`.
    pub(crate) fn keep_only(&self, known: &BTreeSet<AssignmentId>) {
        self.kept().instances.retain(|id, _| known.contains(id));
    }

    pub(crate) fn of_node(&self, now: Now) -> UsageHistory {
        self.kept().node.show(now)
    }

    /// Empty when nothing was measured yet.
    pub(crate) fn of_instance(&self, now: Now, id: AssignmentId) -> UsageHistory {
        self.kept().instances.get(&id).map_or_else(|| show([].iter(), now), |series| series.show(now))
    }

    /// Nothing is changed in two steps: a panic elsewhere leaves it whole.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Series ===

impl Series {
    fn add(&mut self, now: Duration, reading: Reading, disk_used: Option<u64>) {
        let last = self.last.replace((now, reading));
        let since = |moved: fn(&Reading) -> Option<Moved>| {
            let (at, last) = last.as_ref()?;
            flow(moved(last)?, moved(&reading)?, now.checked_sub(*at)?)
        };
        let (disk, network) = (since(|reading| reading.disk), since(|reading| reading.network));
        if self.stretches.back().is_none_or(|stretch| number(stretch.at) != number(now)) {
            self.stretches.push_back(Stretch::default());
        }
        if let Some(stretch) = self.stretches.back_mut() {
            stretch.at = now;
            stretch.cpu.add(reading.cpu_millis);
            stretch.memory.add(reading.memory);
            stretch.disk.add(disk);
            stretch.network.add(network);
            disk_used.into_iter().for_each(|bytes| stretch.disk_used.add(bytes));
        }
        while self.stretches.front().is_some_and(|stretch| is_old(stretch, now)) {
            self.stretches.pop_front();
        }
    }

    fn show(&self, now: Now) -> UsageHistory {
        show(self.stretches.iter(), now)
    }
}

fn show<'a>(stretches: impl Iterator<Item = &'a Stretch>, now: Now) -> UsageHistory {
    let recent = stretches.filter(|stretch| !is_old(stretch, now.boot));
    UsageHistory { step_seconds: STEP.as_secs(), points: recent.map(|stretch| stretch.show(now)).collect() }
}

fn number(at: Duration) -> u64 {
    at.as_secs() / STEP.as_secs()
}

/// At most [`STRETCHES`] are not old.
fn is_old(stretch: &Stretch, now: Duration) -> bool {
    number(stretch.at) + STRETCHES as u64 <= number(now)
}

/// None when it was counted anew in between.
fn flow(before: Moved, now: Moved, time: Duration) -> Option<Flow> {
    let rate = |before: u64, now: u64| {
        let bytes = u128::from(now.checked_sub(before)?);
        u64::try_from((bytes * 1000).checked_div(time.as_millis())?).ok()
    };
    Some(Flow {
        incoming: rate(before.incoming, now.incoming)?,
        outgoing: rate(before.outgoing, now.outgoing)?,
    })
}

// === impl Stretch ===

impl Stretch {
    fn show(&self, now: Now) -> UsagePoint {
        let age = i64::try_from(now.boot.saturating_sub(self.at).as_millis()).unwrap_or(i64::MAX);
        UsagePoint {
            at: Time(now.wall.0.saturating_sub(age)),
            cpu_millis: self.cpu.get().unwrap_or(0),
            memory: self.memory.get().unwrap_or(0),
            disk: self.disk.get(),
            network: self.network.get(),
            disk_used: self.disk_used.get(),
        }
    }
}

// === impl Mean ===

impl Mean {
    fn add(&mut self, value: u64) {
        self.sum = self.sum.saturating_add(value);
        self.count += 1;
    }

    fn get(self) -> Option<u64> {
        self.sum.checked_div(self.count)
    }
}

// === impl MeanFlow ===

impl MeanFlow {
    fn add(&mut self, flow: Option<Flow>) {
        if let Some(flow) = flow {
            self.incoming.add(flow.incoming);
            self.outgoing.add(flow.outgoing);
        }
    }

    fn get(self) -> Option<Flow> {
        Some(Flow { incoming: self.incoming.get()?, outgoing: self.outgoing.get()? })
    }
}

#[cfg(test)]
mod tests {
    use holm_model::id::Uid;

    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn reading(cpu_millis: u64, sent: u64) -> Reading {
        let network = Some(Moved { incoming: 0, outgoing: sent });
        Reading { cpu_millis, memory: 1000, disk: None, network }
    }

    fn now(seconds: u64) -> Now {
        Now { boot: at(seconds), wall: Time(1_000_000_000) }
    }

    #[test]
    fn stretches_hold_means() {
        let history = History::default();
        for (second, cpu, sent) in [(30, 100, 0), (35, 300, 5000), (44, 200, 5000), (45, 50, 6000)] {
            history.add_node(
                at(second),
                Sample { reading: reading(cpu, sent), disk_used: 7, ..Sample::default() },
            );
        }
        let shown = history.of_node(now(46));
        let cpu: Vec<_> = shown.points.iter().map(|point| point.cpu_millis).collect();
        assert_eq!((shown.step_seconds, cpu), (15, vec![200, 50]));
        let sent: Vec<_> = shown.points.iter().map(|point| point.network.unwrap().outgoing).collect();
        assert_eq!(sent, [500, 1000], "bytes per second");
        assert_eq!(shown.points[1].at, Time(1_000_000_000 - 1000));
        assert_eq!((shown.points[0].disk, shown.points[0].disk_used), (None, Some(7)));
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let history = History::default();
        for second in 0..3 * 3600 {
            history.add_node(at(second), Sample::default());
        }
        assert_eq!(history.of_node(now(3 * 3600 - 1)).points.len(), STRETCHES);
        assert_eq!(history.kept().node.stretches.len(), STRETCHES);
        assert_eq!(history.of_node(now(3 * 3600 + 1799)).points.len(), STRETCHES / 2, "nothing new came");
        assert_eq!(history.of_node(now(5 * 3600)).points, []);
    }

    #[test]
    fn counters_that_begin_anew_give_no_flow() {
        let history = History::default();
        let id = AssignmentId(Uid { epoch: holm_model::id::Epoch::new(1, 1), counter: 9 });
        for (second, sent) in [(1, 9000), (2, 10)] {
            history.add_instance(at(second), id, reading(1, sent));
        }
        assert_eq!(history.of_instance(now(3), id).points[0].network, None);
        history.add_instance(at(3), id, reading(1, 20));
        assert_eq!(history.of_instance(now(3), id).points[0].network.unwrap().outgoing, 10);
        history.keep_only(&BTreeSet::new());
        assert_eq!(history.of_instance(now(3), id), UsageHistory { step_seconds: 15, points: Vec::new() });
    }
}
