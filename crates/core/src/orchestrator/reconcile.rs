//! Slots made true: every wanted slot has one placement of the wanted specification, and no other
//! placement stays.
//!
//! ```text
//!           place             member silent, replacement made
//!  (none) ────────▶ Active ────────────────────────────────▶ Superseded (held)
//!                   │  │ ▲     back, and the rule is for it        │
//!                   │  │ └─────────────────────────────────────────┤ back, and the rule is not
//!                   │  └──moved elsewhere──▶ Migrating             │
//!                   │                            │ successor ready │
//!                   │ other specification,       ▼                 ▼
//!                   └─failed here, not wanted─▶ Retiring ──────────┘──▶ (none)
//!                                                     the member says that it is gone
//! ```

use std::collections::BTreeSet;

use holm_model::fact::Verdict;
use holm_model::id::AssignmentId;
use holm_model::member::Role;
use holm_model::slot::SlotIndex;
use holm_model::state::RunState;

use super::Orchestrator;
use super::choosing::{Awaits, NoPlace};
use super::demand::{Demand, Origin, SlotId, Wanted};
use super::patience::No;
use super::rows::{Phase, Placement};
use super::slots::Slot;
use super::standing::Standing;

/// A slot has its first assignment and one other, then it is FAILED.
pub(super) const ASSIGNMENTS: u32 = 2;

impl Orchestrator {
    /// All slots of an origin: those wanted are looked at, the others are given up.
    pub(super) fn reconcile(&mut self, origin: &Origin) {
        let demand = self.demands.get(origin).cloned();
        if let Origin::Share(share) = origin {
            // For how many nodes it is may be something else by now.
            self.todo.shares.insert(*share);
        }
        self.look_at_exposed(origin);
        self.look_at_scaled(origin);
        if demand.is_none() && !self.parent.open && self.is_unclaimed(origin) {
            // Our parent's, to whom it is left when it is back.
            return;
        }
        let wanted: BTreeSet<_> =
            demand.as_ref().map(|demand| self.wanted(origin, demand)).into_iter().flatten().collect();
        for index in self.slots_of(origin) {
            let slot_id = (origin.clone(), index);
            if wanted.contains(&slot_id.1) {
                continue;
            }
            if !self.keeps_its_node(demand.as_ref(), &slot_id.1) {
                self.give_up(&slot_id);
            } else if let Some(slot) = self.slots.get_mut(&slot_id) {
                slot.wanted = true;
            }
        }
        for index in wanted {
            let slot_id = (origin.clone(), index);
            let since = self.now.wall;
            let slot = self.slots.obtain(slot_id.clone(), || Slot { since, ..Slot::default() });
            slot.wanted = true;
            self.reconcile_slot(&slot_id);
        }
    }

    /// A per-node slot stays while its node is a member whose facts are only not known yet.
    fn keeps_its_node(&self, demand: Option<&Demand>, index: &SlotIndex) -> bool {
        let SlotIndex::Node(path) = index else { return false };
        demand.is_some_and(|demand| demand.slots == Wanted::PerNode)
            && self.members.iter().any(|(id, member)| {
                Some(&member.name) == path.last()
                    && self.live.get(id).is_some_and(|live| live.facts.is_none())
                    && member.role == Role::Node
            })
    }

    pub(super) fn reconcile_slot(&mut self, slot_id: &SlotId) {
        if let Origin::Share(share) = slot_id.0 {
            // What is known already is not told again.
            self.todo.shares.insert(share);
        }
        self.tidy(slot_id);
        let Some(slot) = self.slots.get_mut(slot_id) else { return };
        if slot.is_over() {
            self.slots.remove(slot_id);
            self.forget_home(slot_id);
            self.todo.unfilled.remove(slot_id);
            return;
        }
        let (wanted, empty) = (slot.wanted, slot.active.is_none());
        let Some(demand) = self.demands.get(&slot_id.0).cloned().filter(|_| wanted) else { return };
        let demand = if empty { self.due(slot_id, demand) } else { demand };
        let Some(slot) = self.slots.get_mut(slot_id) else { return };
        let about = (demand.part.restarts, demand.part.generation);
        if slot.active.is_none() && slot.tried != about {
            (slot.tried, slot.failed, slot.failures) = (about, None, 0);
            slot.forgive_all();
        }
        if slot.active.is_none() && demand.has_failed(&slot_id.1) {
            let gone = "it has failed and is not tried again; where it ran is no member any more";
            slot.failed.get_or_insert_with(|| gone.to_owned());
            slot.failures = slot.failures.max(1);
        }
        slot.end_waits(self.now.boot);
        slot.may_run = false;
        match slot.active {
            Some(active) => self.keep(slot_id, &demand, active),
            None => self.fill(slot_id, &demand),
        }
    }

