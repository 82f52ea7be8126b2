//! Which member takes a slot: the question, asked of the scheduler, and what is kept from one to the next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use holm_model::healing::OnNodeLoss;
use holm_model::id::{MemberId, WishId};
use holm_model::name::Name;
use holm_model::placement::Strategy;
use holm_model::service::ServiceSpec;
use holm_model::slot::SlotIndex;
use holm_model::state::MemberState;
use holm_model::wish::SpecBytes;

use super::Orchestrator;
use super::consulting::Counsel;
use super::demand::{Demand, SlotId};
use super::rows::Chosen;
use super::slots::Slot;
use crate::scheduler::company::Clash;
use crate::scheduler::reason::NO_MEMBERS;
use crate::scheduler::{Ask, Candidate, Kind, Ranking, Reason, Score, first_fit, random};

/// Members that are known to be full for a specification, until something changes.
#[derive(Debug)]
pub(super) struct Full {
    about: About,
    /// Everybody before this member is.
    before: Option<MemberId>,
    /// Everybody is.
    nobody: Option<NoPlace>,
}

/// What an answer holds for: a specification, and whose it is where it matters what else is placed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct About {
    spec: SpecBytes,
    service: Option<(WishId, Name)>,
}

/// Nobody takes a slot.
#[derive(Clone, Debug)]
pub(super) struct NoPlace {
    /// Who does not and why, for people.
    pub(super) reason: String,
    /// It may have one as soon as this is over.
    pub(super) waits: Option<Awaits>,
    /// By itself it would have one: it is the others of its group that have none beside it.
    pub(super) together: bool,
    /// How many members have a reason of each class.
    pub(super) classes: BTreeMap<&'static str, u64>,
}

/// What a slot without a place waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaits {
    /// A service that it has to be with is wanted here, too, and has no place yet.
    Company,
    /// Its scheduler is asked: whether there is a place, nobody knows yet.
    Answer,
}

/// The member that takes a slot, and why it does if others could have.
type Choice = Result<(MemberId, Option<Chosen>), NoPlace>;

/// Rankings of the services that were placed last.
#[derive(Debug, Default)]
pub(super) struct Rankings {
    recent: VecDeque<Kept>,
}

#[derive(Debug)]
struct Kept {
    about: About,
    ranking: Ranking,
    /// Members that something happened to since they were scored.
    stale: BTreeSet<MemberId>,
}

/// The services of one application that are placed by turns; a ranking has some hundred bytes for each member.
const MOST_RANKINGS: usize = 4;

// === impl NoPlace ===

impl NoPlace {
    /// The reason that most members have.
    pub(super) fn class(&self) -> &'static str {
        self.classes.iter().max_by_key(|(_, number)| **number).map_or(NO_MEMBERS, |(class, _)| class)
    }
}

// === impl Rankings ===

impl Rankings {
    /// Something happened to the member.
    pub(super) fn touch(&mut self, member: MemberId) {
        for kept in &mut self.recent {
            kept.stale.insert(member);
        }
    }

    pub(super) fn clear(&mut self) {
        self.recent.clear();
    }

    fn take(&mut self, about: &About) -> Option<Kept> {
        let at = self.recent.iter().position(|kept| kept.about == *about)?;
        self.recent.remove(at)
    }

    fn keep(&mut self, kept: Kept) {
        self.recent.truncate(MOST_RANKINGS - 1);
        self.recent.push_front(kept);
    }
}

// === impl Orchestrator ===

