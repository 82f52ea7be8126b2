//! Latency: how far a member is from what the service connects to, from what connects to it, and from its users.
//!
//! All are estimates: between members by their coordinates; to users, whom nobody can measure, by the way over ground and
//! the member's access to the net.

use std::fmt;

use holm_model::coordinate::{Latency, Region};
use holm_model::geo::{Area, Distance, Point};
use holm_model::id::MemberId;
use holm_model::name::Name;
use holm_model::placement::Bound;

use super::fit::{Ask, Candidate, Kind};
use super::score::sum;

/// From the service to one of those that it is with.
#[derive(Clone, Debug)]
pub struct Way {
    pub to: Target,
    /// `None`: it counts for the strategy only.
    pub bound: Option<Bound>,
}

#[derive(Clone, Debug)]
pub enum Target {
    /// Where its instances are, as far as is known; the nearest counts.
    Service {
        name: Name,
        at: Vec<Spot>,
    },
    Users(Point),
}

/// Where an instance is.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    /// The member that has it, if it is one of the asking orchestrator's.
    pub on: Option<MemberId>,
    /// `None`: nobody knows yet.
    pub region: Option<Region>,
}

/// What is estimated of a way, and what may be at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// The service's name, or `users`.
    pub to: String,
    /// `None`: the member, or the other side, does not know where it is.
    pub latency: Option<Latency>,
    pub most: Option<Latency>,
}

/// Light in fibre goes 200 km in a millisecond, there and back half of that. Cables do not go straight: half as long again
/// is usual over land (Singla et al., HotNets 2014, find more).
const METRES_PER_MILLISECOND: u64 = 100_000;
const DETOUR_PERCENT: u64 = 150;

/// The ranks of members whose estimates are not known: behind all others.
const UNKNOWN: u64 = u32::MAX as u64;

/// What is estimated of each way. Only ways that lead somewhere are told.
pub(super) fn estimates(
    ask: &Ask<'_>,
    member: &Candidate<'_>,
) -> impl Iterator<Item = (Estimate, Option<u32>)> {
    ask.around.ways.iter().filter(|way| way.to.is_somewhere()).map(|way| {
        let estimate = Estimate {
            to: way.to.to_string(),
            latency: estimate(ask, member, &way.to),
            most: way.bound.map(|bound| bound.latency),
        };
        (estimate, way.bound.and_then(|bound| bound.weight))
    })
}

/// A required bound that the member does not keep. A cluster that knows nothing of its nodes is asked.
pub(super) fn broken(ask: &Ask<'_>, member: &Candidate<'_>) -> Option<Estimate> {
    let required = estimates(ask, member).filter(|(_, weight)| weight.is_none());
    required.map(|(estimate, _)| estimate).find(|estimate| match (estimate.latency, estimate.most) {
        (_, None) => false,
        (Some(latency), Some(most)) => latency > most,
        (None, Some(_)) => matches!(member.kind, Kind::Node { .. }),
    })
}

/// A required bound that the member is known not to keep.
#[must_use]
pub fn too_slow(ask: &Ask<'_>, member: &Candidate<'_>) -> Option<Estimate> {
    let required = estimates(ask, member).filter(|(_, weight)| weight.is_none());
    required
        .map(|(estimate, _)| estimate)
        .find(|estimate| estimate.latency.zip(estimate.most).is_some_and(|(latency, most)| latency > most))
}

/// Weight of preferred bounds that it does not keep.
pub(super) fn unmet(ask: &Ask<'_>, member: &Candidate<'_>) -> u32 {
    let kept = |estimate: &Estimate| estimate.latency.is_some_and(|latency| Some(latency) <= estimate.most);
    sum(estimates(ask, member).filter(|(estimate, _)| !kept(estimate)).filter_map(|(_, weight)| weight))
}

/// Weight of all preferred bounds.
pub(super) fn weight(ask: &Ask<'_>) -> u32 {
    sum(ask.around.ways.iter().filter_map(|way| way.bound?.weight))
}

/// All ways together, in microseconds.
pub(super) fn total(ask: &Ask<'_>, member: &Candidate<'_>) -> u64 {
    estimates(ask, member).map(|(estimate, _)| estimate.latency.map_or(UNKNOWN, |known| known.0.into())).sum()
}

fn estimate(ask: &Ask<'_>, member: &Candidate<'_>, to: &Target) -> Option<Latency> {
    match member.kind {
        Kind::Node { coordinate, location, .. } => one(member.id, coordinate.map(Region::from), location, to),
        Kind::Cluster { aggregate, .. } => {
            let suited = member.suited(ask, aggregate);
            suited.filter_map(|class| one(member.id, class.region, class.area, to)).min()
        }
    }
}

/// The least that it can be from somewhere in `region` and `area`.
fn one(member: MemberId, region: Option<Region>, area: Option<Area>, to: &Target) -> Option<Latency> {
    match to {
        Target::Service { at, .. } => {
            let here = Spot { on: Some(member), region };
            at.iter().filter_map(|spot| here.way_to(spot)).min()
        }
        Target::Users(point) => {
            let access = Latency(region?.height);
            Some(over_ground(area?.least_distance(*point)).plus(access))
        }
    }
}

/// Where it would be on the member, which fits: of a cluster, where it may be.
pub(super) fn regions(ask: &Ask<'_>, member: &Candidate<'_>) -> Vec<Region> {
    match member.kind {
        Kind::Node { coordinate, .. } => coordinate.map(Region::from).into_iter().collect(),
        Kind::Cluster { aggregate, .. } => {
            member.suited(ask, aggregate).filter_map(|class| class.region).collect()
        }
    }
}

fn over_ground(Distance(metres): Distance) -> Latency {
    let micros = u64::from(metres) * DETOUR_PERCENT * 10 / METRES_PER_MILLISECOND;
    Latency(u32::try_from(micros).unwrap_or(u32::MAX))
}

// === impl Spot ===

impl Spot {
    /// The least that it can be. On one node there is no way at all, and on a cluster it may be the same node.
    #[must_use]
    pub fn way_to(&self, other: &Self) -> Option<Latency> {
        if self.on.is_some() && self.on == other.on {
            return Some(Latency(0));
        }
        Some(self.region?.least(&other.region?))
    }
}

// === impl Target ===

impl Target {
    /// A service without a place binds nobody yet: it comes as near as it must when it is placed.
    const fn is_somewhere(&self) -> bool {
        match self {
            Self::Service { at, .. } => !at.is_empty(),
            Self::Users(_) => true,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { name, .. } => write!(f, "`{name}`"),
            Self::Users(point) => write!(f, "users at {point}"),
        }
    }
}

// === impl Estimate ===

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.latency {
            Some(latency) => write!(f, "{latency} to {} by estimate", self.to)?,
            None => write!(f, "the latency to {} is not known yet", self.to)?,
        }
        self.most.map_or(Ok(()), |most| write!(f, ", {most} at most"))
    }
}

#[cfg(test)]
#[path = "latency_tests.rs"]
mod tests;
