//! What members report: instances; of the rest [`super::nodes`] and [`super::shares`] take care.
//!
//! A member can only speak of itself and of what is below it: paths are made from the link's identity,
//! and an instance that was never placed there is dropped.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::fact::{Fact, FactKey, InstanceReport};
use holm_model::id::{AssignmentId, MemberId};
use holm_model::item::EndpointsKey;
use holm_model::member::Role;
use holm_model::message::{Facts, FactsPart};
use holm_model::record::Change;
use holm_model::slot::{ServiceKey, SlotIndex};
use holm_model::state::InstanceState;

use super::Orchestrator;
use super::lists::List;
use super::rows::Placement;

impl Orchestrator {
    pub(super) fn facts(&mut self, id: MemberId, facts: Facts) {
        let Some(live) = self.live.get_mut(&id) else { return };
        if facts.session != live.session || facts.sequence <= live.sequence {
            return;
        }
        if facts.sequence > live.sequence + 1 {
            if let Some(link) = live.link {
                self.close(link, "facts were lost on the way; call again and tell all");
            }
            return;
        }
        live.sequence = facts.sequence;
        if matches!(facts.part, FactsPart::Begin | FactsPart::Whole) {
            live.nodes.clear();
            live.node_names.clear();
            live.reported = false;
            live.snapshot.clear();
        }
        let in_snapshot = facts.part != FactsPart::Change;
        for fact in facts.put {
            if in_snapshot && let Some(live) = self.live.get_mut(&id) {
                live.snapshot.insert(fact.key());
            }
            self.fact(id, fact);
        }
        for key in facts.gone {
            match key {
                FactKey::Instance(instance) if self.speaks_of(id, instance) => self.instance_gone(instance),
                FactKey::Node(path) => self.node_gone(id, &path),
                FactKey::Project(project) => self.project_gone(id, &project),
                _ => {}
            }
        }
        if matches!(facts.part, FactsPart::End | FactsPart::Whole) {
            self.end_of_snapshot(id);
        }
        self.obeys(id, facts.revision);
        self.look_at_leftovers(id);
        self.look_at(id);
    }

    /// The member's list is ours of `revision`, and what it reports reflects it.
    pub(super) fn obeys(&mut self, id: MemberId, revision: u64) {
        // Before it synced, its revision may be one of another reign.
        let in_step = self.lists.get(&id).is_some_and(List::is_in_step);
        let Some(live) = self.live.get_mut(&id).filter(|live| in_step && !live.frozen) else { return };
        let revision = revision.min(self.revision);
        if revision <= live.obeyed {
            return;
        }
        live.obeyed = revision;
        if let Some(load) = self.load.get_mut(&id) {
            self.capacity_changed |= load.seen(revision);
            self.rankings.touch(id);
        }
        self.todo.weigh.extend(self.todo.weigh_later.remove(&id).into_iter().flatten());
        self.look_at_leftovers(id);
    }

    /// Placements that are on their way out may be gone now.
    fn look_at_leftovers(&mut self, id: MemberId) {
        let placed = self.load.get(&id).into_iter().flat_map(|load| &load.leftovers);
        let slots: Vec<_> = placed.filter_map(|id| self.placements.get(id)).map(Self::slot_of).collect();
        self.todo.slots.extend(slots);
    }

    /// Instances of the member that its snapshot does not have are gone.
    fn end_of_snapshot(&mut self, id: MemberId) {
        let Some(live) = self.live.get_mut(&id) else { return };
        live.reported = true;
        let (snapshot, forgot) = (std::mem::take(&mut live.snapshot), live.forgot);
        let missing: Vec<AssignmentId> = self
            .instances
            .iter()
            .filter(|(instance, report)| {
                report.node.first() == Some(&id) && !snapshot.contains(&FactKey::Instance(**instance))
            })
            .map(|(instance, _)| *instance)
            .collect();
        for instance in missing {
            if forgot {
                self.instance_lost(instance, "its member has lost what it knew of it");
            } else {
                self.instance_gone(instance);
            }
        }
        self.end_of_projects(id, |key| snapshot.contains(key));
        let placed = self.placements_on(id);
        for placement in placed.iter().filter_map(|id| self.placements.get(id)) {
            self.todo.slots.insert(Self::slot_of(placement));
        }
    }

