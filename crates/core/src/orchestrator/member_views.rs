//! Members as the API shows them.

use holm_model::fact::InstanceReport;
use holm_model::id::MemberId;
use holm_model::member::{NodeFacts, Role, Usage};
use holm_model::name::Name;
use holm_model::resources::Resources;
use holm_model::state::MemberState;
use holm_model::view::{ClusterView, MemberView, NodeFactsView, NodeView, TokenView};

use super::Orchestrator;
use super::members::Live;
use super::rows::Member;

impl Orchestrator {
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeView> {
        let mut rows = Vec::new();
        for (id, member) in self.members.iter() {
            let Some(live) = self.live.get(id) else { continue };
            match member.role {
                Role::Node => rows.push(self.own_node(*id, member, live)),
                Role::Cluster => {
                    for (path, report) in &live.nodes {
                        // A silent cluster's nodes are as unknown as it is itself,
                        // but for those that speak here themselves.
                        let state = match live.state {
                            MemberState::Online => report.state,
                            _ if self.is_witness(path) => MemberState::Online,
                            silent => silent,
                        };
                        let mut view =
                            node_view(path.last(), &report.name, &report.facts, report.usage, state);
                        view.cluster = Some(member.name.to_string());
                        view.by_itself = live.state != MemberState::Online && self.is_witness(path);
                        view.instances = self.count(|r| r.node == *path);
                        (view.frozen, view.cordoned) = (report.frozen, report.cordoned);
                        view.last_heard = report.heard;
                        (view.cpu_free, view.memory_free) = free(report.free.as_ref());
                        rows.push(view);
                    }
                }
            }
        }
        rows
    }

    /// The way to a node, by its id.
    #[must_use]
    pub fn way_to(&self, node: MemberId) -> Option<Vec<MemberId>> {
        match self.members.get(&node) {
            Some(member) => (member.role == Role::Node).then(|| vec![node]),
            None => {
                let mut paths = self.live.values().flat_map(|live| live.nodes.keys());
                paths.find(|path| path.last() == Some(&node)).cloned()
            }
        }
    }

    fn own_node(&self, id: MemberId, member: &Member, live: &Live) -> NodeView {
        let none = NodeFacts::default();
        let facts = self.last_facts(id).unwrap_or(&none);
        let mut view = node_view(Some(&id), &member.name, facts, live.usage, live.state);
        view.cluster = (self.config.tier == super::Tier::Cluster).then(|| self.config.name.to_string());
        (view.cpu_free, view.memory_free) = free(Some(&self.free_on(id)));
        view.instances = self.count(|report| report.node.first() == Some(&id));
        (view.frozen, view.unconfirmed) = (live.frozen || member.unconfirmed, member.unconfirmed);
        (view.leaving, view.guest_of) = (member.leaving, self.host_of(id));
        (view.cordoned, view.draining) = (member.takes_nothing(), self.drain_view(id));
        view.last_heard = live.heard_at;
        view
    }

    /// What no placement has reserved on a node of our own.
    pub(super) fn free_on(&self, id: MemberId) -> Resources {
        let allocatable = self.last_facts(id).map(|facts| facts.allocatable).unwrap_or_default();
        allocatable.less(&self.load.get(&id).map(|load| load.used).unwrap_or_default())
    }

    fn count(&self, takes: impl Fn(&InstanceReport) -> bool) -> u32 {
        u32::try_from(self.instances.values().filter(|report| takes(report)).count()).unwrap_or(u32::MAX)
    }

    #[must_use]
    pub fn clusters(&self) -> Vec<ClusterView> {
        let clusters = self.members.iter().filter(|(_, member)| member.role == Role::Cluster);
        let rows = clusters.filter_map(|(id, member)| {
            let live = self.live.get(id)?;
            let (mut total, mut free) = (Resources::default(), Resources::default());
            for class in &live.aggregate.classes {
                total += &class.total;
                free += &class.free;
            }
            Some(ClusterView {
                id: id.to_string(),
                name: member.name.to_string(),
                state: live.state,
                nodes: live.aggregate.nodes,
                // A silent cluster's nodes are as unknown as it is itself.
                online: if live.state == MemberState::Online { live.aggregate.online } else { 0 },
                cpu: total.cpu.to_string(),
                memory: total.memory.to_string(),
                cpu_free: free.cpu.to_string(),
                memory_free: free.memory.to_string(),
                instances: self.count(|report| report.node.first() == Some(id)),
                frozen: live.frozen || member.unconfirmed,
                unconfirmed: member.unconfirmed,
                frozen_nodes: frozen_nodes(live),
                leaving: member.leaving,
                cordoned: member.takes_nothing(),
                draining: self.drain_view(*id),
                last_heard: live.heard_at,
            })
        });
        rows.collect()
    }

