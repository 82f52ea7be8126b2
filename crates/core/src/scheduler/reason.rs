//! Why a member cannot take an instance, in words for people.

use std::fmt;

use holm_model::capability::Capability;
use holm_model::geo::Distance;
use holm_model::name::Name;
use holm_model::resources::{Cpu, Memory};
use holm_model::state::MemberState;

use super::company::Clash;
use super::latency::Estimate;

/// Why a member cannot take the instance; Display is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    State(MemberState),
    /// For as long as the service waits for what it runs on, though it still counts as online.
    Silent,
    Frozen,
    /// People keep new work away from it.
    Cordoned,
    Said(String),
    OtherCluster(Name),
    OtherNode(Name),
    NoSuchNode(Name),
    NoRuntime(Name),
    /// It has the runtime, which does not know of leases.
    NoLease(Name),
    /// It has the runtime, which cannot be used now: why.
    NotReady {
        runtime: Name,
        why: String,
    },
    Lacks(Capability),
    /// It has too few units left.
    Units {
        capability: Capability,
        free: u32,
        asked: u32,
    },
    /// Nobody said how many it has, and a number is asked.
    Uncounted {
        capability: Capability,
        asked: u32,
    },
    /// It has a taint that the service does not tolerate.
    Tainted(String),
    Label {
        key: String,
        wanted: String,
        found: Option<String>,
    },
    /// It may hold no sensitive data.
    NotSensitive,
    NoLocation,
    Far {
        distance: Distance,
        within: Distance,
    },
    /// `where` is not true of it.
    Condition(String),
    /// `where` reads what it has not.
    ConditionLacks {
        labels: String,
        condition: String,
    },
    Cpu {
        free: Cpu,
        asked: Cpu,
    },
    Memory {
        free: Memory,
        asked: Memory,
    },
    PortTaken(u16),
    NoNodes,
    /// Its program does not know of this key of `placement`.
    TooOld(&'static str),
    Company(Clash),
    /// A way that has to be short is too long, or not known.
    Slow(Estimate),
}

/// The class of a slot that has no place since nobody is there.
pub const NO_MEMBERS: &str = "no-members";
/// The class of a slot that a cluster made and cannot fill.
pub const NO_PLACE_BELOW: &str = "below";

/// The class of a slot whose port cannot be opened at its orchestrator.
pub const EXPOSED: &str = "exposed";

// === impl Reason ===

impl Reason {
    /// Its kind in a word, for counting: a promise to those who watch.
    #[must_use]
    pub const fn class(&self) -> &'static str {
        match self {
            Self::State(_) | Self::Silent => "state",
            Self::Frozen => "frozen",
            Self::Cordoned => "cordoned",
            Self::Said(_) => "refused",
            Self::OtherCluster(_) | Self::OtherNode(_) | Self::NoSuchNode(_) => "elsewhere",
            Self::NoRuntime(_) | Self::NoLease(_) | Self::NotReady { .. } => "runtime",
            Self::Lacks(_) | Self::NotSensitive | Self::Uncounted { .. } => "capability",
            Self::Units { .. } => "units",
            Self::Tainted(_) => "taint",
            Self::Label { .. } => "label",
            Self::NoLocation | Self::Far { .. } => "location",
            Self::Condition(_) | Self::ConditionLacks { .. } => "condition",
            Self::Cpu { .. } => "cpu",
            Self::Memory { .. } => "memory",
            Self::PortTaken(_) => "port",
            Self::NoNodes => NO_MEMBERS,
            Self::TooOld(_) => "old",
            Self::Company(_) => "company",
            Self::Slow(_) => "latency",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(state) => write!(f, "is {state}"),
            Self::Silent => f.write_str("is silent for longer than the service waits"),
            Self::Frozen => f.write_str("is frozen until it is adopted or its list discarded"),
            Self::Cordoned => f.write_str("is cordoned: it takes nothing new until it is uncordoned"),
            Self::Said(words) => f.write_str(words),
            Self::OtherCluster(wanted) => write!(f, "is not (in) the cluster `{wanted}`"),
            Self::OtherNode(wanted) => write!(f, "is not the node `{wanted}`"),
            Self::NoSuchNode(wanted) => write!(f, "has no node `{wanted}`"),
            Self::NoRuntime(runtime) => write!(f, "has no runtime `{runtime}`"),
            Self::NoLease(runtime) => write!(
                f,
                "its runtime `{runtime}` does not end an exclusive instance at the end of its lease; upgrade holm there"
            ),
            Self::NotReady { runtime, why } => write!(f, "its runtime `{runtime}` is not ready: {why}"),
            Self::Lacks(capability) => write!(f, "lacks {capability}"),
            Self::Units { capability, free, asked } => write!(f, "{free} {capability} free, {asked} asked"),
            Self::Uncounted { capability, asked } => {
                write!(
                    f,
                    "nobody said how many {capability} it has, {asked} asked (`holm node capability add`)"
                )
            }
            Self::Tainted(taint) => write!(f, "has the taint `{taint}`, which is not tolerated"),
            Self::Label { key, wanted, found: Some(found) } => {
                write!(f, "label {key} is `{found}`, not `{wanted}`")
            }
            Self::Label { key, wanted, found: None } => write!(f, "has no label {key} (`{wanted}` asked)"),
            Self::NotSensitive => f.write_str("is not marked for sensitive data (capability data/sensitive)"),
            Self::NoLocation => f.write_str("has no location, and a distance is asked"),
            Self::Far { distance, within } => write!(f, "is {distance} away, {within} asked"),
            Self::Condition(condition) => write!(f, "`{condition}` is not true of it"),
            Self::ConditionLacks { labels, condition } if labels.is_empty() => {
                write!(f, "`{condition}` asks for something that it has not")
            }
            Self::ConditionLacks { labels, condition } => write!(f, "has no label {labels} (`{condition}`)"),
            Self::Cpu { free, asked } => write!(f, "{free} CPU free, {asked} asked"),
            Self::Memory { free, asked } => write!(f, "{free}B free, {asked}B asked"),
            Self::PortTaken(port) => write!(f, "port {port} is taken"),
            Self::TooOld(key) => write!(f, "its program is too old for `{key}`; upgrade holm there"),
            Self::NoNodes => f.write_str("has no nodes"),
            Self::Company(clash) => clash.fmt(f),
            Self::Slow(estimate) => estimate.fmt(f),
        }
    }
}
