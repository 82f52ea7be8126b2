//! What a node or a cluster says about itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::amendment::{Amendments, LOCATION};
use crate::capability::Capability;
use crate::coordinate::{Coordinate, Landmark, Region};
use crate::geo::{Area, Point};
use crate::id::MemberId;
use crate::name::Name;
use crate::resources::{Memory, Resources};
use crate::state::MemberState;
use crate::taint::Taints;
use crate::time::Time;
use crate::units::Units;

/// Node or cluster.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Node,
    Cluster,
}

/// What changes rarely: detected at the agent's start and when hardware comes or goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFacts {
    pub hostname: String,
    pub addresses: Vec<IpAddr>,
    /// As in OCI: `amd64`, `arm64`, `arm`.
    pub arch: String,
    /// `linux`.
    pub os: String,
    /// Of the distribution, for people: `Debian GNU/Linux 12 (bookworm)`.
    pub os_version: String,
    pub kernel: String,
    pub cpu_model: String,
    /// What there is.
    pub total: Resources,
    /// What instances may take in all.
    pub allocatable: Resources,
    /// Bytes of the file system that holds the data directory.
    pub disk_total: Memory,
    pub disk_free: Memory,
    pub gpus: Vec<String>,
    /// Sensors under `/sys`, serial and other attached devices.
    pub devices: Vec<String>,
    pub runtimes: Vec<RuntimeFacts>,
    pub capabilities: BTreeSet<Capability>,
    /// Of those of them that are counted.
    #[serde(default, skip_serializing_if = "Units::is_empty")]
    pub units: Units,
    pub labels: BTreeMap<String, String>,
    /// Where it stands, as it was started with: see [`NodeFacts::place`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Point>,
    /// Where it is in the network, once it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinate: Option<Coordinate>,
    /// The agent's version.
    pub version: String,
    /// Changes when the machine was started anew.
    pub boot_id: String,
    /// What an operator said; `capabilities` and `labels` are so already.
    #[serde(default, skip_serializing_if = "Amendments::is_empty")]
    pub amendments: Amendments,
    /// Its disk stays full, in words: the least important of what it runs may go elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crowded: Option<String>,
}

/// The kind of the capability that says that a runtime [leases](RuntimeFacts::leases).
pub const LEASE: &str = "lease";

/// A runtime that was found, or why it cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RuntimeFacts {
    #[schema(value_type = String)]
    pub name: Name,
    pub version: String,
    /// `None`: ready. Otherwise the reason why not, for people.
    pub unavailable: Option<String>,
    /// Limits that it can really enforce on this host: `cpu`, `memory`.
    pub enforces: Vec<String>,
    /// It ends an instance at the end of its lease by itself, without the agent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leases: bool,
    pub images: Option<u64>,
    pub containers: Option<u64>,
}

/// What changes all the time, reported every `interval`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Usage {
    /// Thousandths of a core in use.
    pub cpu_millis: u64,
    /// Bytes in use.
    pub memory: u64,
}

/// A node as its orchestrator tells it to those above.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Ids from the reporting orchestrator's member down to the node: `[node]`, or `[cluster, node]`.
    pub path: Vec<MemberId>,
    pub name: Name,
    pub state: MemberState,
    pub facts: NodeFacts,
    pub usage: Usage,
    /// Its orchestrator's store is older than what it obeyed: it takes nothing until people decide.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
    /// Its certificates are void: its orchestrator has revoked it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoked: bool,
    /// It takes nothing new: people keep that away, or empty it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cordoned: bool,
    /// Not reserved by what its orchestrator has placed there; only an orchestrator tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<Resources>,
    /// When its orchestrator had heard it last as it told this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<Time>,
}

/// What a cluster can still take: classes of nodes, so that those above can decide and explain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregate {
    pub nodes: u32,
    pub online: u32,
    pub classes: Vec<NodeClass>,
    /// Where the cluster's orchestrator is, and under which address it may be dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landmark: Option<Landmark>,
}