    /// Placements that are not active: back into force, given up, or forgotten.
    fn tidy(&mut self, slot_id: &SlotId) {
        let Some(slot) = self.slots.get(slot_id) else { return };
        for id in slot.others.clone() {
            // Another one may be back in force by now.
            let active = self.slots.get(slot_id).and_then(|slot| slot.active);
            let Some(placement) = self.placements.get(&id).cloned() else { continue };
            match placement.phase {
                Phase::Superseded => {
                    let back = self.online(&placement);
                    match active {
                        Some(active) if back => self.reconcile_returned(slot_id, id, active),
                        None if back => self.set_phase(id, Phase::Active),
                        // Time alone may decide.
                        _ if back && Self::surges(&placement) => {
                            self.todo.relieving.insert(slot_id.clone());
                        }
                        _ => {}
                    }
                }
                Phase::Migrating => self.tidy_migrating(slot_id, id, active),
                Phase::Retiring => {
                    self.notice_break(slot_id, id);
                    if self.is_gone(id, &placement) {
                        self.release_lease(slot_id, id, &placement);
                        self.drop_placement(id);
                    }
                }
                Phase::Active => {}
            }
        }
    }

    /// The successor runs, or nothing is meant to; or it has failed, and was made for another specification.
    pub(super) fn succeeds(&self, active: AssignmentId, before: &Placement) -> bool {
        let Some(part) = self.placements.get(&active).map(|placement| &placement.part) else { return false };
        match self.standing(active) {
            _ if part.run == RunState::Stop => true,
            Standing::Settled => self.relieves(active, before),
            // Of what is exposed, something goes on being reached.
            Standing::Exhausted(_) => part.generation != before.part.generation && !Self::surges(before),
            Standing::Moving | Standing::Dangling => false,
        }
    }

    fn fill(&mut self, slot_id: &SlotId, demand: &Demand) {
        let Some(slot) = self.slots.get(slot_id) else { return };
        let clearing = slot.others.iter().any(|id| {
            self.placements.get(id).is_some_and(|p| {
                // For what was only reserved, nothing was started.
                p.phase == Phase::Retiring && p.reservation.is_none() && !self.is_silent(*id, p)
            })
        });
        let (class, reason) = if let Some(failed) = &slot.failed {
            ("failed", failed.clone())
        } else if demand.quiet {
            ("unconfirmed", "it was restored and nobody has confirmed it; see `holm confirm`".to_owned())
        } else if demand.rests() {
            ("stopped", "stopped".to_owned())
        } else if demand.is_done(&slot_id.1) {
            ("done", "it has completed; where it ran is no member any more".to_owned())
        } else if let Some(reason) = self.may_run_already(slot_id, demand) {
            self.todo.unfilled.insert(slot_id.clone());
            ("unheard", reason)
        } else if self.is_refused(&slot_id.0) {
            return;
        } else if clearing {
            ("clearing", "waits for its previous instance to end".to_owned())
        } else if Self::waits_for_canary(&slot_id.1, demand) {
            ("canary", "waits for the canary of its generation; of none before it everything ran".to_owned())
        } else if self.is_ending(&slot_id.0, demand) {
            self.todo.unfilled.insert(slot_id.clone());
            ("clearing", "waits for the instances of the generation before to end".to_owned())
        } else {
            match demand.spec.clone() {
                None => {
                    let reason =
                        "its specification was written by a newer version; upgrade this orchestrator";
                    ("old", reason.to_owned())
                }
                Some(spec) => match self.place(slot_id, demand, &spec) {
                    Ok(_) => return self.unsay(slot_id),
                    Err(NoPlace { reason, waits: None, together, .. })
                        if !self.is_gathering()
                            && self.hand_back(
                                slot_id,
                                &reason,
                                if together { No::Together } else { No::Place },
                            ) =>
                    {
                        return;
                    }
                    Err(nobody) => {
                        self.todo.unfilled.insert(slot_id.clone());
                        (nobody.class(), nobody.reason)
                    }
                },
            }
        };
        if let Some(slot) = self.slots.get_mut(slot_id) {
            slot.class = class;
        }
        self.say(slot_id, reason);
    }

