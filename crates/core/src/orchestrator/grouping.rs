//! Services that have to be near each other get their places in one decision: all of them, or none.
//!
//! A group is the first instance of each service of an application that is tied by required bounds (`connects`) to another one
//! that has no place yet. The other instances come after them, one by one, near to what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holm_model::id::{AssignmentId, MemberId, WishId};
use holm_model::item::Reserve;
use holm_model::message::READS_RESERVING;
use holm_model::name::Name;
use holm_model::placement::Strategy;
use holm_model::service::{Connect, ServiceSpec};
use holm_model::state::RunState;

use super::Orchestrator;
use super::choosing::{Awaits, NoPlace, classes};
use super::demand::{Demand, Origin, SlotId, Wanted};
use super::place::few;
use super::rows::{Chosen, Phase, Placement, Reservation};
use crate::scheduler::across::{Across, across};
use crate::scheduler::group::{Apart, Group, MOST_PARTS, Part, Places, Tie};
use crate::scheduler::reason::EXPOSED;
use crate::scheduler::{Candidate, Kind, Score, Target};

/// A slot that has no place.
#[derive(Debug)]
struct Unplaced {
    slot: SlotId,
    demand: Demand,
    spec: Arc<ServiceSpec>,
}

/// Services that were found to have no place together, in this step.
#[derive(Debug)]
pub(super) struct Nowhere {
    wish: WishId,
    services: BTreeSet<Name>,
    /// Those of them that would have one by themselves.
    alone: BTreeSet<Name>,
    nobody: NoPlace,
}

/// A wish in which something has to be near something.
#[derive(Debug, Default)]
pub(super) struct BoundWish {
    ties: BTreeMap<Name, Vec<Connect>>,
    origins: Vec<Origin>,
}

/// Places for all of a group, in the order of its parts.
struct Found {
    chosen: Vec<(MemberId, Chosen)>,
    /// Each member has to keep room before anything starts.
    several: bool,
}

/// How the reason of a group begins.
const NOWHERE: &str = "no place for all of";
pub(super) const TOO_OLD: &str =
    "its program is too old to keep room for a part of a group; upgrade holm there";

pub(super) type BoundWishes = BTreeMap<WishId, BoundWish>;

// === impl Nowhere ===

impl Nowhere {
    fn for_service(&self, service: &Name) -> NoPlace {
        NoPlace { together: self.alone.contains(service), ..self.nobody.clone() }
    }
}

// === impl Orchestrator ===

impl Orchestrator {
    /// Places the slot, and with it all that it has to be near and that has no place yet; `None`: it is alone.
    ///
    /// # Errors
    /// When there is no place for all: why, for people.
    pub(super) fn place_together(
        &mut self,
        slot_id: &SlotId,
        demand: &Demand,
    ) -> Option<Result<AssignmentId, NoPlace>> {
        if self.slots.get(slot_id).is_some_and(|slot| slot.active.is_some()) {
            return None;
        }
        let (wish, service) = (demand.part.wish, &demand.part.service);
        let known = |n: &&Nowhere| n.wish == wish && n.services.contains(service);
        if let Some(nowhere) = self.this_step.nowhere.iter().find(known) {
            return Some(Err(nowhere.for_service(service)));
        }
        if matches!(slot_id.0, Origin::Own(_)) && self.reserving.has(wish) && self.is_bound(wish, service) {
            return Some(Err(waits_for_group()));
        }
        let parts = self.group_of(wish, service)?;
        match self.find_together(&parts) {
            Ok(Found { chosen, several }) => {
                let ids: Vec<_> = parts.iter().map(|_| AssignmentId(self.next_id())).collect();
                let group = ids.first().copied().filter(|_| several);
                let reservation = group.map(|group| Reservation {
                    group,
                    parts: u32::try_from(parts.len()).unwrap_or(u32::MAX),
                    reserve: Reserve::Asked,
                });
                for ((id, part), chosen) in ids.iter().zip(&parts).zip(chosen) {
                    self.put_part(*id, part, chosen, reservation);
                }
                // Of many, it comes after the first ones, and near them.
                let own = parts.iter().position(|part| part.slot == *slot_id)?;
                Some(Ok(ids[own]))
            }
            Err(nobody) => {
                self.tally.refused(&nobody.classes);
                let services = parts.iter().map(|part| part.demand.part.service.clone()).collect();
                let alone = parts.iter().filter(|part| self.fits_somewhere(part));
                let alone = alone.map(|part| part.demand.part.service.clone()).collect();
                let nowhere = Nowhere { wish, services, alone, nobody };
                let nobody = nowhere.for_service(service);
                self.this_step.nowhere.push(nowhere);
                // It is said of each; shares are handed back together.
                let others = parts.into_iter().map(|part| part.slot).filter(|slot| slot != slot_id);
                self.todo.slots.extend(others);
                Some(Err(nobody))
            }
        }
    }

