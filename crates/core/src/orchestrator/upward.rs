//! An orchestrator as a member of its parent: shares in, facts out.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::coordinate::{Coordinate, Region};
use holm_model::fact::{Fact, FactKey, InstanceReport, ShareReport, UnfilledSlot, Verdict};
use holm_model::geo::{Area, Point};
use holm_model::id::{AssignmentId, MemberId, WishId};
use holm_model::item::{Item, ItemKey};
use holm_model::member::{Aggregate, NodeClass, NodeReport, Role};
use holm_model::message::{Down, Up};
use holm_model::resources::Resources;
use holm_model::slot::SlotIndex;
use holm_model::state::InstanceState;
use holm_model::units::Units;

use super::demand::{Demand, Origin, Wanted};
use super::event::Effect;
use super::reunion::reigns_of;
use super::rows::Member;
use super::slots::Slot;
use super::standing::Standing;
use super::{Orchestrator, Tier};
use crate::held::Held;

impl Orchestrator {
    pub(super) fn parent_opened(&mut self) {
        self.leases.parent_opened(self.now.boot);
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let hello = self.held.connected(Role::Cluster, self.config.name.clone(), version);
        self.effects.push(Effect::SendParent(hello));
    }

    pub(super) fn parent_closed(&mut self) {
        self.parent.open = false;
        self.held.disconnected();
        self.parent.reporter.disconnected();
    }

    pub(super) fn parent_message(&mut self, message: &Down) {
        if let Down::Certificate { chain } = message {
            let chain = chain.iter().map(|der| der.to_vec()).collect();
            self.effects.push(Effect::Certificate { chain });
            return;
        }
        if let Down::Lease(grant) = message {
            return self.take_lease(grant);
        }
        if let Down::Landmarks { landmarks } = message {
            return self.landmarks_told(landmarks);
        }
        let received = self.held.receive(message, &mut self.journal);
        if let Some(welcome) = received.welcome {
            self.parent.reigns = reigns_of(&welcome);
            self.report_everything();
            self.say_last_words();
            self.parent.reporter.welcome(welcome.session, welcome.reads);
        }
        if matches!(message, Down::Thaw { .. }) {
            self.parent.reporter.repeat();
        }
        // Slots without a place may be handed back now.
        let completed = !self.parent.open && self.held.is_current();
        self.capacity_changed |= completed;
        if completed {
            self.leases.ask_parent();
        }
        self.parent.open = self.held.is_current();
        self.effects.extend(received.replies.into_iter().map(Effect::SendParent));
        self.note_unreadable(&received.unreadable);
        for key in received.put.iter().chain(&received.removed) {
            self.parent_item(key);
        }
        if received.put.iter().chain(&received.removed).any(|key| matches!(key, ItemKey::Revocation(_))) {
            self.revocations_changed();
        }
        if received.put.iter().chain(&received.removed).any(|key| matches!(key, ItemKey::Project(_))) {
            // A service may have lost its role.
            self.effects.push(Effect::Revoked(self.revoked()));
        }
        let shared: BTreeSet<WishId> =
            received.put.iter().filter_map(|key| self.wish_of_share(key)).collect();
        if self.parent.open && (completed || !shared.is_empty()) {
            self.yield_wishes(&shared);
        }
    }

    fn wish_of_share(&self, key: &ItemKey) -> Option<WishId> {
        let ItemKey::Share(id) = key else { return None };
        self.demands.get(&Origin::Share(*id)).map(|demand| demand.part.wish)
    }

    fn parent_item(&mut self, key: &ItemKey) {
        match key {
            ItemKey::Share(id) => self.share_changed(*id),
            ItemKey::Endpoints(key) => {
                let waited = self.placed.told(key.service.wish, &key.service.service);
                self.todo.slots.extend(waited);
                self.todo.endpoints.insert(key.clone());
            }
            ItemKey::Revocation(text) => self.obey_order(text),
            ItemKey::Content(key) => {
                self.todo.contents.insert(key.clone());
            }
            // Looked at when people ask.
            ItemKey::Project(_) | ItemKey::Assignment(_) | ItemKey::Decommission | ItemKey::Newer(_) => {}
        }
    }

