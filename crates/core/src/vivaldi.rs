//! How a coordinate is found: by Vivaldi with height vectors (Dabek et al., SIGCOMM 2004, sections 3.5 and 5.4).
//!
//! Each measurement is a spring between the two ends, as long as the round trip took: it pulls or pushes us along the line
//! between us, by a share that is the larger the less sure we are and the surer the other side. With one measurement,
//! nobody can move us farther than a quarter of what we measured ourselves, whatever they say of themselves. Only our own
//! orchestrator, whom we obey, pulls as hard as it takes: an answer that once came late pushes us far, and whoever is
//! near could bring us back by small steps only.
//!
//! Only what is measured here moves a coordinate, so that truth flows down: a root stays where it is, clusters find
//! themselves by the root and each other, nodes by their orchestrators. What members say of themselves moves nobody above.

use std::collections::{BTreeMap, VecDeque};

use holm_model::coordinate::{Coordinate, Latency, MOST_MICROS};

use crate::scheduler::random;

/// Finds a coordinate; see the [module](self).
#[derive(Clone, Debug)]
pub struct Vivaldi {
    at: [f64; 3],
    height: f64,
    /// 0 to 1
    error: f64,
    /// The last measurements to each peer.
    recent: BTreeMap<String, VecDeque<u32>>,
    /// For directions, where there is none.
    dice: u64,
}

/// A measurement was passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no network has such a coordinate or latency")]
pub struct Absurd;

/// How far one measurement moves us at most, of what it is off; how much it counts for the error. From the paper.
const STEP: f64 = 0.25;
const SMOOTH: f64 = 0.25;
/// Nobody is surer of themselves: who said so would move others alone.
const SUREST: f64 = 0.05;
/// Height of whoever is on the net itself, µs.
const LEAST_HEIGHT: f64 = 10.0;
/// Measurements to a peer of which the least counts: what took longer waited somewhere.
const WINDOW: usize = 4;
const MOST_PEERS: usize = 32;
/// Our own orchestrator among the peers; nobody is dialled by this name.
const ABOVE: &str = "";
/// Within a room, what a program waits for the processor is longer than the way: errors count of this at least, µs.
const FINEST: f64 = 1_000.0;

// === impl Vivaldi ===

impl Vivaldi {
    /// In the middle of everything and sure of nothing; `name` draws the directions.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            at: [0.0; 3],
            height: LEAST_HEIGHT,
            error: 1.0,
            recent: BTreeMap::new(),
            dice: random::number(&[name]),
        }
    }

    /// Of an orchestrator without a parent, to which all others are relative.
    #[must_use]
    pub const fn anchor() -> Coordinate {
        Coordinate { at: [0; 3], height: 10, error: 50 }
    }

    #[must_use]
    pub fn coordinate(&self) -> Coordinate {
        // All are bounded by `MOST_MICROS`, the error by 1.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
        Coordinate {
            at: self.at.map(|part| part.round() as i32),
            height: self.height.round() as u32,
            error: (self.error * 1000.0).round() as u16,
        }
    }

    /// `peer`, which is there, answered after `rtt`.
    ///
    /// # Errors
    /// When one of them cannot be; nothing is changed then.
    pub fn measured(&mut self, peer: &str, rtt: Latency, there: &Coordinate) -> Result<(), Absurd> {
        self.spring(peer, rtt, there, STEP)
    }

    /// The same of our own orchestrator.
    ///
    /// # Errors
    /// As for [`Self::measured`].
    pub fn measured_above(&mut self, rtt: Latency, there: &Coordinate) -> Result<(), Absurd> {
        self.spring(ABOVE, rtt, there, f64::INFINITY)
    }

    /// `pull`: nearer by so many times what was measured, at most.
    fn spring(&mut self, peer: &str, rtt: Latency, there: &Coordinate, pull: f64) -> Result<(), Absurd> {
        if rtt.0 == 0 || rtt.0 > MOST_MICROS || !there.is_sane() {
            return Err(Absurd);
        }
        let rtt = f64::from(self.least_of(peer, rtt.0));
        let their_error = (f64::from(there.error) / 1000.0).max(SUREST);
        let trust = self.error / (self.error + their_error);
        let away = [0, 1, 2].map(|axis| self.at[axis] - f64::from(there.at[axis]));
        let heights = self.height + f64::from(there.height);
        let length = norm(away);
        let estimate = length + heights;
        let off = ((estimate - rtt).abs() / rtt.max(FINEST)).min(1.0);
        self.error = (off * SMOOTH * trust + self.error * (1.0 - SMOOTH * trust)).clamp(SUREST, 1.0);
        let push = (STEP * trust * (rtt - estimate)).clamp(-pull * rtt, STEP * rtt);
        self.go(away, length, heights, push);
        Ok(())
    }

    /// Along the unit vector of (away, heights), the way and the heights being one length.
    fn go(&mut self, away: [f64; 3], length: f64, heights: f64, push: f64) {
        let (direction, across, up) = if length > 1.0 {
            let whole = length + heights;
            (away.map(|part| part / length), length / whole, heights / whole)
        } else if push > 0.0 {
            // On one spot there is no way to share with: half goes into either.
            (self.draw(), 0.5, 0.5)
        } else {
            // Nor is there one that could be shorter.
            ([0.0; 3], 0.0, 1.0)
        };
        let most = f64::from(MOST_MICROS);
        for (part, direction) in self.at.iter_mut().zip(direction) {
            *part = (*part + push * across * direction).clamp(-most, most);
        }
        self.height = (self.height + push * up).clamp(LEAST_HEIGHT, most);
    }

    fn least_of(&mut self, peer: &str, rtt: u32) -> u32 {
        if self.recent.len() >= MOST_PEERS && !self.recent.contains_key(peer) {
            // Peers come and go: those that are measured still are there again soon.
            self.recent.clear();
        }
        let recent = self.recent.entry(peer.to_owned()).or_default();
        recent.truncate(WINDOW - 1);
        recent.push_front(rtt);
        recent.iter().copied().min().unwrap_or(rtt)
    }

    /// Some direction, another one each time.
    fn draw(&mut self) -> [f64; 3] {
        let mut draw = || {
            self.dice = random::mix(self.dice);
            // 53 bits, as many as a number has.
            #[expect(clippy::cast_precision_loss, reason = "see above")]
            let share = (self.dice >> 11) as f64 / (1_u64 << 53) as f64;
            share - 0.5
        };
        let vector = [draw(), draw(), draw()];
        let length = norm(vector);
        if length > 0.01 { vector.map(|part| part / length) } else { [1.0, 0.0, 0.0] }
    }
}

fn norm(vector: [f64; 3]) -> f64 {
    vector.iter().map(|part| part * part).sum::<f64>().sqrt()
}

#[cfg(test)]
#[path = "vivaldi_tests.rs"]
mod tests;
