//! Whether a member can take an instance, and the reason when it cannot.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use holm_model::capability::Capability;
use holm_model::id::MemberId;
use holm_model::member::{Aggregate, NodeClass, NodeReport, RuntimeFacts};
use holm_model::name::Name;
use holm_model::resources::{Cpu, Memory, Resources};
use holm_model::service::ServiceSpec;
use holm_model::state::MemberState;

/// What is asked for.
#[derive(Debug)]
pub struct Ask<'a> {
    pub spec: &'a ServiceSpec,
    /// `runtime/<name>`, made once per question.
    pub runtime: Capability,
    /// Members that said no a moment ago, with their words.
    pub refused: &'a BTreeMap<MemberId, String>,
}

/// A member as the scheduler sees it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    pub id: MemberId,
    pub name: &'a Name,
    pub state: MemberState,
    /// Frozen or waiting to be adopted: it takes nothing.
    pub frozen: bool,
    pub kind: Kind<'a>,
}

#[derive(Debug, Clone, Copy)]
pub enum Kind<'a> {
    Node {
        /// The cluster that the asking orchestrator is; `None` at a root.
        cluster: Option<&'a Name>,
        capabilities: &'a BTreeSet<Capability>,
        labels: &'a BTreeMap<String, String>,
        /// Those that are not ready are no capabilities.
        runtimes: &'a [RuntimeFacts],
        free: Resources,
        /// Fixed host ports that are taken.
        ports: &'a BTreeMap<u16, u32>,
    },
    Cluster {
        aggregate: &'a Aggregate,
        /// Placed there since the aggregate was made.
        debit: Resources,
        /// Names of its nodes.
        nodes: &'a BTreeSet<Name>,
        /// What they said last, by path below it.
        reports: &'a BTreeMap<Vec<MemberId>, NodeReport>,
    },
}

/// Why a member cannot take the instance; Display is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    State(MemberState),
    Frozen,
    Said(String),
    OtherCluster(Name),
    OtherNode(Name),
    NoSuchNode(Name),
    NoRuntime(Name),
    /// It has the runtime, which cannot be used now: why.
    NotReady {
        runtime: Name,
        why: String,
    },
    Lacks(Capability),
    Label {
        key: String,
        wanted: String,
        found: Option<String>,
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
}

// === impl Ask ===

impl<'a> Ask<'a> {
    /// The question for `spec`; `refused` are members that said no a moment ago.
    #[must_use]
    pub fn new(spec: &'a ServiceSpec, refused: &'a BTreeMap<MemberId, String>) -> Self {
        Self { spec, runtime: runtime_capability(&spec.runtime), refused }
    }
}

fn runtime_capability(runtime: &Name) -> Capability {
    // A constant that is a valid name.
    #[expect(clippy::expect_used, reason = "see above")]
    let kind = Name::new("runtime").expect("a name");
    Capability::new(kind, runtime.clone())
}

// === impl Candidate ===

