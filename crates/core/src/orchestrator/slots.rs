//! Slots: what fills each, and what was tried.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holm_model::id::{AssignmentId, MemberId};
use holm_model::item::{Item, ItemKey};
use holm_model::member::Role;
use holm_model::slot::{ServiceKey, SlotIndex};
use holm_model::time::Time;

use super::Orchestrator;
use super::demand::{Demand, Origin, SlotId};
use super::moving::Moving;
use super::patience::Patience;
use super::place::Takes;
use super::rows::{Phase, Placement};

/// One slot here. Its placements are rows; the rest is known again by trying.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// The demand has it; otherwise only placements that are on their way out keep it here.
    pub(super) wanted: bool,
    pub(super) active: Option<AssignmentId>,
    /// Superseded and retiring placements.
    pub(super) others: BTreeSet<AssignmentId>,
    /// Members that said no, in their words, and are not asked yet.
    pub(super) refused: BTreeMap<MemberId, String>,
    pub(super) patience: BTreeMap<MemberId, Patience>,
    /// Assignments that failed so far.
    pub(super) failures: u32,
    /// All attempts are used up: why. Ends with a restart or another specification.
    pub(super) failed: Option<String>,
    /// (restarts, generation) that `failures` and `failed` are about.
    pub(super) tried: (u64, u64),
    /// Something was placed in it: whoever is cordoned keeps what it has.
    pub(super) had: bool,
    /// A member may run it that this store has forgotten: it is not started elsewhere meanwhile.
    pub(super) may_run: bool,
    /// Generation of the update that members were asked about last.
    pub(super) asked: u64,
    /// Its new specification has no place: what runs stays, and the update waits.
    pub(super) halted: bool,
    /// Generation of the update of which it was told that it waits.
    pub(super) waits: u64,
    /// Why nothing fills it, or why its update waits.
    pub(super) reason: String,
    /// What kind of reason that is, for counting.
    pub(super) class: &'static str,
    pub(super) since: Time,
    /// It is on its way from one member to another.
    pub(super) moving: Option<Moving>,
    /// When its placement changed last, for updates that pass over what does not settle (boot time).
    pub(super) moved: Duration,
}

/// All slots here, first by origin: origins are long to compare, and most questions are about one.
#[derive(Debug, Default)]
pub(super) struct Slots {
    by_origin: BTreeMap<Origin, BTreeMap<SlotIndex, Box<Slot>>>,
}

// === impl Slots ===

impl Slots {
    pub(super) fn get(&self, (origin, index): &SlotId) -> Option<&Slot> {
        self.by_origin.get(origin)?.get(index).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, (origin, index): &SlotId) -> Option<&mut Slot> {
        self.by_origin.get_mut(origin)?.get_mut(index).map(Box::as_mut)
    }

    /// The slot, made now if there is none.
    pub(super) fn obtain(&mut self, (origin, index): SlotId, new: impl FnOnce() -> Slot) -> &mut Slot {
        self.by_origin.entry(origin).or_default().entry(index).or_insert_with(|| Box::new(new()))
    }

    pub(super) fn remove(&mut self, (origin, index): &SlotId) {
        let Some(slots) = self.by_origin.get_mut(origin) else { return };
        slots.remove(index);
        if slots.is_empty() {
            self.by_origin.remove(origin);
        }
    }

    pub(super) fn clear(&mut self) {
        self.by_origin.clear();
    }

    pub(super) fn origins(&self) -> impl Iterator<Item = &Origin> {
        self.by_origin.keys()
    }

    /// The slots of an origin.
    pub(super) fn of(&self, origin: &Origin) -> impl Iterator<Item = (&SlotIndex, &Slot)> {
        self.by_origin.get(origin).into_iter().flatten().map(|(index, slot)| (index, slot.as_ref()))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Origin, &SlotIndex, &Slot)> {
        self.by_origin
            .iter()
            .flat_map(|(origin, slots)| slots.iter().map(move |(index, slot)| (origin, index, slot.as_ref())))
    }
}

// === impl Slot ===

impl Slot {
    /// Not wanted, and nothing is left of it.
    pub(super) fn is_over(&self) -> bool {
        !self.wanted && self.active.is_none() && self.others.is_empty()
    }
}

// === impl Orchestrator ===

impl Orchestrator {
    pub(super) fn derive_demands(&mut self) {
        self.demands.clear();
        for row in self.wishes.values().filter(|row| row.wish.deleted.is_none()) {
            self.demands.extend(Demand::of_wish(&row.wish, &mut self.specs));
        }
        let shares: Vec<_> = self
            .held
            .items()
            .filter_map(|packed| match (&packed.key, packed.unpack()) {
                (ItemKey::Share(id), Ok(Item::Share(share))) => Some((*id, share)),
                _ => None,
            })
            .collect();
        for (id, share) in shares {
            self.demands.insert(Origin::Share(id), Demand::of_share(&share, &mut self.specs));
        }
        let wishes: Vec<_> = self.wishes.iter().map(|(id, _)| *id).collect();
        wishes.into_iter().for_each(|id| self.note_timing(id));
    }

    pub(super) fn derive_slots(&mut self) {
        self.slots.clear();
        self.load.clear();
        self.placed.clear();
        self.violations.clear();
        self.reserving.clear();
        self.rankings.clear();
        self.index.consumers.clear();
        self.index.readers.clear();
        let placements: Vec<_> = self.placements.iter().map(|(id, p)| (*id, p.clone())).collect();
        for (id, placement) in placements {
            self.index(id, &placement);
        }
    }