    fn put_part(
        &mut self,
        id: AssignmentId,
        part: &Unplaced,
        (member, chosen): (MemberId, Chosen),
        shared: Option<Reservation>,
    ) {
        self.tally.placed(chosen.strategy.word());
        let placement = self.placement(&part.slot, &part.demand, member);
        let reservation = shared.or(placement.reservation);
        self.put_placement(id, Placement { chosen: Some(chosen), reservation, ..placement });
        self.unsay(&part.slot);
    }

    fn fits_somewhere(&self, part: &Unplaced) -> bool {
        let refused = self.refused(&part.slot);
        let ask = self.ask(&part.slot, &part.demand, &part.spec, &refused);
        self.candidates(None).any(|member| member.refuses(&ask).is_none())
    }

    /// The first unplaced slot of each of several services that are tied to each other.
    fn group_of(&mut self, wish: WishId, service: &Name) -> Option<Vec<Unplaced>> {
        self.find_bound_wishes();
        let bound = self.this_step.bound.as_ref()?.get(&wish)?;
        let services = self.tied_to(wish, service, bound);
        if services.len() < 2 {
            return None;
        }
        let of = |origin: &&Origin| {
            self.demands.get(origin).is_some_and(|demand| services.contains(&demand.part.service))
        };
        let origins: Vec<Origin> = bound.origins.iter().filter(of).cloned().collect();
        let mut all: Vec<Unplaced> = origins.iter().filter_map(|origin| self.unplaced(origin)).collect();
        all.sort_by_cached_key(|part| part.slot.1.clone());
        let mut services = BTreeSet::new();
        all.retain(|part| services.insert(part.demand.part.service.clone()));
        all.truncate(MOST_PARTS);
        (all.len() > 1).then_some(all)
    }

    /// It has to be near something of its application, or something near it.
    fn is_bound(&mut self, wish: WishId, service: &Name) -> bool {
        self.find_bound_wishes();
        let bound = self.this_step.bound.as_ref().and_then(|bound| bound.get(&wish));
        bound.is_some_and(|bound| {
            let names = |ties: &Vec<Connect>| ties.iter().any(|connect| connect.service == *service);
            bound.ties.iter().any(|(from, ties)| from == service || names(ties))
        })
    }

    fn find_bound_wishes(&mut self) {
        if self.this_step.bound.is_some() {
            return;
        }
        let mut wishes = BoundWishes::new();
        for demand in self.demands.values() {
            let Some(spec) = &demand.spec else { continue };
            let ties: Vec<_> = required(spec).cloned().collect();
            if !ties.is_empty() {
                let wish = wishes.entry(demand.part.wish).or_default();
                wish.ties.insert(demand.part.service.clone(), ties);
            }
        }
        if !wishes.is_empty() {
            for (origin, demand) in &self.demands {
                if let Some(wish) = wishes.get_mut(&demand.part.wish) {
                    wish.origins.push(origin.clone());
                }
            }
        }
        self.this_step.bound = Some(wishes);
    }

