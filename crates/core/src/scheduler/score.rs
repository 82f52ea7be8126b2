//! Preferences and strategy as one number to compare.

use std::fmt;

use holm_model::condition::{Facts, Truth};
use holm_model::coordinate::Latency;
use holm_model::geo::Distance;
use holm_model::name::Name;
use holm_model::placement::{Preference, Strategy};
use serde::{Deserialize, Serialize};

use super::company::OTHERS_FIRST;
use super::fit::{Ask, Candidate, Kind};
use super::{best_fit, latency, location, random, spread};

/// How good a member that fits is; less is better, and of two alike the older one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Score {
    /// Weight of the preferences that it does not meet.
    pub unmet: u32,
    /// By the strategy.
    pub rank: u64,
}

/// A score with the strategy that gave it, in words.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a>(pub &'a Strategy, pub Score);

/// Of a member that fits.
#[must_use]
pub fn score(ask: &Ask<'_>, strategy: &Strategy, member: &Candidate<'_>) -> Score {
    let rank = match strategy {
        Strategy::FirstFit => 0,
        Strategy::BestFit => best_fit::remainder(ask, member),
        Strategy::Spread(_) => spread::crowd(ask, member),
        Strategy::Location => location::distance(ask, member),
        Strategy::Random => random::draw(ask.slot, member.id),
        Strategy::Latency => latency::total(ask, member),
    };
    Score { unmet: unmet(ask, member), rank }
}

/// Weight of all preferences.
#[must_use]
pub fn weight(ask: &Ask<'_>) -> u32 {
    let conditions = sum(ask.spec.placement.prefer.iter().map(|preference| preference.weight));
    conditions.saturating_add(ask.around.weight()).saturating_add(latency::weight(ask))
}

pub(super) fn unmet(ask: &Ask<'_>, member: &Candidate<'_>) -> u32 {
    let not = |preference: &&Preference| !prefers(ask, preference, member);
    let conditions = sum(ask.spec.placement.prefer.iter().filter(not).map(|preference| preference.weight));
    conditions.saturating_add(ask.around.unmet(member)).saturating_add(latency::unmet(ask, member))
}

/// Of weights, which a parent may have let pass unchecked.
pub(super) fn sum(weights: impl Iterator<Item = u32>) -> u32 {
    weights.fold(0, u32::saturating_add)
}

/// Of a cluster: whether one of the nodes that could take it meets the preference.
fn prefers(ask: &Ask<'_>, preference: &Preference, member: &Candidate<'_>) -> bool {
    match member.kind {
        Kind::Node { cluster, capabilities, labels, runtimes, .. } => {
            let (name, cluster) = (Some(member.name.as_str()), Some(cluster.map_or("", Name::as_str)));
            let facts = Facts { labels, capabilities, name, cluster, runtimes: Some(runtimes) };
            preference.condition.holds(&facts) == Truth::Yes
        }
        Kind::Cluster { aggregate, .. } => member.suited(ask, aggregate).any(|class| {
            matches!(preference.condition.holds(&member.facts_of_class(class)), Truth::Yes | Truth::Open)
        }),
    }
}

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(strategy, Score { unmet, rank }) = *self;
        match strategy {
            Strategy::FirstFit => f.write_str("fits")?,
            Strategy::BestFit => {
                let (whole, tenths) = (rank / 20_000, rank / 2_000 % 10);
                write!(f, "{whole}.{tenths} % of CPU and memory left over")?;
            }
            Strategy::Spread(_) => write!(f, "{}.{} of it for each node", rank / 1000, rank / 100 % 10)?,
            Strategy::Location if rank == u64::MAX => f.write_str("has no location")?,
            Strategy::Location => write!(f, "{} away", Distance(u32::try_from(rank).unwrap_or(u32::MAX)))?,
            Strategy::Random => f.write_str("by chance")?,
            Strategy::Latency if rank >= u64::from(u32::MAX) => f.write_str("not all latencies are known")?,
            Strategy::Latency => {
                write!(f, "{} in all by estimate", Latency(u32::try_from(rank).unwrap_or(u32::MAX)))?;
            }
        }
        let (has_minimum, unmet) = (unmet >= OTHERS_FIRST, unmet % OTHERS_FIRST);
        if has_minimum {
            f.write_str(", has its minimum (`per-cluster`)")?;
        }
        if unmet > 0 { write!(f, ", does not meet preferences of weight {unmet}") } else { Ok(()) }
    }
}
