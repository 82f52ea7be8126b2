//! Points to which members measure their way: the orchestrators that may be dialled.
//!
//! Clusters say where they are; their parent tells its members, once a tick, and clusters hand that on to their nodes. A
//! cluster is believed its port, and the address only where its link comes from: else it could send the whole sea to
//! whomever it likes.

use std::net::SocketAddr;

use holm_model::coordinate::{Coordinate, Landmark, MOST_LANDMARKS};
use holm_model::id::MemberId;
use holm_model::message::{Down, READS_LATENCY};
use holm_model::state::MemberState;

use super::event::Effect;
use super::members::Live;
use super::{Orchestrator, Tier};

impl Orchestrator {
    /// The shell has measured where we are.
    pub(super) fn located(&mut self, coordinate: Coordinate) {
        self.parent.coordinate = Some(coordinate);
        self.aggregate_stale = true;
    }

    pub(super) fn landmarks_told(&mut self, landmarks: &[Landmark]) {
        let fit = landmarks.iter().filter(|landmark| landmark.may_be_dialled());
        self.parent.landmarks = fit.take(MOST_LANDMARKS).copied().collect();
        self.todo.said.landmarks = true;
    }

    /// Whoever reads that, and was told something else before.
    pub(super) fn tell_landmarks(&mut self) {
        let own: Vec<_> = self.live.iter().filter_map(|(id, live)| Some((*id, landmark(live)?))).collect();
        let greeted = self.live.iter().filter(|(_, live)| live.session > 0 && live.link.is_some());
        let reads = |id| self.reads_of(id).is_some_and(|reads| reads >= READS_LATENCY);
        let members: Vec<_> = greeted.map(|(id, _)| *id).filter(|id| reads(*id)).collect();
        for id in members {
            let landmarks = landmarks_for(id, &own, &self.parent.landmarks);
            let Some(live) = self.live.get_mut(&id).filter(|live| live.landmarks != landmarks) else {
                continue;
            };
            live.landmarks.clone_from(&landmarks);
            let message = Down::Landmarks { landmarks };
            self.effects.extend(live.link.map(|link| Effect::Send { link, message }));
        }
    }

    /// Where we are, for our parent.
    pub(super) fn own_landmark(&self) -> Option<Landmark> {
        let address = self.config.advertise.filter(|_| self.config.tier == Tier::Cluster)?;
        Some(Landmark { address, coordinate: self.parent.coordinate? })
    }
}

/// Where others may dial a cluster.
fn landmark(live: &Live) -> Option<Landmark> {
    let Landmark { address, coordinate } =
        live.aggregate.landmark.filter(|_| live.state != MemberState::Offline)?;
    let ip = address.ip().to_canonical();
    // Without what an IPv6 address says beside: that means nothing elsewhere.
    let landmark = Landmark { address: SocketAddr::new(ip, address.port()), coordinate };
    (live.from == Some(ip) && landmark.may_be_dialled()).then_some(landmark)
}

/// The next ones in the order of members, round and round: so each is dialled by few, and those stay the same when
/// others come.
fn landmarks_for(id: MemberId, own: &[(MemberId, Landmark)], of_parent: &[Landmark]) -> Vec<Landmark> {
    let (before, after) = own.split_at(own.partition_point(|(other, _)| *other <= id));
    let others = after.iter().chain(before).filter(|(other, _)| *other != id);
    others.map(|(_, landmark)| landmark).chain(of_parent).take(MOST_LANDMARKS).copied().collect()
}

#[cfg(test)]
#[path = "landmarks_tests.rs"]
mod tests;