/// Nodes that differ only in quantities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeClass {
    pub capabilities: BTreeSet<Capability>,
    pub labels: BTreeMap<String, String>,
    pub nodes: u32,
    pub total: Resources,
    pub free: Resources,
    /// The largest free sizes, of any one node each.
    pub largest: Resources,
    /// Of capabilities that their nodes count; each of them counts the same ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub units: BTreeMap<Capability, UnitsOfClass>,
    /// What keeps new work away from each of them.
    #[serde(default, skip_serializing_if = "Taints::is_empty")]
    pub taints: Taints,
    /// Around those of them whose location is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<Area>,
    /// Around those of them that know where they are in the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

/// Units of one capability that the nodes of a class have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitsOfClass {
    pub total: u32,
    pub free: u32,
    /// The most free ones of any one node.
    pub largest: u32,
}

// === impl Role ===

impl Role {
    /// The word as people see it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Cluster => "cluster",
        }
    }
}

// === impl Usage ===

impl AddAssign<&Self> for Usage {
    /// What members say has no bound: at most all that can be said.
    fn add_assign(&mut self, other: &Self) {
        self.cpu_millis = self.cpu_millis.saturating_add(other.cpu_millis);
        self.memory = self.memory.saturating_add(other.memory);
    }
}

// === impl Aggregate ===

impl Aggregate {
    /// Something that found no place by `old` may find one now.
    #[must_use]
    pub fn offers_more_than(&self, old: &Self) -> bool {
        let more = |new: &Resources, old: &Resources| new.cpu > old.cpu || new.memory > old.memory;
        self.classes.iter().any(|class| {
            old.classes.iter().find(|old| old.is_like(class)).is_none_or(|old| {
                class.area != old.area
                    || class.region != old.region
                    || class.nodes > old.nodes
                    || more(&class.free, &old.free)
                    || more(&class.largest, &old.largest)
                    || class.units.iter().any(|(capability, now)| {
                        let old = old.units.get(capability);
                        old.is_none_or(|old| now.free > old.free || now.largest > old.largest)
                    })
            })
        })
    }
}

// === impl NodeClass ===

impl NodeClass {
    /// It stands for the same kind of nodes.
    fn is_like(&self, other: &Self) -> bool {
        self.capabilities == other.capabilities
            && self.labels == other.labels
            && self.taints == other.taints
            && self.units.keys().eq(other.units.keys())
    }
}

// === impl NodeFacts ===

impl NodeFacts {
    /// Where it is: what an operator says by the label `location` wins over what it was started with. A label that is
    /// no point means something else.
    #[must_use]
    pub fn place(&self) -> Option<Point> {
        self.labels.get(LOCATION).and_then(|text| text.parse().ok()).or(self.location)
    }

    /// What keeps new work away from it.
    #[must_use]
    pub const fn taints(&self) -> &Taints {
        &self.amendments.taints
    }

    /// Capabilities that follow from the facts: `arch/…`, `os/…`, `runtime/…` of ready runtimes,
    /// beside those that were added.
    #[must_use]
    pub fn all_capabilities(&self) -> BTreeSet<Capability> {
        let mut all = self.capabilities.clone();
        let mut add = |kind: &str, name: &str| {
            if let (Ok(kind), Ok(name)) = (Name::new(kind), Name::new(name)) {
                all.insert(Capability::new(kind, name));
            }
        };
        add("arch", &self.arch);
        add("os", &self.os);
        for runtime in self.runtimes.iter().filter(|r| r.unavailable.is_none()) {
            add("runtime", runtime.name.as_str());
            if runtime.leases {
                add(LEASE, runtime.name.as_str());
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_that_members_make_up_adds_up() {
        let all = Usage { cpu_millis: u64::MAX, memory: u64::MAX };
        let mut sum = Usage { cpu_millis: 1, memory: 2 };
        sum += &all;
        sum += &all;
        assert_eq!(sum, all);
    }
}
