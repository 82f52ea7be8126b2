//! What the orchestrator tells, and what it is told.

use std::collections::BTreeSet;

use holm_model::fact::{Fact, FactKey};
use holm_model::id::{AssignmentId, MemberId};
use holm_model::item::{EndpointsKey, ItemKey};
use holm_model::member::{NodeFacts, NodeReport, Role};
use holm_model::message::{Down, Welcome};
use holm_model::state::MemberState;
use holm_model::time::Now;

use super::decide::no_writes;
use super::event::NodeEffect;
use super::machine::NodeMachine;
use super::wanted::Wanted;
use crate::report::Reporter;

impl NodeMachine {
    pub(super) fn link_up(&mut self, now: Now) {
        self.linked = true;
        self.leases.link_up(now);
        self.reporter.disconnected();
        let hello = self.held.connected(Role::Node, self.config.name.clone(), self.config.version.clone());
        self.effects.push(NodeEffect::Send(hello));
    }

    pub(super) fn link_down(&mut self) {
        self.linked = false;
        self.held.disconnected();
        self.reporter.disconnected();
    }

    pub(super) fn received(&mut self, down: Down, now: Now) {
        let obeys =
            matches!(down, Down::Change(_) | Down::Catalog { .. } | Down::Alive { .. } | Down::Thaw { .. });
        if obeys && self.trouble.is_some() {
            return self.overhear(&down);
        }
        if let Down::Lease(grant) = &down {
            return self.take_lease(grant, now);
        }
        let received = self.held.receive(&down, &mut self.journal);
        self.effects.extend(received.replies.into_iter().map(NodeEffect::Send));
        self.effects.extend(received.unreadable.iter().map(NodeEffect::unreadable));
        if let Some(welcome) = received.welcome {
            self.welcomed(welcome);
        }
        self.take_in(&received.put, &received.removed);
        self.forget_withdrawn();
        match down {
            Down::Certificate { chain } => {
                let chain = chain.into_iter().map(serde_bytes::ByteBuf::into_vec).collect();
                self.effects.push(NodeEffect::Certificate { chain });
            }
            Down::Refused { reason } => self.effects.push(NodeEffect::Refused { reason }),
            Down::Thaw { .. } => self.reporter.repeat(),
            _ => {}
        }
        // The list may be valid now, so that strays are known to be strays.
        self.touched.extend(self.strays.keys());
    }

    fn welcomed(&mut self, welcome: Welcome) {
        if self.member != Some(welcome.member) {
            self.member = Some(welcome.member);
            self.reporter = Reporter::default();
            self.report_all();
        }
        self.reporter.welcome(welcome.session, welcome.reads);
        let Welcome { member, name, path, .. } = welcome;
        self.effects.push(NodeEffect::Welcomed { member, name, path });
        self.tell_wiped();
    }

    /// Decodes what changed in the list.
    fn take_in(&mut self, put: &[ItemKey], removed: &[ItemKey]) {
        let mut endpoints: BTreeSet<EndpointsKey> = BTreeSet::new();
        for key in put.iter().chain(removed) {
            match key {
                ItemKey::Assignment(id) => {
                    self.wanted.remove(id);
                    let item = self.held.get(key).filter(|_| !self.withdrawn.contains(*id));
                    self.wanted.extend(item.and_then(Wanted::of));
                    self.touched.insert(*id);
                }
                ItemKey::Endpoints(key) => {
                    endpoints.insert(key.clone());
                }
                ItemKey::Content(key) => self.content_changed(key),
                ItemKey::Share(_)
                | ItemKey::Revocation(_)
                | ItemKey::Project(_)
                | ItemKey::Decommission
                | ItemKey::Newer(_) => {}
            }
        }
        if !endpoints.is_empty() {
            self.effects.push(NodeEffect::Endpoints { changed: endpoints });
        }
    }

    /// From the orchestrator's member down to this node: itself.
    fn path(&self) -> Vec<MemberId> {
        self.member.into_iter().collect()
    }

    pub(super) fn report_all(&mut self) {
        self.report_node();
        let ids: Vec<AssignmentId> = self.records.iter().map(|(id, _)| *id).collect();
        for id in ids {
            self.report(id);
        }
    }

    pub(super) fn report_node(&mut self) {
        let Some(facts) = &self.facts else { return };
        self.reporter.set(Fact::Node(Box::new(NodeReport {
            path: self.path(),
            name: self.config.name.clone(),
            state: MemberState::Online,
            facts: self.offered(facts),
            usage: self.usage,
            // Its orchestrator tells the rest.
            frozen: false,
            revoked: false,
            cordoned: false,
            free: None,
            heard: None,
        })));
    }

    /// A disk that takes no writes, or hardly any more, makes every runtime unavailable: for what is new.
    fn offered(&self, facts: &NodeFacts) -> NodeFacts {
        let mut facts = facts.clone();
        let full = Some(&self.pressure.reason).filter(|reason| !reason.is_empty());
        facts.crowded = full.filter(|_| self.pressure.stays).cloned();
        let why = self.trouble.as_deref().map(no_writes).or_else(|| full.cloned());
        for runtime in facts.runtimes.iter_mut().filter(|_| why.is_some()) {
            runtime.unavailable.clone_from(&why);
        }
        facts
    }

    pub(super) fn report(&mut self, id: AssignmentId) {
        let Some(record) = self.records.get(&id) else {
            self.reporter.remove(&FactKey::Instance(id));
            return;
        };
        let held = self.wanted.get(&id).is_some_and(|wanted| wanted.held);
        let told = self.lives.get(&id);
        let told = told.map_or((None, None, None), |life| (life.usage, life.metric, life.copied));
        let report = record.report(id, self.path(), held, told, self.is_coming(id));
        self.reporter.set(Fact::Instance(Box::new(report)));
    }
}
