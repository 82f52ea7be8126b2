//! `placement:`, as types and from what is meant by them.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::Scalar;
use crate::capability::Capability;
use crate::condition;
use crate::duration::Span;
use crate::geo::{Distance, Latitude, Longitude};
use crate::name::Name;
use crate::placement;
use crate::taint::Toleration;
use crate::units::{Counted, Units};

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in super::super) struct Placement {
    /// The cluster it must run in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Name")]
    cluster: Option<Name>,
    /// The node it must run on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Name")]
    node: Option<Name>,
    /// What the node must be able to do; of what nodes count, a service takes one unit or as many as it says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    require: Vec<Counted>,
    /// Labels that the node must carry.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(default, with = "BTreeMap<String, Scalar>")]
    labels: BTreeMap<String, String>,
    /// Which of those that fit is taken first. Without it, the nearest where `location` is given, else as the
    /// orchestrator is used to (`first-fit`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Strategy")]
    strategy: Option<Strategy>,
    /// Where it wants to be near.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Location")]
    location: Option<Location>,
    /// What must be true of the node, in a subset of CEL: `labels.zone == "indoor" && arch in ["arm64", "amd64"]`.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "String", length(max = condition::MOST_BYTES))]
    condition: Option<String>,
    /// Services of this application that must (or should, with `preferred`) be at the same place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    with: Vec<Company>,
    /// Services of this application that must (or should) be elsewhere; its own name keeps its instances apart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    apart: Vec<Company>,
    /// What would be better. Among those that fit, the members that meet the most weight are taken first; the
    /// strategy ranks among these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    prefer: Vec<Preference>,
    /// Whether it may run only on nodes that an administrator marked with the capability `data/sensitive`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    sensitive: bool,
    /// How far away people somewhere may be, as the network goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "NearUsers")]
    near: Option<NearUsers>,
    /// What follows when a required bound of latency (`connects`, `near`) is broken later.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Violated")]
    violated: Option<Violated>,
    /// Taints of nodes that it bears; every other one keeps it away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default, length(max = 16))]
    tolerates: Vec<Toleration>,
}

