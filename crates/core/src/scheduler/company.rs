//! `with` and `apart`: members by what of the same application is on them.
//!
//! A cluster stands for many nodes: whether its node is the right one, only itself can know. It is asked unless it
//! certainly cannot.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use holm_model::condition::Truth;
use holm_model::id::MemberId;
use holm_model::name::Name;
use holm_model::placement::Scope;
use holm_model::service::PerCluster;

use super::fit::{Candidate, Kind};
use super::latency::Way;
use super::score::sum;

/// What of the same application is placed already.
#[derive(Debug, Default)]
pub struct Around<'a> {
    pub with: Vec<Others<'a>>,
    /// As the service asks, and as others ask of it.
    pub apart: Vec<Others<'a>>,
    /// Of the service itself.
    pub own: There<'a>,
    /// Its replicas are shared out among clusters.
    pub shared: Option<Shared>,
    /// How far others are.
    pub ways: Vec<Way>,
}

/// How many of a service each cluster has. The root's own nodes count as one.
#[derive(Clone, Copy, Debug)]
pub struct Shared {
    pub each: PerCluster,
    /// Of the service itself, on the asking orchestrator's own nodes.
    pub here: u32,
}

/// How many of a service each member has.
#[derive(Clone, Copy, Debug, Default)]
pub struct There<'a> {
    pub on: Option<&'a BTreeMap<MemberId, u32>>,
    /// One there is what the slot has now: it does not count.
    pub except: Option<MemberId>,
}

/// A service that is to be together with the one that asks, or apart from it.
#[derive(Debug)]
pub struct Others<'a> {
    pub service: Name,
    pub on: Scope,
    /// `None`: required.
    pub weight: Option<u32>,
    /// It is the service that asks: the first one is free.
    pub itself: bool,
    pub there: There<'a>,
    /// Whether it is on some node of the asking orchestrator, for the scope `cluster`.
    pub here: bool,
    /// Of those nodes, for a scope that is a label.
    pub values: BTreeSet<&'a str>,
}

/// Required company that is not as it has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clash {
    /// It is not there.
    Without { service: Name, on: Scope },
    /// It is nowhere yet.
    Waits { service: Name },
    /// It is there.
    Beside { service: Name, on: Scope },
    /// As many of the service itself as may be are there.
    Enough { max: u32 },
}

/// The weight of a cluster that has its minimum while others have not: more than that of all preferences together.
pub(super) const OTHERS_FIRST: u32 = 1 << 30;

// === impl Around ===