    fn share_changed(&mut self, id: AssignmentId) {
        let origin = Origin::Share(id);
        let item = self.held.get(&ItemKey::Share(id)).and_then(|packed| packed.unpack().ok());
        match item {
            Some(Item::Share(share)) => {
                self.demands.insert(origin.clone(), Demand::of_share(&share, &mut self.specs));
                if !self.verdicts.contains(&id) {
                    self.verdicts.put(&mut self.journal, id, Verdict::Taken);
                }
                self.tell_verdict(id);
                self.leases.ask_parent();
                self.pass_to_share(id);
            }
            _ => {
                self.demands.remove(&origin);
                // Those that wait for its service wait in vain.
                self.capacity_changed = true;
                self.verdicts.remove(&mut self.journal, &id);
                self.leases.forget_share(id);
                self.unreport(&FactKey::Share(id));
            }
        }
        self.todo.origins.insert(origin);
    }

    // --- facts upward ---

    pub(super) fn tell_verdict(&mut self, id: AssignmentId) {
        if let Some(verdict) = self.verdicts.get(&id).cloned() {
            let (unfilled, nodes) = (self.unfilled_of(id), self.nodes_of(id));
            let reserved = self.reserved_for(id);
            let leaves = self.leaves_of(id);
            self.report_fact(Fact::Share(ShareReport { id, verdict, unfilled, nodes, reserved, leaves }));
        }
    }

    /// See [`ShareReport::nodes`].
    fn nodes_of(&self, share: AssignmentId) -> Option<u32> {
        let origin = Origin::Share(share);
        let demand = self.demands.get(&origin).filter(|demand| demand.slots == Wanted::PerNode)?;
        let known = !self.is_gathering();
        known.then(|| u32::try_from(self.wanted(&origin, demand).len()).unwrap_or(u32::MAX))
    }

    /// What the parent has to hear of the share's slots: see [`ShareReport::unfilled`].
    fn unfilled_of(&self, share: AssignmentId) -> Vec<UnfilledSlot> {
        let origin = Origin::Share(share);
        let per_node = self.demands.get(&origin).is_some_and(|demand| demand.slots == Wanted::PerNode);
        let unfilled = self.slots.of(&origin).filter(|(index, slot)| match slot.active {
            None => (per_node || slot.may_run) && slot.wanted && !slot.reason.is_empty(),
            Some(_) if slot.halted => true,
            Some(active) => {
                !per_node
                    && self.todo.unfilled.contains(&(origin.clone(), (*index).clone()))
                    && self.standing(active) == Standing::Dangling
            }
        });
        let generation = self.demands.get(&origin).map_or(0, |demand| demand.part.generation);
        let told = |(index, slot): (&SlotIndex, &Slot)| UnfilledSlot {
            slot: index.clone(),
            generation,
            reason: slot.reason.clone(),
            since: slot.since,
            frozen: slot.may_run,
        };
        unfilled.map(told).collect()
    }

    pub(super) fn report_fact(&mut self, fact: Fact) {
        if self.config.tier == Tier::Cluster {
            self.parent.reporter.set(fact);
        }
    }

    pub(super) fn unreport(&mut self, key: &FactKey) {
        self.parent.reporter.remove(key);
    }

    pub(super) fn report_instance(&mut self, report: &InstanceReport) {
        let mut report = report.clone();
        let state = self.state_of(&report);
        if state != report.status.state {
            report.status.state = state;
        }
        if state == InstanceState::Dangling {
            self.why_dangling(&report.node).clone_into(&mut report.status.reason);
        }
        self.report_fact(Fact::Instance(Box::new(report)));
    }

    pub(super) fn report_node(&mut self, id: MemberId) {
        let (Some(member), Some(live)) = (self.members.get(&id), self.live.get(&id)) else { return };
        if member.role != Role::Node {
            return;
        }
        // One that has never told is known by name.
        let facts = self.last_facts(id).cloned().unwrap_or_default();
        let (name, state, usage, frozen) = (member.name.clone(), live.state, live.usage, self.is_frozen(id));
        let (path, free, heard) = (vec![id], Some(self.free_on(id)), live.heard_at);
        let (revoked, cordoned) = (self.is_void(id), member.takes_nothing());
        let report = NodeReport { path, name, state, facts, usage, frozen, revoked, cordoned, free, heard };
        self.report_fact(Fact::Node(Box::new(report)));
    }