    fn keep(&mut self, slot_id: &SlotId, demand: &Demand, active: AssignmentId) {
        let Some(placement) = self.placements.get(&active).cloned() else { return };
        if placement.reservation.is_some() {
            return self.keep_reserved(slot_id, demand, active, &placement);
        }
        if self.breaks_off(slot_id, demand, active, &placement) {
            return;
        }
        if placement.part.generation != demand.part.generation {
            return self.update(slot_id, demand, active, &placement);
        }
        if let Some(slot) = self.slots.get_mut(slot_id) {
            slot.halted = false;
        }
        let differs =
            (placement.part.run, placement.part.restarts) != (demand.part.run, demand.part.restarts);
        if differs && self.starts_without_room(slot_id, demand, active, &placement) {
            // What had ended took no room; somebody else has it now.
            self.set_phase(active, Phase::Retiring);
            self.todo.slots.insert(slot_id.clone());
            return;
        }
        if differs {
            let mut changed = placement;
            changed.part = demand.part.clone();
            changed.revision = self.coming_revision();
            if changed.part.restarts != 0 {
                changed.failures = demand.failures;
            }
            if self.is_dangling(active, &changed) {
                // It may be replaced now.
                self.todo.slots.insert(slot_id.clone());
            }
            return self.put_placement(active, changed);
        }
        match self.standing(active) {
            Standing::Settled => {
                self.note_leased(active);
                self.note_moved(slot_id, active);
                if !self.leave_drained(slot_id, demand, active) {
                    self.unsay(slot_id);
                    if let Some(slot) = self.slots.get_mut(slot_id) {
                        slot.forgive_all();
                    }
                }
            }
            Standing::Moving => {
                if !self.leave_drained(slot_id, demand, active) {
                    self.unsay(slot_id);
                }
            }
            Standing::Dangling => self.replace(slot_id, demand, active),
            Standing::Exhausted(why) => {
                self.try_elsewhere(slot_id, demand, active, &why);
                self.end_move(slot_id);
            }
        }
    }

    /// Somebody has it: what was said while nobody had is over.
    pub(super) fn unsay(&mut self, slot_id: &SlotId) {
        self.todo.unfilled.remove(slot_id);
        if let Some(slot) = self.slots.get_mut(slot_id) {
            slot.reason.clear();
        }
    }

    /// The member is silent past its deadline: a replacement is made, the old copy stays as held. Without
    /// one it stays as it is; the parent hears of that and may have another place.
    pub(super) fn replace(&mut self, slot_id: &SlotId, demand: &Demand, active: AssignmentId) {
        let Some(spec) = demand.spec.clone() else { return };
        let done = self.is_done(active, &spec);
        if !self.placements.get(&active).is_some_and(|placement| self.may_be_replaced(active, placement)) {
            return self.unsay(slot_id);
        }
        // What is paused has something in memory, and another one would not run.
        let rests = demand.rests() || demand.part.run == RunState::Pause;
        if matches!(slot_id.1, SlotIndex::Node(_)) || demand.quiet || rests || done {
            return;
        }
        match self.place(slot_id, demand, &spec) {
            Ok(_) => {
                self.tally.replacements += 1;
                self.supersede(active);
                self.todo.unfilled.remove(slot_id);
            }
            // Nobody above is to think that there is none.
            Err(NoPlace { waits: Some(Awaits::Answer), .. }) => {}
            Err(NoPlace { reason, .. }) => {
                self.todo.unfilled.insert(slot_id.clone());
                let silent = self.placements.get(&active).is_some_and(|p| self.is_silent(active, p));
                let why = if silent { "its node is silent and there" } else { "there" };
                self.say(slot_id, format!("{why} is no other place: {reason}"));
            }
        }
    }

