//! Copies that go elsewhere: the new one is ready before the old one goes.
//!
//! One at a time of each service. An exclusive one ends first: its successor waits for the lease.

use std::collections::BTreeSet;
use std::time::Duration;

use holm_model::fact::InstanceReport;
use holm_model::id::{AssignmentId, MemberId};
use holm_model::item::Carry;
use holm_model::name::Name;
use holm_model::record::Change;
use holm_model::service::ServiceSpec;
use holm_model::slot::{ServiceKey, SlotIndex};
use holm_model::state::{InstanceState, RunState};
use holm_model::wish::AppKey;

use super::Orchestrator;
use super::command::{Refusal, Reply};
use super::demand::{Demand, SlotId};
use super::patience::No;
use super::rows::{Chosen, Phase, Placement};
use super::slots::Slot;
use super::standing::Standing;
use crate::scheduler::Reason;

/// A slot on its way from one member to another, in this run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moving {
    from: MemberId,
    /// Boot time of the order.
    since: Duration,
    /// Boot time at which the old copy was found not to run, before the new one did.
    down: Option<Duration>,
    /// Bytes of volumes that were copied while the old copy ran.
    pub(super) copied: Option<u64>,
}

/// What a person asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    pub app: AppKey,
    /// `web/2`.
    pub slot: String,
    /// A node or a cluster by its name; `None`: whoever is best.
    pub to: Option<Name>,
    /// Named volumes stay where they are.
    pub lose_volume: bool,
}

/// What becomes of the old copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Waits,
    /// The successor is ready: the old one goes.
    Goes,
    /// There is none any more: the old one stays.
    Stays,
}

/// `same`: the successor was made for the same specification; another one may fail and stay. `paused`: nobody is to run,
/// and what the old one has in memory is with it.
const fn next(successor: &Standing, same: bool, paused: bool) -> Next {
    match successor {
        _ if paused && same => Next::Stays,
        Standing::Settled => Next::Goes,
        Standing::Moving => Next::Waits,
        Standing::Exhausted(_) if same => Next::Stays,
        Standing::Exhausted(_) => Next::Goes,
        Standing::Dangling => Next::Stays,
    }
}

impl Orchestrator {
    /// Its successor was made elsewhere, and is not ready yet. One of another specification is an update.
    pub(super) fn is_migrating(&self, report: &InstanceReport) -> bool {
        let of = |id: &AssignmentId| {
            let placement =
                self.placements.get(id).filter(|placement| placement.phase == Phase::Migrating)?;
            let active = self.slots.get(&Self::slot_of(placement))?.active?;
            let successor = self.placements.get(&active)?;
            (successor.part.generation == placement.part.generation).then_some(())
        };
        of(&report.id).or_else(|| of(&report.share?)).is_some()
    }

    /// It runs, on its way elsewhere or not.
    pub(super) fn serves(&self, report: &InstanceReport) -> bool {
        matches!(self.state_of(report), InstanceState::Running | InstanceState::Migrating)
    }

    pub(super) fn tidy_migrating(
        &mut self,
        slot_id: &SlotId,
        id: AssignmentId,
        active: Option<AssignmentId>,
    ) {
        if self.has_given(slot_id, id) {
            return;
        }
        let Some(active) = active else {
            // Whoever was to have its volumes is gone without them.
            self.carry(id, None);
            return self.set_phase(id, Phase::Active);
        };
        let (Some(placement), Some(successor)) = (self.placements.get(&id), self.placements.get(&active))
        else {
            return;
        };
        let same = placement.part.generation == successor.part.generation;
        let (stops, paused) = (successor.part.run == RunState::Stop, successor.part.run == RunState::Pause);
        let standing = self.standing(active);
        if successor.carry == Some(Carry::From(id)) {
            return self.tidy_carried(slot_id, (id, active), next(&standing, same, paused || stops));
        }
        match next(&standing, same, paused) {
            _ if stops => self.set_phase(id, Phase::Retiring),
            Next::Goes if self.succeeds(active, placement) => {
                self.set_phase(id, Phase::Retiring);
                // The next of the service may move; of what began before our start nothing else says so.
                self.todo.origins.insert(slot_id.0.clone());
            }
            Next::Waits | Next::Goes => {
                if Self::surges(placement) {
                    // Time alone may decide.
                    self.todo.relieving.insert(slot_id.clone());
                }
                self.notice_break(slot_id, id);
            }
            Next::Stays => self.stay(slot_id, id, active, &standing),
        }
    }

