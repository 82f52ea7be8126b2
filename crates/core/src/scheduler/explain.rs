//! Every member's score, or the reason why it cannot take the instance.

use std::collections::BTreeMap;

use holm_model::id::MemberId;
use holm_model::name::Name;
use holm_model::placement::Strategy;

use super::fit::{Ask, Candidate};
use super::latency::{self, Estimate};
use super::ranking::Ranking;
use super::reason::Reason;
use super::score::Score;

/// What the scheduler thinks of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opinion {
    pub id: MemberId,
    pub name: Name,
    pub verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It fits; `place` counts from 1, and the first takes the instance.
    Fits {
        place: usize,
        score: Score,
        /// How far others are.
        ways: Vec<Estimate>,
    },
    Refuses(Reason),
}

/// Opinions that are asked for: so many of members that fit, and so many of others.
#[derive(Debug, Clone, Copy)]
pub struct Most(pub usize);

/// Those that fit, the best first; then the others in the order of their ids.
///
/// # Returns
/// The opinions, and how many members there are beside those.
#[must_use]
pub fn explain<'a>(
    ask: &Ask<'_>,
    strategy: &Strategy,
    members: impl Iterator<Item = Candidate<'a>>,
    Most(most): Most,
) -> (Vec<Opinion>, usize) {
    let mut others: BTreeMap<MemberId, Candidate<'_>> = members.map(|member| (member.id, member)).collect();
    let all = others.len();
    let order = Ranking::of(ask, strategy, others.values().copied()).order(ask.slot);
    let opinion =
        |member: Candidate<'_>, verdict| Opinion { id: member.id, name: member.name.clone(), verdict };
    let mut told = Vec::new();
    for (before, (id, score)) in order.into_iter().enumerate() {
        let member = others.remove(&id);
        told.extend(member.filter(|_| before < most).map(|member| {
            let ways = latency::estimates(ask, &member).map(|(estimate, _)| estimate).collect();
            opinion(member, Verdict::Fits { place: before + 1, score, ways })
        }));
    }
    let refusal = |member: Candidate<'_>| {
        let reason = member.explain(ask, member.refuses(ask)?);
        Some(opinion(member, Verdict::Refuses(reason)))
    };
    told.extend(others.into_values().take(most).filter_map(refusal));
    let more = all - told.len();
    (told, more)
}
