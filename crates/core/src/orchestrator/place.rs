//! Placing a slot on a member: candidates made from facts and bookkeeping.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::content::ContentKey;
use holm_model::coordinate::Coordinate;
use holm_model::geo::Area;
use holm_model::healing::Healing;
use holm_model::id::{AssignmentId, MemberId};
use holm_model::item::EndpointsKey;
use holm_model::member::Role;
use holm_model::name::Name;
use holm_model::resources::Resources;
use holm_model::service::{Connect, ServiceSpec};
use holm_model::slot::{ServiceKey, SlotIndex};
use holm_model::state::MemberState;
use holm_model::units::Units;

use super::choosing::NoPlace;
use super::demand::{Demand, Origin, SlotId, Wanted};
use super::rows::{Member, Phase, Placement};
use super::{Orchestrator, Tier};
use crate::scheduler::reason::EXPOSED;
use crate::scheduler::{Ask, Candidate, Kind, Reason, Taken};

/// What the placements of a member take of it, summed up.
#[derive(Debug, Default)]
pub(super) struct Load {
    pub(super) used: Resources,
    /// Of capabilities, whether its member counts them or not.
    pub(super) units: Units,
    /// Fixed host ports and how many placements have each.
    pub(super) ports: BTreeMap<u16, u32>,
    pub(super) placements: BTreeMap<AssignmentId, Takes>,
    /// Those of them that are superseded or retiring.
    pub(super) leftovers: BTreeSet<AssignmentId>,
    /// Placed on a cluster since its aggregate was made, by the revision of the placement.
    recent: BTreeMap<(u64, AssignmentId), Resources>,
    /// Sum of `recent`.
    debit: Resources,
    /// Units that those take.
    owed: Units,
}

/// What one placement takes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Takes {
    resources: Resources,
    units: Units,
    ports: Vec<u16>,
    /// What it connects to, while it is on the list.
    pub(super) connects: Vec<EndpointsKey>,
    /// Secrets and files that it needs, while it is on the list.
    pub(super) contents: Vec<ContentKey>,
    pub(super) healing: Healing,
}

// === impl Takes ===

impl Takes {
    /// `over`: it has ended, and needs no room to stay.
    pub(super) fn of(placement: &Placement, spec: Option<&ServiceSpec>, over: bool) -> Self {
        let Some(spec) = spec else { return Self::default() };
        let key = |connect: &Connect| EndpointsKey {
            service: ServiceKey { wish: placement.part.wish, service: connect.service.clone() },
            port: connect.port.clone(),
        };
        let listed = placement.phase != Phase::Retiring;
        Self {
            resources: if over { Resources::default() } else { spec.resources },
            units: spec
                .placement
                .demands()
                .filter(|_| !over)
                .map(|(capability, units, _)| (capability.clone(), units))
                .collect(),
            ports: spec.ports.values().filter(|_| !over).filter_map(|port| port.host).collect(),
            connects: spec.connects.iter().filter(|_| listed).map(key).collect(),
            contents: spec.needs(&placement.part.app.project).filter(|_| listed).collect(),
            healing: spec.healing,
        }
    }
}

// === impl Load ===

impl Load {
    /// `obeyed`: what the member reports includes everything up to this revision.
    pub(super) fn add(&mut self, id: AssignmentId, placement: &Placement, takes: Takes, obeyed: u64) {
        if placement.phase != Phase::Active {
            self.leftovers.insert(id);
        }
        self.used += &takes.resources;
        self.units += &takes.units;
        for port in &takes.ports {
            *self.ports.entry(*port).or_default() += 1;
        }
        if placement.role == Role::Cluster && !placement.per_node && placement.revision > obeyed {
            self.recent.insert((placement.revision, id), takes.resources);
            self.debit += &takes.resources;
            self.owed += &takes.units;
        }
        self.placements.insert(id, takes);
    }

    pub(super) fn take(&mut self, id: AssignmentId, placement: &Placement) -> Option<Takes> {
        self.leftovers.remove(&id);
        if let Some(resources) = self.recent.remove(&(placement.revision, id)) {
            self.forget(id, &resources);
        }
        let takes = self.placements.remove(&id)?;
        self.used -= &takes.resources;
        self.units -= &takes.units;
        for port in &takes.ports {
            if let Some(count) = self.ports.get_mut(port) {
                *count -= 1;
                if *count == 0 {
                    self.ports.remove(port);
                }
            }
        }
        Some(takes)
    }

