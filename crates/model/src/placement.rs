//! Where a service may run, and which of the members that fit it takes first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::capability::Capability;
use crate::condition::Condition;
use crate::coordinate::Latency;
use crate::geo::{Distance, Point};
use crate::message::{READS_LATENCY, READS_MUSTS, READS_PLACING};
use crate::name::Name;
use crate::taint::Toleration;
use crate::units::Units;

/// Where a service may run; all conditions hold at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Name of the cluster it must run in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Name>,
    /// Name of the node it must run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
    /// What the node must be able to do.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub require: BTreeSet<Capability>,
    /// How many units it takes of those where it names a number; of the others one, where they are counted.
    #[serde(default, skip_serializing_if = "Units::is_empty")]
    pub units: Units,
    /// How far at most it may be from people somewhere, as the network goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near: Option<NearUsers>,
    /// What follows when a required bound of latency is broken later.
    #[serde(default, skip_serializing_if = "Violated::is_default")]
    pub violated: Violated,
    /// Taints that it bears.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tolerates: BTreeSet<Toleration>,
    /// Labels that the node must carry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// `None`: by distance where a location is given, else as its orchestrator is used to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// A scheduler of people's own that ranks instead, where the orchestrator has one of this name. Beside the
    /// strategy, so that whoever does not know of it decides as usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Near>,
    /// `where` in a manifest.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// Services of the same application that it wants to be together with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<Company>,
    /// Those that it must be apart from; its own name keeps its instances apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apart: Vec<Company>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefer: Vec<Preference>,
    /// It needs a node that is marked for sensitive data: [`SENSITIVE`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sensitive: bool,
}

/// How members that fit are ranked. None of them makes anybody fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The oldest member first.
    #[default]
    FirstFit,
    /// Where the least CPU and memory is left over.
    BestFit,
    /// Where the fewest of the service are.
    Spread(Scope),
    /// The nearest first.
    Location,
    /// By chance, the same each time; a yardstick for the others.
    Random,
    /// Where the estimated latencies to what it connects to, and to its users, are the least in all.
    Latency,
}

/// Members that count as one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    Node,
    Cluster,
    /// Those with the same value of this label.
    Label(String),
}

/// A point that a service wants to be near to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Near {
    pub point: Point,
    /// Farther is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Distance>,
}

/// People at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearUsers {
    pub users: Point,
    pub bound: Bound,
}

/// The longest that a round trip may take by estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    pub latency: Latency,
    /// `None`: required. Otherwise how much it is preferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
}

/// A required bound is broken while an instance runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violated {
    /// Without a break for so long: estimates waver.
    #[serde(rename = "for")]
    pub lasting: Duration,
    pub then: Consequence,
}

/// What follows from that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consequence {
    /// It is said.
    #[default]
    Event,
    /// It is said, and the instance moves to a member that keeps the bounds, if there is one.
    Migrate,
}

/// A service of the same application, and what counts as the same place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Company {
    pub service: Name,
    pub on: Scope,
    /// `None`: required. Otherwise how much it is preferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
}

/// A condition that need not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preference {
    #[serde(rename = "where")]
    pub condition: Condition,
    pub weight: u32,
}

/// The text is no [`Strategy`] that can be an orchestrator's default.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is not a strategy: `first-fit`, `best-fit`, `spread` (or `spread:cluster`, `spread:<label>`), `latency` or `random`",
    crate::name::shorten(.0)
)]
pub struct StrategyError(String);

/// The capability that administrators give to nodes which may hold sensitive data.
pub const SENSITIVE: &str = "data/sensitive";
/// Most of a [`Company::weight`] or [`Preference::weight`].
pub const MOST_WEIGHT: u32 = 1_000;
/// Least and most of [`Violated::lasting`].
pub const LASTING: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(86_400));

// === impl Placement ===

impl Placement {
    /// The strategy for this service, where the orchestrator's own is `usual`.
    #[must_use]
    pub fn strategy_or<'a>(&'a self, usual: &'a Strategy) -> &'a Strategy {
        match (&self.strategy, &self.location) {
            (Some(strategy), _) => strategy,
            (None, Some(_)) => &Strategy::Location,
            (None, None) => usual,
        }
    }

