//! Placing a slot on a member: candidates made from facts and bookkeeping.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holm_model::id::{AssignmentId, MemberId};
use holm_model::member::Role;
use holm_model::resources::Resources;
use holm_model::service::ServiceSpec;
use holm_model::slot::SlotIndex;

use super::demand::{Demand, Origin, SlotId, Wanted};
use super::rows::{Phase, Placement};
use super::{Orchestrator, Tier};
use crate::scheduler::{Ask, Candidate, Kind, first_fit};

/// What placements take of a member.
#[derive(Debug, Default)]
pub(super) struct Load {
    pub(super) used: Resources,
    /// Fixed host ports and how many placements have each.
    pub(super) ports: BTreeMap<u16, u32>,
    pub(super) placements: BTreeSet<AssignmentId>,
    /// Those of them that are superseded or retiring.
    pub(super) leftovers: BTreeSet<AssignmentId>,
    /// Placements by the revision that put them, for debits of clusters.
    recent: BTreeMap<(u64, AssignmentId), Resources>,
}

// === impl Load ===

impl Load {
    pub(super) fn add(&mut self, id: AssignmentId, placement: &Placement) {
        self.placements.insert(id);
        if placement.phase != Phase::Active {
            self.leftovers.insert(id);
        }
        if let Ok(spec) = placement.part.spec.decode() {
            self.used += &spec.resources;
            for port in spec.ports.values().filter_map(|port| port.host) {
                *self.ports.entry(port).or_default() += 1;
            }
            if placement.role == Role::Cluster && !placement.per_node {
                self.recent.insert((placement.revision, id), spec.resources);
            }
        }
    }

    pub(super) fn take(&mut self, id: AssignmentId, placement: &Placement) {
        self.placements.remove(&id);
        self.leftovers.remove(&id);
        self.recent.remove(&(placement.revision, id));
        if let Ok(spec) = placement.part.spec.decode() {
            self.used -= &spec.resources;
            for port in spec.ports.values().filter_map(|port| port.host) {
                if let Some(count) = self.ports.get_mut(&port) {
                    *count -= 1;
                    if *count == 0 {
                        self.ports.remove(&port);
                    }
                }
            }
        }
    }

    /// The member's aggregate includes everything up to `revision`.
    pub(super) fn seen(&mut self, revision: u64) {
        self.recent.retain(|(at, _), _| *at > revision);
    }

    fn debit(&self) -> Resources {
        let mut sum = Resources::default();
        self.recent.values().for_each(|resources| sum += resources);
        sum
    }
}

// === impl Orchestrator ===

impl Orchestrator {
    /// Members as the scheduler sees them, in the order of their ids.
    pub(super) fn candidates(&self) -> impl Iterator<Item = Candidate<'_>> {
        self.members.iter().filter_map(|(id, _)| self.candidate(*id))
    }

    pub(super) fn candidate(&self, id: MemberId) -> Option<Candidate<'_>> {
        static NO_PORTS: BTreeMap<u16, u32> = BTreeMap::new();
        let member = self.members.get(&id)?;
        let live = self.live.get(&id)?;
        let load = self.load.get(&id);
        let kind = match member.role {
            Role::Node => {
                let facts = live.facts.as_ref()?;
                Kind::Node {
                    cluster: (self.config.tier == Tier::Cluster).then_some(&self.config.name),
                    capabilities: &live.capabilities,
                    labels: &facts.labels,
                    free: facts.allocatable.less(&load.map(|load| load.used).unwrap_or_default()),
                    ports: load.map_or(&NO_PORTS, |load| &load.ports),
                }
            }
            Role::Cluster => Kind::Cluster {
                aggregate: &live.aggregate,
                debit: load.map(Load::debit).unwrap_or_default(),
                nodes: &live.node_names,
            },
        };
        let frozen = live.frozen || member.unconfirmed;
        Some(Candidate { id, name: &member.name, state: live.state, frozen, kind })
    }

    /// The slots that a demand wants here now.
    pub(super) fn wanted(&self, demand: &Demand) -> Vec<SlotIndex> {
        match demand.slots {
            Wanted::First(number) => (0..number).map(SlotIndex::Number).collect(),
            Wanted::One(number) => vec![SlotIndex::Number(number)],
            Wanted::PerNode => {
                let Some(spec) = &demand.spec else { return Vec::new() };
                let nobody = BTreeMap::new();
                let ask = Ask::new(spec, &nobody);
                let prefix = (self.config.tier == Tier::Cluster).then(|| self.config.name.clone());
                self.candidates()
                    .filter(|member| match member.kind {
                        Kind::Node { .. } => member.never(&ask).is_none(),
                        Kind::Cluster { .. } => {
                            spec.placement.cluster.as_ref().is_none_or(|wanted| wanted == member.name)
                        }
                    })
                    .map(|member| SlotIndex::Node(prefix.iter().chain([member.name]).cloned().collect()))
                    .collect()
            }
        }
    }

    /// Finds a member for the slot and makes the placement.
    ///
    /// # Errors
    /// When nobody takes it: who and why, for people.
    pub(super) fn place(
        &mut self,
        slot_id: &SlotId,
        demand: &Demand,
        spec: &Arc<ServiceSpec>,
    ) -> Result<AssignmentId, String> {
        let (origin, index) = slot_id;
        let nobody = BTreeMap::new();
        let slot = self.slots.get(slot_id);
        let ask = Ask::new(spec, slot.map_or(&nobody, |slot| &slot.refused));
        let member = match index {
            SlotIndex::Number(_) => first_fit(&ask, || self.candidates()).map_err(|reasons| {
                if reasons.is_empty() {
                    return "there are no members yet; add one with `holm token create --role node`"
                        .to_owned();
                }
                let words: Vec<_> = reasons.iter().map(|(who, why)| format!("{who}: {why}")).collect();
                format!("no place: {}", few(&words))
            })?,
            SlotIndex::Node(path) => {
                let of_name = |member: &Candidate<'_>| Some(member.name) == path.last();
                let member = self.candidates().find(of_name).ok_or("its node has left")?;
                let share = matches!(member.kind, Kind::Cluster { .. });
                match member.refuses(&ask) {
                    Some(reason) if !share => return Err(format!("{}: {reason}", member.name)),
                    _ => member.id,
                }
            }
        };
        let role = self.members.get(&member).map_or(Role::Node, |m| m.role);
        let failures = demand.failures.max(slot.map_or(0, |slot| slot.failures));
        let id = AssignmentId(self.next_id());
        let placement = Placement {
            member,
            role,
            part: demand.part.clone(),
            index: index.clone(),
            per_node: demand.slots == Wanted::PerNode && role == Role::Cluster,
            share: match origin {
                Origin::Own(_) => None,
                Origin::Share(share) => Some(*share),
            },
            phase: Phase::Active,
            failures,
            since: self.now.wall,
            revision: self.coming_revision(),
        };
        self.put_placement(id, placement);
        Ok(id)
    }
}

/// The first few of many reasons; nobody reads five hundred.
fn few(words: &[String]) -> String {
    const MOST: usize = 8;
    let shown = words[..words.len().min(MOST)].join("; ");
    if words.len() > MOST { format!("{shown}; and {} more", words.len() - MOST) } else { shown }
}
