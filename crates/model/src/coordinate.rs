//! Where something is in the network: distances between coordinates are round trip times.
//!
//! A height vector of Vivaldi (Dabek et al., SIGCOMM 2004): three dimensions for the way through the net, and a height
//! for the access to it, which is paid at both ends. Kept as whole microseconds, so that coordinates can be compared and
//! written the same everywhere; there is no NaN to guard against.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::duration::Span;

/// A round trip time in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Latency(pub u32);

/// A place in the network, in microseconds of round trip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Coordinate {
    pub at: [i32; 3],
    pub height: u32,
    /// How wrong its estimates were of late, in thousandths of what was measured.
    pub error: u16,
}

/// Where several coordinates are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Region {
    pub centre: [i32; 3],
    /// None of them is farther from the centre.
    pub radius: u32,
    /// The least height of one of them.
    pub height: u32,
}

/// A point that others can measure their way to, since it may be dialled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landmark {
    /// `host:port`
    pub address: String,
    pub coordinate: Coordinate,
}

/// Of any part of a coordinate, and of a measurement: ten seconds are no latency.
pub const MOST_MICROS: u32 = 10_000_000;
/// A coordinate whose error is not below has not settled.
pub const UNSETTLED: u16 = 600;

// === impl Latency ===

impl Latency {
    /// `None`: it is none.
    #[must_use]
    pub fn measured(time: Duration) -> Option<Self> {
        u32::try_from(time.as_micros()).ok().filter(|micros| (1..=MOST_MICROS).contains(micros)).map(Self)
    }

    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl From<Duration> for Latency {
    fn from(time: Duration) -> Self {
        Self(u32::try_from(time.as_micros()).unwrap_or(u32::MAX))
    }
}

/// As people write bounds, in whole milliseconds.
impl From<Latency> for Span {
    fn from(latency: Latency) -> Self {
        Self(Duration::from_micros(latency.0.into()))
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, tenths) = (self.0 / 1_000, self.0 % 1_000 / 100);
        if tenths == 0 || whole >= 100 { write!(f, "{whole}ms") } else { write!(f, "{whole}.{tenths}ms") }
    }
}

// === impl Coordinate ===

impl Coordinate {
    /// Whether it can be meant: peers may say anything.
    #[must_use]
    pub fn is_sane(&self) -> bool {
        let near = |part: &i32| part.unsigned_abs() <= MOST_MICROS;
        self.at.iter().all(near) && self.height <= MOST_MICROS && self.error <= 1_000
    }

    /// Whether estimates with it are worth something.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.error < UNSETTLED
    }

    /// The estimated round trip time between the two.
    #[must_use]
    pub fn to(&self, other: &Self) -> Latency {
        Latency(way(self.at, other.at).saturating_add(self.height).saturating_add(other.height))
    }
}

// === impl Region ===

impl Region {
    /// `None` of none.
    #[must_use]
    pub fn around(all: &[Coordinate]) -> Option<Self> {
        let count = i64::try_from(all.len()).ok().filter(|count| *count > 0)?;
        let mean = |axis: usize| {
            let sum: i64 = all.iter().map(|one| i64::from(one.at[axis])).sum();
            i32::try_from(sum / count).unwrap_or_default()
        };
        let centre = [mean(0), mean(1), mean(2)];
        let radius = all.iter().map(|one| way(centre, one.at)).max()?;
        Some(Self { centre, radius, height: all.iter().map(|one| one.height).min()? })
    }

    /// The least that the round trip from one of them to `other` is estimated to be.
    #[must_use]
    pub fn least(&self, other: &Self) -> Latency {
        let way = way(self.centre, other.centre).saturating_sub(self.radius.saturating_add(other.radius));
        Latency(way.saturating_add(self.height).saturating_add(other.height))
    }
}

impl From<Coordinate> for Region {
    fn from(one: Coordinate) -> Self {
        Self { centre: one.at, radius: 0, height: one.height }
    }
}

/// Straight, without heights.
fn way(from: [i32; 3], to: [i32; 3]) -> u32 {
    let square = |axis: usize| (f64::from(from[axis]) - f64::from(to[axis])).powi(2);
    // At most the square root of three times 2³², which is rounded down to the largest u32.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
    let way = (square(0) + square(1) + square(2)).sqrt().round() as u32;
    way
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coordinate(at: [i32; 3], height: u32) -> Coordinate {
        Coordinate { at, height, error: 100 }
    }

    #[test]
    fn heights_are_paid_at_both_ends() {
        let (a, b) = (coordinate([0, 0, 0], 1_000), coordinate([3_000, 4_000, 0], 2_000));
        assert_eq!((a.to(&b), b.to(&a)), (Latency(8_000), Latency(8_000)));
        assert_eq!(a.to(&a), Latency(2_000));
        assert_eq!(a.to(&b).to_string(), "8ms");
        assert_eq!(Latency(12_345).to_string(), "12.3ms");
    }

    #[test]
    fn a_region_promises_no_more_than_its_nearest_one_can() {
        let all = [coordinate([0, 0, 0], 500), coordinate([10_000, 0, 0], 2_000)];
        let (region, far) = (Region::around(&all).unwrap(), coordinate([50_000, 0, 0], 1_000));
        assert_eq!((region.centre, region.radius, region.height), ([5_000, 0, 0], 5_000, 500));
        let nearest = all.iter().map(|one| one.to(&far)).min().unwrap();
        assert!(region.least(&far.into()) <= nearest);
        assert_eq!(Region::around(&[]), None);
    }

    #[test]
    fn no_number_is_too_large_to_be_looked_at() {
        let odd = coordinate([i32::MIN, i32::MAX, i32::MIN], u32::MAX);
        assert!(!odd.is_sane() && coordinate([0; 3], 0).is_sane());
        assert_eq!(odd.to(&coordinate([i32::MAX, i32::MIN, i32::MAX], u32::MAX)), Latency(u32::MAX));
        assert!(Region::around(&[odd, coordinate([i32::MAX; 3], 0)]).is_some());
        assert_eq!(Latency::measured(Duration::from_secs(11)), None);
        assert_eq!(Latency::measured(Duration::ZERO), None);
    }
}
