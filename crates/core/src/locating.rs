//! Finding one's place in the network: when to measure the way to whom, and when the outcome is worth telling.
//!
//! ```text
//! round: ping to our own orchestrator, over the link; a TCP connection to landmarks, which is closed at once
//! quick (1 s) ──24 rounds──► steady (60 s) ──(a new landmark, or our orchestrator moved)──► quick
//! ```
//!
//! Whoever makes others move all the time makes nobody busy: quick rounds come out of a store that steady ones fill.

use std::time::Duration;

use holm_model::coordinate::{Coordinate, Landmark, Latency, MOST_LANDMARKS};

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
    /// Quick rounds that may be made still.
    store: u32,
    landmarks: Vec<Landmark>,
    turn: usize,
    /// Where our orchestrator was last.
    orchestrator: Option<Coordinate>,
    told: Option<Coordinate>,
}

const QUICK: u32 = 24;
/// Most of the store of quick rounds, and what a steady round adds to it.
const STORE: u32 = 120;
const FILLS: u32 = 2;
/// Landmarks that are dialled in a round: quick, and steady.
const DIALS: (usize, usize) = (2, 1);
const SOON: Duration = Duration::from_secs(1);
const STEADY: Duration = Duration::from_secs(60);
/// What moved less is no news, µs; nor is a tenth of the whole way.
const LEAST_MOVE: u32 = 1_000;

impl Locator {
    /// `name` tells it apart from others that measure the same.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            vivaldi: Vivaldi::new(name),
            sent: None,
            pings: 0,
            rounds: 0,
            store: STORE,
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
        let dials = if self.is_quick() {
            self.store -= 1;
            DIALS.0
        } else {
            self.store = STORE.min(self.store + FILLS);
            DIALS.1
        };
        let known = self.landmarks.len();
        let by_turns = self.landmarks.iter().cycle().skip(self.turn % known.max(1));
        let dialled = by_turns.take(dials.min(known)).copied().collect();
        self.turn = self.turn.wrapping_add(dials);
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
        if let Some(rtt) = Latency::measured(now.saturating_sub(sent)) {
            // What cannot be is passed over.
            let _ = self.vivaldi.measured_above(rtt, &there);
        }
    }

    /// The whole list. Of what may not be dialled, or is too much, nothing is: whoever told it.
    pub fn hear(&mut self, landmarks: &[Landmark]) {
        let fit = landmarks.iter().filter(|landmark| landmark.may_be_dialled()).take(MOST_LANDMARKS);
        let landmarks: Vec<Landmark> = fit.copied().collect();
        let known = |new: &Landmark| self.landmarks.iter().any(|old| old.address == new.address);
        if !landmarks.iter().all(known) {
            self.rounds = 0;
        }
        self.landmarks = landmarks;
    }

    /// A connection to the landmark took so long.
    pub fn dialled(&mut self, landmark: &Landmark, took: Duration) {
        if let Some(rtt) = Latency::measured(took) {
            // As above.
            let _ = self.vivaldi.measured(&landmark.address.to_string(), rtt, &landmark.coordinate);
        }
    }

    /// Our coordinate, if it settled, moved, or became twice as sure since it was told last.
    pub fn news(&mut self) -> Option<Coordinate> {
        let now = self.vivaldi.coordinate();
        let news = match &self.told {
            None => now.is_settled(),
            Some(told) => {
                let surer = now.error <= told.error / 2;
                told.is_settled() != now.is_settled() || moved(told, &now) || surer
            }
        };
        news.then(|| *self.told.insert(now))
    }

    const fn is_quick(&self) -> bool {
        self.rounds < QUICK && self.store > 0
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

    fn landmark(port: u16) -> Landmark {
        Landmark { address: ([192, 0, 2, 7], port).into(), coordinate: Vivaldi::anchor() }
    }

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
    fn whoever_is_near_is_told_to_be_sure_too() {
        let mut locator = Locator::new("fl-1");
        let told = (0..24).filter_map(|second| {
            let now = Duration::from_secs(second);
            let (stamp, _) = locator.round(now);
            locator.pong(now + Duration::from_micros(300), stamp, Vivaldi::anchor());
            locator.news()
        });
        let told: Vec<_> = told.collect();
        assert!(told.last().unwrap().error < 300 && told.len() < 6, "{told:?}");
    }

    #[test]
    fn measuring_is_quick_for_a_while_only() {
        let (mut locator, now) = settled();
        assert_eq!(locator.pause(), STEADY);
        locator.hear(&[landmark(1), landmark(2)]);
        assert_eq!((locator.pause(), locator.round(now).1.len()), (SOON, 2));
        for _ in 0..QUICK {
            locator.round(now);
        }
        let turns: Vec<_> = (0..2).flat_map(|_| locator.round(now).1).map(|one| one.address).collect();
        assert!(turns.len() == 2 && turns[0] != turns[1], "one by turns: {turns:?}");
        locator.hear(&[landmark(1)]);
        assert_eq!(locator.pause(), STEADY);
    }

    #[test]
    fn whoever_moves_all_the_time_makes_nobody_busy() {
        let (mut locator, begun) = settled();
        let (mut now, mut dials, mut port) = (begun, 0, 0);
        while now < begun + Duration::from_secs(3_600) {
            port += 1;
            locator.hear(&[landmark(port)]);
            dials += locator.round(now).1.len();
            now += locator.pause();
        }
        assert!(dials <= 330, "the store, and three for each minute: {dials}");
    }

    #[test]
    fn what_may_not_be_dialled_or_is_too_much_is_not() {
        let mut locator = Locator::new("fl-1");
        let many: Vec<_> = (0..99).map(landmark).collect();
        locator.hear(&many);
        assert_eq!(locator.landmarks, many[1..=MOST_LANDMARKS], "all but that of port 0");
        let local = Landmark { address: "127.0.0.1:22".parse().unwrap(), ..landmark(1) };
        locator.hear(&[local]);
        assert_eq!(locator.round(Duration::ZERO).1, []);
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