    #[must_use]
    pub fn members(&self) -> Vec<MemberView> {
        let rows = self.members.iter().filter_map(|(id, member)| {
            let live = self.live.get(id)?;
            Some(MemberView {
                id: id.to_string(),
                name: member.name.to_string(),
                role: member.role,
                state: live.state,
                frozen: live.frozen,
                unconfirmed: member.unconfirmed,
                frozen_nodes: frozen_nodes(live),
                revoked: self.is_void(*id),
                leaving: member.leaving,
            })
        });
        rows.collect()
    }

    #[must_use]
    pub fn tokens(&self) -> Vec<TokenView> {
        let view = |(id, token): (&String, &super::rows::Token)| TokenView {
            id: id.clone(),
            role: token.role,
            expires: token.expires,
            uses_left: token.uses_left,
            revoked: token.revoked,
            who: token.who.clone(),
            grants: token.grants.clone(),
        };
        self.tokens.iter().map(view).collect()
    }

    /// As people know it; its id once it is forgotten.
    pub(super) fn member_name(&self, id: MemberId) -> String {
        self.members.get(&id).map_or_else(|| id.to_string(), |member| member.name.to_string())
    }

    /// `none` (a root), `connected`, `disconnected` or `behind`.
    #[must_use]
    pub fn parent_state(&self) -> &'static str {
        match self.config.tier {
            super::Tier::Root => "none",
            super::Tier::Cluster if self.held.is_frozen() => "behind",
            super::Tier::Cluster if self.parent.open => "connected",
            super::Tier::Cluster => "disconnected",
        }
    }
}

/// Processor and memory, for people.
fn free(free: Option<&Resources>) -> (Option<String>, Option<String>) {
    free.map(|free| (free.cpu.to_string(), free.memory.to_string())).unzip()
}

/// Nodes of a cluster about which people decide there.
fn frozen_nodes(live: &Live) -> Vec<String> {
    live.nodes.values().filter(|node| node.frozen).map(|node| node.name.to_string()).collect()
}

fn node_view(
    id: Option<&MemberId>,
    name: &Name,
    facts: &NodeFacts,
    usage: Usage,
    state: MemberState,
) -> NodeView {
    let ready = facts.runtimes.iter().filter(|runtime| runtime.unavailable.is_none());
    NodeView {
        id: id.map(ToString::to_string).unwrap_or_default(),
        name: name.to_string(),
        cluster: None,
        state,
        arch: facts.arch.clone(),
        os: facts.os.clone(),
        cpu: facts.total.cpu.to_string(),
        memory: facts.total.memory.to_string(),
        cpu_free: None,
        memory_free: None,
        runtimes: ready.map(|runtime| runtime.name.to_string()).collect(),
        capabilities: facts.all_capabilities().iter().map(ToString::to_string).collect(),
        labels: facts.labels.clone(),
        units: facts.units.iter().map(|(capability, units)| (capability.to_string(), units)).collect(),
        taints: facts.taints().clone(),
        location: facts.place().map(|point| point.to_string()),
        coordinate: facts.coordinate,
        instances: 0,
        usage,
        frozen: false,
        unconfirmed: false,
        leaving: false,
        by_itself: false,
        guest_of: None,
        cordoned: false,
        draining: None,
        last_heard: None,
        facts: NodeFactsView {
            hostname: facts.hostname.clone(),
            addresses: facts.addresses.iter().map(ToString::to_string).collect(),
            os_version: facts.os_version.clone(),
            kernel: facts.kernel.clone(),
            cpu_model: facts.cpu_model.clone(),
            disk_total: facts.disk_total.0,
            disk_free: facts.disk_free.0,
            gpus: facts.gpus.clone(),
            devices: facts.devices.clone(),
            runtimes: facts.runtimes.clone(),
            version: facts.version.clone(),
            amendments: facts.amendments.clone(),
        },
    }
}