impl Candidate<'_> {
    /// `None`: it fits now.
    #[must_use]
    pub fn refuses(&self, ask: &Ask<'_>) -> Option<Reason> {
        if self.frozen {
            return Some(Reason::Frozen);
        }
        if self.state != MemberState::Online {
            return Some(Reason::State(self.state));
        }
        if let Some(words) = ask.refused.get(&self.id) {
            return Some(Reason::Said(words.clone()));
        }
        self.never(ask).or_else(|| self.not_now(ask))
    }

    /// What does not change with load: whether it could ever take the service.
    #[must_use]
    pub fn never(&self, ask: &Ask<'_>) -> Option<Reason> {
        let place = &ask.spec.placement;
        match self.kind {
            Kind::Node { cluster, capabilities, labels, runtimes, .. } => {
                if let Some(wanted) = place.cluster.as_ref().filter(|wanted| Some(*wanted) != cluster) {
                    return Some(Reason::OtherCluster(wanted.clone()));
                }
                if let Some(node) = place.node.as_ref().filter(|node| *node != self.name) {
                    return Some(Reason::OtherNode(node.clone()));
                }
                // One that is not ready may be soon.
                if unready(ask, runtimes).is_some() {
                    places(ask, capabilities, labels)
                } else {
                    suits(ask, capabilities, labels)
                }
            }
            Kind::Cluster { aggregate, nodes, .. } => {
                if let Some(cluster) = place.cluster.as_ref().filter(|cluster| *cluster != self.name) {
                    return Some(Reason::OtherCluster(cluster.clone()));
                }
                if let Some(node) = place.node.as_ref().filter(|node| !nodes.contains(*node)) {
                    return Some(Reason::NoSuchNode(node.clone()));
                }
                if aggregate.classes.is_empty() {
                    return Some(Reason::NoNodes);
                }
                let mut reasons = aggregate.classes.iter().map(|c| suits(ask, &c.capabilities, &c.labels));
                let first = reasons.next().flatten()?;
                reasons.all(|reason| reason.is_some()).then_some(first)
            }
        }
    }

    /// A refusal in words that lead further: a runtime that all nodes of a cluster lack may be there, and
    /// not ready.
    #[must_use]
    pub fn explain(&self, ask: &Ask<'_>, reason: Reason) -> Reason {
        let (Kind::Cluster { reports, .. }, Reason::NoRuntime(_)) = (self.kind, &reason) else {
            return reason;
        };
        let told = |node: &NodeReport| match unready(ask, &node.facts.runtimes)? {
            Reason::NotReady { runtime, why } => {
                Some(Reason::NotReady { runtime, why: format!("{}: {why}", node.name) })
            }
            _ => None,
        };
        reports.values().find_map(told).unwrap_or(reason)
    }

    fn not_now(&self, ask: &Ask<'_>) -> Option<Reason> {
        let asked = &ask.spec.resources;
        match self.kind {
            Kind::Node { free, ports, runtimes, .. } => {
                unready(ask, runtimes).or_else(|| lacks(&free, asked)).or_else(|| {
                    let fixed = ask.spec.ports.values().filter_map(|port| port.host);
                    fixed.into_iter().find(|port| ports.contains_key(port)).map(Reason::PortTaken)
                })
            }
            Kind::Cluster { aggregate, debit, .. } => {
                let suited =
                    || aggregate.classes.iter().filter(|c| suits(ask, &c.capabilities, &c.labels).is_none());
                let mut free = Resources::default();
                let mut largest = Resources::default();
                for class in suited() {
                    free += &class.free;
                    largest.cpu = largest.cpu.max(class.largest.cpu);
                    largest.memory = largest.memory.max(class.largest.memory);
                }
                let holds = |c: &NodeClass| c.largest.holds(asked);
                lacks(&free.less(&debit), asked)
                    .or_else(|| if suited().any(holds) { None } else { lacks(&largest, asked) })
            }
        }
    }
}

fn suits(
    ask: &Ask<'_>,
    capabilities: &BTreeSet<Capability>,
    labels: &BTreeMap<String, String>,
) -> Option<Reason> {
    if !capabilities.contains(&ask.runtime) {
        return Some(Reason::NoRuntime(ask.spec.runtime.clone()));
    }
    places(ask, capabilities, labels)
}

/// What it asks for beside its runtime.
fn places(
    ask: &Ask<'_>,
    capabilities: &BTreeSet<Capability>,
    labels: &BTreeMap<String, String>,
) -> Option<Reason> {
    let place = &ask.spec.placement;
    if let Some(missing) = place.require.iter().find(|wanted| !capabilities.contains(*wanted)) {
        return Some(Reason::Lacks(missing.clone()));
    }
    place.labels.iter().find(|(key, wanted)| labels.get(*key) != Some(*wanted)).map(|(key, wanted)| {
        Reason::Label { key: key.clone(), wanted: wanted.clone(), found: labels.get(key).cloned() }
    })
}

/// The runtime is there, and is not ready.
fn unready(ask: &Ask<'_>, runtimes: &[RuntimeFacts]) -> Option<Reason> {
    let known = runtimes.iter().find(|known| known.name == ask.spec.runtime)?;
    let why = known.unavailable.clone()?;
    Some(Reason::NotReady { runtime: known.name.clone(), why })
}

fn lacks(free: &Resources, asked: &Resources) -> Option<Reason> {
    if free.cpu < asked.cpu {
        Some(Reason::Cpu { free: free.cpu, asked: asked.cpu })
    } else if free.memory < asked.memory {
        Some(Reason::Memory { free: free.memory, asked: asked.memory })
    } else {
        None
    }
}