    fn fact(&mut self, id: MemberId, fact: Fact) {
        let Some(role) = self.members.get(&id).map(|member| member.role) else { return };
        match fact {
            Fact::Node(report) => self.node_fact(id, role, *report),
            Fact::Instance(report) => self.instance_fact(id, role, *report),
            Fact::Share(report) if role == Role::Cluster => self.share_fact(id, report),
            Fact::Aggregate(aggregate) if role == Role::Cluster => self.aggregate_fact(id, aggregate),
            Fact::Project(report) if role == Role::Cluster => self.project_fact(id, report),
            Fact::Share(_) | Fact::Aggregate(_) | Fact::Project(_) => {}
        }
    }

    pub(super) fn forget_instances(&mut self, id: MemberId) {
        let gone: Vec<_> =
            self.instances.iter().filter(|(_, r)| r.node.first() == Some(&id)).map(|(id, _)| *id).collect();
        gone.into_iter().for_each(|instance| self.instance_lost(instance, "its member was removed"));
    }

    /// A node speaks of instances placed on it; a cluster of those in its shares or of its own wishes.
    fn speaks_of(&self, id: MemberId, instance: AssignmentId) -> bool {
        self.instances.get(&instance).is_some_and(|report| report.node.first() == Some(&id))
    }

    /// The report as it counts here: the member is believed what happens to an instance, and nothing
    /// about what it is. `None`: not ours to show, of another list or long gone.
    fn believed(&self, id: MemberId, role: Role, mut report: InstanceReport) -> Option<InstanceReport> {
        match role {
            Role::Node => {
                let placement = self.placements.get(&report.id).filter(|p| p.member == id)?;
                report.node = vec![id];
                report.share = placement.share;
                report.app = placement.part.app.clone();
                report.wish = placement.part.wish;
                report.service = placement.part.service.clone();
                report.slot = placement.index.clone();
            }
            Role::Cluster => {
                match report.share {
                    Some(share) => {
                        let placement = self.placements.get(&share).filter(|p| p.member == id)?;
                        report.slot = self.slot_below(placement, report.slot)?;
                        report.app = placement.part.app.clone();
                        report.wish = placement.part.wish;
                        report.service = placement.part.service.clone();
                    }
                    None if !self.wishes.contains(&report.wish) => {}
                    None => return None,
                }
                let known = self.instances.get(&report.id);
                // What we placed is told of by whom we gave it to, and as that.
                if self.placements.contains(&report.id)
                    || known.is_some_and(|old| old.node.first() != Some(&id))
                {
                    return None;
                }
                report.node.insert(0, id);
            }
        }
        Some(report)
    }

    /// The slot that an instance of a cluster's share fills: the share's own, or that of one of its nodes.
    fn slot_below(&self, share: &Placement, told: SlotIndex) -> Option<SlotIndex> {
        if !share.per_node {
            return Some(share.index.clone());
        }
        let SlotIndex::Node(mut path) = told else { return None };
        path.first_mut()?.clone_from(&self.members.get(&share.member)?.name);
        Some(SlotIndex::Node(path))
    }