    /// The old copy fills the slot again. Whoever was to have it is not asked again at once, and the next of the service
    /// may move.
    pub(super) fn stay(
        &mut self,
        slot_id: &SlotId,
        id: AssignmentId,
        active: AssignmentId,
        successor: &Standing,
    ) {
        let Some(to) = self.placements.get(&active).cloned() else { return };
        // What has fetched volumes is behind those by now, and never serves.
        let lost = self.is_silent(active, &to) && to.carry.is_none();
        self.set_phase(active, if lost { Phase::Superseded } else { Phase::Retiring });
        self.carry(id, None);
        self.set_phase(id, Phase::Active);
        let why = match successor {
            Standing::Exhausted(why) => Some(format!("it failed there: {why}")),
            Standing::Dangling => Some("it was lost there".to_owned()),
            // People paused it.
            Standing::Moving | Standing::Settled => None,
        };
        let (now, deadlines) = (self.now.boot, &self.config.deadlines);
        if let Some(slot) = self.slots.get_mut(slot_id) {
            slot.moving = None;
            if let Some(why) = why {
                slot.refuse(to.member, No::Failed, why, now, deadlines);
            }
        }
        self.let_next_move(slot_id);
    }

    /// The old copy may have stopped before the new one runs.
    pub(super) fn notice_break(&mut self, slot_id: &SlotId, id: AssignmentId) {
        let runs = self.copies(id).any(|report| report.status.state == InstanceState::Running);
        let now = self.now.boot;
        if let Some(moving) =
            self.slots.get_mut(slot_id).and_then(|slot| slot.moving.as_mut()).filter(|_| !runs)
        {
            moving.down.get_or_insert(now);
        }
    }

    /// The new copy is ready: for the history, and the next of the service may move.
    pub(super) fn note_moved(&mut self, slot_id: &SlotId, active: AssignmentId) {
        let Some(moving) = self.slots.get_mut(slot_id).and_then(|slot| slot.moving.take()) else { return };
        let Some(placement) = self.placements.get(&active) else { return };
        let placement = placement.clone();
        self.let_next_move(slot_id);
        if placement.member == moving.from {
            // It ended first, nobody else could have it, and it is back.
            return;
        }
        let gap = match moving.down {
            None => "without a break".to_owned(),
            Some(down) => format!("down for {} ms", self.now.boot.saturating_sub(down).as_millis()),
        };
        let data =
            moving.copied.map_or_else(String::new, |bytes| format!(", with {bytes} bytes of its volumes"));
        let (from, to) = (self.member_name(moving.from), self.member_name(placement.member));
        let took = seconds(self.now.boot.saturating_sub(moving.since));
        let instance = self.copies(active).next().map_or(active, |report| report.id);
        let part = &placement.part;
        let change = Change {
            at: self.now.wall,
            kind: "instance".to_owned(),
            subject: instance.to_string(),
            application: part.app.to_string(),
            slot: format!("{}/{}", part.service, slot_id.1),
            from: InstanceState::Migrating.word().to_owned(),
            to: "moved".to_owned(),
            cause: "scheduler".to_owned(),
            reason: format!("from {from} to {to} in {took}, {gap}{data}"),
        };
        self.behind.change(change);
    }

    /// Another slot of the service is on its way: one by one.
    pub(super) fn another_moves(&self, slot_id: &SlotId) -> Option<SlotIndex> {
        // What was on its way before our start is in the rows only.
        let moves =
            |id: &SlotId| self.slots.get(id).is_some_and(|slot| slot.moving.is_some() || self.migrates(slot));
        self.siblings(slot_id).into_iter().find(|id| id != slot_id && moves(id)).map(|(_, index)| index)
    }

    /// An old copy of it goes on until its successor is ready.
    fn migrates(&self, slot: &Slot) -> bool {
        let mut others = slot.others.iter().filter_map(|id| self.placements.get(id));
        others.any(|placement| placement.phase == Phase::Migrating)
    }

