//! Services that have to be near each other, placed in one decision: all of them, or none.
//!
//! A depth-first search with a bound: whoever has the fewest places is placed first, then those who are tied to what is
//! placed, nearest members first; what is no better than the best that was found is cut off. After [`MOST_STEPS`] members
//! were looked at, the best so far counts, and without one the group has no place. The same input gives the same answer.

use std::collections::BTreeSet;

use holm_model::coordinate::{Latency, Region};
use holm_model::id::MemberId;
use holm_model::placement::Scope;
use holm_model::resources::Resources;
use holm_model::units::Units;

use super::fit::{Ask, Candidate, Kind};
use super::latency;
use super::score::unmet;
use super::units::Taken;

/// One instance of the group, `ask` being about it alone.
#[derive(Debug)]
pub struct Part<'a> {
    pub ask: Ask<'a>,
}

/// One has to be near one of the others.
#[derive(Clone, Debug)]
pub struct Tie {
    pub from: usize,
    pub to: Vec<usize>,
    pub most: Latency,
}

/// Two must not be at the same place.
#[derive(Clone, Debug)]
pub struct Apart {
    pub one: usize,
    pub other: usize,
    pub on: Scope,
}

/// What is placed together; numbers are those of `parts`.
#[derive(Debug, Default)]
pub struct Group<'a> {
    pub parts: Vec<Part<'a>>,
    pub ties: Vec<Tie>,
    pub apart: Vec<Apart>,
    /// Clusters that found no place for several of these parts beside each other: they take one at most.
    pub alone: BTreeSet<MemberId>,
}

/// How good a member is for a part, or all members for all: less is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost {
    /// Weight of the preferences that are not met.
    pub unmet: u64,
    /// All latencies together, in microseconds.
    pub latency: u64,
}

/// A place for each part, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Indices of the members.
    pub members: Vec<usize>,
    /// How many members each part fits by itself.
    pub fitting: Vec<usize>,
    pub cost: Cost,
}

/// A member that a part alone fits.
#[derive(Debug)]
struct Fit {
    member: usize,
    cost: Cost,
    /// Where it would be.
    regions: Vec<Region>,
}

/// What a tie comes to as far as its parts have places.
enum Way {
    /// One end has none, or a nearer one may come.
    Open(Option<Latency>),
    Kept(Latency),
    Broken,
}

struct Search<'s, 'a> {
    group: &'s Group<'a>,
    members: &'s [Candidate<'a>],
    fits: Vec<Vec<Fit>>,
    order: Vec<usize>,
    /// By part: which of its `fits`.
    at: Vec<Option<usize>>,
    steps: usize,
    best: Option<Places>,
}

/// Members that are looked at, all parts and tries together: some milliseconds.
pub const MOST_STEPS: usize = 50_000;
/// Parts of a group: more would be looked for in vain.
pub const MOST_PARTS: usize = 16;

/// The members that take the parts, with the least unmet preferences and then the shortest latencies in all that the
/// search finds; `None`: it finds no place for all.
#[must_use]
pub fn together<'a>(group: &Group<'a>, members: &[Candidate<'a>]) -> Option<Places> {
    let fits: Vec<Vec<Fit>> = group.parts.iter().map(|part| fits(part, members)).collect();
    if fits.iter().any(Vec::is_empty) {
        return None;
    }
    let order = order(group, &fits);
    let at = vec![None; group.parts.len()];
    let mut search = Search { group, members, fits, order, at, steps: 0, best: None };
    search.go(0, Cost::default());
    search.best
}

fn fits(part: &Part<'_>, members: &[Candidate<'_>]) -> Vec<Fit> {
    let fitting = members.iter().enumerate().filter(|(_, member)| member.refuses(&part.ask).is_none());
    let fit = |(at, member): (usize, &Candidate<'_>)| Fit {
        member: at,
        cost: Cost { unmet: unmet(&part.ask, member).into(), latency: latency::total(&part.ask, member) },
        regions: latency::regions(&part.ask, member),
    };
    fitting.map(fit).collect()
}

/// The one with the fewest places first, then who is tied to the most that have one.
fn order(group: &Group<'_>, fits: &[Vec<Fit>]) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::new();
    let ties = |part: usize, placed: &[usize]| {
        let tied = |tie: &&Tie| {
            let others = tie.to.iter().chain([&tie.from]);
            (tie.from == part || tie.to.contains(&part)) && others.into_iter().any(|o| placed.contains(o))
        };
        group.ties.iter().filter(tied).count()
    };
    while let Some(next) = (0..group.parts.len())
        .filter(|part| !order.contains(part))
        .min_by_key(|part| (usize::MAX - ties(*part, &order), fits[*part].len(), *part))
    {
        order.push(next);
    }
    order
}

// === impl Search ===

impl Search<'_, '_> {
    fn go(&mut self, depth: usize, cost: Cost) {
        let Some(part) = self.order.get(depth).copied() else {
            let fits = self.at.iter().zip(&self.fits);
            let members = fits.filter_map(|(at, fits)| Some(fits[(*at)?].member)).collect();
            let fitting = self.fits.iter().map(Vec::len).collect();
            self.best = Some(Places { members, fitting, cost });
            return;
        };
        for (_, cost, fit) in self.options(part, cost) {
            if self.steps > MOST_STEPS {
                return;
            }
            if self.best.as_ref().is_none_or(|best| cost < best.cost) {
                self.at[part] = Some(fit);
                self.go(depth + 1, cost);
                self.at[part] = None;
            }
        }
    }

