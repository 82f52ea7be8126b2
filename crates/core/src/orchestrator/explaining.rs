//! Placements in words: what was decided, and what would be now.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::id::AssignmentId;
use holm_model::member::Role;
use holm_model::name::Name;
use holm_model::placement::Strategy;
use holm_model::service::{Application, Replicas};
use holm_model::slot::SlotIndex;
use holm_model::view::PlannedChange;
use holm_model::view::explain::{ExplainView, ForecastView, OpinionView};
use holm_model::wish::{AppKey, Wish};

use super::Orchestrator;
use super::demand::{Demand, Origin};
use super::grouping::{TOO_OLD, can_reserve, is_of_group};
use super::rows::{Chosen, Placement};
use super::slots::Slot;
use crate::scheduler::score::Words;
use crate::scheduler::{Ask, Candidate, Kind, Most, Opinion, Verdict, explain, random};

/// Opinions on a slot, for which somebody asks.
const TOLD: Most = Most(100);
/// Opinions on a service of a plan, which comes with them unasked.
const FORETOLD: Most = Most(8);
/// Services of a plan with opinions: all are made in one step, in which nothing else is decided.
const MOST_FORECASTS: usize = 50;

impl Orchestrator {
    /// Of the slot `web/0` of an application; `None`: there is none here.
    #[must_use]
    pub fn explain(&self, app: &AppKey, slot: &str) -> Option<ExplainView> {
        let (demand, id, found) = self.find_slot(app, slot)?;
        let placed = found.active.and_then(|id| Some((id, self.placements.get(&id)?)));
        let spec = demand.spec.as_ref()?;
        let refused = self.refused(&id);
        let ask = self.ask(&id, demand, spec, &refused);
        let strategy = spec.placement.strategy_or(&self.config.strategy);
        let members = {
            let of_slot = |member: &Candidate<'_>| match &id.1 {
                SlotIndex::Node(path) => path.last() == Some(member.name),
                SlotIndex::Number(_) => true,
            };
            self.candidates(None).filter(of_slot).map(|member| match placed {
                // What it takes already is free for itself.
                Some((id, placement)) if placement.member == member.id => self.without(member, id),
                _ => member,
            })
        };
        let (mut members, more) = self.opinions(strategy, explain(&ask, strategy, members, TOLD));
        if placed.is_none() && is_of_group(&found.reason) {
            for member in members.iter_mut().filter(|member| member.place.is_some()) {
                let old =
                    self.candidates(None).any(|it| it.name.as_str() == member.member && !can_reserve(&it));
                let why = if old { format!(": {TOO_OLD}") } else { String::new() };
                member.reason = format!("{}; but not with the others of its group{why}", member.reason);
            }
        }
        Some(ExplainView {
            project: app.project.to_string(),
            application: app.application.to_string(),
            slot: format!("{}/{}", demand.part.service, id.1),
            by: self.config.name.to_string(),
            strategy: self.strategy_words(spec),
            member: placed.map(|(_, placement)| self.member_name(placement.member)),
            then: placed.map(|(_, placement)| then(placement)),
            since: placed.map(|(_, placement)| placement.since),
            members,
            more,
        })
    }

    /// What would be said of the next instance of each service that applying `application` changes.
    pub(super) fn forecast(
        &self,
        wish: &Wish,
        application: &Application,
        changes: &[PlannedChange],
    ) -> Vec<ForecastView> {
        let nobody = BTreeMap::new();
        let changed: BTreeSet<&str> = changes
            .iter()
            .filter(|change| change.action != "keep")
            .map(|change| change.service.as_str())
            .collect();
        let numbered = application.services.iter().filter(|(name, service)| {
            changed.contains(name.as_str()) && matches!(service.replicas, Replicas::Number(1..))
        });
        let forecast = |(name, service): (&Name, &holm_model::service::ApplicationService)| {
            let spec = &service.spec;
            let strategy = spec.placement.strategy_or(&self.config.strategy);
            let mut ask = Ask::new(spec, &nobody);
            ask.around = self.around(wish.id, name, spec, None);
            ask.slot = random::number(&[&wish.key.to_string(), name.as_str(), "0"]);
            let opinions = explain(&ask, strategy, self.candidates(None), FORETOLD);
            let (members, more) = self.opinions(strategy, opinions);
            ForecastView { service: name.to_string(), strategy: self.strategy_words(spec), members, more }
        };
        numbered.take(MOST_FORECASTS).map(forecast).collect()
    }

    pub(super) fn find_slot(
        &self,
        app: &AppKey,
        slot: &str,
    ) -> Option<(&Demand, (Origin, SlotIndex), &Slot)> {
        self.slots.iter().find_map(|(origin, index, found)| {
            let demand = self.demands.get(origin).filter(|demand| demand.part.app == *app && found.wanted)?;
            let ours = format!("{}/{index}", demand.part.service);
            // A cluster's per-node slots are one slot here.
            let rest = slot.strip_prefix(&ours)?;
            let is = rest.is_empty() || (rest.starts_with('/') && matches!(index, SlotIndex::Node(_)));
            is.then(|| (demand, (origin.clone(), index.clone()), found))
        })
    }

    /// As if one of its placements were not there.
    pub(super) fn without<'a>(&'a self, mut member: Candidate<'a>, id: AssignmentId) -> Candidate<'a> {
        // Whoever has its ports already cannot find them taken.
        static NO_PORTS: BTreeMap<u16, u32> = BTreeMap::new();
        if let (Kind::Node { free, ports, total, taken, .. }, Some(load)) =
            (&mut member.kind, self.load.get(&member.id))
        {
            (*free, *ports) = (total.less(&load.without(id).0), &NO_PORTS);
            *taken = load.taken_except(id);
        }
        member
    }

    fn opinions(
        &self,
        strategy: &Strategy,
        (opinions, more): (Vec<Opinion>, usize),
    ) -> (Vec<OpinionView>, u32) {
        let view = |Opinion { id, name, verdict }| {
            let role = self.members.get(&id).map_or(Role::Node, |member| member.role);
            let (place, reason) = match verdict {
                Verdict::Fits { place, score, ways } => {
                    let ways = ways.iter().map(|way| format!("; {way}"));
                    let words = [Words(strategy, score).to_string()].into_iter().chain(ways);
                    (u32::try_from(place).ok(), words.collect())
                }
                Verdict::Refuses(reason) => (None, reason.to_string()),
            };
            OpinionView { member: name.to_string(), role, place, reason }
        };
        (opinions.into_iter().map(view).collect(), u32::try_from(more).unwrap_or(u32::MAX))
    }
}

/// Why it is where it is.
fn then(placement: &Placement) -> String {
    match (&placement.chosen, &placement.index) {
        (_, SlotIndex::Node(_)) => "its own node".to_owned(),
        (None, _) => "first-fit: the first that fitted".to_owned(),
        (Some(Chosen { scheduler: Some(scheduler), score, of, .. }), _) => {
            format!("external:{scheduler}: number {} of the {of} that it named", score.rank)
        }
        (Some(Chosen { strategy, score, of, .. }), _) => {
            format!("{strategy}: {}, the best of {of} that fitted", Words(strategy, *score))
        }
    }
}