    /// The slots of the service that have something here. Those that a parent gave are shares of their own.
    fn siblings(&self, slot_id: &SlotId) -> BTreeSet<SlotId> {
        let Some(demand) = self.demands.get(&slot_id.0) else { return BTreeSet::new() };
        let service = ServiceKey { wish: demand.part.wish, service: demand.part.service.clone() };
        let there = self.index.by_service.get(&service).into_iter().flatten();
        let placed = there.filter_map(|id| {
            let share = || self.instances.get(id).and_then(|report| report.share);
            self.placements.get(id).or_else(|| self.placements.get(&share()?))
        });
        placed.map(Self::slot_of).collect()
    }

    /// It does not move any more: the next of its service may.
    fn let_next_move(&mut self, slot_id: &SlotId) {
        let siblings = self.siblings(slot_id);
        self.todo.slots.extend(siblings);
    }

    /// The new copy of one that had to end first has failed: nothing is on its way.
    pub(super) fn end_move(&mut self, slot_id: &SlotId) {
        let ended = self.slots.get(slot_id).is_some_and(|slot| slot.moving.is_some() && !self.migrates(slot));
        if ended {
            if let Some(slot) = self.slots.get_mut(slot_id) {
                slot.moving = None;
            }
            self.let_next_move(slot_id);
        }
    }

    /// Makes the successor; the old copy goes on until that is ready, or ends first if it is exclusive.
    pub(super) fn move_to(
        &mut self,
        slot_id: &SlotId,
        demand: &Demand,
        active: AssignmentId,
        (member, chosen): (MemberId, Option<Chosen>),
        lose_volumes: bool,
    ) {
        let Some(from) = self.placements.get(&active).map(|placement| placement.member) else { return };
        let exclusive = demand.spec.as_ref().is_some_and(|spec| spec.healing.exclusive);
        let carry = (self.has_data(demand) && !lose_volumes).then_some(Carry::From(active));
        let placement = Placement { chosen, carry, ..self.placement(slot_id, demand, member) };
        let id = AssignmentId(self.next_id());
        self.put_placement(id, placement);
        let moving = Moving { from, since: self.now.boot, down: None, copied: None };
        if let Some(slot) = self.slots.get_mut(slot_id) {
            slot.moving = Some(moving);
        }
        self.note_moving(active, member);
        self.set_phase(active, if exclusive { Phase::Retiring } else { Phase::Migrating });
        self.todo.slots.insert(slot_id.clone());
    }

    fn note_moving(&mut self, active: AssignmentId, to: MemberId) {
        let why = format!("moves to {}", self.member_name(to));
        for report in self.copies(active).cloned().collect::<Vec<_>>() {
            self.note_instance(&report, (report.status.state, InstanceState::Migrating), ("scheduler", &why));
        }
    }

    /// Somebody wants the slot elsewhere.
    pub(super) fn migrate(&mut self, asked: &Migration) -> Result<Reply, Refusal> {
        let no_slot =
            || Refusal::NotFound { kind: "instance", name: format!("{} {}", asked.app, asked.slot) };
        let found = self.find_slot(&asked.app, &asked.slot);
        let (demand, slot_id, slot) = found.map(|(d, id, slot)| (d.clone(), id, slot)).ok_or_else(no_slot)?;
        let conflict = |why: String| Refusal::Conflict(format!("{} {why}", asked.slot));
        let Some(active) = slot.active else {
            return Err(conflict(format!("runs nowhere: {}", slot.reason)));
        };
        let (Some(spec), Some(placement)) = (demand.spec.clone(), self.placements.get(&active).cloned())
        else {
            return Err(conflict("was written by a newer version; upgrade this orchestrator".to_owned()));
        };
        if let Some(why) = self.cannot_move(&slot_id, &demand, active, asked.lose_volume) {
            return Err(conflict(why));
        }
        if self.standing(active) != Standing::Settled {
            return Err(conflict("does not run now; it can move when it does".to_owned()));
        }
        let target = match &asked.to {
            Some(name) => (self.target(name, &slot_id, &demand, &spec, &placement)?, None),
            None => self
                .choose_elsewhere(&slot_id, &demand, &spec, placement.member)
                .map_err(|nobody| conflict(format!("cannot go anywhere else: {}", nobody.reason)))?,
        };
        if let Some(why) = self.cannot_carry(&demand, active, target.0).filter(|_| !asked.lose_volume) {
            return Err(conflict(why));
        }
        self.move_to(&slot_id, &demand, active, target, asked.lose_volume);
        Ok(Reply::Done)
    }

