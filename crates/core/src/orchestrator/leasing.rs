//! Leases: an exclusive slot runs only where, and for as long as, we say so.
//!
//! ```text
//! member                                orchestrator
//!   Lease {sent, held, wanted}   ──→      may each of them run?
//!                                ←──      Lease {sent, for how long}     at once, or when the slot is free
//!   runs until sent + that                 counts from now: over later than there
//! ```
//!
//! One gate, [`Orchestrator::lease_for`], keeps the promise: nobody gets a lease of a slot while another copy of it may
//! still have one. Whatever places, moves or replaces copies can only be early, never wrong. What a run before this one
//! granted is unknown: who has no lease that goes on waits until all of those are over.
//!
//! A cluster passes on what its parent granted for a share, and never more.

use std::collections::BTreeMap;
use std::time::Duration;

use holm_model::id::{AssignmentId, MemberId};
use holm_model::message::{Down, LeaseGrant, LeaseRequest, Up};
use holm_model::state::MemberState;

use super::Orchestrator;
use super::demand::{Origin, SlotId};
use super::event::Effect;
use super::rows::{Phase, Placement};

/// What this run knows of leases.
#[derive(Debug, Default)]
pub(super) struct Leases {
    /// Boot time until which a placement may run, by the slot that it is for.
    granted: BTreeMap<SlotId, BTreeMap<AssignmentId, Duration>>,
    /// Boot time until which our parent lets our shares run.
    own: BTreeMap<AssignmentId, Duration>,
    /// What members asked for and did not get yet.
    asked: BTreeMap<MemberId, LeaseRequest>,
    /// Our parent has to be asked at once.
    ask: bool,
    /// Boot time of the last request.
    asked_parent: Duration,
    /// Boot time at which the link to our parent was opened: nothing that was asked before is answered on it.
    linked: Duration,
}

/// Our own are renewed so often before their end, and not more often than this.
const RENEWALS: u32 = 6;
const AGAIN: Duration = Duration::from_secs(1);

// === impl Leases ===

impl Leases {
    /// Our own clock, by which waits are counted, made a leap: they begin anew, and of our own leases nothing is sure.
    pub(super) fn doubt(&mut self, over: Duration) {
        for until in self.granted.values_mut().flat_map(BTreeMap::values_mut) {
            *until = (*until).max(over);
        }
        self.own.clear();
        self.ask = true;
    }

    /// It has ended, and its member said so.
    pub(super) fn release(&mut self, slot: &SlotId, id: AssignmentId) {
        if let Some(slots) = self.granted.get_mut(slot) {
            slots.remove(&id);
        }
    }

    /// What it asked for on another link, and maybe in another boot, is over.
    pub(super) fn forget_asked(&mut self, member: MemberId) {
        self.asked.remove(&member);
    }

    pub(super) const fn parent_opened(&mut self, now: Duration) {
        self.linked = now;
    }

    /// The share is new, or changed.
    pub(super) const fn ask_parent(&mut self) {
        self.ask = true;
    }

    pub(super) fn forget_share(&mut self, share: AssignmentId) {
        self.own.remove(&share);
    }

    /// Nobody but `id` can have a lease of the slot, as far as this run granted any.
    fn is_free(&self, slot: &SlotId, id: AssignmentId, surely: Duration) -> bool {
        let mut others = self.granted.get(slot).into_iter().flatten().filter(|(other, _)| **other != id);
        others.all(|(_, until)| *until <= surely)
    }
}

// === impl Orchestrator ===

impl Orchestrator {
    /// A member asks for what it has, or is to have.
    pub(super) fn lease_asked(&mut self, member: MemberId, request: LeaseRequest) {
        self.leases.asked.insert(member, request);
        self.answer_lease(member);
    }

    /// Those that were denied may be granted by now.
    pub(super) fn answer_leases(&mut self) {
        let surely = self.now.boot.saturating_sub(self.config.deadlines.lease_margin);
        self.leases.granted.retain(|_, slot| {
            slot.retain(|_, until| *until > surely);
            !slot.is_empty()
        });
        for member in self.leases.asked.keys().copied().collect::<Vec<_>>() {
            self.answer_lease(member);
        }
    }