impl Around<'_> {
    /// Nobody is to be near, or far from, anybody.
    #[must_use]
    pub const fn is_free(&self) -> bool {
        self.with.is_empty() && self.apart.is_empty() && self.shared.is_none() && self.ways.is_empty()
    }

    /// Whether some that fit are better than others, whatever the strategy says.
    #[must_use]
    pub fn would_rather(&self) -> bool {
        let preferred = |way: &Way| way.bound.is_some_and(|bound| bound.weight.is_some());
        self.shared.is_some() || self.ways.iter().any(preferred)
    }

    /// Whether something does not count because the slot has it now.
    #[must_use]
    pub fn excepts(&self) -> bool {
        let others = self.with.iter().chain(&self.apart).map(|others| &others.there);
        others.chain([&self.own]).any(|there| there.except.is_some())
    }

    /// Whether what is said of a member depends on what is on that member alone.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.shared.is_none()
            && self.ways.is_empty()
            && self.with.iter().chain(&self.apart).all(|others| others.on == Scope::Node)
    }

    pub(super) fn clash(&self, member: &Candidate<'_>) -> Option<Clash> {
        let required = |others: &&Others<'_>| others.weight.is_none();
        let without = self.with.iter().filter(required).find_map(|others| {
            let (service, on) = (others.service.clone(), others.on.clone());
            match others.are_with(member) {
                Truth::Yes | Truth::Open => None,
                _ if !others.there.is_empty() => Some(Clash::Without { service, on }),
                _ => (!others.itself).then_some(Clash::Waits { service }),
            }
        });
        let enough = || {
            let max = self.shared?.each.max;
            (self.in_cluster(member) >= max).then_some(Clash::Enough { max })
        };
        without.or_else(enough).or_else(|| {
            let beside = |others: &&Others<'_>| others.are_with(member) == Truth::Yes;
            let others = self.apart.iter().filter(required).find(beside)?;
            Some(Clash::Beside { service: others.service.clone(), on: others.on.clone() })
        })
    }

    /// Weight of preferred company that is not as it should be, of how much.
    pub(super) fn unmet(&self, member: &Candidate<'_>) -> u32 {
        let unmet = |list: &[Others<'_>], not: Truth| -> u32 {
            let unmet = list.iter().filter(|others| others.are_with(member) == not);
            sum(unmet.filter_map(|others| others.weight))
        };
        let others_first = if self.has_its_minimum(member) { OTHERS_FIRST } else { 0 };
        unmet(&self.with, Truth::No)
            .saturating_add(unmet(&self.apart, Truth::Yes))
            .saturating_add(others_first)
    }

    /// Clusters that have fewer come first.
    fn has_its_minimum(&self, member: &Candidate<'_>) -> bool {
        self.shared.is_some_and(|shared| shared.each.min > 0 && self.in_cluster(member) >= shared.each.min)
    }

    /// Of the service itself, in the member's cluster.
    fn in_cluster(&self, member: &Candidate<'_>) -> u32 {
        match (member.kind, self.shared) {
            (Kind::Node { .. }, Some(shared)) => shared.here,
            (Kind::Node { .. } | Kind::Cluster { .. }, _) => self.own.count(member.id),
        }
    }

    /// The weight of all preferred company.
    pub(super) fn weight(&self) -> u32 {
        sum(self.with.iter().chain(&self.apart).filter_map(|others| others.weight))
    }
}

// === impl There ===

impl There<'_> {
    #[must_use]
    pub fn count(&self, member: MemberId) -> u32 {
        let all = self.on.and_then(|on| on.get(&member)).copied().unwrap_or(0);
        all.saturating_sub(u32::from(self.except == Some(member)))
    }

    /// The members that have one.
    pub fn members(&self) -> impl Iterator<Item = MemberId> {
        self.on.into_iter().flat_map(BTreeMap::keys).copied().filter(|member| self.count(*member) > 0)
    }

    fn is_empty(&self) -> bool {
        self.members().next().is_none()
    }
}

// === impl Others ===

impl Others<'_> {
    /// Whether they are at the member's place.
    fn are_with(&self, member: &Candidate<'_>) -> Truth {
        let there = self.there.count(member.id) > 0;
        match (&self.on, member.kind) {
            (Scope::Node, Kind::Node { .. }) | (Scope::Cluster, Kind::Cluster { .. }) => Truth::from(there),
            (Scope::Cluster, Kind::Node { .. }) => Truth::from(self.here),
            (Scope::Label(key), Kind::Node { labels, .. }) => {
                Truth::from(labels.get(key).is_some_and(|value| self.values.contains(value.as_str())))
            }
            (Scope::Node, Kind::Cluster { .. }) => {
                if there {
                    Truth::Open
                } else {
                    Truth::No
                }
            }
            (Scope::Label(key), Kind::Cluster { aggregate, .. }) => {
                let alike =
                    |value: Option<&String>| value.is_some_and(|value| self.values.contains(value.as_str()));
                let may = there || aggregate.classes.iter().any(|class| alike(class.labels.get(key)));
                if may { Truth::Open } else { Truth::No }
            }
        }
    }
}

// === impl Clash ===

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Without { service, on } => {
                write!(f, "`{service}` is not on this {on}, and has to be (`with`)")
            }
            Self::Waits { service } => {
                write!(f, "`{service}`, which has to be there (`with`), has no place yet")
            }
            Self::Beside { service, on } => {
                write!(f, "`{service}` is on this {on}, and must not be (`apart`)")
            }
            Self::Enough { max } => write!(f, "has the {max} that a cluster may have (`per-cluster`)"),
        }
    }
}