    /// A key that must be obeyed and that a program which [reads](crate::message::READS) so little passes over.
    #[must_use]
    pub fn newer_must(&self, reads: u32) -> Option<&'static str> {
        let required = |list: &[Company]| list.iter().any(|company| company.weight.is_none());
        let musts = [
            ("where", READS_MUSTS, self.condition.is_some()),
            ("sensitive", READS_MUSTS, self.sensitive),
            ("location.within", READS_MUSTS, self.location.is_some_and(|near| near.within.is_some())),
            ("with", READS_MUSTS, required(&self.with)),
            ("apart", READS_MUSTS, required(&self.apart)),
            ("require (units)", READS_PLACING, !self.units.is_empty()),
            ("near", READS_LATENCY, self.near.is_some_and(|near| near.bound.weight.is_none())),
        ];
        musts.into_iter().find_map(|(key, since, asked)| (asked && reads < since).then_some(key))
    }

    /// What it requires, how many units of that it takes where they are counted, and whether they have to be.
    pub fn demands(&self) -> impl Iterator<Item = (&Capability, u32, bool)> {
        self.require.iter().map(|capability| match self.units.get(capability) {
            Some(units) => (capability, units, true),
            None => (capability, 1, false),
        })
    }

    /// Whether anybody could be better than another beside the strategy.
    #[must_use]
    pub fn has_preferences(&self) -> bool {
        !self.prefer.is_empty()
            || self.with.iter().chain(&self.apart).any(|company| company.weight.is_some())
            || self.near.is_some_and(|near| near.bound.weight.is_some())
    }
}

// === impl Violated ===

impl Violated {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Violated {
    fn default() -> Self {
        Self { lasting: Duration::from_secs(60), then: Consequence::default() }
    }
}

// === impl Consequence ===

impl Consequence {
    pub const ALL: [(&'static str, Self); 2] = [("event", Self::Event), ("migrate", Self::Migrate)];
}

// === impl Strategy ===

impl Strategy {
    /// As people say it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::FirstFit => "first-fit",
            Self::BestFit => "best-fit",
            Self::Spread(_) => "spread",
            Self::Location => "location",
            Self::Random => "random",
            Self::Latency => "latency",
        }
    }
}

/// As an orchestrator's default is written; `location` needs a place, which only a service can name.
impl FromStr for Strategy {
    type Err = StrategyError;

    fn from_str(text: &str) -> Result<Self, StrategyError> {
        Ok(match text {
            "first-fit" => Self::FirstFit,
            "best-fit" => Self::BestFit,
            "random" => Self::Random,
            "latency" => Self::Latency,
            "spread" => Self::Spread(Scope::Node),
            _ => match text.strip_prefix("spread:").map(Scope::new) {
                Some(Some(scope)) => Self::Spread(scope),
                _ => return Err(StrategyError(text.to_owned())),
            },
        })
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spread(scope) => write!(f, "spread:{scope}"),
            other => f.write_str(other.word()),
        }
    }
}

// === impl Scope ===

impl Scope {
    /// `node`, `cluster` or a label's key; `None`: it is none of them.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b"._/-".contains(&b);
        match text {
            "node" => Some(Self::Node),
            "cluster" => Some(Self::Cluster),
            _ if (1..=253).contains(&text.len()) && text.bytes().all(inner) => {
                Some(Self::Label(text.to_owned()))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node",
            Self::Cluster => "cluster",
            Self::Label(key) => key,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_cannot_read_a_strategy_is_not_given_it() {
        let mut spec = crate::service::ServiceSpec::new("process".parse().unwrap(), vec!["x".into()]);
        spec.placement.strategy = Some(Strategy::Latency);
        let musts = [spec.newer_must(READS_LATENCY - 1), spec.newer_must(READS_LATENCY)];
        assert_eq!(musts, [Some("strategy: latency"), None]);
    }

    #[test]
    fn strategies_are_read_as_they_are_written() {
        for text in [
            "first-fit",
            "best-fit",
            "random",
            "latency",
            "spread:node",
            "spread:cluster",
            "spread:example.org/zone",
        ] {
            assert_eq!(text.parse::<Strategy>().unwrap().to_string(), text);
        }
        for wrong in ["", "worst-fit", "location", "spread:", "spread:a b"] {
            assert!(wrong.parse::<Strategy>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_location_ranks_by_distance_unless_the_service_says_otherwise() {
        let mut place = Placement::default();
        assert_eq!(place.strategy_or(&Strategy::Random), &Strategy::Random);
        place.location = Some(Near { point: "1,1".parse().unwrap(), within: None });
        assert_eq!(place.strategy_or(&Strategy::Random), &Strategy::Location);
        place.strategy = Some(Strategy::BestFit);
        assert_eq!(place.strategy_or(&Strategy::Random), &Strategy::BestFit);
    }
}