    fn instance_fact(&mut self, id: MemberId, role: Role, report: InstanceReport) {
        let Some(report) = self.believed(id, role, report) else { return };
        let slot = self
            .placements
            .get(&if role == Role::Cluster { report.share.unwrap_or(report.id) } else { report.id })
            .map(Self::slot_of);
        let old = self.instances.get(&report.id).cloned();
        let changed = old.as_ref().map(|old| old.status.state) != Some(report.status.state);
        let carried = |of: &InstanceReport| (of.status.copied.is_some(), of.status.fetched);
        let settled = changed
            || old.as_ref().is_none_or(|old| {
                old.status.exhausted != report.status.exhausted
                    || old.generation != report.generation
                    || old.status.ports != report.status.ports
                    || old.held != report.held
                    || old.status.is_ready() != report.status.is_ready()
                    || carried(old) != carried(&report)
            });
        self.tally.heard(old.as_ref(), &report);
        self.todo.weigh.insert(report.id);
        self.put_report(&report);
        self.note_readiness(old.as_ref(), &report);
        // What goes on under another number of its generation has not changed.
        let life = |of: &InstanceReport| (of.status.state, of.status.incarnation, of.status.is_ready());
        if old.as_ref().map(life) != Some(life(&report)) {
            self.index.changed.insert(report.id, self.now.boot);
        }
        if settled {
            self.touch_endpoints(&report);
            self.todo.slots.extend(slot.clone());
            if let Some((origin, _)) = slot.filter(|(origin, _)| self.todo.updating.contains(origin)) {
                self.todo.origins.insert(origin);
            }
        }
        let given_up = report.status.state == InstanceState::Dangling
            && old.as_ref().is_some_and(|old| old.status.reason != report.status.reason);
        if changed || given_up {
            let from = old.map_or(InstanceState::ScheduledNode, |old| old.status.state);
            let over = report.status.state == InstanceState::Terminated;
            let known = if over { self.why_gone(&report) } else { None };
            let why = known.as_deref().unwrap_or(&report.status.reason);
            self.note_instance(&report, (from, report.status.state), ("node", why));
        }
        self.report_instance(&report);
    }

    /// For the history. That it is not ready when it begins to run, or runs no more, is said by its state.
    fn note_readiness(&mut self, old: Option<&InstanceReport>, report: &InstanceReport) {
        let Some(told) = &report.status.readiness else { return };
        let life =
            |of: &InstanceReport| (of.status.incarnation, of.status.readiness.as_ref().map(|r| r.ready));
        let before = old.map(life).filter(|(incarnation, _)| *incarnation == report.status.incarnation);
        let was = before.and_then(|(_, ready)| ready).unwrap_or(false);
        if was == told.ready {
            return;
        }
        let (from, to) = if told.ready { ("not ready", "ready") } else { ("ready", "not ready") };
        self.behind.change(Change {
            at: self.now.wall,
            kind: "instance".to_owned(),
            subject: report.id.to_string(),
            application: report.app.to_string(),
            slot: format!("{}/{}", report.service, report.slot),
            from: from.to_owned(),
            to: to.to_owned(),
            cause: "node".to_owned(),
            reason: told.answer.clone(),
        });
    }

    pub(super) fn derive_instances(&mut self) {
        self.index.by_share.clear();
        self.index.by_service.clear();
        for report in self.instances.values().cloned().collect::<Vec<_>>() {
            self.index_instance(&report);
        }
    }

    pub(super) fn put_report(&mut self, report: &InstanceReport) {
        if let Some(old) = self.instances.get(&report.id).cloned() {
            self.unindex_instance(&old);
        }
        self.index_instance(report);
        self.last_words.take_back(report.id);
        self.instances.put(&mut self.behind, report.id, report.clone());
    }

    fn index_instance(&mut self, report: &InstanceReport) {
        if let Some(share) = report.share {
            self.index.by_share.entry(share).or_default().insert(report.id);
        }
        self.index.by_service.entry(service_of(report)).or_default().insert(report.id);
    }

    fn unindex_instance(&mut self, report: &InstanceReport) {
        if let Some(share) = report.share {
            remove_from(&mut self.index.by_share, &share, report.id);
        }
        remove_from(&mut self.index.by_service, &service_of(report), report.id);
    }

    pub(super) fn instances_of(&self, service: &ServiceKey) -> impl Iterator<Item = &InstanceReport> {
        let ids = self.index.by_service.get(service).into_iter().flatten();
        ids.filter_map(|id| self.instances.get(id))
    }

    fn instance_gone(&mut self, id: AssignmentId) {
        // Of one that its cluster gave up nobody saw the end: its last word was said.
        let given_up = |report: &InstanceReport| report.status.state == InstanceState::Dangling;
        let given_up = self.instances.get(&id).is_some_and(given_up);
        let state = if given_up { InstanceState::Dangling } else { InstanceState::Terminated };
        let why = self.instances.get(&id).and_then(|report| self.why_gone(report));
        self.drop_instance(id, state, why.as_deref().unwrap_or("it is gone"));
    }

