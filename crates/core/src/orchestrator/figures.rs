//! The machine in numbers, for those who watch it from outside.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::fact::InstanceReport;
use holm_model::id::{AssignmentId, MemberId};
use holm_model::member::{Role, Usage};
use holm_model::resources::Resources;
use holm_model::state::{InstanceState, MemberState};

use super::Orchestrator;
use super::demand::{Demand, Origin, Wanted};
use super::members::Live;
use super::rows::Member;
use super::slots::Slot;
use super::tally::{ServiceId, Tally};
use crate::scheduler::reason::NO_PLACE_BELOW;

/// All of it at one moment.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Of the last list.
    pub revision: u64,
    pub members: Vec<MemberFigures>,
    /// Nodes of clusters below, by the name of the cluster and their state.
    pub nodes_below: BTreeMap<(String, MemberState), u64>,
    pub services: BTreeMap<ServiceId, ServiceFigures>,
    /// Wanted slots that nothing fills, by the class of the reason.
    pub waiting: BTreeMap<&'static str, u64>,
    /// Services whose update is under way.
    pub updates: u64,
    /// Slots that keep what they have since the new specification has no place.
    pub halted: u64,
    /// Schedulers of people's own, and whether they answered last.
    pub schedulers: BTreeMap<String, bool>,
    /// Since the start.
    pub tally: Tally,
}

/// A member of our own.
#[derive(Clone, Debug)]
pub struct MemberFigures {
    pub name: String,
    pub role: Role,
    pub state: MemberState,
    pub frozen: bool,
    pub cordoned: bool,
    /// Revisions of its list that it has not obeyed yet.
    pub lag: u64,
    pub instances: u64,
    /// What instances may take in all; of a cluster, of its nodes that are online.
    pub allocatable: Resources,
    /// Of it, what nothing has reserved.
    pub free: Resources,
    /// In use, by whomever.
    pub usage: Usage,
    /// Bytes of the file system of its data directory, and those that are free; a node's only.
    pub disk: Option<(u64, u64)>,
}

/// A service, wherever its instances are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceFigures {
    /// Slots that are wanted.
    pub slots: u64,
    /// Those of them with an instance that runs.
    pub running: u64,
    pub instances: BTreeMap<InstanceState, u64>,
    pub usage: Usage,
}

