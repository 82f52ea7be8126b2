//! A slot gets another specification: in place where a cluster has it, anew where a node has it.
//!
//! What runs is given up only when its successor has a place; a slot without one halts the update, and so
//! does one in which the new specification fails: see [`super::proving`].

use std::collections::BTreeMap;

use holm_model::fact::InstanceReport;
use holm_model::id::AssignmentId;
use holm_model::member::Role;
use holm_model::record::Change;
use holm_model::service::ServiceSpec;
use holm_model::slot::SlotIndex;
use holm_model::state::InstanceState;

use super::Orchestrator;
use super::choosing::{Awaits, NoPlace};
use super::demand::{Demand, Origin, SlotId};
use super::rows::{Phase, Placement};
use super::slots::Slot;
use super::standing::Standing;
use crate::scheduler::{Ask, Candidate, Kind, Taken};

/// Why a slot's instance is not replaced now.
enum NoRoom {
    /// A scheduler is asked; the slot is looked at again when it answers.
    Asked,
    /// There is no place: why, for people.
    Nowhere(String),
}

// === impl NoRoom ===

impl From<NoPlace> for NoRoom {
    fn from(NoPlace { reason, waits, .. }: NoPlace) -> Self {
        if waits == Some(Awaits::Answer) { Self::Asked } else { Self::Nowhere(reason) }
    }
}

// === impl Orchestrator ===

impl Orchestrator {
    pub(super) fn update(
        &mut self,
        slot_id: &SlotId,
        demand: &Demand,
        active: AssignmentId,
        placement: &Placement,
    ) {
        if placement.part.spec == demand.part.spec && !demand.quiet {
            return self.renumber(slot_id, demand, active, placement);
        }
        self.todo.updating.insert(slot_id.0.clone());
        let ends_first = demand.update().recreates() && !placement.per_node && !demand.rests();
        if demand.quiet || !ends_first && self.others_move(slot_id, demand, placement) {
            self.pass_on(demand, active, placement);
            return self.keep_as_it_is(slot_id, demand, active);
        }
        if !ends_first && self.is_updated_there(demand, placement) {
            let mut changed = placement.clone();
            changed.part = demand.part.clone();
            changed.failures = demand.failures;
            changed.revision = self.coming_revision();
            changed.unleased |= !self.healing_of(active, placement).exclusive
                && demand.spec.as_ref().is_some_and(|spec| spec.healing.exclusive);
            if let Some(slot) = self.slots.get_mut(slot_id) {
                slot.failures = 0;
            }
            return self.put_placement(active, changed);
        }
        let deaf = !self.online(placement) && !self.is_silent(active, placement);
        if deaf {
            // It hears nothing of it now; others are updated meanwhile.
            return self.pass_on(demand, active, placement);
        }
        let room = match &demand.spec {
            // All of them make room, and nothing is placed before they have.
            Some(spec) if ends_first && self.could_be_anywhere(spec) => Ok(Phase::Retiring),
            _ => self.make_room(slot_id, demand, active),
        };
        match room {
            Ok(phase) => {
                self.set_halted(slot_id, false);
                self.set_phase(active, phase);
                self.todo.slots.insert(slot_id.clone());
            }
            // Nobody knows yet whether its successor has a place beside it.
            Err(NoRoom::Asked) => self.pass_on(demand, active, placement),
            Err(NoRoom::Nowhere(reason)) => {
                self.set_halted(slot_id, true);
                let generation = demand.part.generation;
                let reason = format!("generation {generation} waits, and this one stays: {reason}");
                self.note_waiting(slot_id, &slot_id.1, generation, &reason);
                self.say(slot_id, reason);
                self.pass_on(demand, active, placement);
            }
        }
    }

    /// People went back to what is there: only the number of the generation is another.
    fn renumber(&mut self, slot_id: &SlotId, demand: &Demand, active: AssignmentId, placement: &Placement) {
        let mut changed = placement.clone();
        changed.part = demand.part.clone();
        changed.revision = self.coming_revision();
        if let Some(slot) = self.slots.get_mut(slot_id) {
            slot.halted = false;
            slot.reason.clear();
        }
        self.put_placement(active, changed);
    }

    /// Whether it runs, and restarts, do not wait for the update.
    fn pass_on(&mut self, demand: &Demand, active: AssignmentId, placement: &Placement) {
        let (part, wanted) = (&placement.part, &demand.part);
        if (part.run, part.restarts) == (wanted.run, wanted.restarts) {
            return;
        }
        let mut changed = placement.clone();
        (changed.part.run, changed.part.restarts) = (wanted.run, wanted.restarts);
        changed.revision = self.coming_revision();
        self.put_placement(active, changed);
    }

