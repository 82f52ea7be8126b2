//! A group goes to whoever holds all of it; where nobody does, several members share it.
//!
//! The nodes of an orchestrator are one place in this: it decides over them at once. Each of its clusters is another.

use std::cmp::Reverse;

use super::fit::{Candidate, Kind};
use super::group::{Group, Places, together};

/// Where the parts of a group go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Across {
    /// To one cluster, or to nodes of ours.
    One(Places),
    /// Each of them has to keep room before any part starts.
    Several(Places),
}

/// The best place for all, or else the best places; `None`: the search finds none. `may_share`: the cluster can keep room
/// for a part.
#[must_use]
pub fn across<'a>(
    group: &Group<'a>,
    members: &[Candidate<'a>],
    may_share: impl Fn(&Candidate<'a>) -> bool,
) -> Option<Across> {
    let all: Vec<usize> = (0..members.len()).collect();
    let (nodes, clusters): (Vec<usize>, Vec<usize>) = all.into_iter().partition(|at| is_node(&members[*at]));
    let whole = clusters.iter().filter(|at| !group.alone.contains(&members[**at].id)).map(|at| vec![*at]);
    let places = [nodes.clone()].into_iter().chain(whole);
    let found = places.filter_map(|of| among(group, members, &of));
    // The first of equals.
    if let Some(best) = found.max_by_key(|found| Reverse(found.cost)) {
        return Some(Across::One(best));
    }
    let sharing = clusters.into_iter().filter(|at| may_share(&members[*at]));
    let shared: Vec<usize> = nodes.into_iter().chain(sharing).collect();
    among(group, members, &shared).map(Across::Several)
}

fn is_node(member: &Candidate<'_>) -> bool {
    matches!(member.kind, Kind::Node { .. })
}

/// As [`together`] of some of the members, in numbers of all.
fn among<'a>(group: &Group<'a>, members: &[Candidate<'a>], of: &[usize]) -> Option<Places> {
    let some: Vec<Candidate<'a>> = of.iter().map(|at| members[*at]).collect();
    let found = together(group, &some)?;
    Some(Places { members: found.members.into_iter().map(|at| of[at]).collect(), ..found })
}
