//! Members that said no to a slot: asked again ever more rarely, and at once when they offer more.

use std::time::Duration;

use holm_model::id::MemberId;

use super::Orchestrator;
use super::config::Deadlines;
use super::slots::Slot;

/// How a member that said no is asked again. It outlives the wait, so that the next one is longer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    refusals: u32,
    /// Boot time before which it is not asked.
    until: Duration,
    no: No,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum No {
    /// It has no place: may change with what it has.
    Place,
    /// As that, but by itself it would have one: it is the others of its group that have none beside it.
    Together,
    /// The slot failed there.
    Failed,
}

// === impl Slot ===

impl Slot {
    pub(super) fn refuse(&mut self, by: MemberId, no: No, why: String, now: Duration, deadlines: &Deadlines) {
        let refusals = self.patience.get(&by).map_or(0, |before| before.refusals).saturating_add(1);
        let until = now + wait(refusals, deadlines);
        self.patience.insert(by, Patience { refusals, until, no });
        self.refused.insert(by, why);
    }

    /// A member that said no may be asked again.
    pub(super) fn has_waited(&self, now: Duration) -> bool {
        self.refused.keys().any(|member| self.is_due(member, now))
    }

    /// Those who may be asked again count as willing.
    pub(super) fn end_waits(&mut self, now: Duration) {
        let mut refused = std::mem::take(&mut self.refused);
        refused.retain(|member, _| !self.is_due(member, now));
        self.refused = refused;
    }

    fn is_due(&self, member: &MemberId, now: Duration) -> bool {
        self.patience.get(member).is_none_or(|patience| patience.until <= now)
    }

    /// Another specification, a restart, or it runs: nobody has said no to that.
    pub(super) fn forgive_all(&mut self) {
        self.refused.clear();
        self.patience.clear();
    }

    /// It may have a place there without the others of its group.
    pub(super) fn may_be_alone_at(&self, member: &MemberId) -> bool {
        self.patience.get(member).is_some_and(|patience| patience.no == No::Together)
    }

    fn forgives(&self, member: MemberId) -> bool {
        self.refused.contains_key(&member)
            && self.patience.get(&member).is_none_or(|patience| patience.no != No::Failed)
    }
}

// === impl Orchestrator ===

impl Orchestrator {
    /// The member offers more than when it said no: the slots that wait ask it at once.
    pub(super) fn ask_anew(&mut self, member: MemberId) {
        for slot_id in &self.todo.unfilled {
            let Some(slot) = self.slots.get_mut(slot_id).filter(|slot| slot.forgives(member)) else {
                continue;
            };
            slot.refused.remove(&member);
            self.todo.slots.insert(slot_id.clone());
        }
    }

    /// Slots with a member that may be asked again.
    pub(super) fn ask_again(&mut self) {
        let now = self.now.boot;
        let due = |slot: &Slot| slot.has_waited(now);
        let waiting = self.todo.unfilled.iter().filter(|id| self.slots.get(id).is_some_and(due));
        self.todo.slots.extend(waiting.cloned());
    }
}

/// Twice as long after each refusal.
fn wait(refusals: u32, deadlines: &Deadlines) -> Duration {
    let doublings = 2_u32.saturating_pow(refusals.saturating_sub(1));
    deadlines.ask_again.saturating_mul(doublings).min(deadlines.ask_at_most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let deadlines = Deadlines::default();
        let waits = [1, 2, 3, 5, 6, 99].map(|refusals| wait(refusals, &deadlines).as_secs());
        assert_eq!(waits, [10, 20, 40, 160, 300, 300]);
    }
}