    /// The slot that a placement is for.
    pub(super) fn slot_of(placement: &Placement) -> SlotId {
        let origin = placement.share.map_or_else(|| Origin::Own(service_of(placement)), Origin::Share);
        (origin, placement.index.clone())
    }

    /// Puts a placement with all that follows from it: slot, load of its member, item on its list.
    pub(super) fn put_placement(&mut self, id: AssignmentId, placement: Placement) {
        if let Some(old) = self.placements.get(&id).cloned() {
            self.unindex(id, &old);
        }
        self.index(id, &placement);
        self.exposing.touch(&service_of(&placement));
        if placement.phase == Phase::Active && placement.has_data() {
            self.forget_home(&Self::slot_of(&placement));
        }
        let item = placement.item(id);
        let (member, key) = (placement.member, placement.key(id));
        self.placements.put(&mut self.journal, id, placement);
        self.set_item(member, key, item.as_ref());
        if self.has_completed(id) {
            self.todo.weigh.insert(id);
        }
    }

    /// Forgets a placement; its item leaves the list.
    pub(super) fn drop_placement(&mut self, id: AssignmentId) {
        let Some(old) = self.placements.remove(&mut self.journal, &id) else { return };
        self.unindex(id, &old);
        self.exposing.touch(&service_of(&old));
        self.set_item(old.member, old.key(id), None);
        self.index.unfilled_below.remove(&id);
        self.reserving.forget(id);
        self.violations.forget(id);
        self.index.nodes_below.remove(&id);
        self.capacity_changed = true;
        let slot = Self::slot_of(&old);
        if self.slots.get(&slot).is_some_and(|slot| slot.active.is_none()) {
            self.note_home(&slot, &old);
        }
        self.todo.slots.insert(slot);
        self.look_if_drained(old.member);
    }

    fn index(&mut self, id: AssignmentId, placement: &Placement) {
        let now = self.now;
        let slot = self.slots.obtain(Self::slot_of(placement), Slot::default);
        slot.moved = now.boot;
        slot.had = true;
        if placement.phase == Phase::Active {
            slot.active = Some(id);
            slot.since = placement.since;
            slot.failures = slot.failures.max(placement.failures);
            slot.tried = (placement.part.restarts, placement.part.generation);
        } else {
            slot.others.insert(id);
        }
        let spec = self.specs.decode(&placement.part.spec);
        let takes = Takes::of(placement, spec.as_deref(), self.takes_nothing(id, placement));
        let followers = self.placed.add(placement, spec.as_ref());
        self.violations.add(id, placement, spec.as_deref());
        self.reserving.add(id, placement);
        if !followers.is_empty() {
            self.this_step.full = None;
            self.todo.slots.extend(followers);
        }
        self.rankings.touch(placement.member);
        for key in &takes.connects {
            self.consume(placement.member, key);
        }
        for key in &takes.contents {
            self.need_content(placement.member, key);
        }
        let obeyed = self.live.get(&placement.member).map_or(0, |live| live.obeyed);
        self.load.entry(placement.member).or_default().add(id, placement, takes, obeyed);
        self.aggregate_stale = true;
    }

    fn unindex(&mut self, id: AssignmentId, placement: &Placement) {
        if let Some(slot) = self.slots.get_mut(&Self::slot_of(placement)) {
            if slot.active == Some(id) {
                slot.active = None;
            }
            slot.others.remove(&id);
        }
        let taken = self.load.entry(placement.member).or_default().take(id, placement);
        for key in taken.iter().flat_map(|takes| &takes.connects) {
            self.stop_consuming(placement.member, key);
        }
        for key in taken.iter().flat_map(|takes| &takes.contents) {
            self.stop_needing_content(placement.member, key);
        }
        self.placed.take(placement);
        self.violations.take(id);
        self.reserving.take(id, placement);
        self.rankings.touch(placement.member);
        self.this_step.full = None;
        self.aggregate_stale = true;
    }

    /// The placements on a member, whatever their phase.
    pub(super) fn placements_on(&self, member: MemberId) -> Vec<AssignmentId> {
        self.load.get(&member).map(|load| load.placements.keys().copied().collect()).unwrap_or_default()
    }

    /// Moves a placement to another phase.
    pub(super) fn set_phase(&mut self, id: AssignmentId, phase: Phase) {
        let Some(mut placement) = self.placements.get(&id).cloned() else { return };
        if placement.phase == phase {
            return;
        }
        if phase == Phase::Retiring && placement.role == Role::Node && placement.reservation.is_some() {
            // Its node was told nothing.
            return self.drop_placement(id);
        }
        let migrated = [placement.phase, phase].contains(&Phase::Migrating);
        placement.phase = phase;
        placement.revision = self.coming_revision();
        self.put_placement(id, placement);
        if migrated {
            // Whoever is above is told when that begins, and when it ends.
            for report in self.copies(id).cloned().collect::<Vec<_>>() {
                self.report_instance(&report);
            }
        }
    }

    /// The slots of an origin that exist here.
    pub(super) fn slots_of(&self, origin: &Origin) -> Vec<SlotIndex> {
        self.slots.of(origin).map(|(index, _)| index.clone()).collect()
    }
}

fn service_of(placement: &Placement) -> ServiceKey {
    ServiceKey { wish: placement.part.wish, service: placement.part.service.clone() }
}
