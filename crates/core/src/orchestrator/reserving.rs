//! Groups that several members share: each keeps room for its part, and nothing starts before all do.
//!
//! ```text
//!  orchestrator                        its clusters
//!   shares, `reserve: Asked`   ──→       a place, and room; refused after a while
//!                              ←──   there is room, and where
//!   all of them, near enough?
//!   `reserve: Kept`            ──→       the room is kept until more is said
//!                              ←──   it is
//!   all of them?
//!   no `reserve`               ──→       they start
//! ```
//!
//! Whatever goes wrong before the last step takes all shares off the lists: an answer that does not come, a member that is
//! silent, a part that is refused or is to be something else. All of it is on the lists, so that a message that is lost,
//! and a crash of either side, is mended as ever.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holm_model::coordinate::Coordinate;
use holm_model::duration::Span;
use holm_model::fact::Reserved;
use holm_model::id::{AssignmentId, WishId};
use holm_model::item::{RESERVED_FOR, Reserve};
use holm_model::member::Role;
use holm_model::state::RunState;

use super::Orchestrator;
use super::demand::{Demand, Origin, SlotId};
use super::grouping::required;
use super::patience::No;
use super::rows::{Phase, Placement, Reservation};

/// How long each of the two questions may take. Members keep what they are asked for longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Placements for which room is kept, and what is known of it.
#[derive(Debug, Default)]
pub(super) struct Reserving {
    groups: BTreeMap<AssignmentId, BTreeSet<AssignmentId>>,
    wishes: BTreeSet<(WishId, AssignmentId)>,
    /// What clusters told of their shares.
    told: BTreeMap<AssignmentId, Reserved>,
}

/// One part of a group.
type Part = (AssignmentId, Placement);

/// What keeps a group from its next step.
enum Trouble {
    /// It is over: who has to be asked no more for now, and why.
    Over(Vec<(AssignmentId, String)>),
    Waits,
}

// === impl Reserving ===

impl Reserving {
    pub(super) fn add(&mut self, id: AssignmentId, placement: &Placement) {
        let active = placement.phase == Phase::Active;
        if let Some(Reservation { group, .. }) = placement.reservation.filter(|_| active) {
            self.groups.entry(group).or_default().insert(id);
            self.wishes.insert((placement.part.wish, id));
        }
    }

