//! A copy that was replaced is back: which of the two stays.

use holm_model::fact::InstanceReport;
use holm_model::healing::Reconcile;
use holm_model::id::AssignmentId;
use holm_model::item::{Item, ItemKey, PackedItem};
use holm_model::state::{InstanceState, RunState};

use super::Orchestrator;
use super::demand::SlotId;
use super::rows::{Life, Phase, Placement};
use super::standing::Standing;
use crate::scheduler::{Ask, Score, score};

/// What becomes of the copy that returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It stays held: the rule cannot tell yet.
    Waits,
    /// It fills the slot again, and the other one goes.
    Stays,
    Ends,
}

/// How a copy stands that returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Original {
    Runs,
    /// It may run soon.
    Comes,
    /// Nothing of it runs, and held copies are not started.
    Ended,
}

/// How its replacement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replacement {
    Runs,
    Comes,
    /// Its own member is silent by now.
    Lost,
}

/// `wants`: the rule is for the one that returned, if it runs.
const fn fate(wants: bool, original: Original, replacement: Replacement) -> Fate {
    match (original, replacement) {
        (Original::Runs, Replacement::Lost) => Fate::Stays,
        (Original::Runs, _) if wants => Fate::Stays,
        (Original::Comes, _) if wants => Fate::Waits,
        (_, Replacement::Runs) => Fate::Ends,
        (_, Replacement::Comes | Replacement::Lost) => Fate::Waits,
    }
}

// === impl Orchestrator ===

impl Orchestrator {
    /// The member of a copy that was replaced is back. One that is gone is not told of here.
    pub(super) fn reconcile_returned(&mut self, slot_id: &SlotId, id: AssignmentId, active: AssignmentId) {
        let Some(placement) = self.placements.get(&id) else { return };
        if self.live.get(&placement.member).is_none_or(|live| live.sequence == 0) {
            // What is known of it is from before it was lost.
            return;
        }
        if self.placements.get(&active).is_some_and(|other| self.healing_of(active, other).exclusive) {
            // That one waits until this one is gone.
            return self.set_phase(id, Phase::Retiring);
        }
        let replacement = match self.standing(active) {
            Standing::Dangling => Replacement::Lost,
            _ if self.succeeds(active, placement) => Replacement::Runs,
            _ => Replacement::Comes,
        };
        let wants = self.wants_original(slot_id, id, placement, active);
        match fate(wants, self.original(id, placement), replacement) {
            Fate::Waits if Self::surges(placement) => {
                // Time alone may decide.
                self.todo.relieving.insert(slot_id.clone());
            }
            Fate::Waits => {}
            Fate::Ends => self.set_phase(id, Phase::Retiring),
            Fate::Stays => {
                let lost = replacement == Replacement::Lost;
                self.set_phase(active, if lost { Phase::Superseded } else { Phase::Retiring });
                self.set_phase(id, Phase::Active);
            }
        }
    }

    /// Copies of an older specification are nothing to go back to. A cluster may be back, and its node not yet.
    fn original(&self, id: AssignmentId, placement: &Placement) -> Original {
        use InstanceState::{Dangling, Migrating, Paused, Preparing, Running, ScheduledNode, Starting};
        let stranded = self.is_stranded(id, placement);
        let mut best = Original::Ended;
        for report in self.copies(id).filter(|report| report.generation == placement.part.generation) {
            match report.status.state {
                Running | Paused | Migrating if !stranded => return Original::Runs,
                Running | Paused | Migrating | ScheduledNode | Preparing | Starting | Dangling => {
                    best = Original::Comes;
                }
                _ => {}
            }
        }
        best
    }

    /// Of an older specification, or made after the other one, it is nothing to go back to.
    fn wants_original(
        &self,
        slot_id: &SlotId,
        id: AssignmentId,
        placement: &Placement,
        active: AssignmentId,
    ) -> bool {
        let Some(other) = self.placements.get(&active) else { return false };
        let outdated = placement.part.generation != other.part.generation || id > active;
        if outdated || other.part.run == RunState::Stop {
            return false;
        }
        match self.healing_of(id, placement).reconcile {
            Reconcile::KeepOriginal => true,
            Reconcile::KeepReplacement => false,
            Reconcile::LongestRunning => placement.life.is_some() && self.life(id) == placement.life,
            Reconcile::BestScore => {
                match (self.rate(slot_id, placement, id), self.rate(slot_id, other, active)) {
                    (Some(original), Some(replacement)) => original < replacement,
                    (original, _) => original.is_some(),
                }
            }
        }
    }

