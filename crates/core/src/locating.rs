//! Finding one's place in the network: when to measure the way to whom, and when the outcome is worth telling.
//!
//! ```text
//! round: ping to our own orchestrator, over the link; a TCP connection to landmarks, which is closed at once
//! quick (1 s) ──24 rounds──► steady (60 s) ──(a new landmark, or our orchestrator moved)──► quick
//! ```

use std::time::Duration;

use holm_model::coordinate::{Coordinate, Landmark, Latency};

use crate::vivaldi::Vivaldi;

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Locator {
    vivaldi: Vivaldi,
    /// Stamp of the ping that waits for its answer, and when it was sent.
    sent: Option<(u64, Duration)>,
    pings: u64,
    /// Rounds since something was new.
    rounds: u32,
    landmarks: Vec<Landmark>,
    turn: usize,
    /// Where our orchestrator was last.
    orchestrator: Option<Coordinate>,
    told: Option<Coordinate>,
}

const QUICK: u32 = 24;
const SOON: Duration = Duration::from_secs(1);
const STEADY: Duration = Duration::from_secs(60);
/// What moved less is no news, µs; nor is a tenth of the whole way.
const LEAST_MOVE: u32 = 1_000;
/// Our orchestrator's; it is not dialled by this name.
const ORCHESTRATOR: &str = "";

impl Locator {
    /// `name` tells it apart from others that measure the same.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            vivaldi: Vivaldi::new(name),
            sent: None,
            pings: 0,
            rounds: 0,
            landmarks: Vec::new(),
            turn: 0,
            orchestrator: None,
            told: None,
        }
    }

    #[must_use]
    pub fn coordinate(&self) -> Coordinate {
        self.vivaldi.coordinate()
    }

    /// Begins a round at `now`, of a clock that never goes back: the stamp of its ping, and whom to dial.
    pub fn round(&mut self, now: Duration) -> (u64, Vec<Landmark>) {
        self.pings += 1;
        self.sent = Some((self.pings, now));
        self.rounds = self.rounds.saturating_add(1);
        let dialled = if self.is_quick() {
            self.landmarks.clone()
        } else {
            self.turn = self.turn.wrapping_add(1);
            self.landmarks.get(self.turn % self.landmarks.len().max(1)).cloned().into_iter().collect()
        };
        (self.pings, dialled)
    }

    /// Until the next round.
    #[must_use]
    pub const fn pause(&self) -> Duration {
        if self.is_quick() { SOON } else { STEADY }
    }

    /// Our orchestrator answered; an answer to an older ping tells nothing.
    pub fn pong(&mut self, now: Duration, stamp: u64, there: Coordinate) {
        let Some((_, sent)) = self.sent.take_if(|(waits, _)| *waits == stamp) else { return };
        if self.orchestrator.is_none_or(|before| moved(&before, &there)) {
            self.rounds = 0;
        }
        self.orchestrator = Some(there);
        self.measured(ORCHESTRATOR, now.saturating_sub(sent), &there);
    }

    /// The whole list.
    pub fn hear(&mut self, landmarks: Vec<Landmark>) {
        let known = |new: &Landmark| self.landmarks.iter().any(|old| old.address == new.address);
        if !landmarks.iter().all(known) {
            self.rounds = 0;
        }
        self.landmarks = landmarks;
    }

    /// A connection to the landmark took so long.
    pub fn dialled(&mut self, landmark: &Landmark, took: Duration) {
        self.measured(&landmark.address, took, &landmark.coordinate);
    }

    /// Our coordinate, if it settled or moved since it was told last.
    pub fn news(&mut self) -> Option<Coordinate> {
        let now = self.vivaldi.coordinate();
        let news = match &self.told {
            None => now.is_settled(),
            Some(told) => told.is_settled() != now.is_settled() || moved(told, &now),
        };
        news.then(|| *self.told.insert(now))
    }

    fn measured(&mut self, peer: &str, took: Duration, there: &Coordinate) {
        if let Some(rtt) = Latency::measured(took) {
            // What cannot be is passed over.
            let _ = self.vivaldi.measured(peer, rtt, there);
        }
    }

    const fn is_quick(&self) -> bool {
        self.rounds < QUICK
    }
}

/// Far enough to be news.
fn moved(before: &Coordinate, now: &Coordinate) -> bool {
    let without = |one: &Coordinate| Coordinate { height: 0, ..*one };
    let way = without(before).to(&without(now)).0.saturating_add(before.height.abs_diff(now.height));
    let size = now.to(&Coordinate::default()).0;
    way > LEAST_MOVE.max(size / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(20);

    fn settled() -> (Locator, Duration) {
        let (mut locator, mut now) = (Locator::new("fl-1"), Duration::ZERO);
        for _ in 0..60 {
            let (stamp, _) = locator.round(now);
            locator.pong(now + ROUND_TRIP, stamp, Vivaldi::anchor());
            now += locator.pause();
        }
        (locator, now)
    }

    #[test]
    fn it_is_told_once_it_is_settled_and_when_it_moves() {
        let mut locator = Locator::new("fl-1");
        assert_eq!(locator.news(), None);
        let (settled_there, mut now) = settled();
        locator = settled_there;
        let told = locator.news().unwrap();
        let estimate = told.to(&Vivaldi::anchor()).0;
        assert!((18_000..22_000).contains(&estimate), "{estimate}");
        assert_eq!(locator.news(), None);
        for _ in 0..8 {
            let (stamp, _) = locator.round(now);
            locator.pong(now + 2 * ROUND_TRIP, stamp, Vivaldi::anchor());
            now += locator.pause();
        }
        assert!(locator.news().is_some(), "the way is twice as long");
    }

    #[test]
    fn measuring_is_quick_for_a_while_only() {
        let (mut locator, now) = settled();
        assert_eq!(locator.pause(), STEADY);
        let landmark = |host: &str| Landmark { address: format!("{host}:1"), coordinate: Vivaldi::anchor() };
        locator.hear(vec![landmark("a"), landmark("b")]);
        assert_eq!((locator.pause(), locator.round(now).1.len()), (SOON, 2));
        for _ in 0..QUICK {
            locator.round(now);
        }
        let turns: Vec<_> = (0..2).flat_map(|_| locator.round(now).1).map(|one| one.address).collect();
        assert!(turns.len() == 2 && turns[0] != turns[1], "one by turns: {turns:?}");
        locator.hear(vec![landmark("a")]);
        assert_eq!(locator.pause(), STEADY);
    }

    #[test]
    fn a_late_answer_tells_nothing() {
        let mut locator = Locator::new("fl-1");
        let (old, _) = locator.round(Duration::ZERO);
        let (stamp, _) = locator.round(Duration::from_secs(1));
        let before = locator.coordinate();
        locator.pong(Duration::from_secs(2), old, Vivaldi::anchor());
        assert_eq!(locator.coordinate(), before);
        locator.pong(Duration::from_secs(2), stamp, Vivaldi::anchor());
        assert_ne!(locator.coordinate(), before);
    }
}