    /// While it waits, what is lost or has failed is replaced with the same.
    fn keep_as_it_is(&mut self, slot_id: &SlotId, demand: &Demand, active: AssignmentId) {
        let Some(part) = self.placements.get(&active).map(|placement| placement.part.clone()) else { return };
        let spec = self.specs.decode(&part.spec);
        let same = Demand { part, spec, ..demand.clone() };
        match self.standing(active) {
            Standing::Dangling => self.replace(slot_id, &same, active),
            Standing::Exhausted(why) => self.try_elsewhere(slot_id, &same, active, &why),
            Standing::Settled | Standing::Moving if self.leave_drained(slot_id, &same, active) => {}
            Standing::Settled | Standing::Moving if self.todo.unfilled.contains(slot_id) => {
                self.unsay(slot_id);
            }
            Standing::Settled | Standing::Moving => {}
        }
    }

    /// The cluster that has it could have the new one, too: it knows best when.
    fn is_updated_there(&self, demand: &Demand, placement: &Placement) -> bool {
        let Some(spec) = demand.spec.as_ref().filter(|_| placement.role == Role::Cluster) else {
            return false;
        };
        let Some(member) = self.candidate(placement.member) else { return placement.per_node };
        if placement.per_node {
            return member.too_old(spec).is_none();
        }
        let nobody = BTreeMap::new();
        member.never(&Ask::new(spec, &nobody)).is_none()
    }

    /// What becomes of the placement, whose successor has a place: where it is, once it is gone; or
    /// elsewhere, where it is placed at once.
    ///
    /// # Errors
    /// When there is no place, or nobody knows of one yet.
    fn make_room(
        &mut self,
        slot_id: &SlotId,
        demand: &Demand,
        active: AssignmentId,
    ) -> Result<Phase, NoRoom> {
        if demand.rests() || !self.runs(active) {
            return Ok(Phase::Retiring);
        }
        let Some(spec) = demand.spec.clone() else {
            let reason = "it was written by a newer version; upgrade this orchestrator";
            return Err(NoRoom::Nowhere(reason.to_owned()));
        };
        if let Some(reason) = self.cannot_expose(demand, &spec) {
            return Err(NoRoom::Nowhere(reason));
        }
        if let Some(slot) = self.slots.get_mut(slot_id).filter(|slot| slot.asked != demand.part.generation) {
            // They said no to another specification.
            slot.forgive_all();
            slot.asked = demand.part.generation;
        }
        // A lease is never given twice: what is exclusive ends first.
        let phase = if spec.healing.exclusive { Phase::Retiring } else { Phase::Migrating };
        let surges = self.placements.get(&active).is_some_and(Self::surges);
        if surges && spec.may_overlap() && phase == Phase::Migrating {
            match self.place(slot_id, demand, &spec).map_err(NoRoom::from) {
                Ok(_) => return Ok(phase),
                Err(NoRoom::Asked) => return Err(NoRoom::Asked),
                Err(NoRoom::Nowhere(_)) => {}
            }
        }
        let Err(reason) = self.fits_instead(slot_id, demand, &spec, active) else {
            return Ok(Phase::Retiring);
        };
        if matches!(slot_id.1, SlotIndex::Node(_)) {
            return Err(NoRoom::Nowhere(reason));
        }
        let member = self.placements.get(&active).map(|placement| placement.member);
        if let Some(data) = member.and_then(|member| self.keeps_data(demand, member)) {
            return Err(NoRoom::Nowhere(format!("it {data}: {reason}")));
        }
        Ok(self.place(slot_id, demand, &spec).map(|_| phase)?)
    }

    fn could_be_anywhere(&self, spec: &ServiceSpec) -> bool {
        let nobody = BTreeMap::new();
        let ask = Ask::new(spec, &nobody);
        self.candidates(None)
            .any(|member| member.never(&ask).is_none() && !member.is_too_small(&spec.resources))
    }

    /// What is exposed goes on until its successor is ready, where both fit and write to nothing.
    pub(super) fn surges(placement: &Placement) -> bool {
        let numbered = matches!(placement.index, SlotIndex::Number(_)) && placement.role == Role::Node;
        numbered && placement.part.spec.decode().is_ok_and(|spec| spec.may_overlap())
    }

