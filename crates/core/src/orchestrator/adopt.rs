//! A store that forgot: after a lost disk or an older copy, members know more than their orchestrator.
//!
//! They freeze and show what they hold. A person decides for each: *adopt* takes what the member holds
//! as the truth, *discard* imposes what this store says.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::id::{AssignmentId, MemberId, WishId};
use holm_model::item::{Digest, Item, ItemKey, Obeyed, PackedItem, Part, ShareSlots};
use holm_model::member::Role;
use holm_model::message::Down;
use holm_model::service::Replicas;
use holm_model::slot::{ServiceKey, SlotIndex};
use holm_model::wish::{AppKey, ServiceWish, Wish, Work};

use super::Orchestrator;
use super::command::{Refusal, Reply};
use super::demand::{Origin, SlotId, Wanted};
use super::event::{Effect, LinkId};
use super::members::Live;
use super::rows::{Phase, Placement, WishRow};
use crate::revocation::Entry;

impl Orchestrator {
    /// A member obeyed what this store does not know: nothing of before this reign is started unasked
    /// until a person decides. Said once: what people confirm while the member waits stays confirmed.
    pub(super) fn doubt(&mut self, id: MemberId) {
        if self.members.get(&id).is_none_or(|member| member.doubted) {
            return;
        }
        self.members.change(&mut self.journal, &id, |member| member.doubted = true);
        let epoch = self.epoch;
        let all: Vec<_> = self
            .wishes
            .iter()
            .filter(|(_, row)| !row.wish.unconfirmed && row.trusted != Some(epoch))
            .map(|(id, _)| *id)
            .collect();
        for id in all {
            self.wishes.change(&mut self.journal, &id, |row| row.wish.unconfirmed = true);
            self.refresh_demands(id);
        }
        self.void_tokens();
    }

    /// A join token may have been used up since this store was written.
    fn void_tokens(&mut self) {
        let open: Vec<_> = self
            .tokens
            .iter()
            .filter(|(_, token)| token.uses_left.is_some() && !token.revoked)
            .map(|(id, _)| id.clone())
            .collect();
        for id in open {
            self.tokens.change(&mut self.journal, &id, |token| token.revoked = true);
        }
    }

    /// What people write about an application must not be overridden by an adoption that is still to come.
    ///
    /// # Errors
    /// When a frozen member holds a part of it, or has not shown yet whether it does.
    pub(super) fn expect_decided(&self, app: &AppKey) -> Result<(), Refusal> {
        let listed = |id: MemberId| {
            let mut placed = self.placements_on(id).into_iter().filter_map(|id| self.placements.get(&id));
            placed.any(|placement| placement.part.app == *app)
        };
        let concerned = |id: MemberId, live: &Live| {
            let showing = live.link.is_some() && !live.holding.complete;
            // What it does not hold of our list may have been deleted since.
            let concerned = showing || live.holding.apps.contains(app) || listed(id);
            concerned && self.awaits_people(id, live)
        };
        let Some((id, _)) = self.live.iter().find(|(id, live)| concerned(**id, live)) else { return Ok(()) };
        Err(Refusal::Frozen { app: app.clone(), member: self.member_name(*id) })
    }

    /// Nobody here knows whether it was revoked: it was known by its certificate only, or the store is restored.
    pub(super) fn is_unconfirmed(&self, id: MemberId) -> bool {
        self.members.get(&id).is_some_and(|member| member.unconfirmed)
    }

    pub(super) fn adopt(&mut self, id: MemberId) -> Result<Reply, Refusal> {
        self.expect_frozen(id)?;
        if self.live.get(&id).is_some_and(|live| !live.frozen) {
            // It holds our list.
            self.thaw(id);
            return Ok(Reply::Done);
        }
        let items = self.take_holding(id);
        self.revoke_again(id, &items);
        let mut placements = BTreeMap::new();
        for packed in items {
            match packed.unpack() {
                Ok(Item::Assignment(a)) => {
                    placements.insert(a.id, self.adopted(id, a.part, a.slot, false, a.held, 0));
                }
                Ok(Item::Share(share)) => {
                    let (index, per_node) = match share.slots {
                        ShareSlots::Number(number) => (SlotIndex::Number(number), false),
                        ShareSlots::PerNode => (self.share_index(id), true),
                    };
                    let placed = self.adopted(id, share.part, index, per_node, share.held, share.failures);
                    placements.insert(share.id, placed);
                }
                Ok(
                    Item::Endpoints(_)
                    | Item::Revocation
                    | Item::Content(_)
                    | Item::Project(_)
                    | Item::Decommission,
                )
                | Err(_) => {}
            }
        }
        self.take_over(id, placements);
        self.thaw(id);
        Ok(Reply::Done)
    }

