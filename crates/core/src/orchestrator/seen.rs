//! What members said of themselves and when, kept over restarts: one that is away is known all the same.
//!
//! It is for people, and for quotas: no place is chosen by it, since a member may have become another meanwhile.

use holm_model::id::MemberId;
use holm_model::member::NodeFacts;

use super::Orchestrator;
use super::rows::Seen;

/// What was kept of a member that says nothing new may be so old, in ms: each keeping is a write.
const OLD: u64 = 2 * 60 * 1000;

impl Orchestrator {
    /// Keeps what is known of the member at this moment.
    pub(super) fn remember(&mut self, id: MemberId) {
        let Some(heard) = self.live.get(&id).and_then(|live| live.heard_at) else { return };
        let (facts, projects) = (self.last_facts(id).cloned(), self.last_reports(id));
        let nodes = self.live.get(&id).map_or(0, |live| live.aggregate.nodes);
        let seen = Seen { heard, facts, projects, nodes };
        self.seen.put(&mut self.behind, id, seen);
    }

    /// The member was heard: keeps that if what was kept is old.
    pub(super) fn remember_from_time_to_time(&mut self, id: MemberId) {
        let now = self.now.wall.0;
        if self.seen.get(&id).is_none_or(|seen| seen.heard.0.abs_diff(now) >= OLD) {
            self.remember(id);
        }
    }

    /// This run ends: keeps when each member was heard last. The rest is [`Self::take_behind`]'s.
    pub fn farewell(&mut self) {
        for id in self.live.keys().copied().collect::<Vec<_>>() {
            self.remember(id);
        }
    }

    /// A node's facts as it told them in this run or, until then, in one before.
    pub(super) fn last_facts(&self, id: MemberId) -> Option<&NodeFacts> {
        let told = self.live.get(&id).and_then(|live| live.facts.as_ref());
        told.or_else(|| self.seen.get(&id)?.facts.as_ref())
    }

    /// After loading: when members were heard last, and how many nodes clusters had.
    pub(super) fn recall(&mut self) {
        for (id, seen) in self.seen.iter() {
            if let Some(live) = self.live.get_mut(id) {
                live.heard_at = Some(seen.heard);
                live.aggregate.nodes = seen.nodes;
            }
        }
        self.touch_projects();
    }
}