    /// The first slot of an origin that may get a place now, if its service is one that groups can have.
    fn unplaced(&mut self, origin: &Origin) -> Option<Unplaced> {
        let demand = self.demands.get(origin)?.clone();
        let spec = demand.spec.clone()?;
        let rests = demand.quiet || demand.part.run != RunState::Run || self.is_refused(origin);
        let each = demand.slots == Wanted::PerNode || spec.per_cluster.is_some();
        let follows = spec.placement.with.iter().any(|company| company.weight.is_none());
        if rests || each || follows || self.own_scheduler(&spec).is_some() || self.is_ending(origin, &demand)
        {
            return None;
        }
        let slots = self.wanted(origin, &demand).into_iter().map(|index| (origin.clone(), index));
        let slot = slots.into_iter().find(|slot| self.may_be_placed(slot, &demand))?;
        Some(Unplaced { slot, demand, spec })
    }

    fn may_be_placed(&mut self, slot_id: &SlotId, demand: &Demand) -> bool {
        if demand.is_done(&slot_id.1) || Self::waits_for_canary(&slot_id.1, demand) {
            return false;
        }
        let clears = |id: &AssignmentId| {
            self.placements.get(id).is_some_and(|p| {
                p.phase == Phase::Retiring
                    && p.reservation.is_none()
                    && !self.is_silent(*id, p)
                    && !self.is_gone(*id, p)
            })
        };
        let free = self.slots.get(slot_id).is_none_or(|slot| {
            slot.active.is_none() && slot.failed.is_none() && !slot.others.iter().any(clears)
        });
        free && self.may_run_already(slot_id, demand).is_none()
    }

    /// The service, and all that it is tied to by whatever others.
    fn tied_to(&self, wish: WishId, service: &Name, bound: &BoundWish) -> BTreeSet<Name> {
        let open = |connect: &&Connect| self.is_nowhere(wish, connect);
        let of = |(from, ties): (&'_ Name, &'_ Vec<Connect>)| -> Vec<(Name, Name)> {
            ties.iter().filter(open).map(|connect| (from.clone(), connect.service.clone())).collect()
        };
        let pairs: Vec<(Name, Name)> = bound.ties.iter().flat_map(of).collect();
        let mut tied = BTreeSet::from([service.clone()]);
        loop {
            let one = |(from, to): &&(Name, Name)| tied.contains(from) != tied.contains(to);
            let Some((from, to)) = pairs.iter().find(one) else { return tied };
            tied.extend([from.clone(), to.clone()]);
        }
    }

    /// It has no instance yet.
    fn is_nowhere(&self, wish: WishId, connect: &Connect) -> bool {
        matches!(self.connected(wish, connect), Target::Service { at, .. } if at.is_empty())
    }

    fn find_together(&self, parts: &[Unplaced]) -> Result<Found, NoPlace> {
        if let Some(reason) = parts.iter().find_map(|part| self.cannot_expose(&part.demand, &part.spec)) {
            let classes = BTreeMap::from([(EXPOSED, 1)]);
            return Err(NoPlace { reason, waits: None, together: false, classes });
        }
        let mut refused: Vec<_> = parts.iter().map(|part| self.refused(&part.slot)).collect();
        let mut alone = BTreeSet::new();
        for (part, refused) in parts.iter().zip(&mut refused) {
            let Some(slot) = self.slots.get(&part.slot) else { continue };
            alone.extend(refused.extract_if(.., |by, _| slot.may_be_alone_at(by)).map(|(by, _)| by));
        }
        let ask = |(part, refused)| {
            let Unplaced { slot, demand, spec }: &Unplaced = part;
            Part { ask: self.ask(slot, demand, spec, refused) }
        };
        let group = Group {
            parts: parts.iter().zip(&refused).map(ask).collect(),
            ties: self.ties(parts),
            apart: apart(parts),
            alone,
        };
        let members: Vec<Candidate<'_>> = self.candidates(None).collect();
        let (several, Places { members: places, fitting, cost }) =
            match across(&group, &members, |member| can_reserve(member)) {
                Some(Across::One(places)) => (false, places),
                Some(Across::Several(places)) => (true, places),
                None => return Err(self.nobody_for(parts)),
            };
        let score = Score { unmet: u32::try_from(cost.unmet).unwrap_or(u32::MAX), rank: cost.latency };
        let chosen = |(at, fitting): (usize, usize)| {
            let of = u32::try_from(fitting).unwrap_or(u32::MAX);
            (members[at].id, Chosen { strategy: Strategy::Latency, score, of, scheduler: None })
        };
        Ok(Found { chosen: places.into_iter().zip(fitting).map(chosen).collect(), several })
    }

