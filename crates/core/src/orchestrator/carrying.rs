//! Named volumes follow what moves.
//!
//! ```text
//! new copy:  From(old) ── a first copy is whole ─────────► old has ended: the difference ── fetched ──► the word: start
//! old copy:  runs ────────────────────────────── Gives: ends ──────────────────────────────────────► Given ──► off the list
//! ```
//!
//! The word, which makes the new copy the owner of the data and the old one's worthless, is one commit. Before it the
//! new copy never starts, so that at any time the old one can go on with all that was ever written, whoever dies, is cut
//! off or changes their mind; after it there is no way back.

use holm_model::id::{AssignmentId, MemberId};
use holm_model::item::Carry;
use holm_model::member::Role;
use holm_model::message::READS_MOVING;
use holm_model::service::Volume;
use holm_model::state::RunState;

use super::Orchestrator;
use super::demand::{Demand, SlotId};
use super::moving::Next;
use super::rows::{Phase, Placement};

impl Orchestrator {
    pub(super) fn has_data(&self, demand: &Demand) -> bool {
        demand.spec.as_ref().is_some_and(|spec| spec.volumes.iter().any(is_named))
    }

    /// It has a volume there: why it stays with it.
    pub(super) fn keeps_data(&self, demand: &Demand, member: MemberId) -> Option<String> {
        let Volume { source, .. } = demand.spec.as_ref()?.volumes.iter().find(|volume| is_named(volume))?;
        Some(format!("keeps data in the volume `{source}` on {}", self.member_name(member)))
    }

    /// Why its volumes cannot leave, wherever they would go.
    pub(super) fn cannot_give(&self, demand: &Demand, active: AssignmentId) -> Option<String> {
        let placement = self.placements.get(&active)?;
        let data = self.keeps_data(demand, placement.member)?;
        let why = if placement.role == Role::Cluster {
            "volumes move between nodes of one orchestrator".to_owned()
        } else if demand.spec.as_ref().is_some_and(|spec| spec.healing.exclusive) {
            "the volumes of exclusive services do not move".to_owned()
        } else if let Some(other) = self.shares_data(demand, placement.member, active) {
            format!("{other} there may use it, too")
        } else {
            return self.too_old(placement.member).map(|old| format!("{data}: {old}"));
        };
        Some(format!("{data}, and {why}; `--lose-volume` leaves it there"))
    }

    /// As [`Self::cannot_give`], of where they would go.
    pub(super) fn cannot_carry(&self, demand: &Demand, active: AssignmentId, to: MemberId) -> Option<String> {
        let data = self.keeps_data(demand, self.placements.get(&active)?.member)?;
        let name = self.member_name(to);
        let why = if self.members.get(&to)?.role == Role::Cluster {
            format!("{name} is a cluster: volumes move between nodes of one orchestrator")
        } else if let Some(other) = self.shares_data(demand, to, active) {
            format!("{other} has one of the same application on {name}")
        } else {
            return self.too_old(to).map(|old| format!("{data}: {old}"));
        };
        Some(format!("{data}, and {why}; `--lose-volume` leaves it there"))
    }

    fn too_old(&self, member: MemberId) -> Option<String> {
        let old = self.reads_of(member).is_some_and(|reads| reads < READS_MOVING);
        old.then(|| {
            format!("the program on {} is too old to move it; upgrade holm there", self.member_name(member))
        })
    }

    /// All services of an application share their named volumes on a node.
    fn shares_data(&self, demand: &Demand, member: MemberId, but: AssignmentId) -> Option<String> {
        self.placements_on(member).into_iter().filter(|id| *id != but).find_map(|id| {
            let placement = self.placements.get(&id).filter(|other| other.part.wish == demand.part.wish)?;
            let spec = placement.part.spec.decode().ok()?;
            let named = spec.volumes.iter().any(is_named);
            named.then(|| format!("{}/{}", placement.part.service, placement.index))
        })
    }

    /// What becomes of the old copy, whose volumes `active` fetches.
    pub(super) fn tidy_carried(
        &mut self,
        slot_id: &SlotId,
        (id, active): (AssignmentId, AssignmentId),
        next: Next,
    ) {
        let Some(new) = self.placements.get(&active).cloned() else { return };
        // Another one of the application may have come there meanwhile.
        let demand = self.demands.get(&slot_id.0);
        let shared = demand.is_some_and(|demand| self.shares_data(demand, new.member, active).is_some());
        if next == Next::Stays || shared {
            let standing = self.standing(active);
            return self.stay(slot_id, id, active, &standing);
        }
        let gives = self.placements.get(&id).is_some_and(|old| old.carry == Some(Carry::Gives));
        let status = self.instances.get(&active).map(|report| &report.status);
        let (copied, fetched) = status.map_or((None, false), |status| (status.copied, status.fetched));
        if fetched {
            self.carry(active, None);
            self.carry(id, Some(Carry::Given));
        } else if copied.is_some() && !gives {
            if let Some(moving) = self.slots.get_mut(slot_id).and_then(|slot| slot.moving.as_mut()) {
                moving.copied = copied;
            }
            self.carry(id, Some(Carry::Gives));
        }
        self.notice_break(slot_id, id);
    }

    /// It was told that its volumes are elsewhere: it leaves the list when it has heard that.
    ///
    /// # Returns
    /// Whether that is so.
    pub(super) fn has_given(&mut self, slot_id: &SlotId, id: AssignmentId) -> bool {
        let Some(placement) = self.placements.get(&id).filter(|it| it.carry == Some(Carry::Given)) else {
            return false;
        };
        let obeyed = self.live.get(&placement.member).map_or(0, |live| live.obeyed);
        if obeyed >= placement.revision {
            self.set_phase(id, Phase::Retiring);
            self.todo.origins.insert(slot_id.0.clone());
        }
        true
    }

    /// Another specification, a stop or a pause comes while volumes are on their way, or they are lost with the old copy:
    /// the move is broken off, and what is wanted happens where the data is.
    pub(super) fn breaks_off(
        &mut self,
        slot_id: &SlotId,
        demand: &Demand,
        active: AssignmentId,
        placement: &Placement,
    ) -> bool {
        let Some(Carry::From(old)) = placement.carry else { return false };
        if !self.placements.contains(&old) {
            self.set_phase(active, Phase::Retiring);
            self.todo.slots.insert(slot_id.clone());
            return true;
        }
        let same = placement.part.generation == demand.part.generation && demand.part.run == RunState::Run;
        if !same {
            let standing = self.standing(active);
            self.stay(slot_id, old, active, &standing);
            self.todo.slots.insert(slot_id.clone());
        }
        !same
    }

    pub(super) fn carry(&mut self, id: AssignmentId, carry: Option<Carry>) {
        let Some(mut placement) = self.placements.get(&id).filter(|it| it.carry != carry).cloned() else {
            return;
        };
        placement.carry = carry;
        placement.revision = self.coming_revision();
        self.put_placement(id, placement);
    }

    /// Whether this member may fetch the volumes of `from` for `to`.
    #[must_use]
    pub fn may_fetch(&self, member: MemberId, from: AssignmentId, to: AssignmentId) -> bool {
        let fetches = |it: &Placement| it.member == member && it.carry == Some(Carry::From(from));
        !self.is_unconfirmed(member)
            && self.placements.get(&to).is_some_and(|it| fetches(it) && it.phase == Phase::Active)
    }
}

/// A volume that the runtime keeps; anything else is a directory of the node.
pub(super) fn is_named(volume: &Volume) -> bool {
    !volume.source.starts_with('/')
}