    /// A successor that runs takes over; of what is exposed only if it is known to take work: by its checks, or since
    /// it runs for long enough.
    pub(super) fn relieves(&self, active: AssignmentId, before: &Placement) -> bool {
        let checked = || self.copies(active).all(|report| report.status.readiness.is_some());
        let proved = || {
            let demand = self.demands.get(&Self::slot_of(before).0);
            let healthy_for = demand.map_or(self.config.deadlines.steady, |demand| self.healthy_for(demand));
            let placement = self.placements.get(&active);
            placement.is_some_and(|placement| self.has_proved(active, placement, healthy_for))
        };
        !Self::surges(before) || checked() || proved()
    }

    /// What the active placement would replace goes on until that is ready.
    pub(super) fn goes_on_before(&self, slot_id: &SlotId) -> bool {
        let others = self.slots.get(slot_id).into_iter().flat_map(|slot| &slot.others);
        others.filter_map(|id| Some((*id, self.placements.get(id)?))).any(|(id, before)| {
            let replaced = matches!(before.phase, Phase::Superseded | Phase::Migrating);
            let surges = replaced && Self::surges(before);
            // Its node may be starting anew.
            surges && !self.is_silent(id, before) && self.runs_or_will(id)
        })
    }

    /// It runs, or its node is about to start it (again).
    fn runs_or_will(&self, id: AssignmentId) -> bool {
        let over = |report: &InstanceReport| match report.status.state {
            InstanceState::Failed => report.status.exhausted,
            state => {
                matches!(state, InstanceState::Completed | InstanceState::Stopped | InstanceState::Terminated)
            }
        };
        self.instances.get(&id).is_some_and(|report| !over(report))
    }

    fn runs(&self, active: AssignmentId) -> bool {
        self.copies(active).any(|report| report.status.state.is_live())
    }

    /// Whether the placement's member could take the specification instead of it.
    ///
    /// # Errors
    /// Why not, for people.
    fn fits_instead(
        &self,
        slot_id: &SlotId,
        demand: &Demand,
        spec: &ServiceSpec,
        active: AssignmentId,
    ) -> Result<(), String> {
        let Some(placement) = self.placements.get(&active) else { return Ok(()) };
        let name = || self.member_name(placement.member);
        let load = self.load.get(&placement.member);
        let (used, taken_ports) = load.map(|load| load.without(active)).unwrap_or_default();
        let (Some(mut member), Some(live)) =
            (self.candidate(placement.member), self.live.get(&placement.member))
        else {
            return Err(format!("{}: is not known yet", name()));
        };
        if let (Kind::Node { free, ports, taken, .. }, Some(facts)) = (&mut member.kind, &live.facts) {
            (*free, *ports) = (facts.allocatable.less(&used), &taken_ports);
            *taken = load.map_or(Taken::NONE, |load| load.taken_except(active));
        }
        // Its successor is nothing new there. What could be elsewhere goes elsewhere.
        if matches!(slot_id.1, SlotIndex::Node(_)) {
            member = member.at_home();
        }
        let nobody = BTreeMap::new();
        let ask = self.ask(slot_id, demand, spec, &nobody);
        let refusal = Candidate::refuses(&member, &ask).map(|reason| member.explain(&ask, reason));
        refusal.map_or(Ok(()), |reason| Err(format!("{}: {reason}", name())))
    }

    /// An event for each update that waits, said once: while members are still awaited, it may not have to.
    pub(super) fn note_waiting(&mut self, slot_id: &SlotId, at: &SlotIndex, generation: u64, reason: &str) {
        if self.is_gathering() {
            return;
        }
        let Some(part) = self.demands.get(&slot_id.0).map(|demand| &demand.part) else { return };
        let (application, place) = (part.app.to_string(), format!("{}/{at}", part.service));
        let Some(slot) = self.slots.get_mut(slot_id).filter(|slot| slot.waits != generation) else { return };
        slot.waits = generation;
        self.behind.change(Change {
            at: self.now.wall,
            kind: "application".to_owned(),
            subject: application.clone(),
            application,
            slot: place,
            from: String::new(),
            to: "waiting".to_owned(),
            cause: "scheduler".to_owned(),
            reason: reason.to_owned(),
        });
    }

    fn set_halted(&mut self, slot_id: &SlotId, halted: bool) {
        if let Some(slot) = self.slots.get_mut(slot_id) {
            slot.halted = halted;
        }
    }