    fn ties(&self, parts: &[Unplaced]) -> Vec<Tie> {
        let tie = |(from, connect): (usize, &Connect)| {
            let to = |(to, part): (usize, &Unplaced)| {
                (to != from && part.demand.part.service == connect.service).then_some(to)
            };
            let to: Vec<_> = parts.iter().enumerate().filter_map(to).collect();
            let most = connect.bound?.latency;
            (!to.is_empty()).then_some(Tie { from, to, most })
        };
        let open = |(from, part): (usize, &'_ Unplaced)| -> Vec<Tie> {
            let wish = part.demand.part.wish;
            let open = required(&part.spec).filter(|connect| self.is_nowhere(wish, connect));
            open.filter_map(|connect| tie((from, connect))).collect()
        };
        parts.iter().enumerate().flat_map(open).collect()
    }

    /// Of each part, who refuses it, or that it is the others that are too far.
    fn nobody_for(&self, parts: &[Unplaced]) -> NoPlace {
        let name = |part: &Unplaced| format!("{}/{}", part.demand.part.service, part.slot.1);
        let mut counted = BTreeMap::new();
        let all = self.candidates(None).count();
        let why = |part: &Unplaced| {
            // What clusters said, also those that may have a place for one of them.
            let refused = self.refused(&part.slot);
            let reasons = self.refusals(&self.ask(&part.slot, &part.demand, &part.spec, &refused));
            if reasons.len() < all {
                return format!("{} fits {} of {all} members by itself", name(part), all - reasons.len());
            }
            counted.extend(classes(reasons.iter().map(|(_, reason)| reason)));
            format!("{}: {}", name(part), self.nobody(&reasons))
        };
        let whys: Vec<_> = parts.iter().map(why).collect();
        if counted.is_empty() {
            counted.insert("latency", 1);
        }
        let names = few(parts.iter().map(name), parts.len(), ", ");
        let whys = few(whys.into_iter(), parts.len(), "; ");
        let old = self.candidates(None).filter(|member| !can_reserve(member));
        let old: Vec<_> = old.map(|member| format!("{}: {TOO_OLD}", member.name)).collect();
        let whys =
            [whys].into_iter().chain((!old.is_empty()).then(|| few(old.iter().cloned(), old.len(), "; ")));
        let whys = whys.collect::<Vec<_>>().join("; ");
        let reason = format!("{NOWHERE} {names} as near to each other as they must be: {whys}");
        NoPlace { reason, waits: None, together: false, classes: counted }
    }
}

/// It can keep room for a part of a group that several members share; for our own nodes we do.
pub(super) fn can_reserve(member: &Candidate<'_>) -> bool {
    match member.kind {
        Kind::Node { .. } => true,
        Kind::Cluster { reads, .. } => reads.is_some_and(|reads| reads >= READS_RESERVING),
    }
}

/// Whether a slot is said to have no place since its group has none.
pub(super) fn is_of_group(reason: &str) -> bool {
    reason.starts_with(NOWHERE)
}

fn waits_for_group() -> NoPlace {
    let reason = "waits until all of its group have room".to_owned();
    let classes = BTreeMap::from([("group", 1)]);
    NoPlace { reason, waits: Some(Awaits::Company), together: false, classes }
}

/// What a service must be near to.
pub(super) fn required(spec: &ServiceSpec) -> impl Iterator<Item = &Connect> {
    spec.connects.iter().filter(|connect| connect.bound.is_some_and(|bound| bound.weight.is_none()))
}

/// Pairs of parts of which one must not be where the other is.
fn apart(parts: &[Unplaced]) -> Vec<Apart> {
    let of = |one: usize| {
        let companies = parts[one].spec.placement.apart.iter().filter(|company| company.weight.is_none());
        companies.flat_map(move |company| {
            let others = parts.iter().enumerate();
            let others =
                others.filter(move |(at, part)| *at != one && part.demand.part.service == company.service);
            others.map(move |(other, _)| Apart { one, other, on: company.on.clone() })
        })
    };
    (0..parts.len()).flat_map(of).collect()
}