impl Orchestrator {
    /// The question for a slot, with all that it depends on.
    pub(super) fn ask<'a>(
        &'a self,
        slot_id: &SlotId,
        demand: &Demand,
        spec: &'a ServiceSpec,
        refused: &'a BTreeMap<MemberId, String>,
    ) -> Ask<'a> {
        let active = self.slots.get(slot_id).and_then(|slot| slot.active);
        let except = active.and_then(|id| self.placements.get(&id)).map(|placement| placement.member);
        let mut ask = Ask::new(spec, refused);
        ask.around = self.around(demand.part.wish, &demand.part.service, spec, except);
        if matches!(slot_id.1, SlotIndex::Node(_)) {
            // One on each node: how far others are, nobody can choose.
            ask.around.ways.clear();
        }
        if *spec.placement.strategy_or(&self.config.strategy) == Strategy::Random {
            ask.slot = random::number(&[
                &demand.part.app.to_string(),
                demand.part.service.as_str(),
                &slot_id.1.to_string(),
            ]);
        }
        ask
    }

    /// The member that takes the slot, and why it does if others could have.
    ///
    /// # Errors
    /// When nobody does: who and why, for people.
    pub(super) fn choose(&mut self, slot_id: &SlotId, demand: &Demand, spec: &ServiceSpec) -> Choice {
        if let Some(home) = self.home_of(slot_id, demand) {
            return self.at_home(slot_id, demand, spec, home);
        }
        let counsel = match &slot_id.1 {
            SlotIndex::Number(_) => self.counsel(slot_id, demand, spec),
            SlotIndex::Node(_) => Counsel::Own,
        };
        let counsel = match counsel {
            Counsel::Own => Vec::new(),
            Counsel::Ranked(ranking) => ranking,
            Counsel::Nobody(nobody) => return Err(nobody),
        };
        let refused = self.refused(slot_id);
        self.choose_among(slot_id, demand, spec, &refused, &counsel)
    }

    /// The same by the built-in strategy, for a slot that is to leave a member.
    ///
    /// # Errors
    /// As for [`Self::choose`].
    pub(super) fn choose_elsewhere(
        &mut self,
        slot_id: &SlotId,
        demand: &Demand,
        spec: &ServiceSpec,
        leaves: MemberId,
    ) -> Choice {
        let mut refused = self.refused(slot_id);
        refused.insert(leaves, "has it now".to_owned());
        self.choose_among(slot_id, demand, spec, &refused, &[])
    }

    fn choose_among(
        &mut self,
        slot_id: &SlotId,
        demand: &Demand,
        spec: &ServiceSpec,
        refused: &BTreeMap<MemberId, String>,
        counsel: &[MemberId],
    ) -> Choice {
        let mut rankings = std::mem::take(&mut self.rankings);
        let ask = self.ask(slot_id, demand, spec, refused);
        let (found, full) = match &slot_id.1 {
            SlotIndex::Number(_) => match self.first_ranked(&ask, counsel) {
                Some(found) => (Ok(found), None),
                None => self.find(&ask, demand, &mut rankings),
            },
            SlotIndex::Node(path) => (self.on_its_node(&ask, slot_id, path.last()), None),
        };
        self.rankings = rankings;
        self.this_step.full = full.or(self.this_step.full.take());
        if let Err(nobody) = &found {
            self.tally.refused(&nobody.classes);
            self.placed.follow(demand.part.wish, spec, slot_id);
        }
        found
    }

    /// The first of a scheduler's ranking that fits still. Whoever has none, or names only those that do not, has the
    /// built-in strategy.
    fn first_ranked(&self, ask: &Ask<'_>, ranking: &[MemberId]) -> Option<(MemberId, Option<Chosen>)> {
        let fits = |id: &MemberId| self.candidate(*id).is_some_and(|member| member.refuses(ask).is_none());
        let (before, id) = ranking.iter().enumerate().find(|(_, id)| fits(id))?;
        let rank = u64::try_from(before).unwrap_or(u64::MAX).saturating_add(1);
        let place = &ask.spec.placement;
        let chosen = Chosen {
            strategy: place.strategy_or(&self.config.strategy).clone(),
            score: Score { unmet: 0, rank },
            of: u32::try_from(ranking.len()).unwrap_or(u32::MAX),
            scheduler: place.scheduler.clone(),
        };
        Some((*id, Some(chosen)))
    }

    /// Without refusals, members that were full a moment ago are not asked again.
    fn find(&self, ask: &Ask<'_>, demand: &Demand, rankings: &mut Rankings) -> (Choice, Option<Full>) {
        let place = &ask.spec.placement;
        let strategy = place.strategy_or(&self.config.strategy);
        let about = self.about(ask, demand, strategy);
        let full =
            about.as_ref().and_then(|about| self.this_step.full.as_ref().filter(|full| full.about == *about));
        if let Some(nobody) = full.and_then(|full| full.nobody.clone()) {
            return (Err(nobody), None);
        }
        let found =
            if *strategy == Strategy::FirstFit && !place.has_preferences() && !ask.around.would_rather() {
                let from = full.and_then(|full| full.before);
                let found = first_fit(ask, || self.candidates(from));
                found.or_else(|_| first_fit(ask, || self.candidates(None))).map(|id| (id, None))
            } else {
                let best = match about.clone().filter(|_| ask.around.is_local()) {
                    Some(about) => self.best_known(ask, about, strategy, rankings),
                    None => self.best(ask, strategy),
                };
                best.ok_or_else(|| self.refusals(ask)).map(|(id, chosen)| (id, Some(chosen)))
            };
        let found = found.map_err(|reasons| NoPlace {
            together: false,
            waits: reasons
                .iter()
                .any(|(_, reason)| self.is_awaited_here(demand, reason))
                .then_some(Awaits::Company),
            reason: self.nobody(&reasons),
            classes: classes(reasons.iter().map(|(_, reason)| reason)),
        });
        let full = about.map(|about| Full {
            about,
            // What is placed later may be what this one has to be with.
            before: found
                .as_ref()
                .ok()
                .map(|(id, _)| *id)
                .filter(|_| place.with.is_empty() && ask.around.ways.is_empty()),
            nobody: found.as_ref().err().cloned(),
        });
        (found, full)
    }

    /// `None`: the answer is for this one slot alone.
    fn about(&self, ask: &Ask<'_>, demand: &Demand, strategy: &Strategy) -> Option<About> {
        if !ask.refused.is_empty() || ask.around.excepts() {
            return None;
        }
        let alone = ask.around.is_free() && !matches!(strategy, Strategy::Spread(_));
        let service = (!alone).then(|| (demand.part.wish, demand.part.service.clone()));
        Some(About { spec: demand.part.spec.clone(), service })
    }

    fn best(&self, ask: &Ask<'_>, strategy: &Strategy) -> Option<(MemberId, Chosen)> {
        first_of(&Ranking::of(ask, strategy, self.candidates(None)), ask.slot, strategy)
    }

    /// From the ranking that is kept. Whoever it names is looked at once more, and who finds nobody there looks at
    /// everybody: what was missed can make a choice second best for once, never a wrong one.
    fn best_known(
        &self,
        ask: &Ask<'_>,
        about: About,
        strategy: &Strategy,
        rankings: &mut Rankings,
    ) -> Option<(MemberId, Chosen)> {
        let mut found = None;
        let ranking = match rankings.take(&about) {
            Some(mut kept) => {
                for id in std::mem::take(&mut kept.stale) {
                    self.score_anew(ask, &mut kept.ranking, id);
                }
                while let Some((id, chosen)) = first_of(&kept.ranking, ask.slot, strategy) {
                    if self.candidate(id).is_some_and(|member| member.refuses(ask).is_none()) {
                        found = Some((id, chosen));
                        break;
                    }
                    self.score_anew(ask, &mut kept.ranking, id);
                }
                kept.ranking
            }
            None => Ranking::new(strategy.clone()),
        };
        let ranking =
            if found.is_some() { ranking } else { Ranking::of(ask, strategy, self.candidates(None)) };
        let found = found.or_else(|| first_of(&ranking, ask.slot, strategy));
        rankings.keep(Kept { about, ranking, stale: BTreeSet::new() });
        found
    }

    fn score_anew(&self, ask: &Ask<'_>, ranking: &mut Ranking, id: MemberId) {
        match self.candidate(id) {
            Some(member) => ranking.put(ask, &member),
            None => ranking.remove(id),
        }
    }

    pub(super) fn refusals(&self, ask: &Ask<'_>) -> Vec<(String, Reason)> {
        let refusal = |m: Candidate<'_>| Some((m.name.to_string(), m.explain(ask, m.refuses(ask)?)));
        self.candidates(None).filter_map(refusal).collect()
    }

    /// The one that it waits for is wanted here, and was not handed back.
    fn is_awaited_here(&self, demand: &Demand, reason: &Reason) -> bool {
        let Reason::Company(Clash::Waits { service }) = reason else { return false };
        self.demands.iter().any(|(origin, other)| {
            (other.part.wish, &other.part.service) == (demand.part.wish, service) && !self.is_refused(origin)
        })
    }

    /// Where its volumes are, unless people gave them up.
    fn home_of(&self, slot_id: &SlotId, demand: &Demand) -> Option<MemberId> {
        let slot = self.slots.get(slot_id).filter(|slot| slot.active.is_none())?;
        let home = self.home(slot_id).or_else(|| self.awaited_home(slot, demand))?;
        let drain = self.members.get(&home)?.draining;
        let given_up = drain.is_some_and(|drain| drain.lose_volumes);
        self.keeps_data(demand, home).filter(|_| !given_up).map(|_| home)
    }

    /// Where the copy before is or was, on a member that is silent and whose return is waited for.
    fn awaited_home(&self, slot: &Slot, demand: &Demand) -> Option<MemberId> {
        let waits = demand.spec.as_ref()?.healing.on_node_loss == OnNodeLoss::WaitForReturn;
        let mut others = slot.others.iter().filter_map(|id| self.placements.get(id));
        others.find(|other| waits && other.has_data()).map(|other| other.member)
    }

    fn at_home(&self, slot_id: &SlotId, demand: &Demand, spec: &ServiceSpec, home: MemberId) -> Choice {
        let refused = self.refused(slot_id);
        let ask = self.ask(slot_id, demand, spec, &refused);
        let reason = match self.candidate(home) {
            None => Some(Reason::State(MemberState::Silent)),
            Some(member) => member.at_home().refuses(&ask).map(|reason| member.explain(&ask, reason)),
        };
        let Some(reason) = reason else { return Ok((home, None)) };
        let data = self.keeps_data(demand, home).unwrap_or_default();
        let classes = classes([&reason].into_iter());
        Err(NoPlace { together: false, reason: format!("{data}: {reason}"), waits: None, classes })
    }

    /// The member that a per-node slot is for. What was there may be there again though it is cordoned or tainted.
    fn on_its_node(&self, ask: &Ask<'_>, slot_id: &SlotId, name: Option<&Name>) -> Choice {
        let nobody = |reason, classes| NoPlace { together: false, reason, waits: None, classes };
        let of_name = |member: &Candidate<'_>| Some(member.name) == name;
        let member = self.candidates(None).find(of_name);
        let mut member = member.ok_or_else(|| nobody("its node has left".to_owned(), BTreeMap::new()))?;
        if self.slots.get(slot_id).is_some_and(|slot| slot.had) {
            member = member.at_home();
        }
        let refusal = match member.kind {
            Kind::Node { .. } => member.refuses(ask),
            Kind::Cluster { .. } => member.keeps_out(ask.spec),
        };
        refusal.map_or(Ok((member.id, None)), |reason| {
            Err(nobody(format!("{}: {reason}", member.name), classes([&reason].into_iter())))
        })
    }
}

pub(super) fn classes<'a>(reasons: impl Iterator<Item = &'a Reason>) -> BTreeMap<&'static str, u64> {
    let mut classes = BTreeMap::new();
    for reason in reasons {
        *classes.entry(reason.class()).or_default() += 1;
    }
    classes
}

fn first_of(ranking: &Ranking, slot: u64, strategy: &Strategy) -> Option<(MemberId, Chosen)> {
    let (id, score) = ranking.first(slot)?;
    let of = u32::try_from(ranking.fitting()).unwrap_or(u32::MAX);
    Some((id, Chosen { strategy: strategy.clone(), score, of, scheduler: None }))
}