    /// The certificates and members that a cluster was told to refuse, and this store has forgotten. Nobody else is
    /// told of any, and what a cluster says of people and tokens counts for nothing: a restore voids all of those.
    fn revoke_again(&mut self, id: MemberId, items: &[PackedItem]) {
        if self.members.get(&id).is_none_or(|member| member.role != Role::Cluster) {
            return;
        }
        let told = items.iter().filter_map(|item| match &item.key {
            ItemKey::Revocation(text) if Entry::parse(text).voids() => Some(text),
            _ => None,
        });
        let forgotten: Vec<_> = told.filter(|text| !self.revocations.contains(text)).collect();
        for text in &forgotten {
            self.void(Entry::parse(text));
        }
        if forgotten.is_empty() {
            return;
        }
        self.revocations_changed();
        let members = self.members.iter().map(|(id, _)| *id);
        for id in members.filter(|id| self.is_void(*id)).collect::<Vec<_>>() {
            // It is known: see above.
            let _ = self.revoke_member(id);
        }
    }

    pub(super) fn discard(&mut self, id: MemberId) -> Result<Reply, Refusal> {
        self.expect_frozen(id)?;
        let placed = self.placements_on(id);
        let mut wishes: Vec<WishId> =
            placed.iter().filter_map(|p| self.placements.get(p)).map(|p| p.part.wish).collect();
        wishes.dedup();
        wishes.into_iter().for_each(|wish| self.confirm(wish));
        self.retire_ended(id, placed);
        self.thaw(id);
        Ok(Reply::Done)
    }

    /// What the member does not hold any more has ended since this store was written. Its id is not used
    /// for a second life: another assignment fills the slot. One that is not frozen holds our list.
    fn retire_ended(&mut self, id: MemberId, placed: Vec<AssignmentId>) {
        if self.live.get(&id).is_none_or(|live| !live.frozen) {
            return;
        }
        let held: BTreeSet<ItemKey> = self.take_holding(id).into_iter().map(|item| item.key).collect();
        for placement in placed {
            let key = self.placements.get(&placement).map(|p| p.key(placement));
            if key.is_some_and(|key| !held.contains(&key)) {
                self.set_phase(placement, Phase::Retiring);
            }
        }
    }

    fn take_holding(&mut self, id: MemberId) -> Vec<PackedItem> {
        let holding = self.live.get_mut(&id).map(|live| std::mem::take(&mut live.holding));
        holding.unwrap_or_default().items
    }

    /// # Errors
    /// When there is nothing to decide about the member, or it has not told yet what it is about.
    fn expect_frozen(&self, id: MemberId) -> Result<(), Refusal> {
        let live = self.live.get(&id).ok_or_else(|| Refusal::no_member(id))?;
        let unknown = self.is_unconfirmed(id);
        let why = if live.link.is_none() && self.is_void(id) {
            "was revoked and does not come back; `holm node remove` or `holm cluster remove` takes it out"
        } else if live.link.is_none() && unknown && !live.frozen && self.links.renews(id) {
            // Its certificate has expired: it renews it next, and tells then what it holds.
            return Ok(());
        } else if live.link.is_none() {
            "is not connected; decide when it is"
        } else if !live.frozen && !unknown {
            "is not frozen: it obeys this orchestrator already"
        } else if live.frozen && !live.holding.complete {
            "has not shown yet all that it holds; try again in a moment"
        } else {
            return Ok(());
        };
        Err(Refusal::Conflict(format!("member `{}` {why}", self.member_name(id))))
    }

    pub(super) fn share_index(&self, id: MemberId) -> SlotIndex {
        SlotIndex::Node(self.members.get(&id).map(|member| member.name.clone()).into_iter().collect())
    }

    fn adopted(
        &self,
        member: MemberId,
        part: Part,
        index: SlotIndex,
        per_node: bool,
        held: bool,
        failures: u32,
    ) -> Placement {
        Placement {
            member,
            role: self.members.get(&member).map_or(Role::Node, |m| m.role),
            part,
            index,
            per_node,
            share: None,
            phase: if held { Phase::Superseded } else { Phase::Active },
            failures,
            since: self.now.wall,
            revision: self.coming_revision(),
            chosen: None,
            life: None,
            unleased: false,
            carry: None,
            reservation: None,
        }
    }

