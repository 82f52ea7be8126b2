//! Bounds of latency that are broken after somebody was placed by them.
//!
//! Whoever has the node looks, every few seconds. A bound of which nothing is known is not broken.

use std::collections::BTreeMap;
use std::time::Duration;

use holm_model::duration::Span;
use holm_model::fact::Leaves;
use holm_model::id::{AssignmentId, MemberId};
use holm_model::member::Role;
use holm_model::placement::{Consequence, Violated};
use holm_model::record::Change;
use holm_model::service::ServiceSpec;
use holm_model::slot::SlotIndex;

use super::Orchestrator;
use super::demand::{Demand, Origin, SlotId};
use super::rows::{Phase, Placement};
use super::standing::Standing;
use crate::scheduler::latency::{Estimate, too_slow};
use crate::scheduler::{Around, Ask};

/// Instances on our nodes that have to be near something; of this run.
#[derive(Debug, Default)]
pub(super) struct Violations {
    bound: BTreeMap<AssignmentId, SlotId>,
    broken: BTreeMap<AssignmentId, Broken>,
    /// Shares that their clusters want to be rid of: how often that was said.
    below: BTreeMap<AssignmentId, u32>,
    /// Boot time of the last look.
    looked: Duration,
}

/// A bound that is broken.
#[derive(Clone, Debug)]
struct Broken {
    /// Boot time.
    since: Duration,
    /// When that was said, or something was done, last.
    told: Option<Duration>,
    /// Our parent was asked for another place.
    above: Option<Leaves>,
}

/// Why an instance stays where its bound is broken; for people.
#[derive(Debug, thiserror::Error)]
enum Stays {
    #[error("it stays: {0}")]
    Held(String),
    #[error("it stays: {0}")]
    NoPlace(String),
}

/// What is to be said of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// It is broken for as long as the service bears.
    Violated,
    /// It still is, for as long once more.
    Lasts,
    /// It was said to be, and is not any more.
    Kept,
}

/// Estimates change slowly, and each look costs some microseconds for each instance.
const LOOK_EVERY: Duration = Duration::from_secs(5);

// === impl Violations ===

impl Violations {
    pub(super) fn add(&mut self, id: AssignmentId, placement: &Placement, spec: Option<&ServiceSpec>) {
        let ours = placement.phase == Phase::Active && placement.role == Role::Node;
        let chosen = matches!(placement.index, SlotIndex::Number(_));
        if ours && chosen && spec.is_some_and(ServiceSpec::is_bound) {
            self.bound.insert(id, Orchestrator::slot_of(placement));
        }
    }

    pub(super) fn take(&mut self, id: AssignmentId) {
        self.bound.remove(&id);
    }

    /// The placement is no more.
    pub(super) fn forget(&mut self, id: AssignmentId) {
        self.below.remove(&id);
    }

    pub(super) fn clear(&mut self) {
        self.bound.clear();
    }

    /// `broken`: how it is now.
    fn found(&mut self, id: AssignmentId, broken: bool, lasting: Duration, now: Duration) -> Option<News> {
        if !broken {
            return self.broken.remove(&id)?.told.map(|_| News::Kept);
        }
        let known = self.broken.entry(id).or_insert(Broken { since: now, told: None, above: None });
        let news = if known.told.is_none() { News::Violated } else { News::Lasts };
        let due = now.saturating_sub(known.told.unwrap_or(known.since)) >= lasting;
        due.then(|| {
            known.told = Some(now);
            news
        })
    }
}

// === impl Orchestrator ===

impl Orchestrator {
    pub(super) fn look_at_bounds(&mut self) {
        if self.now.boot.saturating_sub(self.violations.looked) < LOOK_EVERY {
            return;
        }
        self.violations.looked = self.now.boot;
        let bound: Vec<_> = self.violations.bound.iter().map(|(id, slot)| (*id, slot.clone())).collect();
        self.violations.broken.retain(|id, _| self.violations.bound.contains_key(id));
        for (id, slot_id) in bound {
            self.look_at_bound(id, &slot_id);
        }
    }

    fn look_at_bound(&mut self, id: AssignmentId, slot_id: &SlotId) {
        // What comes, goes or is updated is looked at when it is at rest.
        let Some(demand) = self.demands.get(&slot_id.0).cloned() else { return };
        let Some(placement) = self.placements.get(&id).cloned() else { return };
        let same = placement.part.generation == demand.part.generation;
        let Some(spec) = demand.spec.clone().filter(|_| same) else { return };
        if self.standing(id) != Standing::Settled || demand.rests() {
            return;
        }
        let broken = self.broken_bound(&placement, &spec);
        let Violated { lasting, then } = spec.placement.violated;
        let Some(news) = self.violations.found(id, broken.is_some(), lasting, self.now.boot) else { return };
        // What was asked of our parent, or is not any more.
        self.todo.shares.extend(placement.share);
        let Some(estimate) = broken.filter(|_| news != News::Kept) else {
            return self.tell_bound(
                id,
                &placement,
                ("violated", "kept"),
                "its latencies are within their bounds",
            );
        };
        let stays = match then {
            Consequence::Event => None,
            Consequence::Migrate => match self.move_nearer(slot_id, &demand, &spec, id, placement.member) {
                Err(Stays::NoPlace(why)) => Some(self.ask_above(id, &placement, &estimate, why)),
                other => other.err().map(|stays| stays.to_string()),
            },
        };
        if news == News::Violated {
            let stays = stays.map(|why| format!("; {why}")).unwrap_or_default();
            let why = format!("{estimate}, for {}{stays}", Span(lasting));
            self.tell_bound(id, &placement, ("kept", "violated"), &why);
        }
    }