    /// Whether the slot has to wait for others of its origin: as many as may be at once are being updated or have not
    /// proved their new specification yet, one has failed or has no place, or it is not of the canary.
    fn others_move(&mut self, slot_id: &SlotId, demand: &Demand, placement: &Placement) -> bool {
        if Self::waits_for_canary(&slot_id.1, demand) {
            return true;
        }
        // A cluster goes through its nodes itself, and clusters one after the other.
        let at_once = if placement.per_node { 1 } else { demand.update().parallel as usize };
        let halted_itself = self.slots.get(slot_id).is_some_and(|slot| slot.halted);
        // Those that the slots before this waited for, most likely.
        let known = self.this_step.movers.take().filter(|(origin, _)| *origin == slot_id.0);
        let known = known.map(|(_, movers)| movers).unwrap_or_default();
        let known = known.iter().filter_map(|index| {
            let slot = self.slots.get(&(slot_id.0.clone(), index.clone()))?;
            Some((index, slot))
        });
        let (mut movers, mut waits) = self.movers(known, slot_id, demand, halted_itself, at_once);
        if !waits {
            (movers, waits) = self.movers(self.slots.of(&slot_id.0), slot_id, demand, halted_itself, at_once);
        }
        self.this_step.movers = Some((slot_id.0.clone(), movers));
        waits
    }

    /// Those of `slots` that the slot has to wait for, until it is known that it has to.
    fn movers<'a>(
        &self,
        slots: impl Iterator<Item = (&'a SlotIndex, &'a Slot)>,
        slot_id: &SlotId,
        demand: &Demand,
        halted_itself: bool,
        at_once: usize,
    ) -> (Vec<SlotIndex>, bool) {
        let generation = demand.part.generation;
        let mut movers = Vec::new();
        for (index, slot) in slots.filter(|(index, _)| **index != slot_id.1) {
            let halted = !halted_itself && self.is_halted(slot);
            if !halted && !self.moves(index, slot, demand) {
                continue;
            }
            movers.push(index.clone());
            let failed =
                self.is_proving(index, slot, demand) && self.failure(index, slot, generation).is_some();
            if halted || failed || movers.len() >= at_once {
                return (movers, true);
            }
        }
        (movers, false)
    }

    fn moves(&self, index: &SlotIndex, slot: &Slot, demand: &Demand) -> bool {
        if self.is_proving(index, slot, demand) {
            return true;
        }
        // What moved before our start may not have settled either.
        let moved = slot.moved.max(self.gathering.started());
        if self.now.boot.saturating_sub(moved) > self.config.deadlines.settle {
            return false;
        }
        match slot.active {
            None => slot.others.iter().any(|id| {
                self.placements.get(id).is_some_and(|p| p.phase == Phase::Retiring && self.online(p))
            }),
            Some(id) => self.placements.get(&id).is_some_and(|p| {
                p.part.generation == demand.part.generation
                    && self.online(p)
                    && self.standing(id) == Standing::Moving
            }),
        }
    }

    /// The service is updated by ending all that is old, and some of it has not ended.
    pub(super) fn is_ending(&mut self, origin: &Origin, demand: &Demand) -> bool {
        if !demand.update().recreates() || self.this_step.ended.as_ref() == Some(origin) {
            return false;
        }
        let old = |id: &AssignmentId| {
            self.placements.get(id).is_some_and(|placement| {
                let older = placement.part.generation < demand.part.generation;
                let other = placement.part.spec != demand.part.spec;
                older && other && !placement.per_node && !self.is_silent(*id, placement)
            })
        };
        let mut all = self.slots.of(origin).flat_map(|(_, slot)| slot.active.iter().chain(&slot.others));
        let ending = all.any(old);
        if !ending {
            self.this_step.ended = Some(origin.clone());
        }
        ending
    }

    /// What runs in the slot stays, since its new specification has no place, here or in its cluster.
    pub(super) fn is_halted(&self, slot: &Slot) -> bool {
        let Some((id, placement)) = slot.active.and_then(|id| Some((id, self.placements.get(&id)?))) else {
            return false;
        };
        let older = |id: &AssignmentId| {
            self.instances.get(id).is_some_and(|report| {
                report.generation != placement.part.generation
                    && report.status.state != InstanceState::Dangling
            })
        };
        let below = || {
            self.is_stranded(id, placement)
                && self.index.by_share.get(&id).is_some_and(|all| all.iter().any(older))
        };
        self.online(placement) && (slot.halted || below())
    }
}