    pub(super) fn take(&mut self, id: AssignmentId, placement: &Placement) {
        let Some(Reservation { group, .. }) = placement.reservation else { return };
        self.wishes.remove(&(placement.part.wish, id));
        if let Some(parts) = self.groups.get_mut(&group) {
            parts.remove(&id);
            if parts.is_empty() {
                self.groups.remove(&group);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.groups.clear();
        self.wishes.clear();
    }

    /// The placement is no more.
    pub(super) fn forget(&mut self, id: AssignmentId) {
        self.told.remove(&id);
    }

    /// Room is kept for something of it.
    pub(super) fn has(&self, wish: WishId) -> bool {
        self.wishes.iter().any(|(of, _)| *of == wish)
    }
}

// === impl Orchestrator: as a member ===

impl Orchestrator {
    /// Of a placement that fills a share: it stands for itself.
    pub(super) const fn reservation_of(origin: &Origin, demand: &Demand) -> Option<Reservation> {
        match (origin, demand.reserve) {
            (Origin::Share(group), Some(reserve)) => Some(Reservation { group: *group, parts: 1, reserve }),
            _ => None,
        }
    }

    /// For our parent: see [`holm_model::fact::ShareReport::reserved`].
    pub(super) fn reserved_for(&self, share: AssignmentId) -> Option<Reserved> {
        let origin = Origin::Share(share);
        let reserve = self.demands.get(&origin)?.reserve?;
        let id = self.slots.of(&origin).find_map(|(_, slot)| slot.active)?;
        let placement = self.placements.get(&id)?;
        let kept = placement.reservation.is_some_and(|reservation| reservation.reserve == reserve);
        let coordinate = self.room_kept(id, placement).filter(|_| kept)?;
        Some(Reserved { reserve, coordinate })
    }

    /// A slot for which room is kept.
    pub(super) fn keep_reserved(
        &mut self,
        slot_id: &SlotId,
        demand: &Demand,
        active: AssignmentId,
        placement: &Placement,
    ) {
        let Some(reservation) = placement.reservation else { return };
        if matches!(slot_id.0, Origin::Own(_)) {
            return self.look_at_group(reservation.group);
        }
        if is_other(demand, placement) || self.is_dangling(active, placement) {
            self.set_phase(active, Phase::Retiring);
            self.todo.slots.insert(slot_id.clone());
        } else if demand.reserve != Some(reservation.reserve) {
            self.unsay(slot_id);
            self.reserve(active, demand.reserve);
        }
    }

    /// `None`: it starts.
    fn reserve(&mut self, id: AssignmentId, reserve: Option<Reserve>) {
        let Some(mut placement) = self.placements.get(&id).cloned() else { return };
        let reservation = placement.reservation;
        placement.reservation = reservation.zip(reserve).map(|(of, reserve)| Reservation { reserve, ..of });
        placement.revision = self.coming_revision();
        self.put_placement(id, placement);
    }

    /// What was asked for and never kept is given back, whoever is there to hear of it.
    fn end_reservation(&mut self, id: AssignmentId) {
        let Some(placement) = self.placements.get(&id) else { return };
        let (Some(share), slot_id) = (placement.share, Self::slot_of(placement)) else { return };
        let asked = placement.reservation.is_some_and(|it| it.reserve == Reserve::Asked);
        if asked && self.waited(placement) >= RESERVED_FOR {
            let why = format!("room was kept for {}, and nobody said more", Span(RESERVED_FOR));
            self.refuse_share(&slot_id, share, &why, No::Place);
        } else {
            self.todo.shares.insert(share);
        }
    }
}

// === impl Orchestrator: over members ===

impl Orchestrator {
    /// What a cluster says of the room for its share.
    pub(super) fn reserved_below(
        &mut self,
        share: AssignmentId,
        placement: &Placement,
        reserved: Option<Reserved>,
    ) {
        let before = match reserved {
            Some(reserved) => self.reserving.told.insert(share, reserved),
            None => self.reserving.told.remove(&share),
        };
        if before != reserved {
            self.todo.slots.insert(Self::slot_of(placement));
        }
    }

    /// By time alone a reservation may end.
    pub(super) fn look_at_reservations(&mut self) {
        for (group, parts) in self.reserving.groups.clone() {
            let of_share = |id: &AssignmentId| self.placements.get(id).is_some_and(|it| it.share.is_some());
            let (shares, own): (Vec<_>, Vec<_>) = parts.into_iter().partition(of_share);
            shares.into_iter().for_each(|id| self.end_reservation(id));
            if !own.is_empty() {
                self.look_at_group(group);
            }
        }
    }

    /// All have answered: the next step. Somebody has not, in time: the end.
    fn look_at_group(&mut self, group: AssignmentId) {
        let ids = self.reserving.groups.get(&group).into_iter().flatten();
        let parts: Vec<Part> = ids.filter_map(|id| Some((*id, self.placements.get(id)?.clone()))).collect();
        match self.trouble(&parts) {
            None => {
                let all_kept =
                    parts.iter().filter_map(|(_, it)| it.reservation).all(|it| it.reserve == Reserve::Kept);
                for (id, placement) in &parts {
                    self.reserve(*id, (!all_kept).then_some(Reserve::Kept));
                    self.todo.slots.insert(Self::slot_of(placement));
                }
                // Others of the same services may have waited for that.
                self.capacity_changed |= all_kept;
            }
            Some(Trouble::Waits) => {
                for (_, placement) in &parts {
                    let slot_id = Self::slot_of(placement);
                    let name = self.member_name(placement.member);
                    self.say(&slot_id, format!("{name} keeps room for it until all of its group have some"));
                }
            }
            Some(Trouble::Over(whys)) => self.give_back(&parts, whys),
        }
    }

    fn trouble(&self, parts: &[Part]) -> Option<Trouble> {
        let whole = parts
            .first()
            .and_then(|(_, it)| it.reservation)
            .is_some_and(|reservation| reservation.parts as usize == parts.len());
        let gone = |(_, it): &Part| {
            let demand = self.demands.get(&Self::slot_of(it).0);
            demand.is_none_or(|demand| is_other(demand, it)) || !self.online(it)
        };
        if !whole || parts.iter().any(gone) {
            return Some(Trouble::Over(Vec::new()));
        }
        let open: Vec<&Part> = parts.iter().filter(|(id, it)| self.room_kept(*id, it).is_none()).collect();
        if open.is_empty() {
            let broken = self.broken_way(parts)?;
            return Some(Trouble::Over(vec![broken]));
        }
        let late = open.iter().filter(|(_, it)| self.waited(it) >= PATIENCE);
        let why =
            format!("did not say within {} that it keeps room for its part of the group", Span(PATIENCE));
        let late: Vec<_> = late.map(|(id, _)| (*id, why.clone())).collect();
        Some(if late.is_empty() { Trouble::Waits } else { Trouble::Over(late) })
    }

    /// All shares leave the lists, and the group looks for other places.
    fn give_back(&mut self, parts: &[Part], whys: Vec<(AssignmentId, String)>) {
        let (now, deadlines) = (self.now.boot, self.config.deadlines);
        for (id, why) in whys {
            let Some((_, placement)) = parts.iter().find(|(part, _)| *part == id) else { continue };
            if let Some(slot) = self.slots.get_mut(&Self::slot_of(placement)) {
                slot.refuse(placement.member, No::Place, why, now, &deadlines);
            }
        }
        for (id, placement) in parts {
            self.set_phase(*id, Phase::Retiring);
            self.todo.slots.insert(Self::slot_of(placement));
        }
        self.capacity_changed = true;
    }

    /// Room is kept for it, as it was asked; and where, as far as is known.
    fn room_kept(&self, id: AssignmentId, placement: &Placement) -> Option<Option<Coordinate>> {
        let asked = placement.reservation?.reserve;
        match placement.role {
            Role::Node => self.online(placement).then(|| self.coordinate_of(&[placement.member])),
            Role::Cluster => {
                let told = self.reserving.told.get(&id).filter(|told| told.reserve == asked)?;
                Some(told.coordinate)
            }
        }
    }

    /// Two of the group are too far from each other where they would be, or nobody knows: who is asked no more, and why.
    fn broken_way(&self, parts: &[Part]) -> Option<(AssignmentId, String)> {
        let place = |id: AssignmentId, it: &Placement| self.room_kept(id, it).flatten();
        for (id, from) in parts {
            let demand = self.demands.get(&Self::slot_of(from).0);
            for connect in demand.and_then(|demand| demand.spec.as_deref()).into_iter().flat_map(required) {
                let to = parts.iter().find(|(other, it)| other != id && it.part.service == connect.service);
                let (Some((other, to)), Some(bound)) = (to, connect.bound) else { continue };
                if from.member == to.member {
                    continue;
                }
                let way = place(*id, from).zip(place(*other, to)).map(|(a, b)| a.to(&b));
                if way.is_some_and(|way| way <= bound.latency) {
                    continue;
                }
                let far = way.map_or("an unknown time".to_owned(), |way| format!("{way} by estimate"));
                // Whoever has more places may have a nearer one.
                let fits = |it: &Placement| it.chosen.as_ref().map_or(0, |chosen| chosen.of);
                let (whom, end) = if fits(to) > fits(from) { (*other, from) } else { (*id, to) };
                let (service, name) = (&end.part.service, self.member_name(end.member));
                let why = format!("{far} to `{service}` in {name}, {} at most", bound.latency);
                return Some((whom, why));
            }
        }
        None
    }

    /// How long it is as it is, in this run.
    fn waited(&self, placement: &Placement) -> Duration {
        let moved = self.slots.get(&Self::slot_of(placement)).map_or(self.now.boot, |slot| slot.moved);
        self.now.boot.saturating_sub(moved)
    }
}

/// It is to be something else than what room is kept for.
fn is_other(demand: &Demand, placement: &Placement) -> bool {
    let (part, wanted) = (&placement.part, &demand.part);
    (part.generation, part.run, part.restarts) != (wanted.generation, wanted.run, wanted.restarts)
        || wanted.run != RunState::Run
        || demand.quiet
}

#[cfg(test)]
#[path = "reserving_tests.rs"]
mod tests;