    /// The attempts there are used up: one new assignment elsewhere, then FAILED.
    pub(super) fn try_elsewhere(
        &mut self,
        slot_id: &SlotId,
        demand: &Demand,
        active: AssignmentId,
        why: &str,
    ) {
        let Some(placement) = self.placements.get(&active).cloned() else { return };
        let failures = placement.failures + 1;
        let (Some(spec), SlotIndex::Number(_)) = (demand.spec.clone(), &slot_id.1) else { return };
        let once = spec.fails_once();
        if self.goes_on_before(slot_id) {
            // What it would have replaced is reached instead, until people decide.
            return;
        }
        let stays = self.keeps_data(demand, placement.member).is_some();
        if failures >= ASSIGNMENTS || once || stays || demand.quiet || demand.rests() {
            return;
        }
        let (now, deadlines) = (self.now.boot, &self.config.deadlines);
        if let Some(slot) = self.slots.get_mut(slot_id) {
            slot.refuse(placement.member, No::Failed, format!("it failed there: {why}"), now, deadlines);
            slot.failures = failures;
        }
        let name = self.member_name(placement.member);
        match self.place(slot_id, demand, &spec) {
            Ok(_) => self.set_phase(active, Phase::Retiring),
            // It is looked at again when the answer comes.
            Err(NoPlace { waits: Some(_), .. }) => {}
            Err(_) if self.hand_back(slot_id, &format!("{name}: {why}"), No::Failed) => {}
            // Nowhere else to go: it stays where people can look at it.
            Err(_) => {}
        }
    }

    /// A share that cannot be filled here is refused, once and for ever, while the parent listens.
    fn hand_back(&mut self, slot_id: &SlotId, reason: &str, no: No) -> bool {
        let Origin::Share(share) = slot_id.0 else { return false };
        if !self.parent.open || matches!(slot_id.1, SlotIndex::Node(_)) {
            return false;
        }
        self.refuse_share(slot_id, share, reason, no);
        true
    }

    /// This id is never started again.
    pub(super) fn refuse_share(&mut self, slot_id: &SlotId, share: AssignmentId, reason: &str, no: No) {
        let (failed, together) = (no == No::Failed, no == No::Together);
        let verdict = Verdict::Refused { reason: reason.to_owned(), failed, done: false, together };
        self.verdicts.put(&mut self.journal, share, verdict);
        self.give_up(slot_id);
        self.tell_verdict(share);
    }

    pub(super) fn is_refused(&self, origin: &Origin) -> bool {
        matches!(origin, Origin::Share(share) if matches!(self.verdicts.get(share), Some(Verdict::Refused { .. })))
    }

    /// Takes every placement of a slot off the lists.
    pub(super) fn give_up(&mut self, slot_id: &SlotId) {
        let Some(slot) = self.slots.get_mut(slot_id) else { return };
        slot.wanted = false;
        let all: Vec<AssignmentId> = slot.active.iter().chain(&slot.others).copied().collect();
        for id in &all {
            self.set_phase(*id, Phase::Retiring);
        }
        self.todo.unfilled.remove(slot_id);
        self.reconcile_slot(slot_id);
    }

    pub(super) fn say(&mut self, slot_id: &SlotId, reason: String) {
        if let Some(slot) = self.slots.get_mut(slot_id).filter(|slot| slot.reason != reason) {
            // Numbers in it change all the time; how long it waits goes on.
            if slot.reason.is_empty() || reason.is_empty() {
                slot.since = self.now.wall;
            }
            slot.reason = reason;
        }
    }
}