    /// A required bound that is known to be broken.
    fn broken_bound(&self, placement: &Placement, spec: &ServiceSpec) -> Option<Estimate> {
        let nobody = BTreeMap::new();
        let mut ask = Ask::new(spec, &nobody);
        ask.around = Around { ways: self.own_ways(placement.part.wish, spec), ..Around::default() };
        too_slow(&ask, &self.candidate(placement.member)?)
    }

    /// No node of ours keeps the bound: whoever gave us the share may know another cluster.
    fn ask_above(
        &mut self,
        id: AssignmentId,
        placement: &Placement,
        broken: &Estimate,
        why: String,
    ) -> String {
        let known = self.violations.broken.get_mut(&id).filter(|_| placement.share.is_some());
        let Some(known) = known else { return Stays::NoPlace(why).to_string() };
        let times = known.above.as_ref().map_or(0, |before| before.times).saturating_add(1);
        known.above = Some(Leaves { times, reason: broken.to_string() });
        format!("another cluster is asked for, since here is {why}")
    }

    /// For our parent: see [`holm_model::fact::ShareReport::leaves`].
    pub(super) fn leaves_of(&self, share: AssignmentId) -> Option<Leaves> {
        let id = self.slots.of(&Origin::Share(share)).find_map(|(_, slot)| slot.active)?;
        self.violations.broken.get(&id)?.above.clone()
    }

    /// A cluster says that a share is to leave it. The old copy stays until the new one is ready.
    pub(super) fn leaves_below(
        &mut self,
        share: AssignmentId,
        placement: &Placement,
        leaves: Option<Leaves>,
    ) {
        let Some(Leaves { times, reason }) = leaves else { return self.violations.forget(share) };
        let before = self.violations.below.insert(share, times);
        if before == Some(times) || placement.phase != Phase::Active {
            return;
        }
        let slot_id = Self::slot_of(placement);
        let Some(demand) = self.demands.get(&slot_id.0).cloned() else { return };
        let same = placement.part.generation == demand.part.generation;
        let Some(spec) = demand.spec.clone().filter(|_| same && !demand.rests()) else { return };
        let outcome = self.move_nearer(&slot_id, &demand, &spec, share, placement.member);
        if let (Err(stays), None) = (outcome, before) {
            self.tell_bound(share, placement, ("kept", "violated"), &format!("{reason}; {stays}"));
        }
    }

    /// # Errors
    /// Why it stays, for people.
    fn move_nearer(
        &mut self,
        slot_id: &SlotId,
        demand: &Demand,
        spec: &ServiceSpec,
        active: AssignmentId,
        leaves: MemberId,
    ) -> Result<(), Stays> {
        if let Some(why) = self.cannot_move(slot_id, demand, active, false) {
            return Err(Stays::Held(why));
        }
        let target = self
            .choose_elsewhere(slot_id, demand, spec, leaves)
            .map_err(|nobody| Stays::NoPlace(nobody.reason))?;
        if let Some(why) = self.cannot_carry(demand, active, target.0) {
            return Err(Stays::Held(why));
        }
        self.move_to(slot_id, demand, active, target, false);
        Ok(())
    }

    fn tell_bound(&mut self, id: AssignmentId, placement: &Placement, (from, to): (&str, &str), why: &str) {
        let instance = self.copies(id).next().map_or(id, |report| report.id);
        let part = &placement.part;
        let change = Change {
            at: self.now.wall,
            kind: "instance".to_owned(),
            subject: instance.to_string(),
            application: part.app.to_string(),
            slot: format!("{}/{}", part.service, placement.index),
            from: from.to_owned(),
            to: to.to_owned(),
            cause: "policy".to_owned(),
            reason: why.to_owned(),
        };
        self.behind.change(change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_violated_when_it_was_broken_all_the_time() {
        let (id, lasting) = (AssignmentId("1-000000000001-1".parse().unwrap()), Duration::from_secs(60));
        let mut all = Violations::default();
        let mut found = |broken, now| all.found(id, broken, lasting, Duration::from_secs(now));
        assert_eq!([found(true, 0), found(true, 55), found(false, 58), found(true, 59)], [None; 4]);
        assert_eq!([found(true, 118), found(true, 119)], [None, Some(News::Violated)]);
        assert_eq!([found(true, 178), found(true, 179)], [None, Some(News::Lasts)]);
        assert_eq!([found(false, 180), found(false, 181)], [Some(News::Kept), None]);
    }
}