/// `first-fit` (the oldest member), `best-fit` (where the least is left over), `location` (the nearest), `latency`
/// (where the ways to what it connects to, and to its users, are the shortest in all), `random`, or
/// `{ spread: node }` (where the fewest of it are), or `{ external: green }` (as a scheduler of your own says, which the
/// orchestrator knows by this name).
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Strategy {
    Word(StrategyWord),
    Spread(SpreadForm),
    External(ExternalForm),
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
enum StrategyWord {
    FirstFit,
    BestFit,
    // Over nodes.
    #[expect(dead_code, reason = "the same as `{ spread: node }`, which is written")]
    Spread,
    Location,
    Random,
    Latency,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
struct SpreadForm {
    /// `node`, `cluster` or the key of a label.
    spread: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
struct ExternalForm {
    /// Its name.
    external: Name,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
struct Location {
    /// Degrees of latitude.
    #[schemars(with = "f64", range(min = -90, max = 90))]
    lat: Degrees<Latitude>,
    /// Degrees of longitude.
    #[schemars(with = "f64", range(min = -180, max = 180))]
    lon: Degrees<Longitude>,
    /// Farther is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Distance")]
    within: Option<Distance>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
struct NearUsers {
    /// Where they are.
    users: Users,
    /// How long a round trip may take, by estimate: `1ms` to `10s`.
    latency: Span,
    /// How much that is preferred; without this it is required.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "u32", range(min = 1, max = placement::MOST_WEIGHT))]
    preferred: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
struct Users {
    /// Degrees of latitude.
    #[schemars(with = "f64", range(min = -90, max = 90))]
    lat: Degrees<Latitude>,
    /// Degrees of longitude.
    #[schemars(with = "f64", range(min = -180, max = 180))]
    lon: Degrees<Longitude>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
struct Violated {
    /// Without a break for so long, `10s` to `1d`; default `1m`.
    #[serde(rename = "for")]
    #[schemars(default = "lasting")]
    lasting: Span,
    /// `event` (the default): it is said. `migrate`: the instance moves to where the bounds are kept, if that is anywhere.
    #[schemars(default = "event")]
    then: ConsequenceWord,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
enum ConsequenceWord {
    Event,
    Migrate,
}

/// Written as a number.
#[derive(Debug)]
struct Degrees<T>(T);

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Company {
    /// A service of this application.
    service: Name,
    /// What counts as the same place: `node`, `cluster` or the key of a label.
    on: String,
    /// How much it is preferred; without this it is required.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "u32", range(min = 1, max = placement::MOST_WEIGHT))]
    preferred: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Preference {
    /// As `where` of a placement.
    #[serde(rename = "where")]
    #[schemars(length(max = condition::MOST_BYTES))]
    condition: String,
    /// Default 1.
    #[schemars(default = "one", range(min = 1, max = placement::MOST_WEIGHT))]
    weight: u32,
}

const fn one() -> u32 {
    1
}

fn lasting() -> Span {
    Span(placement::Violated::default().lasting)
}

const fn event() -> ConsequenceWord {
    ConsequenceWord::Event
}

// === impl From ===

impl From<placement::Placement> for Placement {
    fn from(place: placement::Placement) -> Self {
        Self {
            cluster: place.cluster,
            node: place.node,
            require: counted(place.require, &place.units),
            labels: place.labels,
            strategy: match place.scheduler {
                Some(external) => Some(Strategy::External(ExternalForm { external })),
                None => place.strategy.map(Strategy::from),
            },
            location: place.location.map(|near| Location {
                lat: Degrees(near.point.lat),
                lon: Degrees(near.point.lon),
                within: near.within,
            }),
            condition: place.condition.map(|condition| condition.to_string()),
            with: place.with.into_iter().map(Company::from).collect(),
            apart: place.apart.into_iter().map(Company::from).collect(),
            prefer: place.prefer.into_iter().map(Preference::from).collect(),
            sensitive: place.sensitive,
            near: place.near.map(|near| NearUsers {
                users: Users { lat: Degrees(near.users.lat), lon: Degrees(near.users.lon) },
                latency: near.bound.latency.into(),
                preferred: near.bound.weight,
            }),
            violated: (place.violated != placement::Violated::default()).then(|| place.violated.into()),
            tolerates: place.tolerates.into_iter().collect(),
        }
    }
}

fn counted(require: BTreeSet<Capability>, units: &Units) -> Vec<Counted> {
    let counted = |capability| Counted { units: units.get(&capability), capability };
    require.into_iter().map(counted).collect()
}

impl From<placement::Strategy> for Strategy {
    fn from(strategy: placement::Strategy) -> Self {
        Self::Word(match strategy {
            placement::Strategy::FirstFit => StrategyWord::FirstFit,
            placement::Strategy::BestFit => StrategyWord::BestFit,
            placement::Strategy::Location => StrategyWord::Location,
            placement::Strategy::Random => StrategyWord::Random,
            placement::Strategy::Latency => StrategyWord::Latency,
            placement::Strategy::Spread(scope) => {
                return Self::Spread(SpreadForm { spread: scope.to_string() });
            }
        })
    }
}

impl From<placement::Violated> for Violated {
    fn from(violated: placement::Violated) -> Self {
        let then = match violated.then {
            placement::Consequence::Event => ConsequenceWord::Event,
            placement::Consequence::Migrate => ConsequenceWord::Migrate,
        };
        Self { lasting: Span(violated.lasting), then }
    }
}

impl From<placement::Company> for Company {
    fn from(company: placement::Company) -> Self {
        let placement::Company { service, on, weight } = company;
        Self { service, on: on.to_string(), preferred: weight }
    }
}

impl From<placement::Preference> for Preference {
    fn from(preference: placement::Preference) -> Self {
        Self { condition: preference.condition.to_string(), weight: preference.weight }
    }
}

impl<T: std::fmt::Display> Serialize for Degrees<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // At most nine digits: the shortest text of the number is the same.
        let number: f64 = self.0.to_string().parse().map_err(serde::ser::Error::custom)?;
        serializer.serialize_f64(number)
    }
}