impl Orchestrator {
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut figures = Figures {
            revision: self.revision,
            members: self.member_figures(),
            updates: count(self.todo.updating.len()),
            tally: self.tally.clone(),
            schedulers: self.schedulers(),
            ..Figures::default()
        };
        self.count_nodes_below(&mut figures);
        for report in self.instances.values() {
            self.count_instance(report, &mut figures);
        }
        for (origin, demand) in self.demands.iter().filter(|(_, demand)| !demand.rests()) {
            let service = figures.services.entry(ServiceId::of(&demand.part)).or_default();
            service.slots += self.wanted_slots(origin, demand);
        }
        for (origin, _, slot) in self.slots.iter() {
            self.count_slot(origin, slot, &mut figures);
        }
        for below in self.index.unfilled_below.values() {
            *figures.waiting.entry(NO_PLACE_BELOW).or_default() += count(below.len());
        }
        figures
    }

    /// Services that have gone leave their places to those that have none.
    pub(super) fn tidy_tally(&mut self) {
        if !self.tally.take_crowded() {
            return;
        }
        let first = |all: &BTreeSet<AssignmentId>| self.instances.get(all.first()?);
        let told = self.index.by_service.values().filter_map(first);
        let told = told.map(|report| ServiceId::new(&report.app, &report.service));
        let wished = self.demands.values().map(|demand| ServiceId::of(&demand.part));
        let there = told.chain(wished).collect();
        self.tally.keep(&there);
    }

    fn member_figures(&self) -> Vec<MemberFigures> {
        let mut instances: BTreeMap<MemberId, u64> = BTreeMap::new();
        for member in self.instances.values().filter_map(|report| report.node.first()) {
            *instances.entry(*member).or_default() += 1;
        }
        let figures = |(id, member): (&MemberId, &Member)| {
            let live = self.live.get(id)?;
            let (allocatable, free) = self.room_of(*id, member, live);
            let facts = live.facts.as_ref().filter(|_| member.role == Role::Node);
            Some(MemberFigures {
                name: member.name.to_string(),
                role: member.role,
                state: live.state,
                frozen: live.frozen || member.unconfirmed,
                cordoned: member.cordoned,
                lag: self.lists.get(id).map_or(0, |list| list.changed().saturating_sub(live.obeyed)),
                instances: instances.get(id).copied().unwrap_or(0),
                allocatable,
                free,
                usage: usage_of(member.role, live),
                disk: facts.map(|facts| (facts.disk_total.0, facts.disk_free.0)),
            })
        };
        self.members.iter().filter_map(figures).collect()
    }

    fn room_of(&self, id: MemberId, member: &Member, live: &Live) -> (Resources, Resources) {
        match member.role {
            Role::Node => {
                let allocatable = self.last_facts(id).map(|facts| facts.allocatable).unwrap_or_default();
                (allocatable, self.free_on(id))
            }
            Role::Cluster => {
                let (mut total, mut free) = (Resources::default(), Resources::default());
                for class in &live.aggregate.classes {
                    total += &class.total;
                    free += &class.free;
                }
                (total, free)
            }
        }
    }

    fn count_nodes_below(&self, figures: &mut Figures) {
        for (id, live) in &self.live {
            for node in live.nodes.values() {
                // A silent cluster's nodes are as unknown as it is itself.
                let state = if live.state == MemberState::Online { node.state } else { live.state };
                *figures.nodes_below.entry((self.member_name(*id), state)).or_default() += 1;
            }
        }
    }

    fn count_instance(&self, report: &InstanceReport, figures: &mut Figures) {
        let id = ServiceId::new(&report.app, &report.service);
        let service = figures.services.entry(id).or_default();
        let state = self.state_of(report);
        *service.instances.entry(state).or_default() += 1;
        service.running += u64::from(state == InstanceState::Running && !report.held);
        let usage = report.status.usage.unwrap_or_default();
        service.usage += &usage;
    }

    fn wanted_slots(&self, origin: &Origin, demand: &Demand) -> u64 {
        match demand.slots {
            Wanted::First(number) => number.into(),
            Wanted::One(_) => 1,
            Wanted::PerNode => {
                let there = |slot: &Slot| slot.active.map_or(1, |id| self.copies(id).count().max(1));
                let told = self.index.unfilled_below.iter();
                let below = told.filter(|(id, _)| self.is_for(**id, origin)).map(|(_, slots)| slots.len());
                let here = self.slots.of(origin).filter(|(_, slot)| slot.wanted).map(|(_, slot)| there(slot));
                count(here.sum::<usize>() + below.sum::<usize>())
            }
        }
    }

    fn is_for(&self, share: AssignmentId, origin: &Origin) -> bool {
        self.placements.get(&share).is_some_and(|placement| Self::slot_of(placement).0 == *origin)
    }

    fn count_slot(&self, origin: &Origin, slot: &Slot, figures: &mut Figures) {
        if !slot.wanted {
            return;
        }
        figures.halted += u64::from(self.is_halted(slot));
        let rests = self.demands.get(origin).is_none_or(Demand::rests);
        if slot.active.is_none() && !rests && !self.is_refused(origin) {
            *figures.waiting.entry(slot.class).or_default() += 1;
        }
    }
}

fn usage_of(role: Role, live: &Live) -> Usage {
    if role == Role::Node {
        return live.usage;
    }
    let mut sum = Usage::default();
    live.nodes.values().for_each(|node| sum += &node.usage);
    sum
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
