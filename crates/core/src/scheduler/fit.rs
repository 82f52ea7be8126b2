//! Whether a member can take an instance, and the reason when it cannot.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use holm_model::capability::Capability;
use holm_model::condition::{Facts, Truth};
use holm_model::coordinate::Coordinate;
use holm_model::geo::{Area, Distance};
use holm_model::id::MemberId;
use holm_model::member::{Aggregate, LEASE, NodeClass, NodeReport, RuntimeFacts};
use holm_model::name::Name;
use holm_model::placement::SENSITIVE;
use holm_model::resources::Resources;
use holm_model::service::ServiceSpec;
use holm_model::state::MemberState;
use holm_model::taint::{self, Taints};
use holm_model::units::Units;

use super::company::Around;
use super::latency;
use super::reason::Reason;
use super::units::{self, Taken};

/// What is asked for.
#[derive(Debug)]
pub struct Ask<'a> {
    pub spec: &'a ServiceSpec,
    /// `runtime/<name>`, made once per question.
    pub runtime: Capability,
    /// Members that said no a moment ago, with their words.
    pub refused: &'a BTreeMap<MemberId, String>,
    /// What of the same application is placed already.
    pub around: Around<'a>,
    /// A number that is the slot's alone: what is left to chance is drawn with it.
    pub slot: u64,
}

/// A member as the scheduler sees it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    pub id: MemberId,
    pub name: &'a Name,
    pub state: MemberState,
    /// Since it was heard last.
    pub silence: Duration,
    /// Frozen or waiting to be adopted: it takes nothing.
    pub frozen: bool,
    /// People keep new work away from it.
    pub cordoned: bool,
    pub kind: Kind<'a>,
}

#[derive(Debug, Clone, Copy)]
pub enum Kind<'a> {
    Node {
        /// The cluster that the asking orchestrator is; `None` at a root.
        cluster: Option<&'a Name>,
        capabilities: &'a BTreeSet<Capability>,
        /// Of those that it counts: all it has.
        units: &'a Units,
        /// Of these: what is placed there.
        taken: Taken<'a>,
        /// What keeps new work away from it.
        taints: &'a Taints,
        labels: &'a BTreeMap<String, String>,
        /// Those that are not ready are no capabilities.
        runtimes: &'a [RuntimeFacts],
        /// Its own, or else that of its orchestrator.
        location: Option<Area>,
        /// Where it is in the network; `None`: it does not know yet.
        coordinate: Option<Coordinate>,
        total: Resources,
        free: Resources,
        /// Fixed host ports that are taken.
        ports: &'a BTreeMap<u16, u32>,
        /// What its program [reads](holm_model::message::READS); `None`: it has not greeted in this run.
        reads: Option<u32>,
    },
    Cluster {
        aggregate: &'a Aggregate,
        /// Placed there since the aggregate was made.
        debit: Resources,
        /// As `debit`, of what is counted.
        taken: &'a Units,
        /// Names of its nodes.
        nodes: &'a BTreeSet<Name>,
        /// What they said last, by path below it.
        reports: &'a BTreeMap<Vec<MemberId>, NodeReport>,
        /// What its program [reads](holm_model::message::READS); `None`: it has not greeted in this run.
        reads: Option<u32>,
    },
}

// === impl Ask ===

impl<'a> Ask<'a> {
    /// The question for `spec`; `refused` are members that said no a moment ago.
    #[must_use]
    pub fn new(spec: &'a ServiceSpec, refused: &'a BTreeMap<MemberId, String>) -> Self {
        let runtime = runtime_capability(&spec.runtime);
        Self { spec, runtime, refused, around: Around::default(), slot: 0 }
    }
}

fn runtime_capability(runtime: &Name) -> Capability {
    // A constant that is a valid name.
    #[expect(clippy::expect_used, reason = "see above")]
    static KIND: LazyLock<Name> = LazyLock::new(|| Name::new("runtime").expect("a name"));
    Capability::new(KIND.clone(), runtime.clone())
}

// === impl Candidate ===

impl<'a> Candidate<'a> {
    /// As for what it has already: nobody keeps that away.
    #[must_use]
    pub fn at_home(mut self) -> Self {
        static NONE: Taints = Taints::new();
        self.cordoned = false;
        if let Kind::Node { taints, .. } = &mut self.kind {
            *taints = &NONE;
        }
        self
    }

    /// `None`: it fits now.
    #[must_use]
    pub fn refuses(&self, ask: &Ask<'_>) -> Option<Reason> {
        if self.frozen {
            return Some(Reason::Frozen);
        }
        if self.state != MemberState::Online {
            return Some(Reason::State(self.state));
        }
        if ask.spec.healing.on_node_loss.is_over_after(self.silence) {
            return Some(Reason::Silent);
        }
        if let Some(words) = ask.refused.get(&self.id) {
            return Some(Reason::Said(words.clone()));
        }
        if self.cordoned {
            return Some(Reason::Cordoned);
        }
        self.tainted(ask)
            .or_else(|| self.never(ask))
            .or_else(|| self.not_now(ask))
            .or_else(|| ask.around.clash(self).map(Reason::Company))
            .or_else(|| latency::broken(ask, self).map(Reason::Slow))
    }