    /// Where the part may be beside those that have a place: what all cost then, the likeliest first.
    fn options(&mut self, part: usize, cost: Cost) -> Vec<(Cost, Cost, usize)> {
        let mut options = Vec::new();
        for fit in 0..self.fits[part].len() {
            self.steps += 1;
            self.at[part] = Some(fit);
            let ways = self.ways(part);
            let fine = ways.is_some() && self.is_apart(part) && self.has_room(part);
            if let Some((sure, likely)) = ways.filter(|_| fine) {
                let own = self.fits[part][fit].cost;
                let cost = cost.plus(own).plus(Cost { unmet: 0, latency: sure });
                options.push((cost.plus(Cost { unmet: 0, latency: likely }), cost, fit));
            }
        }
        self.at[part] = None;
        options.sort_unstable();
        options
    }

    /// What the ties of the part come to, and may come to; `None`: one is broken.
    fn ways(&self, part: usize) -> Option<(u64, u64)> {
        let ties = self.group.ties.iter().filter(|tie| tie.from == part || tie.to.contains(&part));
        ties.map(|tie| self.way(tie)).try_fold((0, 0), |(sure, likely), way| match way {
            Way::Kept(latency) => Some((sure + u64::from(latency.0), likely)),
            Way::Open(latency) => Some((sure, likely + latency.map_or(0, |latency| u64::from(latency.0)))),
            Way::Broken => None,
        })
    }

    fn way(&self, tie: &Tie) -> Way {
        let Some(from) = self.fit(tie.from) else { return Way::Open(None) };
        let others: Vec<&Fit> = tie.to.iter().filter_map(|to| self.fit(*to)).collect();
        let nearest = others.iter().filter_map(|to| self.between(from, to, tie.most)).min();
        match nearest {
            nearest if others.len() < tie.to.len() => Way::Open(nearest),
            Some(latency) if latency <= tie.most => Way::Kept(latency),
            Some(_) | None => Way::Broken,
        }
    }

    fn fit(&self, part: usize) -> Option<&Fit> {
        self.fits[part].get(self.at[part]?)
    }

    /// `most`: for a cluster that knows better itself.
    fn between(&self, one: &Fit, other: &Fit, most: Latency) -> Option<Latency> {
        if one.member == other.member {
            return Some(Latency(0));
        }
        let pairs = one.regions.iter().flat_map(|a| other.regions.iter().map(|b| a.least(b)));
        let is_cluster = |fit: &Fit| matches!(self.members[fit.member].kind, Kind::Cluster { .. });
        pairs.min().or_else(|| (is_cluster(one) || is_cluster(other)).then_some(most))
    }

    fn is_apart(&self, part: usize) -> bool {
        let of = |apart: &&Apart| apart.one == part || apart.other == part;
        self.group.apart.iter().filter(of).all(|apart| {
            let both = self.fit(apart.one).zip(self.fit(apart.other));
            both.is_none_or(|(a, b)| !same(&apart.on, &self.members[a.member], &self.members[b.member]))
        })
    }

    /// Beside the parts that the same member has.
    fn has_room(&self, part: usize) -> bool {
        let Some(here) = self.fit(part).map(|fit| fit.member) else { return false };
        let beside = |other: &usize| *other != part && self.fit(*other).is_some_and(|f| f.member == here);
        let others: Vec<_> = (0..self.at.len()).filter(beside).map(|at| &self.group.parts[at].ask).collect();
        let alone = self.group.alone.contains(&self.members[here].id);
        others.is_empty() || !alone && fits_beside(&self.group.parts[part].ask, &others, &self.members[here])
    }
}

/// Whether two members are one place.
fn same(on: &Scope, one: &Candidate<'_>, other: &Candidate<'_>) -> bool {
    match (on, one.kind, other.kind) {
        // The nodes of one orchestrator are a cluster.
        (Scope::Cluster, Kind::Node { .. }, Kind::Node { .. }) => true,
        (Scope::Label(key), Kind::Node { labels: a, .. }, Kind::Node { labels: b, .. }) => {
            a.get(key).is_some_and(|value| b.get(key) == Some(value))
        }
        // Which of its nodes, a cluster decides itself.
        (Scope::Node | Scope::Label(_), Kind::Cluster { .. }, _) => false,
        _ => one.id == other.id,
    }
}

/// Whether the member has room for one more beside `others`.
fn fits_beside(ask: &Ask<'_>, others: &[&Ask<'_>], member: &Candidate<'_>) -> bool {
    let mut more = Resources::default();
    let mut units = Units::default();
    let mut ports = BTreeSet::new();
    for other in others {
        more += &other.spec.resources;
        units += &other.spec.placement.demands().map(|(capability, n, _)| (capability.clone(), n)).collect();
        ports.extend(other.spec.ports.values().filter_map(|port| port.host));
    }
    let is_node = matches!(member.kind, Kind::Node { .. });
    if is_node && ask.spec.ports.values().filter_map(|port| port.host).any(|port| ports.contains(&port)) {
        return false;
    }
    let mut left = *member;
    match &mut left.kind {
        Kind::Node { free, taken, .. } => {
            *free = free.less(&more);
            units += taken.all;
            *taken = Taken { all: &units, except: taken.except };
        }
        Kind::Cluster { debit, taken, .. } => {
            *debit += &more;
            units += taken;
            *taken = &units;
        }
    }
    left.refuses(ask).is_none()
}

// === impl Cost ===

impl Cost {
    const fn plus(self, other: Self) -> Self {
        Self {
            unmet: self.unmet.saturating_add(other.unmet),
            latency: self.latency.saturating_add(other.latency),
        }
    }
}

#[cfg(test)]
#[path = "group_tests.rs"]
mod tests;
