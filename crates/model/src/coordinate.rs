//! Where something is in the network: distances between coordinates are round trip times.
//!
//! A height vector of Vivaldi (Dabek et al., SIGCOMM 2004): three dimensions for the way through the net, and a height
//! for the access to it, which is paid at both ends. Kept as whole microseconds, so that coordinates can be compared and
//! written the same everywhere; there is no NaN to guard against.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landmark {
    /// No name: nobody is made to ask name servers for whatever others say.
    pub address: SocketAddr,
    pub coordinate: Coordinate,
}

/// Of any part of a coordinate, and of a measurement: ten seconds are no latency.
pub const MOST_MICROS: u32 = 10_000_000;
/// A coordinate whose error is not below has not settled.
pub const UNSETTLED: u16 = 600;
/// Told to one member: each is dialled by many, for ever.
pub const MOST_LANDMARKS: usize = 8;

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
    pub fn is_settled(&self) -> bool {
        self.is_sane() && self.error < UNSETTLED
    }

    /// The estimated round trip time between the two.
    #[must_use]
    pub fn to(&self, other: &Self) -> Latency {
        Latency(way(self.at, other.at).saturating_add(self.height).saturating_add(other.height))
    }
}

// === impl Landmark ===

impl Landmark {
    /// Whether members may be sent there: never to themselves, nor to what only their own link knows.
    #[must_use]
    pub fn may_be_dialled(&self) -> bool {
        let ip = self.address.ip().to_canonical();
        let local = match ip {
            IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        let nobody = ip.is_unspecified() || ip.is_loopback() || ip.is_multicast();
        !local && !nobody && self.address.port() > 0 && self.coordinate.is_settled()
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
        let radius = all.iter().map(|one| way_up(centre, one.at)).max()?;
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

/// Straight, without heights; rounded down. In whole numbers, so that it is the same everywhere.
fn way(from: [i32; 3], to: [i32; 3]) -> u32 {
    u32::try_from(square(from, to).isqrt()).unwrap_or(u32::MAX)
}

/// As [`way`], rounded up.
fn way_up(from: [i32; 3], to: [i32; 3]) -> u32 {
    let (square, way) = (square(from, to), way(from, to));
    if u64::from(way).pow(2) == square { way } else { way.saturating_add(1) }
}

fn square(from: [i32; 3], to: [i32; 3]) -> u64 {
    // A difference of two i32 fits a u32, and its square a u64.
    let part = |axis: usize| u64::from(from[axis].abs_diff(to[axis])).pow(2);
    part(0).saturating_add(part(1)).saturating_add(part(2))
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
    fn nobody_is_sent_to_themselves_or_to_their_neighbours() {
        let landmark = |address: &str| Landmark {
            address: address.parse().unwrap(),
            coordinate: coordinate([0, 0, 0], 10),
        };
        for public in ["192.0.2.7:7700", "10.0.0.7:1", "[2001:db8::7]:7700", "[fd00::7]:7700"] {
            assert!(landmark(public).may_be_dialled(), "{public}");
        }
        for never in [
            "192.0.2.7:0",
            "0.0.0.0:7700",
            "127.0.0.1:7700",
            "169.254.169.254:80",
            "224.0.0.1:7700",
            "255.255.255.255:7700",
            "[::]:7700",
            "[::1]:7700",
            "[fe80::1]:7700",
            "[ff02::1]:7700",
            "[::ffff:127.0.0.1]:7700",
            "[::ffff:169.254.169.254]:80",
        ] {
            assert!(!landmark(never).may_be_dialled(), "{never}");
        }
        let unsettled = Coordinate { error: UNSETTLED, ..Coordinate::default() };
        assert!(!Landmark { coordinate: unsettled, ..landmark("192.0.2.7:7700") }.may_be_dialled());
    }

    #[test]
    fn a_region_is_never_smaller_than_what_is_in_it() {
        let all = [coordinate([0, 0, 0], 0), coordinate([3, 1, 0], 0), coordinate([1, 3, 1], 0)];
        let region = Region::around(&all).unwrap();
        for one in &all {
            assert_eq!(region.least(&(*one).into()), Latency(0));
            let far = coordinate([1_001, 777, 333], 0);
            assert!(region.least(&far.into()) <= one.to(&far));
        }
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