    fn answer_lease(&mut self, member: MemberId) {
        let live =
            self.live.get(&member).filter(|live| live.state == MemberState::Online && live.session > 0);
        let Some(link) = live.and_then(|live| live.link) else {
            self.leases.asked.remove(&member);
            return;
        };
        let Some(mut request) = self.leases.asked.remove(&member) else { return };
        if self.is_frozen(member) || self.is_void(member) {
            return;
        }
        let mut granted = Vec::new();
        for (ids, held) in [(&mut request.held, true), (&mut request.wanted, false)] {
            ids.retain(|id| match self.lease_for(member, *id, held) {
                Some(time) => {
                    granted.push((*id, time));
                    false
                }
                None => true,
            });
        }
        for (id, time) in &granted {
            self.grant(*id, *time);
        }
        if !granted.is_empty() {
            let millis = |(id, time): (AssignmentId, Duration)| {
                (id, u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
            };
            let leases = granted.into_iter().map(millis).collect();
            let message = Down::Lease(LeaseGrant { sent: request.sent, leases });
            self.effects.push(Effect::Send { link, message });
        }
        if !(request.held.is_empty() && request.wanted.is_empty()) {
            self.leases.asked.insert(member, request);
        }
    }

    /// For how long the placement may run; `None`: not now. `held`: its member says that it has a lease that goes on.
    fn lease_for(&self, member: MemberId, id: AssignmentId, held: bool) -> Option<Duration> {
        let placement = self.placements.get(&id).filter(|placement| placement.member == member)?;
        if placement.phase != Phase::Active || !self.healing_of(id, placement).exclusive {
            return None;
        }
        let slot = Self::slot_of(placement);
        let deadlines = &self.config.deadlines;
        let surely = self.now.boot.saturating_sub(deadlines.lease_margin);
        let free = self.leases.is_free(&slot, id, surely) && !self.has_unleased(&slot);
        if !free || !(held || self.knows_all_leases(&slot.0)) {
            return None;
        }
        match slot.0 {
            Origin::Own(_) => Some(deadlines.lease),
            Origin::Share(share) => {
                let own = self.leases.own.get(&share)?.saturating_sub(self.now.boot).min(deadlines.lease);
                (own > Duration::ZERO).then_some(own)
            }
        }
    }

    /// A copy from before its service was exclusive ends with no lease: its member has to say that it is gone.
    fn has_unleased(&self, slot: &SlotId) -> bool {
        let others = self.slots.get(slot).into_iter().flat_map(|slot| &slot.others);
        let mut placed = others.filter_map(|id| Some((*id, self.placements.get(id)?)));
        placed.any(|(id, placement)| placement.unleased || !self.healing_of(id, placement).exclusive)
    }

    /// Its member obeyed the list in which it became exclusive, and tells of no copy from before.
    pub(super) fn note_leased(&mut self, id: AssignmentId) {
        let Some(placement) = self.placements.get(&id).filter(|placement| placement.unleased) else { return };
        let live = self.live.get(&placement.member);
        let obeyed = live.is_some_and(|live| live.reported && live.obeyed >= placement.revision);
        let generation = placement.part.generation;
        if obeyed && self.copies(id).all(|report| report.generation == generation) {
            self.placements.change(&mut self.journal, &id, |placement| placement.unleased = false);
        }
    }

    /// No lease of the origin that this run does not know of can go on.
    fn knows_all_leases(&self, origin: &Origin) -> bool {
        let deadlines = &self.config.deadlines;
        let made_now = match origin {
            Origin::Own(key) => key.wish.0.epoch == self.epoch,
            // An older disk does not know what a run before this one was given, and leased.
            Origin::Share(_) => self.reigns.iter().all(|(epoch, _)| *epoch == self.epoch),
        };
        let age = self.now.boot.saturating_sub(self.gathering.started());
        made_now || age >= deadlines.lease + deadlines.lease_margin
    }

    fn grant(&mut self, id: AssignmentId, time: Duration) {
        let Some(slot) = self.placements.get(&id).map(Self::slot_of) else { return };
        let until = self.now.boot + time;
        let granted = self.leases.granted.entry(slot).or_default().entry(id).or_default();
        *granted = (*granted).max(until);
    }

    /// A node obeyed a list without it and reports nothing of it: its lease is over, too. A cluster may have it on a node
    /// that it does not hear; a node that lost its store does not know what runs there.
    pub(super) fn release_lease(&mut self, slot: &SlotId, id: AssignmentId, placement: &Placement) {
        let knows = self.live.get(&placement.member).is_some_and(|live| !live.forgot);
        if placement.role == holm_model::member::Role::Node && knows {
            self.leases.release(slot, id);
        }
    }

    // --- as a member ---

    /// What our shares need of our parent; `None`: nothing is exclusive.
    fn lease_request(&self) -> Option<Up> {
        let exclusive = self.demands.iter().filter_map(|(origin, demand)| match origin {
            Origin::Share(share) if demand.spec.as_ref().is_some_and(|spec| spec.healing.exclusive) => {
                Some(*share)
            }
            _ => None,
        });
        let goes_on =
            |share: &AssignmentId| self.leases.own.get(share).is_some_and(|until| *until > self.now.boot);
        let (held, wanted): (Vec<_>, Vec<_>) = exclusive.partition(goes_on);
        if held.is_empty() && wanted.is_empty() {
            return None;
        }
        let sent = u64::try_from(self.now.boot.as_millis()).unwrap_or(u64::MAX);
        Some(Up::Lease(LeaseRequest { sent, held, wanted }))
    }

    /// When a step made it urgent, or it is time to renew.
    pub(super) fn ask_for_leases(&mut self) {
        let every = (self.config.deadlines.lease / RENEWALS).max(AGAIN);
        let due = self.now.boot.saturating_sub(self.leases.asked_parent) >= every;
        if !self.parent.open || !(due || self.leases.ask) {
            return;
        }
        (self.leases.ask, self.leases.asked_parent) = (false, self.now.boot);
        self.effects.extend(self.lease_request().map(Effect::SendParent));
    }

    /// Our parent's answer: our members may have waited for it.
    pub(super) fn take_lease(&mut self, grant: &LeaseGrant) {
        let sent = Duration::from_millis(grant.sent);
        // In whole milliseconds, as it was sent.
        let ours = sent <= self.now.boot && sent + Duration::from_millis(1) > self.leases.linked;
        if !self.parent.open || !ours {
            return;
        }
        for (share, millis) in &grant.leases {
            let until = Duration::from_millis(grant.sent.saturating_add(*millis));
            let own = self.leases.own.entry(*share).or_default();
            *own = (*own).max(until);
        }
        self.answer_leases();
    }
}