    /// How good its place is; `None`: nobody would place it there today. Room is no question: it is there.
    fn rate(&self, slot_id: &SlotId, placement: &Placement, id: AssignmentId) -> Option<Score> {
        let demand = self.demands.get(&slot_id.0)?;
        let spec = demand.spec.as_ref()?;
        let nobody = std::collections::BTreeMap::new();
        let mut ask = Ask::new(spec, &nobody);
        ask.around = self.around(demand.part.wish, &demand.part.service, spec, Some(placement.member));
        let member = self.without(self.candidate(placement.member)?, id);
        let kept = !member.frozen && !member.cordoned && member.never(&ask).is_none();
        kept.then(|| score(&ask, spec.placement.strategy_or(&self.config.strategy), &member))
    }

    /// What runs there now, if it is one copy.
    fn life(&self, id: AssignmentId) -> Option<Life> {
        let mut copies = self.copies(id).filter(|report| report.status.state == InstanceState::Running);
        let (first, more) = (copies.next()?, copies.next());
        let life = Life { instance: first.id, incarnation: first.status.incarnation };
        more.is_none().then_some(life)
    }

    /// Replaced, and the rule has not chosen yet: it gets no traffic.
    pub(super) fn is_held(&self, report: &InstanceReport) -> bool {
        let superseded = |id: &AssignmentId| {
            self.placements.get(id).is_some_and(|placement| placement.phase == Phase::Superseded)
        };
        let by_parent = |share: &AssignmentId| matches!(self.held.get(&ItemKey::Share(*share)).map(PackedItem::unpack), Some(Ok(Item::Share(share))) if share.held);
        superseded(&report.id)
            || report.share.as_ref().is_some_and(|share| superseded(share) || by_parent(share))
    }

    /// It fills its slot, or goes on until its successor is ready: it may get traffic.
    pub(super) fn is_in_force(&self, report: &InstanceReport) -> bool {
        let of = |id: &AssignmentId| self.placements.get(id).map(|placement| placement.phase);
        let phase = of(&report.id).or_else(|| of(&report.share?));
        phase.is_none_or(|phase| matches!(phase, Phase::Active | Phase::Migrating)) && !self.is_held(report)
    }

    /// A replacement was made: the copy is held as soon as its member is back.
    pub(super) fn supersede(&mut self, id: AssignmentId) {
        let life = self.life(id);
        let Some(mut placement) = self.placements.get(&id).cloned() else { return };
        (placement.phase, placement.life) = (Phase::Superseded, life);
        placement.revision = self.coming_revision();
        self.put_placement(id, placement);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_before_another_one_runs() {
        for wants in [true, false] {
            for original in [Original::Runs, Original::Comes, Original::Ended] {
                assert_ne!(fate(wants, original, Replacement::Comes), Fate::Ends);
                assert_ne!(fate(wants, original, Replacement::Lost), Fate::Ends);
            }
            for replacement in [Replacement::Runs, Replacement::Comes, Replacement::Lost] {
                assert_ne!(fate(wants, Original::Comes, replacement), Fate::Stays);
                assert_ne!(fate(wants, Original::Ended, replacement), Fate::Stays);
            }
        }
    }

    #[test]
    fn the_rule_chooses_between_two_that_run() {
        assert_eq!(fate(true, Original::Runs, Replacement::Runs), Fate::Stays);
        assert_eq!(fate(false, Original::Runs, Replacement::Runs), Fate::Ends);
        assert_eq!(fate(false, Original::Runs, Replacement::Lost), Fate::Stays);
        assert_eq!(fate(true, Original::Comes, Replacement::Runs), Fate::Waits);
    }
}
