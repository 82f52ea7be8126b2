//! Points to which members measure their way: the orchestrators that may be dialled.
//!
//! Clusters say where they are; their parent tells its members, once a tick, and clusters hand that on to their nodes. A
//! cluster is believed its port, and the address only where its link comes from: else it could send the whole sea to
//! whomever it likes.

use std::net::{IpAddr, SocketAddr};

use holm_model::coordinate::{Coordinate, Landmark, MOST_LANDMARKS};
use holm_model::id::MemberId;
use holm_model::member::Role;
use holm_model::message::{Down, READS_LATENCY};
use holm_model::state::MemberState;

use super::command::Refusal;
use super::event::Effect;
use super::members::Live;
use super::{Orchestrator, Tier};

impl Orchestrator {
    /// The shell has measured where we are.
    pub(super) fn located(&mut self, coordinate: Coordinate) {
        self.parent.coordinate = Some(coordinate);
        self.aggregate_stale = true;
    }

    /// Where the API of a cluster of ours answers, for whoever wants to go straight there.
    ///
    /// # Errors
    /// There is no such cluster; or it is away, or has told no address that is believed.
    pub fn api_of_cluster(&self, name: &str) -> Result<SocketAddr, Refusal> {
        let mut clusters = self.members.iter().filter(|(_, member)| member.role == Role::Cluster);
        let found = clusters.find(|(_, member)| member.name.as_str() == name);
        let live = found.and_then(|(id, _)| self.live.get(id));
        let live = live.ok_or_else(|| Refusal::NotFound { kind: "cluster", name: name.to_owned() })?;
        if live.state != MemberState::Online {
            return Err(Refusal::Conflict(format!(
                "cluster `{name}` is away: nobody can be sent there; without the redirect, what is for it is placed \
                 as soon as it is back"
            )));
        }
        api(live).ok_or_else(|| {
            Refusal::Conflict(format!(
                "cluster `{name}` has told no address of its API from which its link comes, too (it does some \
                 seconds after its start): give it one there with `--advertise ADDRESS`, or do without the redirect"
            ))
        })
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
    let landmark = Landmark { address: plain(address), coordinate };
    (live.from == Some(landmark.address.ip()) && landmark.may_be_dialled()).then_some(landmark)
}

/// Where the API of a cluster answers. Unlike a landmark it may be on this machine, as its link is then.
fn api(live: &Live) -> Option<SocketAddr> {
    let (address, from) = (plain(live.aggregate.landmark?.address), live.from?);
    let is_there = address.ip() == from || address.ip().is_loopback() && from.is_loopback();
    (is_there && address.port() > 0).then_some(address)
}

/// Without what an IPv6 address says beside: that means nothing elsewhere.
fn plain(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = address.ip().to_canonical();
    SocketAddr::new(ip, address.port())
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
