//! What members may run that this store does not know of: those that have not called yet, and frozen
//! ones, about which people decide. It is not started elsewhere meanwhile.

use std::time::Duration;

use holm_model::id::MemberId;
use holm_model::name::Name;
use holm_model::slot::{ServiceKey, SlotKey};
use holm_model::state::MemberState;

use super::Orchestrator;
use super::demand::{Demand, Origin, SlotId};
use super::members::Live;

/// Members are waited for since our start.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// Boot time of our start.
    started: Duration,
    /// Whoever has not called by now is silent.
    over: bool,
}

// === impl Gathering ===

impl Gathering {
    pub(super) const fn begin(&mut self, now: Duration) {
        self.started = now;
    }

    /// Whether it ends now.
    pub(super) fn ends(&mut self, now: Duration, deadline: Duration) -> bool {
        let ends = !self.over && now.saturating_sub(self.started) >= deadline;
        self.over |= ends;
        ends
    }

    /// Boot time of our start.
    pub(super) const fn started(&self) -> Duration {
        self.started
    }
}

// === impl Orchestrator ===

impl Orchestrator {
    /// Why nothing is started in the slot yet, since a member may run it.
    pub(super) fn may_run_already(&mut self, slot_id: &SlotId, demand: &Demand) -> Option<String> {
        let frozen = if self.some_frozen() { self.frozen_with(slot_id, demand) } else { None };
        let reason = if let Some(name) = frozen {
            format!("it may run on `{name}`, which is frozen; see `holm adopt` and `holm discard`")
        } else if matches!(slot_id.0, Origin::Share(_)) && self.has_forgotten() {
            "it may run on a node that has not called yet since this store was lost".to_owned()
        } else {
            return None;
        };
        if let Some(slot) = self.slots.get_mut(slot_id) {
            slot.may_run = true;
        }
        Some(reason)
    }

    /// Asked for every empty slot of a step; members freeze and thaw only before it settles.
    fn some_frozen(&mut self) -> bool {
        let known = self.this_step.frozen;
        let some = known.unwrap_or_else(|| self.live.iter().any(|(id, live)| self.awaits_people(*id, live)));
        self.this_step.frozen = Some(some);
        some
    }

    /// Its people may decide that it obeys again. One that was revoked does not come back.
    pub(super) fn awaits_people(&self, id: MemberId, live: &Live) -> bool {
        live.frozen && !self.is_void(id)
    }

    /// A frozen member that may have filled this slot before this store forgot it.
    fn frozen_with(&self, slot_id: &SlotId, demand: &Demand) -> Option<&Name> {
        let service = ServiceKey { wish: demand.part.wish, service: demand.part.service.clone() };
        let slot = SlotKey::new(service, slot_id.1.clone());
        let mut frozen = self.live.iter().filter(|(id, live)| self.awaits_people(**id, live));
        let (id, _) = frozen.find(|(_, live)| live.holding.may_have(&slot))?;
        self.members.get(id).map(|member| &member.name)
    }

    /// This store does not know its members, or knows some by their certificate only: it lost what it
    /// knew, and others may still call. Not for ever: see [`Gathering`].
    fn has_forgotten(&mut self) -> bool {
        let unconfirmed = || self.members.values().any(|member| member.unconfirmed);
        let forgotten = || !self.gathering.over && (self.members.is_empty() || unconfirmed());
        *self.this_step.forgotten.get_or_insert_with(forgotten)
    }

    /// We started a moment ago and some member has not called yet: what fits nowhere now may fit then.
    pub(super) fn is_gathering(&self) -> bool {
        let awaited = |live: &Live| live.session == 0 && live.link.is_none();
        self.live.values().any(|live| awaited(live) && live.state == MemberState::Silent)
    }

    /// It takes nothing until people decide.
    pub(super) fn is_frozen(&self, id: MemberId) -> bool {
        self.live.get(&id).is_some_and(|live| live.frozen)
            || self.members.get(&id).is_some_and(|member| member.unconfirmed)
    }

    pub(super) fn note_freezing(&mut self, id: MemberId) {
        let Some(member) = self.members.get(&id) else { return };
        let (kind, name) = (member.role.word(), member.name.to_string());
        let reason = format!(
            "this store is older than what it obeyed; decide: `holm adopt {name}` or `holm discard {name}`"
        );
        self.note(kind, name, String::new(), ("", "frozen"), ("policy", &reason));
    }
}