    /// Nobody tells of it any more, and nobody said that it has ended.
    fn instance_lost(&mut self, id: AssignmentId, why: &str) {
        let live = self.instances.get(&id).is_some_and(|report| report.status.state.is_live());
        if live {
            self.drop_instance(id, InstanceState::Dangling, &format!("{why}; it may still run there"));
        } else {
            self.drop_instance(id, InstanceState::Terminated, why);
        }
    }

    fn drop_instance(&mut self, id: AssignmentId, state: InstanceState, why: &str) {
        let Some(mut report) = self.instances.remove(&mut self.behind, &id) else { return };
        self.unindex_instance(&report);
        self.index.changed.remove(&id);
        let placement = self.placements.get(&id).or_else(|| self.placements.get(&report.share?));
        let slot = placement.map(Self::slot_of);
        self.todo.slots.extend(slot);
        self.touch_endpoints(&report);
        if let Some(member) = report.node.first() {
            // What it had may be free: ports, too, of which no aggregate tells.
            self.ask_anew(*member);
        }
        if report.status.state != state {
            self.note_instance(&report, (report.status.state, state), ("node", why));
        }
        if state == InstanceState::Dangling {
            report.status.reason = why.to_owned();
            self.give_up_report(report);
        } else {
            self.unreport(&FactKey::Instance(id));
        }
    }

    /// Per-node services look at the nodes again.
    pub(super) fn dirty_per_node(&mut self) {
        let per_node = self.demands.iter().filter(|(_, d)| d.slots == super::demand::Wanted::PerNode);
        let origins: Vec<_> = per_node.map(|(origin, _)| origin.clone()).collect();
        self.todo.origins.extend(origins);
    }

    fn touch_endpoints(&mut self, report: &InstanceReport) {
        let service = service_of(report);
        self.exposing.touch(&service);
        for port in report.status.ports.keys() {
            self.todo.endpoints.insert(EndpointsKey { service: service.clone(), port: port.clone() });
        }
    }

    /// The state as it counts here: DANGLING when the way to it is silent past the deadline. What has ended does not
    /// run, whatever became of its node.
    pub(super) fn state_of(&self, report: &InstanceReport) -> InstanceState {
        let first = report.node.first().and_then(|member| self.live.get(member));
        match first {
            _ if report.status.has_ended() => report.status.state,
            Some(live) if live.dangling && !self.is_witnessed(report) => InstanceState::Dangling,
            _ if self.dangles_early(report) => InstanceState::Dangling,
            _ if report.status.state == InstanceState::Running && self.is_migrating(report) => {
                InstanceState::Migrating
            }
            _ => report.status.state,
        }
    }

    /// A member's silence passed the last deadline, or ended: its instances changed for everybody above.
    pub(super) fn report_instances_of(&mut self, id: MemberId) {
        let there = |report: &&InstanceReport| report.node.first() == Some(&id);
        let of = self.instances.values().filter(there).filter(|report| !self.dangles_early(report));
        let of = of.cloned().collect();
        self.report_silence(of);
    }

    pub(super) fn report_silence(&mut self, of: Vec<InstanceReport>) {
        for report in of {
            let state = self.state_of(&report);
            if state == InstanceState::Dangling {
                let reason = self.why_dangling(&report.node);
                self.note_instance(&report, (report.status.state, state), ("policy", reason));
            }
            self.touch_endpoints(&report);
            self.report_instance(&report);
        }
    }
}

pub(super) fn service_of(report: &InstanceReport) -> ServiceKey {
    ServiceKey { wish: report.wish, service: report.service.clone() }
}

fn remove_from<K: Ord>(index: &mut BTreeMap<K, BTreeSet<AssignmentId>>, key: &K, id: AssignmentId) {
    if let Some(all) = index.get_mut(key) {
        all.remove(&id);
        if all.is_empty() {
            index.remove(key);
        }
    }
}

/// Keys seen since the begin of a snapshot.
pub(super) type SnapshotKeys = BTreeSet<FactKey>;

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