    /// What keeps anything new away from a cluster that is not asked whether it has room: its nodes are.
    #[must_use]
    pub fn keeps_out(&self, spec: &ServiceSpec) -> Option<Reason> {
        let unheard = || match self.kind {
            Kind::Cluster { reads: None, .. } if spec.newer_must_of_clusters(0).is_some() => {
                Some(Reason::State(self.state))
            }
            _ => None,
        };
        self.cordoned.then_some(Reason::Cordoned).or_else(|| self.too_old(spec)).or_else(unheard)
    }

    /// It would pass over what the service must have, since its program does not know of it. A node is not asked
    /// to choose.
    #[must_use]
    pub fn too_old(&self, spec: &ServiceSpec) -> Option<Reason> {
        match self.kind {
            Kind::Cluster { reads: Some(reads), .. } => {
                spec.newer_must_of_clusters(reads).map(Reason::TooOld)
            }
            Kind::Node { reads: Some(reads), .. } => spec.newer_must(reads).map(Reason::TooOld),
            Kind::Cluster { reads: None, .. } | Kind::Node { reads: None, .. } => None,
        }
    }

    /// A taint of a node keeps the service away from it.
    #[must_use]
    pub fn tainted(&self, ask: &Ask<'_>) -> Option<Reason> {
        match self.kind {
            Kind::Node { taints, .. } => tainted(ask, taints),
            Kind::Cluster { .. } => None,
        }
    }

    /// What does not change with load: whether it could ever take the service.
    #[must_use]
    pub fn never(&self, ask: &Ask<'_>) -> Option<Reason> {
        let place = &ask.spec.placement;
        match self.kind {
            Kind::Node { cluster, capabilities, units, labels, runtimes, location, .. } => {
                if let Some(reason) = self.too_old(ask.spec) {
                    return Some(reason);
                }
                if let Some(wanted) = place.cluster.as_ref().filter(|wanted| Some(*wanted) != cluster) {
                    return Some(Reason::OtherCluster(wanted.clone()));
                }
                if let Some(node) = place.node.as_ref().filter(|node| *node != self.name) {
                    return Some(Reason::OtherNode(node.clone()));
                }
                let (name, cluster) = (Some(self.name.as_str()), Some(cluster.map_or("", Name::as_str)));
                let facts = Facts { labels, capabilities, name, cluster, runtimes: Some(runtimes) };
                // One that is not ready may be soon.
                let ready = unready(ask, runtimes).is_none();
                let lacks = if ready { no_runtime(ask, capabilities) } else { None };
                lacks
                    .or_else(|| no_lease(ask, capabilities))
                    .or_else(|| places(ask, &facts, location))
                    .or_else(|| units::never(place, |capability| units.get(capability)))
            }
            Kind::Cluster { aggregate, nodes, .. } => {
                if let Some(reason) = self.too_old(ask.spec) {
                    return Some(reason);
                }
                if let Some(cluster) = place.cluster.as_ref().filter(|cluster| *cluster != self.name) {
                    return Some(Reason::OtherCluster(cluster.clone()));
                }
                if let Some(node) = place.node.as_ref().filter(|node| !nodes.contains(*node)) {
                    return Some(Reason::NoSuchNode(node.clone()));
                }
                if aggregate.classes.is_empty() {
                    return Some(Reason::NoNodes);
                }
                let mut reasons = aggregate.classes.iter().map(|class| self.class_lacks(ask, class));
                let first = reasons.next().flatten()?;
                reasons.all(|reason| reason.is_some()).then_some(first)
            }
        }
    }

