//! Location: the nearest to the point that the service names.

use holm_model::geo::Distance;

use super::fit::{Ask, Candidate, Kind};

/// The distance to the point, in metres; of a cluster, the least that one of its nodes may have. Whoever has no
/// location comes last.
#[must_use]
pub fn distance(ask: &Ask<'_>, member: &Candidate<'_>) -> u64 {
    let Some(near) = ask.spec.placement.location else { return 0 };
    let found: Option<Distance> = match member.kind {
        Kind::Node { location, .. } => location.map(|area| area.least_distance(near.point)),
        Kind::Cluster { aggregate, .. } => {
            let areas = member.suited(ask, aggregate).filter_map(|class| class.area);
            areas.map(|area| area.least_distance(near.point)).min()
        }
    };
    found.map_or(u64::MAX, |distance| u64::from(distance.0))
}