    /// The member of this name, which has to be able to take it.
    fn target(
        &self,
        name: &Name,
        slot_id: &SlotId,
        demand: &Demand,
        spec: &ServiceSpec,
        placement: &Placement,
    ) -> Result<MemberId, Refusal> {
        let slot = format!("{}/{}", demand.part.service, slot_id.1);
        let found = self.members.iter().find(|(_, member)| member.name == *name).map(|(id, _)| *id);
        let Some(id) = found else { return Err(self.no_target(name)) };
        if id == placement.member {
            return Err(Refusal::Conflict(format!("{slot} is on `{name}` already")));
        }
        let nobody = std::collections::BTreeMap::new();
        let ask = self.ask(slot_id, demand, spec, &nobody);
        let reason = match self.candidate(id) {
            None => Some(Reason::State(
                self.live.get(&id).map_or(holm_model::state::MemberState::Silent, |l| l.state),
            )),
            Some(member) => member.refuses(&ask).map(|reason| member.explain(&ask, reason)),
        };
        match reason {
            None => Ok(id),
            Some(reason) => {
                let why = self.refusal(name.as_str(), &reason);
                Err(Refusal::Conflict(format!("`{name}` cannot take {slot}: {why}")))
            }
        }
    }

    fn no_target(&self, name: &Name) -> Refusal {
        let below = self.live.iter().find(|(_, live)| live.node_names.contains(name));
        let Some((cluster, _)) = below else {
            return Refusal::NotFound { kind: "node", name: name.to_string() };
        };
        let cluster = self.member_name(*cluster);
        Refusal::Conflict(format!(
            "node `{name}` belongs to cluster `{cluster}`, which places its own work: ask that orchestrator, or name the \
             cluster"
        ))
    }

    /// Why the copy cannot be moved now, whoever would take it.
    pub(super) fn cannot_move(
        &self,
        slot_id: &SlotId,
        demand: &Demand,
        active: AssignmentId,
        lose_volume: bool,
    ) -> Option<String> {
        let placement = self.placements.get(&active)?;
        let at = || self.member_name(placement.member);
        if self.is_frozen(placement.member) {
            return Some(format!("is on {}, which is frozen: it takes no orders before people decide", at()));
        }
        if !self.online(placement) {
            return Some(format!("is on {}, of which nothing is heard now", at()));
        }
        if matches!(slot_id.1, SlotIndex::Node(_)) {
            return Some(format!("belongs to {}: the service has one on each node", at()));
        }
        if placement.part.generation != demand.part.generation {
            return Some("is being updated; it can move after that".to_owned());
        }
        if placement.reservation.is_some() {
            return Some("waits until all of its group have room".to_owned());
        }
        if demand.quiet {
            return Some("is held back: by whoever gave it, or since nobody has confirmed it".to_owned());
        }
        if let Some(why) = self.cannot_give(demand, active).filter(|_| !lose_volume) {
            return Some(why);
        }
        match demand.part.run {
            RunState::Run => {}
            RunState::Pause => {
                return Some("is paused: what it has in memory does not move; resume it first".to_owned());
            }
            _ => return Some("is stopped: it finds its place when it is started".to_owned()),
        }
        if demand.spec.as_ref().is_some_and(|spec| self.is_done(active, spec)) {
            return Some("has ended, and is not started again".to_owned());
        }
        self.another_moves(slot_id).map(|index| {
            format!(
                "waits: {}/{index} moves, and the instances of a service do so one by one",
                demand.part.service
            )
        })
    }
}

/// For people.
fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_copy_goes_only_after_the_new_one_is_ready() {
        let failed = || Standing::Exhausted("it crashed".to_owned());
        assert_eq!(next(&Standing::Moving, true, false), Next::Waits);
        assert_eq!(next(&Standing::Settled, true, false), Next::Goes);
        assert_eq!(next(&failed(), true, false), Next::Stays);
        assert_eq!(next(&failed(), false, false), Next::Goes);
        assert_eq!(next(&Standing::Dangling, true, false), Next::Stays);
    }

    #[test]
    fn what_people_pause_keeps_what_it_has_in_memory() {
        assert_eq!(next(&Standing::Settled, true, true), Next::Stays);
        assert_eq!(next(&Standing::Settled, false, true), Next::Goes, "it is nothing to go back to");
    }
}
