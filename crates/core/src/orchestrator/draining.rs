//! Members that people empty: a wish that is kept until they are uncordoned.

use std::time::Duration;

use holm_model::id::{AssignmentId, MemberId};
use holm_model::slot::SlotIndex;
use holm_model::view::drain::{DrainView, StaysView};

use super::Orchestrator;
use super::command::{Refusal, Reply};
use super::demand::{Demand, SlotId};
use super::rows::{Drain, Phase, Placement};
use super::standing::Standing;

impl Orchestrator {
    /// All that can move moves; nothing new comes.
    pub(super) fn drain(&mut self, id: MemberId, lose_volumes: bool) -> Result<Reply, Refusal> {
        let Some(member) = self.members.get(&id) else { return Err(self.not_ours_to_cordon(id, "drain")) };
        let (role, since) = (member.role, member.draining.map_or(self.now.wall, |drain| drain.since));
        let begins = member.draining.is_none();
        let drain = Some(Drain { since, lose_volumes });
        self.members.change(&mut self.journal, &id, |member| member.draining = drain);
        if begins {
            self.note(role.word(), self.member_name(id), String::new(), ("", "draining"), ("person", ""));
        }
        self.takes_changed(id);
        self.look_if_drained(id);
        Ok(Reply::Done)
    }

    /// Whether it takes new work has changed: whatever is there is looked at, too.
    pub(super) fn takes_changed(&mut self, id: MemberId) {
        self.rankings.touch(id);
        self.capacity_changed = true;
        self.aggregate_stale = true;
        self.report_node(id);
        let placed = self.placements_on(id);
        let slots = placed.iter().filter_map(|placed| self.placements.get(placed)).map(Self::slot_of);
        self.todo.slots.extend(slots.collect::<Vec<_>>());
    }

    /// What runs in the slot is on a member that is drained.
    ///
    /// # Returns
    /// Whether something was said about the slot, or done.
    pub(super) fn leave_drained(&mut self, slot_id: &SlotId, demand: &Demand, active: AssignmentId) -> bool {
        let Some(member) = self.placements.get(&active).map(|placement| placement.member) else {
            return false;
        };
        let Some(drain) = self.members.get(&member).and_then(|member| member.draining) else { return false };
        if demand.rests() && !matches!(slot_id.1, SlotIndex::Node(_)) {
            // Nothing runs: it finds another place when it is started.
            match self.keeps_data(demand, member).filter(|_| !drain.lose_volumes) {
                Some(why) => self.say(slot_id, why),
                None => self.set_phase(active, Phase::Retiring),
            }
            return true;
        }
        if self.lets_go_of_done(slot_id, demand, active) {
            return true;
        }
        if let Some(why) = self.cannot_move(slot_id, demand, active, drain.lose_volumes) {
            self.say(slot_id, why);
            return true;
        }
        if self.may_settle(slot_id, active) {
            // Time alone may decide.
            self.todo.relieving.insert(slot_id.clone());
            self.say(slot_id, "does not run yet; it moves when it does, or after a while without".to_owned());
            return true;
        }
        let Some(spec) = demand.spec.clone() else { return false };
        match self.choose_elsewhere(slot_id, demand, &spec, member) {
            Ok(target) => match self.cannot_carry(demand, active, target.0).filter(|_| !drain.lose_volumes) {
                Some(why) => self.say(slot_id, why),
                None => self.move_to(slot_id, demand, active, target, drain.lose_volumes),
            },
            Err(nobody) => {
                // Asked again when anything changes.
                self.todo.unfilled.insert(slot_id.clone());
                self.say(slot_id, format!("cannot go anywhere else: {}", nobody.reason));
            }
        }
        true
    }

    /// What has completed there is remembered as done.
    fn lets_go_of_done(&mut self, slot_id: &SlotId, demand: &Demand, active: AssignmentId) -> bool {
        let spec = demand.spec.as_ref();
        let done = spec.is_some_and(|spec| self.is_done(active, spec)) && self.has_completed(active);
        let SlotIndex::Number(number) = slot_id.1 else { return false };
        if done {
            self.slot_is_over(&slot_id.0, number, (demand.part.generation, demand.part.restarts), true);
            self.set_phase(active, Phase::Retiring);
        }
        done
    }

    /// It is on its way to run there, and not for too long.
    fn may_settle(&self, slot_id: &SlotId, active: AssignmentId) -> bool {
        let moved = self.slots.get(slot_id).map_or(Duration::ZERO, |slot| slot.moved);
        let waits = self.now.boot.saturating_sub(moved) < self.config.deadlines.settle;
        waits && self.standing(active) == Standing::Moving
    }

    /// Nothing is left on a member that is drained.
    pub(super) fn look_if_drained(&mut self, id: MemberId) {
        let Some(member) = self.members.get(&id).filter(|member| member.draining.is_some()) else { return };
        let role = member.role;
        if self.placements_on(id).is_empty() {
            self.note(
                role.word(),
                self.member_name(id),
                String::new(),
                ("draining", "drained"),
                ("policy", ""),
            );
        }
    }

    /// What is still there, and why, for people.
    #[must_use]
    pub fn drain_view(&self, id: MemberId) -> Option<DrainView> {
        let drain = self.members.get(&id)?.draining?;
        let stays = self.placements_on(id).into_iter().filter_map(|placed| {
            let placement = self.placements.get(&placed)?;
            let reason = match placement.phase {
                Phase::Migrating => "its successor is not ready yet".to_owned(),
                Phase::Retiring => "it ends".to_owned(),
                Phase::Superseded => "its replacement is not ready yet".to_owned(),
                Phase::Active => self.why_it_stays(placed, placement),
            };
            let slot = format!("{}/{}", placement.part.service, placement.index);
            Some(StaysView { application: placement.part.app.to_string(), slot, reason })
        });
        Some(DrainView { since: drain.since, lose_volumes: drain.lose_volumes, stays: stays.collect() })
    }

    fn why_it_stays(&self, id: AssignmentId, placement: &Placement) -> String {
        match self.standing(id) {
            Standing::Dangling => "it is silent, and replaced by the rule of its service".to_owned(),
            Standing::Exhausted(why) => format!("has failed, and there is no other place for it: {why}"),
            Standing::Settled | Standing::Moving => {
                self.slots.get(&Self::slot_of(placement)).map(|slot| slot.reason.clone()).unwrap_or_default()
            }
        }
    }

    /// Why an instance on a drained member is still there.
    pub(super) fn why_not_moved(&self, id: AssignmentId) -> Option<String> {
        let placement = self.placements.get(&id).filter(|placement| placement.phase == Phase::Active)?;
        self.members.get(&placement.member)?.draining?;
        Some(self.why_it_stays(id, placement))
    }
}