// === impl Reason ===

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(state) => write!(f, "is {state}"),
            Self::Frozen => f.write_str("is frozen until it is adopted or its list discarded"),
            Self::Said(words) => f.write_str(words),
            Self::OtherCluster(wanted) => write!(f, "is not (in) the cluster `{wanted}`"),
            Self::OtherNode(wanted) => write!(f, "is not the node `{wanted}`"),
            Self::NoSuchNode(wanted) => write!(f, "has no node `{wanted}`"),
            Self::NoRuntime(runtime) => write!(f, "has no runtime `{runtime}`"),
            Self::NotReady { runtime, why } => write!(f, "its runtime `{runtime}` is not ready: {why}"),
            Self::Lacks(capability) => write!(f, "lacks {capability}"),
            Self::Label { key, wanted, found: Some(found) } => {
                write!(f, "label {key} is `{found}`, not `{wanted}`")
            }
            Self::Label { key, wanted, found: None } => write!(f, "has no label {key} (`{wanted}` asked)"),
            Self::Cpu { free, asked } => write!(f, "{free} CPU free, {asked} asked"),
            Self::Memory { free, asked } => write!(f, "{free}B free, {asked}B asked"),
            Self::PortTaken(port) => write!(f, "port {port} is taken"),
            Self::NoNodes => f.write_str("has no nodes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn spec() -> ServiceSpec {
        let mut spec = ServiceSpec::new(Name::new("process").unwrap(), vec!["x".into()]);
        spec.resources = Resources::new(Cpu(500), Memory(128 << 20));
        spec
    }

    fn node<'a>(
        name: &'a Name,
        capabilities: &'a BTreeSet<Capability>,
        labels: &'a BTreeMap<String, String>,
        free: Resources,
        ports: &'a BTreeMap<u16, u32>,
    ) -> Candidate<'a> {
        let id = MemberId("1-000000000001-1".parse().unwrap());
        let kind = Kind::Node { cluster: None, capabilities, labels, runtimes: &[], free, ports };
        Candidate { id, name, state: MemberState::Online, frozen: false, kind }
    }

    #[test]
    fn each_refusal_says_what_is_missing() {
        let name = Name::new("fl-2").unwrap();
        let runtime: BTreeSet<Capability> = ["runtime/process".parse().unwrap()].into();
        let (none, labels, ports) = (BTreeSet::new(), BTreeMap::new(), [(80, 1)].into());
        let refused = BTreeMap::new();
        let plenty = Resources::new(Cpu(4000), Memory(1 << 30));
        let say = |spec: &ServiceSpec, capabilities, free| {
            let ask = Ask::new(spec, &refused);
            node(&name, capabilities, &labels, free, &ports).refuses(&ask).map(|r| r.to_string())
        };
        assert_eq!(say(&spec(), &runtime, plenty), None);
        assert_eq!(say(&spec(), &none, plenty).unwrap(), "has no runtime `process`");
        let little = Resources::new(Cpu(4000), Memory(64 << 20));
        assert_eq!(say(&spec(), &runtime, little).unwrap(), "64MiB free, 128MiB asked");
        let mut picky = spec();
        picky.placement.require.insert("hardware/ble".parse().unwrap());
        assert_eq!(say(&picky, &runtime, plenty).unwrap(), "lacks hardware/ble");
        let mut web = spec();
        web.ports.insert(
            Name::new("http").unwrap(),
            holm_model::service::Port { host: Some(80), container: None },
        );
        assert_eq!(say(&web, &runtime, plenty).unwrap(), "port 80 is taken");
    }

    #[test]
    fn a_cluster_whose_nodes_are_each_too_small_is_refused() {
        let name = Name::new("vienna").unwrap();
        let class = NodeClass {
            capabilities: ["runtime/process".parse().unwrap()].into(),
            nodes: 4,
            free: Resources::new(Cpu(4000), Memory(256 << 20)),
            largest: Resources::new(Cpu(1000), Memory(64 << 20)),
            ..NodeClass::default()
        };
        let aggregate = Aggregate { nodes: 4, online: 4, classes: vec![class] };
        let (nodes, reports) = (BTreeSet::new(), BTreeMap::new());
        let (debit, nodes, reports) = (Resources::default(), &nodes, &reports);
        let kind = Kind::Cluster { aggregate: &aggregate, debit, nodes, reports };
        let id = MemberId("1-000000000001-1".parse().unwrap());
        let cluster = Candidate { id, name: &name, state: MemberState::Online, frozen: false, kind };
        let (spec, refused) = (spec(), BTreeMap::new());
        let reason = cluster.refuses(&Ask::new(&spec, &refused)).unwrap();
        assert_eq!(reason.to_string(), "64MiB free, 128MiB asked");
    }
}
