//! Points to which members measure their way: the orchestrators that may be dialled.
//!
//! Clusters say where they are; their parent tells all its members, and clusters hand that on to their nodes.

use holm_model::coordinate::{Coordinate, Landmark};
use holm_model::id::MemberId;
use holm_model::member::{Aggregate, Role};
use holm_model::message::{Down, READS_PLACING};

use super::event::Effect;
use super::{Orchestrator, Tier};

/// Told to one member: each is measured by all, for ever.
const MOST: usize = 8;
/// Of an address.
const MOST_BYTES: usize = 260;

impl Orchestrator {
    /// The shell has measured where we are.
    pub(super) fn located(&mut self, coordinate: Coordinate) {
        self.parent.coordinate = Some(coordinate);
        self.aggregate_stale = true;
    }

    pub(super) fn landmarks_told(&mut self, landmarks: &[Landmark]) {
        let sane =
            |landmark: &&Landmark| landmark.coordinate.is_sane() && landmark.address.len() <= MOST_BYTES;
        let landmarks: Vec<_> = landmarks.iter().filter(sane).take(MOST).cloned().collect();
        if self.parent.landmarks != landmarks {
            self.parent.landmarks = landmarks;
            self.tell_all_landmarks();
        }
    }

    /// A cluster has told of itself: others hear where it is if that is news.
    pub(super) fn landmark_moved(&mut self, id: MemberId, before: &Aggregate) {
        let now = self.live.get(&id).and_then(|live| live.aggregate.landmark.as_ref());
        if before.landmark.as_ref() != now {
            self.tell_all_landmarks();
        }
    }

    pub(super) fn has_landmarks(&self) -> bool {
        !self.parent.landmarks.is_empty() || self.live.values().any(|live| live.aggregate.landmark.is_some())
    }

    fn tell_all_landmarks(&mut self) {
        for id in self.live.keys().copied().collect::<Vec<_>>() {
            self.tell_landmarks(id);
        }
    }

    /// On the member's link, if it has one and reads that.
    pub(super) fn tell_landmarks(&mut self, id: MemberId) {
        let greeted = self.live.get(&id).filter(|live| live.session > 0).and_then(|live| live.link);
        let Some(link) = greeted.filter(|_| self.reads_of(id).is_some_and(|reads| reads >= READS_PLACING))
        else {
            return;
        };
        let landmarks = self.landmarks_for(id);
        self.effects.push(Effect::Send { link, message: Down::Landmarks { landmarks } });
    }

    fn landmarks_for(&self, id: MemberId) -> Vec<Landmark> {
        let clusters = self.live.iter().filter(|(other, _)| **other != id);
        let clusters =
            clusters.filter(|(other, _)| self.members.get(other).is_some_and(|m| m.role == Role::Cluster));
        let told = clusters.filter_map(|(_, live)| live.aggregate.landmark.as_ref());
        let fit = |landmark: &&Landmark| {
            let Landmark { address, coordinate } = landmark;
            coordinate.is_sane() && coordinate.is_settled() && address.len() <= MOST_BYTES
        };
        told.chain(&self.parent.landmarks).filter(fit).take(MOST).cloned().collect()
    }

    /// Where we are, for our parent.
    pub(super) fn own_landmark(&self) -> Option<Landmark> {
        let address = self.config.advertise.clone().filter(|_| self.config.tier == Tier::Cluster)?;
        Some(Landmark { address, coordinate: self.parent.coordinate? })
    }
}