    /// Not even alone there would it have room.
    #[must_use]
    pub fn is_too_small(&self, asked: &Resources) -> bool {
        match self.kind {
            Kind::Node { total, .. } => !total.holds(asked),
            Kind::Cluster { reports, .. } => {
                !reports.is_empty() && !reports.values().any(|node| node.facts.allocatable.holds(asked))
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
            Kind::Node { free, ports, runtimes, units, taken, .. } => {
                let port = || {
                    let fixed = ask.spec.ports.values().filter_map(|port| port.host);
                    fixed.into_iter().find(|port| ports.contains_key(port)).map(Reason::PortTaken)
                };
                unready(ask, runtimes)
                    .or_else(|| lacks(&free, asked))
                    .or_else(|| units::lacks(&ask.spec.placement, units, taken))
                    .or_else(port)
            }
            Kind::Cluster { aggregate, debit, taken, .. } => {
                let mut free = Resources::default();
                let mut largest = Resources::default();
                for class in self.suited(ask, aggregate) {
                    free += &class.free;
                    largest.cpu = largest.cpu.max(class.largest.cpu);
                    largest.memory = largest.memory.max(class.largest.memory);
                }
                let mut suited = self.suited(ask, aggregate);
                let holds = |c: &NodeClass| c.largest.holds(asked);
                lacks(&free.less(&debit), asked)
                    .or_else(|| if suited.any(holds) { None } else { lacks(&largest, asked) })
                    .or_else(|| units::lacks_in(&ask.spec.placement, || self.suited(ask, aggregate), taken))
            }
        }
    }

    /// The classes of a cluster's nodes that could take it.
    pub(super) fn suited(
        &self,
        ask: &Ask<'_>,
        aggregate: &'a Aggregate,
    ) -> impl Iterator<Item = &'a NodeClass> {
        aggregate.classes.iter().filter(|class| self.class_lacks(ask, class).is_none())
    }

    fn class_lacks(&self, ask: &Ask<'_>, class: &NodeClass) -> Option<Reason> {
        let facts = self.facts_of_class(class);
        no_runtime(ask, &class.capabilities)
            .or_else(|| no_lease(ask, &class.capabilities))
            .or_else(|| places(ask, &facts, class.area))
            .or_else(|| {
                units::never(&ask.spec.placement, |capability| Some(class.units.get(capability)?.total))
            })
            .or_else(|| tainted(ask, &class.taints))
    }

    /// What is known of each node of one of its classes.
    pub(super) fn facts_of_class<'b>(&'b self, class: &'b NodeClass) -> Facts<'b> {
        let NodeClass { capabilities, labels, .. } = class;
        Facts { labels, capabilities, name: None, cluster: Some(self.name.as_str()), runtimes: None }
    }
}

fn no_runtime(ask: &Ask<'_>, capabilities: &BTreeSet<Capability>) -> Option<Reason> {
    (!capabilities.contains(&ask.runtime)).then(|| Reason::NoRuntime(ask.spec.runtime.clone()))
}

/// Its agent, or its runtime, does not know how to end an instance at the end of its lease.
fn no_lease(ask: &Ask<'_>, capabilities: &BTreeSet<Capability>) -> Option<Reason> {
    let runtime = &ask.spec.runtime;
    let leases = |capability: &Capability| capability.kind == *LEASE && capability.name == *runtime;
    let lacks = ask.spec.healing.exclusive && !capabilities.iter().any(leases);
    lacks.then(|| Reason::NoLease(runtime.clone()))
}

/// What it asks for beside its runtime.
fn places(ask: &Ask<'_>, facts: &Facts<'_>, location: Option<Area>) -> Option<Reason> {
    let place = &ask.spec.placement;
    if let Some(missing) = place.require.iter().find(|wanted| !facts.capabilities.contains(*wanted)) {
        return Some(Reason::Lacks(missing.clone()));
    }
    let other = place.labels.iter().find(|(key, wanted)| facts.labels.get(*key) != Some(*wanted));
    if let Some((key, wanted)) = other {
        let found = facts.labels.get(key).cloned();
        return Some(Reason::Label { key: key.clone(), wanted: wanted.clone(), found });
    }
    if place.sensitive && !facts.capabilities.iter().any(is_sensitive) {
        return Some(Reason::NotSensitive);
    }
    too_far(ask, location).or_else(|| unmet(ask, facts))
}

fn tainted(ask: &Ask<'_>, taints: &Taints) -> Option<Reason> {
    let (key, value) = taint::unborne(taints, &ask.spec.placement.tolerates)?;
    Some(Reason::Tainted(taint::written(key, value)))
}

fn is_sensitive(capability: &Capability) -> bool {
    SENSITIVE.split_once('/').is_some_and(|(kind, name)| capability.kind == *kind && capability.name == *name)
}

fn too_far(ask: &Ask<'_>, location: Option<Area>) -> Option<Reason> {
    let near = ask.spec.placement.location?;
    let within = near.within?;
    let Some(area) = location else { return Some(Reason::NoLocation) };
    let distance: Distance = area.least_distance(near.point);
    (distance > within).then_some(Reason::Far { distance, within })
}

fn unmet(ask: &Ask<'_>, facts: &Facts<'_>) -> Option<Reason> {
    let condition = ask.spec.placement.condition.as_ref()?;
    match condition.holds(facts) {
        Truth::Yes | Truth::Open => None,
        Truth::No => Some(Reason::Condition(condition.to_string())),
        Truth::Missing => {
            let labels = condition.missing_labels(facts).join(", ");
            Some(Reason::ConditionLacks { labels, condition: condition.to_string() })
        }
    }
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
