//! What is told of nodes: our own, and those of the clusters below.

use holm_model::fact::{Fact, FactKey};
use holm_model::id::MemberId;
use holm_model::item::EndpointsKey;
use holm_model::member::{NodeReport, Role, RuntimeFacts};
use holm_model::state::MemberState;

use super::Orchestrator;
use super::members::Live;

impl Orchestrator {
    pub(super) fn node_fact(&mut self, id: MemberId, role: Role, report: NodeReport) {
        match role {
            Role::Node => self.own_node_fact(id, report),
            Role::Cluster => self.node_below_fact(id, report),
        }
    }

    fn own_node_fact(&mut self, id: MemberId, report: NodeReport) {
        let Some(live) = self.live.get_mut(&id) else { return };
        live.usage = report.usage;
        if live.facts.as_ref() != Some(&report.facts) {
            let before = self.last_facts(id).map(|facts| facts.runtimes.clone());
            let name = self.member_name(id);
            self.note_runtimes(&name, before.as_deref(), &report.facts.runtimes);
            if let Some(live) = self.live.get_mut(&id) {
                live.capabilities = report.facts.all_capabilities();
                live.facts = Some(report.facts);
            }
            self.capacity_changed = true;
            self.aggregate_stale = true;
            self.rankings.touch(id);
            self.ask_anew(id);
            self.dirty_per_node();
            self.touch_endpoints_of(id);
            self.remember(id);
        }
        self.report_node(id);
    }

    fn node_below_fact(&mut self, id: MemberId, mut report: NodeReport) {
        let Some(live) = self.live.get_mut(&id) else { return };
        live.node_names.insert(report.name.clone());
        report.path.insert(0, id);
        let old = live.nodes.insert(report.path.clone(), report.clone());
        match (&report.path[..], report.state, report.revoked) {
            ([_, _], _, true) => self.void_guests(),
            ([_, node], MemberState::Online, false) => self.send_home(id, *node),
            _ => {}
        }
        let before = old.as_ref().map(|old| &old.facts.runtimes[..]);
        let name = format!("{}/{}", self.member_name(id), report.name);
        self.note_runtimes(&name, before, &report.facts.runtimes);
        let before = old.as_ref().map(|old| (&old.facts.addresses, old.facts.coordinate));
        if before != Some((&report.facts.addresses, report.facts.coordinate)) {
            self.touch_endpoints_of(id);
        }
        self.report_fact(Fact::Node(Box::new(report)));
    }

    /// A runtime of a node came or went, by what was told of it before.
    fn note_runtimes(&mut self, node: &str, before: Option<&[RuntimeFacts]>, now: &[RuntimeFacts]) {
        for runtime in now {
            let known = before.into_iter().flatten().find(|known| known.name == runtime.name);
            let Some(known) =
                known.filter(|known| known.unavailable.is_some() != runtime.unavailable.is_some())
            else {
                continue;
            };
            let word = |of: &RuntimeFacts| {
                let not = if of.unavailable.is_some() { "not " } else { "" };
                format!("{} {not}ready", of.name)
            };
            let why = runtime.unavailable.clone().unwrap_or_default();
            self.note("node", node.to_owned(), String::new(), (&word(known), &word(runtime)), ("node", &why));
        }
    }

    pub(super) fn node_gone(&mut self, id: MemberId, path: &[MemberId]) {
        let mut full = vec![id];
        full.extend_from_slice(path);
        let Some(live) = self.live.get_mut(&id) else { return };
        if live.nodes.remove(&full).is_some() {
            live.node_names = live.nodes.values().map(|node| node.name.clone()).collect();
            self.unreport(&FactKey::Node(full));
        }
    }

    pub(super) fn forget_nodes(&mut self, id: MemberId, live: &Live) {
        self.unreport(&FactKey::Node(vec![id]));
        live.nodes.keys().for_each(|path| self.unreport(&FactKey::Node(path.clone())));
    }

    /// Addresses of nodes there have changed.
    fn touch_endpoints_of(&mut self, id: MemberId) {
        let there = |key: &EndpointsKey| {
            self.instances_of(&key.service).any(|report| report.node.first() == Some(&id))
        };
        let keys: Vec<_> = self.index.consumers.keys().filter(|key| there(key)).cloned().collect();
        self.todo.endpoints.extend(keys);
    }

    /// Our own nodes that are online.
    pub(super) fn online_nodes(&self) -> impl Iterator<Item = (MemberId, &Live)> {
        self.live
            .iter()
            .filter(|(id, live)| {
                live.state == MemberState::Online
                    && self.members.get(id).is_some_and(|m| m.role == Role::Node)
            })
            .map(|(id, live)| (*id, live))
    }
}
