//! Wishes of our parent that we took for our own.
//!
//! A store that forgot may adopt, while its parent is out of reach, what a node holds; it cannot know
//! then whose wish that was. A wish is its maker's: as soon as the parent's list is here, instances pass
//! to the shares whose slots they fill, and what the parent does not wish any more ends.

use std::collections::BTreeSet;

use holm_model::id::{AssignmentId, Epoch, WishId};
use holm_model::message::Welcome;
use holm_model::slot::{ServiceKey, SlotIndex};

use super::demand::{Origin, SlotId, Wanted};
use super::{Orchestrator, Tier};

/// The reigns of our parent, as it said in this run: who made a wish.
pub(super) fn reigns_of(welcome: &Welcome) -> BTreeSet<Epoch> {
    welcome.reigns.iter().map(|(epoch, _)| *epoch).chain([welcome.epoch]).collect()
}

impl Orchestrator {
    /// What fills the share's slot already, since it was adopted without its share, passes to it.
    pub(super) fn pass_to_share(&mut self, share: AssignmentId) {
        let origin = Origin::Share(share);
        let Some(demand) = self.demands.get(&origin).filter(|_| !self.is_refused(&origin)) else { return };
        let own = Origin::Own(ServiceKey { wish: demand.part.wish, service: demand.part.service.clone() });
        let indices = match demand.slots {
            Wanted::One(number) => vec![SlotIndex::Number(number)],
            Wanted::PerNode => self.slots_of(&own),
            Wanted::First(_) => Vec::new(),
        };
        for index in indices {
            let taken = self.slots.get(&(origin.clone(), index.clone())).is_some_and(|s| s.active.is_some());
            if !taken {
                self.pass_slot((own.clone(), index), share);
            }
        }
    }

    fn pass_slot(&mut self, from: SlotId, share: AssignmentId) {
        let Some(slot) = self.slots.get(&from) else { return };
        let placed: Vec<AssignmentId> = slot.active.iter().chain(&slot.others).copied().collect();
        for id in placed {
            let Some(mut placement) = self.placements.get(&id).cloned() else { continue };
            placement.share = Some(share);
            self.put_placement(id, placement);
            self.pass_report(id, share);
        }
        self.todo.slots.insert(from);
    }

    /// The parent hears of the instance as of the share's.
    fn pass_report(&mut self, id: AssignmentId, share: AssignmentId) {
        let Some(mut report) = self.instances.get(&id).cloned() else { return };
        report.share = Some(share);
        self.put_report(&report);
        self.report_instance(&report);
    }

    /// The parent's list is complete: of its wishes it says all. `shared`: those of new shares.
    pub(super) fn yield_wishes(&mut self, shared: &BTreeSet<WishId>) {
        let theirs = |id: &WishId| shared.contains(id) || self.is_made_above(*id);
        let ours: Vec<WishId> = self.wishes.iter().map(|(id, _)| *id).filter(theirs).collect();
        for id in ours {
            let Some(row) = self.wishes.remove(&mut self.journal, &id) else { continue };
            if self.apps.get(&row.wish.key) == Some(&id) {
                self.apps.remove(&row.wish.key);
            }
            self.forget_generations(id);
            self.refresh_demands(id);
            self.touch_project(&row.wish.key.project);
        }
        let unclaimed: Vec<Origin> = self.slots.origins().filter(|o| self.is_unclaimed(o)).cloned().collect();
        self.todo.origins.extend(unclaimed);
    }

    /// A wish that our parent made, as far as it has told its reigns in this run.
    pub(super) fn is_made_above(&self, wish: WishId) -> bool {
        self.parent.reigns.contains(&wish.0.epoch)
    }

    /// Adopted as a part of our parent's wish, and no share for it is known yet.
    pub(super) fn is_unclaimed(&self, origin: &Origin) -> bool {
        self.config.tier == Tier::Cluster
            && matches!(origin, Origin::Own(key) if !self.wishes.contains(&key.wish))
    }
}