    fn report_everything(&mut self) {
        for id in self.members.iter().map(|(id, _)| *id).collect::<Vec<_>>() {
            self.report_node(id);
        }
        for report in self.instances.values().cloned().collect::<Vec<_>>() {
            self.report_instance(&report);
        }
        for share in self.verdicts.iter().map(|(id, _)| *id).collect::<Vec<_>>() {
            self.tell_verdict(share);
        }
        self.touch_projects();
    }

    /// Sends what changed, after this step's list changes.
    pub(super) fn report(&mut self) {
        if self.config.tier != Tier::Cluster {
            return;
        }
        // Nobody asks for it while there is no session; its snapshot will have it.
        if self.parent.reporter.is_heard() && std::mem::take(&mut self.aggregate_stale) {
            self.parent.reporter.set(Fact::Aggregate(self.aggregate()));
        }
        for share in std::mem::take(&mut self.todo.shares) {
            self.tell_verdict(share);
        }
        let revision = self.held.revision();
        self.effects.extend(self.parent.reporter.take(revision).into_iter().map(Effect::SendParent));
    }

    /// For our own parent, every few seconds while nothing else is said: what we obeyed.
    #[must_use]
    pub const fn keep_alive(&self) -> Up {
        Up::Alive { revision: self.held.revision() }
    }

    /// The list that our parent gave us.
    #[must_use]
    pub const fn held(&self) -> &Held {
        &self.held
    }

    /// Leaves the parent for good.
    pub fn leave_parent(&mut self) {
        self.effects.push(Effect::SendParent(Up::Leave));
    }

    /// Nodes that differ only in quantities, summed up.
    fn aggregate(&self) -> Aggregate {
        let nodes = self.members.values().filter(|member| member.role == Role::Node).count();
        let mut classes: BTreeMap<_, (NodeClass, Vec<Point>, Vec<Coordinate>)> = BTreeMap::new();
        let mut online = 0;
        for (id, live) in self.online_nodes() {
            online += 1;
            let Some(facts) = &live.facts else { continue };
            let load = self.load.get(&id);
            let used = load.map(|load| load.used).unwrap_or_default();
            let cordoned = self.members.get(&id).is_some_and(Member::takes_nothing);
            let free = if cordoned { Resources::default() } else { facts.allocatable.less(&used) };
            let counted: Vec<_> = facts.units.iter().map(|(capability, _)| capability).collect();
            let kind = (&live.capabilities, &facts.labels, facts.taints(), counted);
            let (class, points, coordinates) = classes.entry(kind).or_insert_with(|| {
                let (capabilities, labels) = (live.capabilities.clone(), facts.labels.clone());
                let taints = facts.taints().clone();
                (NodeClass { capabilities, labels, taints, ..NodeClass::default() }, Vec::new(), Vec::new())
            });
            let taken = load.map_or(Units::NONE, |load| &load.units);
            add_units(class, &facts.units, taken, cordoned);
            points.extend(facts.place().or(self.config.location));
            coordinates.extend(self.coordinate_of(&[id]));
            class.nodes += 1;
            class.total += &facts.allocatable;
            class.free += &free;
            class.largest.cpu = class.largest.cpu.max(free.cpu);
            class.largest.memory = class.largest.memory.max(free.memory);
        }
        Aggregate {
            nodes: u32::try_from(nodes).unwrap_or(u32::MAX),
            online,
            classes: classes.into_values().map(with_area).collect(),
            landmark: self.own_landmark(),
        }
    }
}

fn add_units(class: &mut NodeClass, all: &Units, taken: &Units, cordoned: bool) {
    for (capability, total) in all.iter() {
        let free = if cordoned { 0 } else { total.saturating_sub(taken.count(capability)) };
        let units = class.units.entry(capability.clone()).or_default();
        units.total = units.total.saturating_add(total);
        units.free = units.free.saturating_add(free);
        units.largest = units.largest.max(free);
    }
}

fn with_area((class, points, coordinates): (NodeClass, Vec<Point>, Vec<Coordinate>)) -> NodeClass {
    NodeClass { area: Area::around(&points), region: Region::around(&coordinates), ..class }
}