    /// What the member holds replaces what this store believed of it; the wishes follow.
    fn take_over(&mut self, id: MemberId, adopted: BTreeMap<AssignmentId, Placement>) {
        let believed = self.placements_on(id);
        let mut missing = BTreeSet::new();
        let kept: BTreeSet<Origin> = adopted.values().map(|placement| Self::slot_of(placement).0).collect();
        for placement in believed.into_iter().filter(|p| !adopted.contains_key(p)) {
            missing.extend(self.placements.get(&placement).map(Self::slot_of));
            self.drop_placement(placement);
        }
        for (assignment, mut placement) in adopted {
            let known = self.placements.get(&assignment).and_then(|known| known.share);
            let known = known.filter(|share| self.demands.contains_key(&Origin::Share(*share)));
            placement.share = known.or_else(|| self.share_filled_by(&placement));
            if self.restore_wish(&placement) {
                let slot = self.slots.get(&Self::slot_of(&placement));
                if slot.and_then(|slot| slot.active).is_some_and(|active| active != assignment) {
                    // Placed elsewhere meanwhile: the replacement stays.
                    placement.phase = Phase::Superseded;
                }
                self.put_placement(assignment, placement);
            } else {
                self.drop_placement(assignment);
            }
        }
        missing.retain(|(origin, _)| kept.contains(origin));
        self.scale_away(&missing);
        self.members.change(&mut self.journal, &id, |member| member.unconfirmed = false);
    }

    /// The last slots of a service, believed to be where they are not: scaled away since this store was
    /// written, unless another member has them, whose adoption brings them back.
    fn scale_away(&mut self, missing: &BTreeSet<SlotId>) {
        for slot_id in missing.iter().rev() {
            let (Origin::Own(key), SlotIndex::Number(index)) = slot_id else { continue };
            if self.is_filled(slot_id) {
                continue;
            }
            self.wishes.change(&mut self.journal, &key.wish, |row| {
                let service = row.wish.services.get_mut(&key.service);
                if let Some(service) = service.filter(|s| s.replicas == Replicas::Number(index + 1)) {
                    service.replicas = Replicas::Number(*index);
                }
            });
            self.refresh_demands(key.wish);
        }
    }

    fn is_filled(&self, slot_id: &SlotId) -> bool {
        let Some(slot) = self.slots.get(slot_id) else { return false };
        let mut placed = slot.active.iter().chain(&slot.others).filter_map(|id| self.placements.get(id));
        placed.any(|placement| placement.phase != Phase::Retiring)
    }

    /// How many slots of the service reach up to the last that is filled.
    fn filled(&self, part: &Part) -> u32 {
        let origin = Origin::Own(ServiceKey { wish: part.wish, service: part.service.clone() });
        let filled = self.slots_of(&origin).into_iter().filter_map(|index| match index {
            SlotIndex::Number(number) => self.is_filled(&(origin.clone(), index)).then_some(number + 1),
            SlotIndex::Node(_) => None,
        });
        filled.max().unwrap_or(0)
    }

    /// Whether an adoption takes the part back. `false`: its wish was deleted, or another creation of the
    /// same application came after it, or our parent does not want it here; none of them is revived.
    pub(super) fn takes_back(&self, part: &Part) -> bool {
        if self.held_share_of(part.wish) {
            return true;
        }
        let above = self.parent.open && self.is_made_above(part.wish);
        let outlived = self.apps.get(&part.app).is_some_and(|rival| *rival > part.wish);
        let deleted = self.wishes.get(&part.wish).is_some_and(|row| row.wish.deleted.is_some());
        !(above || outlived || deleted)
    }

    /// A wish as far as a part of it tells. `false`: it is not revived.
    fn restore_wish(&mut self, placement: &Placement) -> bool {
        let part = &placement.part;
        if !self.takes_back(part) {
            return false;
        }
        if self.held_share_of(part.wish) {
            return true;
        }
        if let Some(rival) = self.apps.get(&part.app).copied().filter(|rival| *rival < part.wish) {
            self.bury_wish(rival);
        }
        let known = self.wishes.get(&part.wish).cloned();
        let mut row = known.unwrap_or_else(|| WishRow::restored(part, self.now.wall));
        row.wish.unconfirmed = false;
        row.trusted = Some(self.epoch);
        row.wish.version = row.wish.version.max(part.version);
        restore_service(&mut row.wish, part, &placement.index, self.filled(part));
        self.apps.insert(row.wish.key.clone(), row.wish.id);
        self.wishes.put(&mut self.journal, part.wish, row);
        self.refresh_demands(part.wish);
        true
    }

