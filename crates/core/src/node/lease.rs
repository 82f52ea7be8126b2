//! Leases of exclusive instances: asked for with our own boot time, good until that time plus what was granted.
//!
//! Each is also with the supervisor of its instance, which ends that in time whatever becomes of us, and tells of it after
//! a restart of the agent. What starts needs one that is fresh.

use std::collections::BTreeMap;
use std::time::Duration;

use holm_model::healing::LEASE_WARNING;
use holm_model::id::AssignmentId;
use holm_model::message::{LeaseGrant, LeaseRequest, Up};
use holm_model::time::Now;

use super::event::NodeEffect;
use super::machine::NodeMachine;

/// Whether an instance may start by its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lease {
    NotNeeded,
    Valid,
    Missing,
}

/// What is known of leases; in memory only.
#[derive(Debug, Default)]
pub(super) struct Leases {
    /// Boot time until which an exclusive instance may run.
    until: BTreeMap<AssignmentId, Duration>,
    /// Boot time of the last request.
    asked: Option<Duration>,
    /// The shortest of the last answer.
    shortest: Option<Duration>,
    /// Boot time at which the link was opened: answers count from our own time, so that what was asked before this, maybe
    /// before the machine was started anew, is not answered on it.
    linked: Duration,
}

/// Between two requests for what was not granted, and between two renewals at least.
const AGAIN: Duration = Duration::from_secs(1);
/// A lease is renewed so often before its end.
const RENEWALS: u32 = 6;

// === impl Leases ===

impl Leases {
    /// When to ask next; `wants`: something waits.
    fn next(&self, wants: bool) -> Duration {
        let Some(asked) = self.asked else { return Duration::ZERO };
        let every = self.shortest.filter(|_| !wants).map_or(AGAIN, |shortest| shortest / RENEWALS);
        asked + every.max(AGAIN)
    }

    pub(super) fn get(&self, id: AssignmentId) -> Option<Duration> {
        self.until.get(&id).copied()
    }

    /// A new link: whoever is there now is asked at once.
    pub(super) const fn link_up(&mut self, now: Now) {
        self.asked = None;
        self.linked = now.boot;
    }

    /// Its supervisor ends the instance then.
    pub(super) fn found(&mut self, id: AssignmentId, until: Duration) {
        let known = self.until.entry(id).or_default();
        *known = (*known).max(until);
    }

    fn goes_on(&self, id: AssignmentId, now: Now) -> bool {
        self.get(id).is_some_and(|until| until > now.boot)
    }
}

impl NodeMachine {
    pub(super) fn lease(&self, id: AssignmentId, now: Now) -> Lease {
        if !self.is_exclusive(id) {
            Lease::NotNeeded
        } else if self.leases.get(id).is_some_and(|until| until > now.boot + LEASE_WARNING) {
            Lease::Valid
        } else {
            Lease::Missing
        }
    }

    fn is_exclusive(&self, id: AssignmentId) -> bool {
        self.spec(id).is_some_and(|spec| spec.healing.exclusive)
    }

    /// Asks for all that needs a lease, if it is time to.
    pub(super) fn ask_for_leases(&mut self, now: Now) {
        if !self.linked || !self.held.is_current() {
            return;
        }
        let exclusive = self.wanted.keys().copied().filter(|id| self.is_exclusive(*id));
        let (held, wanted): (Vec<_>, Vec<_>) = exclusive.partition(|id| self.leases.goes_on(*id, now));
        let nothing = held.is_empty() && wanted.is_empty();
        if nothing || now.boot < self.leases.next(!wanted.is_empty()) {
            return;
        }
        self.leases.asked = Some(now.boot);
        let sent = u64::try_from(now.boot.as_millis()).unwrap_or(u64::MAX);
        self.effects.push(NodeEffect::Send(Up::Lease(LeaseRequest { sent, held, wanted })));
    }

    /// Boot time of the next request.
    pub(super) fn next_lease(&self) -> Option<Duration> {
        let mut exclusive = self.wanted.keys().copied().filter(|id| self.is_exclusive(*id)).peekable();
        let asks = self.linked && self.held.is_current();
        exclusive.peek().filter(|_| asks)?;
        let wants = exclusive.any(|id| self.leases.get(id).is_none());
        Some(self.leases.next(wants))
    }

    pub(super) fn take_lease(&mut self, grant: &LeaseGrant, now: Now) {
        let sent = Duration::from_millis(grant.sent);
        // In whole milliseconds, as it was sent.
        if sent > now.boot || sent + Duration::from_millis(1) <= self.leases.linked {
            return;
        }
        self.leases.shortest = grant.leases.iter().map(|(_, millis)| Duration::from_millis(*millis)).min();
        for (id, millis) in &grant.leases {
            let until = Duration::from_millis(grant.sent.saturating_add(*millis));
            if !self.is_exclusive(*id) || self.leases.get(*id).is_some_and(|known| known >= until) {
                continue;
            }
            self.leases.until.insert(*id, until);
            self.effects.push(NodeEffect::Lease { id: *id, until });
            self.touched.insert(*id);
        }
        let wanted = &self.wanted;
        self.leases.until.retain(|id, _| wanted.contains_key(id));
    }
}
