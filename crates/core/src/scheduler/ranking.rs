//! The scores of all members for one service: made once, and kept true from one placement to the next by scoring
//! anew only the members that something happened to.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::id::MemberId;
use holm_model::placement::Strategy;

use super::fit::{Ask, Candidate};
use super::random;
use super::score::{Score, score};
use super::spread::{Group, group};

/// See the [module](self).
#[derive(Debug)]
pub struct Ranking {
    strategy: Strategy,
    members: BTreeMap<MemberId, Entry>,
    groups: BTreeMap<Group, Crowd>,
}

#[derive(Debug)]
struct Entry {
    group: Group,
    /// `None`: it does not fit.
    score: Option<Score>,
    own: u32,
}

/// The members of a group.
#[derive(Debug, Default)]
struct Crowd {
    /// How many of the service are on them, also on those that do not fit.
    own: u64,
    fitting: BTreeSet<(Score, MemberId)>,
}

/// What is compared: unmet preferences, then groups, then members.
type Key = (u32, bool, u64, u64, MemberId);

// === impl Ranking ===

impl Ranking {
    #[must_use]
    pub const fn new(strategy: Strategy) -> Self {
        Self { strategy, members: BTreeMap::new(), groups: BTreeMap::new() }
    }

    /// Of these members.
    #[must_use]
    pub fn of<'a>(ask: &Ask<'_>, strategy: &Strategy, members: impl Iterator<Item = Candidate<'a>>) -> Self {
        let mut ranking = Self::new(strategy.clone());
        members.for_each(|member| ranking.put(ask, &member));
        ranking
    }

    /// Scores the member, anew if it was scored before.
    pub fn put(&mut self, ask: &Ask<'_>, member: &Candidate<'_>) {
        self.remove(member.id);
        let group = match &self.strategy {
            Strategy::Spread(scope) => group(scope, member),
            _ => Group::Each,
        };
        let score = member.refuses(ask).is_none().then(|| score(ask, &self.strategy, member));
        let own = ask.around.own.count(member.id);
        let crowd = self.groups.entry(group.clone()).or_default();
        crowd.own += u64::from(own);
        crowd.fitting.extend(score.map(|score| (score, member.id)));
        self.members.insert(member.id, Entry { group, score, own });
    }

    pub fn remove(&mut self, id: MemberId) {
        let Some(old) = self.members.remove(&id) else { return };
        let Some(crowd) = self.groups.get_mut(&old.group) else { return };
        crowd.own -= u64::from(old.own);
        if let Some(score) = old.score {
            crowd.fitting.remove(&(score, id));
        }
    }

    /// The best of those that fit.
    #[must_use]
    pub fn first(&self, slot: u64) -> Option<(MemberId, Score)> {
        let best = match self.strategy {
            Strategy::Random => self.keys(slot).min(),
            // Within a group the order is that of its set.
            _ => {
                let firsts = self.groups.iter().filter_map(|(group, crowd)| {
                    let (score, id) = crowd.fitting.first()?;
                    Some(self.key(group, crowd, *score, *id, slot))
                });
                firsts.min()
            }
        };
        best.map(Self::of_key)
    }

    /// All that fit, the best first.
    #[must_use]
    pub fn order(&self, slot: u64) -> Vec<(MemberId, Score)> {
        let mut keys: Vec<Key> = self.keys(slot).collect();
        keys.sort_unstable();
        keys.into_iter().map(Self::of_key).collect()
    }

    /// How many fit.
    #[must_use]
    pub fn fitting(&self) -> usize {
        self.groups.values().map(|crowd| crowd.fitting.len()).sum()
    }

    fn keys(&self, slot: u64) -> impl Iterator<Item = Key> {
        self.groups.iter().flat_map(move |(group, crowd)| {
            crowd.fitting.iter().map(move |(score, id)| self.key(group, crowd, *score, *id, slot))
        })
    }

    fn key(&self, group: &Group, crowd: &Crowd, score: Score, id: MemberId, slot: u64) -> Key {
        let rank = if self.strategy == Strategy::Random { random::draw(slot, id) } else { score.rank };
        let own = if *group == Group::Each { 0 } else { crowd.own };
        (score.unmet, *group == Group::Nowhere, own, rank, id)
    }

    const fn of_key((unmet, _, _, rank, id): Key) -> (MemberId, Score) {
        (id, Score { unmet, rank })
    }
}