    /// Our parent's share whose slot this is.
    fn share_filled_by(&self, placement: &Placement) -> Option<AssignmentId> {
        let part = &placement.part;
        self.demands.iter().find_map(|(origin, demand)| {
            let Origin::Share(share) = origin else { return None };
            let same = (demand.part.wish, &demand.part.service) == (part.wish, &part.service);
            let fits = match (demand.slots, &placement.index) {
                (Wanted::One(number), SlotIndex::Number(index)) => number == *index,
                (Wanted::PerNode, SlotIndex::Node(_)) => true,
                _ => false,
            };
            (same && fits).then_some(*share)
        })
    }

    /// The wish is our parent's: its share says what we need to know.
    fn held_share_of(&self, wish: WishId) -> bool {
        self.demands
            .iter()
            .any(|(origin, demand)| matches!(origin, Origin::Share(_)) && demand.part.wish == wish)
    }

    /// The member obeys again, from this very list on.
    fn thaw(&mut self, id: MemberId) {
        let ahead = self.live.get(&id).and_then(|live| live.ahead);
        self.members.change(&mut self.journal, &id, |member| {
            (member.unconfirmed, member.doubted, member.thawed) = (false, false, ahead);
        });
        self.flush_lists();
        let was_frozen = self.live.get_mut(&id).is_some_and(|live| {
            (live.ahead, live.obeyed) = (None, 0);
            std::mem::take(&mut live.frozen)
        });
        self.ask_to_renew(id);
        self.report_node(id);
        self.capacity_changed = true;
        self.unsync(id);
        if was_frozen {
            self.send_thaw(id);
        } else if let Some(link) = self.live.get(&id).and_then(|live| live.link) {
            // It has asked, and got no answer.
            self.sync(link, id, None, Digest::default());
        }
        self.todo.origins.extend(self.demands.keys().cloned());
        // What was adopted as a part of our parent's wish and fills no share of it has no demand.
        self.todo.origins.extend(self.slots.origins().cloned());
    }

    /// What it asked for got no answer while it was unconfirmed; on a new link it asks at once.
    fn ask_to_renew(&mut self, id: MemberId) {
        let of_it = |(link, member): (&LinkId, &MemberId)| (*member == id).then_some(*link);
        for link in self.links.renewing.iter().filter_map(of_it).collect::<Vec<_>>() {
            self.close(link, "it is confirmed, and may renew its certificate");
        }
    }

    /// Our list counts for the member again; revision 0, since it has none of it yet.
    pub(super) fn send_thaw(&mut self, id: MemberId) {
        let obeyed = Obeyed { store: self.store, epoch: self.epoch, revision: 0 };
        if let Some(link) = self.live.get(&id).and_then(|live| live.link) {
            self.effects.push(Effect::Send { link, message: Down::Thaw { obeyed } });
        }
    }

    pub(super) fn confirm(&mut self, wish: WishId) {
        let trusted = Some(self.epoch);
        self.wishes
            .change(&mut self.journal, &wish, |row| (row.wish.unconfirmed, row.trusted) = (false, trusted));
        self.refresh_demands(wish);
    }
}

/// What the part says of its service, if that is newer; and room for its slot. `filled`: how many slots are
/// known to be; the part tells only how many there were when it was made.
fn restore_service(wish: &mut Wish, part: &Part, index: &SlotIndex, filled: u32) {
    let replicas = match part.replicas {
        Replicas::Number(_) => Replicas::Number(filled),
        Replicas::PerNode => Replicas::PerNode,
    };
    let told = || ServiceWish {
        spec: part.spec.clone(),
        generation: part.generation,
        replicas,
        applied_replicas: part.replicas,
        run: part.run,
        restarts: part.restarts,
        // Where some have it, nobody knows any more who was to have it first.
        promoted: part.generation,
        due: None,
        work: Work::default(),
        run_of: super::runs::run_of(&part.service, &part.spec),
    };
    let service = wish.services.entry(part.service.clone()).or_insert_with(told);
    if (service.generation, service.restarts) < (part.generation, part.restarts) {
        *service = told();
    }
    if let (Replicas::Number(number), SlotIndex::Number(index)) = (&mut service.replicas, index) {
        *number = (*number).max(index + 1);
    }
}