    /// What is used, resources and fixed host ports, without one placement.
    pub(super) fn without(&self, id: AssignmentId) -> (Resources, BTreeMap<u16, u32>) {
        let (mut used, mut ports) = (self.used, self.ports.clone());
        if let Some(takes) = self.placements.get(&id) {
            used -= &takes.resources;
            ports.retain(|port, count| *count > u32::from(takes.ports.contains(port)));
        }
        (used, ports)
    }

    /// Units that are taken, except by one placement.
    pub(super) fn taken_except(&self, id: AssignmentId) -> Taken<'_> {
        Taken { all: &self.units, except: self.placements.get(&id).map_or(Units::NONE, |takes| &takes.units) }
    }

    /// The member's aggregate includes the placement.
    fn forget(&mut self, id: AssignmentId, resources: &Resources) {
        self.debit -= resources;
        if let Some(takes) = self.placements.get(&id) {
            self.owed -= &takes.units;
        }
    }

    /// The member's aggregate includes everything up to `revision`.
    ///
    /// # Returns
    /// Whether that leaves more room than was known.
    pub(super) fn seen(&mut self, revision: u64) -> bool {
        let before = self.recent.len();
        while let Some(first) = self.recent.first_entry().filter(|first| first.key().0 <= revision) {
            let ((_, id), resources) = first.remove_entry();
            self.forget(id, &resources);
        }
        self.recent.len() < before
    }
}

// === impl Orchestrator ===

