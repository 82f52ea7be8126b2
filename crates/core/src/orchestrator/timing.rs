//! What a run keeps of work that ends: when each `cron` is due next, and for how long jobs have been at it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holm_model::id::WishId;
use holm_model::job::Cron;
use holm_model::slot::ServiceKey;
use holm_model::time::{Now, Time};
use holm_model::wish::SpecBytes;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Timing {
    /// Wishes that have such work: the others are not looked at.
    pub(super) wishes: BTreeSet<WishId>,
    /// How many runs may still begin in this step.
    pub(super) room: usize,
    /// The wish with which the last step was full: the next goes on behind it.
    pub(super) full_at: Option<WishId>,
    next: BTreeMap<ServiceKey, Next>,
    clocks: BTreeMap<ServiceKey, Clock>,
}

/// When it is due next: finding it takes longer than comparing what it was found for.
#[derive(Debug)]
struct Next {
    spec: SpecBytes,
    after: Time,
    at: Option<Time>,
}

/// How long a job has been at work. In this run boot time tells, which no clock that is set can change.
#[derive(Clone, Copy, Debug)]
struct Clock {
    begun: Time,
    /// Until this run first saw it.
    before: Duration,
    seen: Duration,
}

// === impl Timing ===

impl Timing {
    /// The first time after `after` at which the `cron` is due.
    pub(super) fn next(
        &mut self,
        key: &ServiceKey,
        spec: &SpecBytes,
        cron: &Cron,
        after: Time,
    ) -> Option<Time> {
        if let Some(known) = self.next.get(key).filter(|known| known.after == after && known.spec == *spec) {
            return known.at;
        }
        let at = cron.schedule.next_after(&cron.zone, after);
        self.next.insert(key.clone(), Next { spec: spec.clone(), after, at });
        at
    }

    /// How long a job has been at work that was begun at this wall time.
    pub(super) fn elapsed(&mut self, key: &ServiceKey, begun: Time, now: Now) -> Duration {
        let first = Clock { begun, before: now.wall.since(begun), seen: now.boot };
        let clock = self.clocks.entry(key.clone()).or_insert(first);
        if clock.begun != begun {
            *clock = first;
        }
        clock.before + now.boot.saturating_sub(clock.seen)
    }

    /// Keeps what is about services that are there.
    pub(super) fn retain(&mut self, is_there: impl Fn(&ServiceKey) -> bool) {
        self.next.retain(|key, _| is_there(key));
        self.clocks.retain(|key, _| is_there(key));
    }
}

#[cfg(test)]
mod tests {
    use holm_model::id::{Epoch, Uid};
    use holm_model::name::Name;

    use super::*;

    #[test]
    fn a_clock_that_is_set_makes_no_job_late() {
        let wish = WishId(Uid { epoch: Epoch::new(1, 1), counter: 1 });
        let key = ServiceKey { wish, service: Name::new("import").unwrap() };
        let now = |boot, wall: i64| Now { boot: Duration::from_secs(boot), wall: Time(wall * 1000) };
        let mut timing = Timing::default();
        let mut elapsed = |begun: i64, now| timing.elapsed(&key, Time(begun * 1000), now).as_secs();
        assert_eq!(elapsed(1000, now(10, 1000)), 0);
        assert_eq!(elapsed(1000, now(15, 50_000)), 5, "it went forward");
        assert_eq!(elapsed(1000, now(20, 0)), 10, "it went back");
        assert_eq!(elapsed(30, now(21, 40)), 10, "begun anew, before it was seen");
    }
}