impl Orchestrator {
    /// Members as the scheduler sees them, in the order of their ids.
    pub(super) fn candidates(&self, from: Option<MemberId>) -> impl Iterator<Item = Candidate<'_>> {
        self.members.from(from).filter_map(|(id, _)| self.candidate(*id))
    }

    pub(super) fn candidate(&self, id: MemberId) -> Option<Candidate<'_>> {
        static NO_PORTS: BTreeMap<u16, u32> = BTreeMap::new();
        let member = self.members.get(&id).filter(|member| !member.leaving)?;
        let live = self.live.get(&id)?;
        let load = self.load.get(&id);
        let kind = match member.role {
            Role::Node => {
                let facts = live.facts.as_ref()?;
                Kind::Node {
                    cluster: (self.config.tier == Tier::Cluster).then_some(&self.config.name),
                    capabilities: &live.capabilities,
                    units: &facts.units,
                    taken: load.map_or(Taken::NONE, |load| Taken { all: &load.units, except: Units::NONE }),
                    taints: facts.taints(),
                    labels: &facts.labels,
                    runtimes: &facts.runtimes,
                    location: facts.place().or(self.config.location).map(Area::at),
                    coordinate: facts.coordinate.filter(Coordinate::is_settled),
                    total: facts.allocatable,
                    free: facts.allocatable.less(&load.map(|load| load.used).unwrap_or_default()),
                    ports: load.map_or(&NO_PORTS, |load| &load.ports),
                    reads: self.reads_of(id).filter(|_| live.session > 0),
                }
            }
            Role::Cluster => Kind::Cluster {
                aggregate: &live.aggregate,
                debit: load.map(|load| load.debit).unwrap_or_default(),
                taken: load.map_or(Units::NONE, |load| &load.owed),
                nodes: &live.node_names,
                reports: &live.nodes,
                reads: self.reads_of(id).filter(|_| live.session > 0),
            },
        };
        let frozen = live.frozen || member.unconfirmed;
        let cordoned = member.takes_nothing();
        let (name, state, silence) = (&member.name, live.state, live.silence);
        Some(Candidate { id, name, state, silence, frozen, cordoned, kind })
    }

    /// The slots that a demand wants here now.
    pub(super) fn wanted(&self, origin: &Origin, demand: &Demand) -> Vec<SlotIndex> {
        match demand.slots {
            Wanted::First(number) => (0..number).map(SlotIndex::Number).collect(),
            Wanted::One(number) => vec![SlotIndex::Number(number)],
            Wanted::PerNode => {
                let Some(spec) = &demand.spec else { return Vec::new() };
                let nobody = BTreeMap::new();
                let ask = Ask::new(spec, &nobody);
                let prefix = (self.config.tier == Tier::Cluster).then(|| self.config.name.clone());
                let index =
                    |name: &Name| SlotIndex::Node(prefix.iter().chain([name]).cloned().collect::<Vec<_>>());
                // A taint takes nothing away.
                let had =
                    |name: &Name| self.slots.get(&(origin.clone(), index(name))).is_some_and(|slot| slot.had);
                self.candidates(None)
                    .filter(|member| match member.kind {
                        Kind::Node { .. } => {
                            // A machine has one already by its cluster.
                            !self.is_guest(member.id)
                                && member.never(&ask).is_none()
                                && (member.tainted(&ask).is_none() || had(member.name))
                        }
                        Kind::Cluster { .. } => {
                            spec.placement.cluster.as_ref().is_none_or(|wanted| wanted == member.name)
                        }
                    })
                    .map(|member| index(member.name))
                    .collect()
            }
        }
    }

    /// Who said no to the slot, and why; one that has it already is not asked for a second copy.
    pub(super) fn refused(&self, slot_id: &SlotId) -> BTreeMap<MemberId, String> {
        let Some(slot) = self.slots.get(slot_id) else { return BTreeMap::new() };
        let mut refused = slot.refused.clone();
        let active = slot.active.and_then(|id| Some((id, self.placements.get(&id)?)));
        if let Some((_, stranded)) = active.filter(|(id, placement)| self.is_stranded(*id, placement)) {
            refused.insert(stranded.member, "has no other place for it".to_owned());
        }
        refused
    }

    /// Finds a member for the slot and makes the placement.
    ///
    /// # Errors
    /// When nobody takes it: who and why, for people.
    pub(super) fn place(
        &mut self,
        slot_id: &SlotId,
        demand: &Demand,
        spec: &ServiceSpec,
    ) -> Result<AssignmentId, NoPlace> {
        if let Some(reason) = self.cannot_expose(demand, spec) {
            return Err(NoPlace {
                together: false,
                reason,
                waits: None,
                classes: BTreeMap::from([(EXPOSED, 1)]),
            });
        }
        if let Some(placed) = self.place_together(slot_id, demand) {
            return placed;
        }
        let (member, chosen) = self.choose(slot_id, demand, spec)?;
        let external = chosen.as_ref().is_some_and(|chosen| chosen.scheduler.is_some());
        let word = spec.placement.strategy_or(&self.config.strategy).word();
        self.tally.placed(if external { "external" } else { word });
        let placement = Placement { chosen, ..self.placement(slot_id, demand, member) };
        let id = AssignmentId(self.next_id());
        self.put_placement(id, placement);
        Ok(id)
    }

    pub(super) fn placement(&self, slot_id: &SlotId, demand: &Demand, member: MemberId) -> Placement {
        let (origin, index) = slot_id;
        let role = self.members.get(&member).map_or(Role::Node, |m| m.role);
        let failed = self.slots.get(slot_id).map_or(0, |slot| slot.failures);
        Placement {
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
            failures: demand.failures.max(failed),
            since: self.now.wall,
            revision: self.coming_revision(),
            chosen: None,
            life: None,
            unleased: false,
            carry: None,
            reservation: Self::reservation_of(origin, demand),
        }
    }

    pub(super) fn nobody(&self, reasons: &[(String, Reason)]) -> String {
        if self.members.is_empty() {
            return "there are no members yet; add one with `holm token create --role node`".to_owned();
        }
        let asked = reasons.iter().map(|(who, why)| format!("{who}: {}", self.refusal(who, why)));
        let not_asked = self.not_asked().map(|(member, state)| match state {
            _ if member.leaving => format!("{}: is leaving", member.name),
            state => {
                format!("{}: {}", member.name, self.refusal(member.name.as_str(), &Reason::State(state)))
            }
        });
        let all = reasons.len() + self.not_asked().count();
        format!("no place: {}", few(asked.chain(not_asked), all, "; "))
    }

    /// Members that are no candidates: they leave, or have not told of themselves in this run.
    fn not_asked(&self) -> impl Iterator<Item = (&Member, MemberState)> {
        let others = self.members.iter().filter(|(id, _)| self.candidate(**id).is_none());
        others.filter_map(|(id, member)| Some((member, self.live.get(id)?.state)))
    }
}

/// The first few of `all` reasons, nobody reads five hundred: the words of the others are not even made.
pub(super) fn few(words: impl Iterator<Item = String>, all: usize, between: &str) -> String {
    const MOST: usize = 8;
    let shown = words.take(MOST).collect::<Vec<_>>().join(between);
    if all > MOST { format!("{shown}{between}and {} more", all - MOST) } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_not_shown_are_not_made() {
        let mut made = 0;
        let words = (0..500).map(|number| {
            made += 1;
            format!("fl-{number}")
        });
        assert!(few(words, 500, "; ").ends_with("fl-6; fl-7; and 492 more"));
        assert_eq!(made, 8);
        assert_eq!(few(["a", "b"].map(String::from).into_iter(), 2, ", "), "a, b");
    }
}
