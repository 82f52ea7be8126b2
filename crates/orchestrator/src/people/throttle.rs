//! How fast somebody may guess: after a few wrong passwords in a row the next try has to wait, twice as long
//! each time. Counted per name and place, and per place, so that one who guesses locks out nobody else.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use holm_link::places::neighbourhood;

/// Wrong tries of late.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<HashMap<Key, Failures>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Name(String, Option<IpAddr>),
    Place(Option<IpAddr>),
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

/// Wrong passwords in a row that cost nothing: for one name, and for one place (where many people may sit).
const FREE: [u32; 2] = [3, 20];
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// Forgotten after so long without another.
const MEMORY: Duration = Duration::from_secs(3600);
/// Keys at most; beyond it, the older half makes room.
const MOST: usize = 4096;

// === impl Throttle ===

impl Throttle {
    /// How long somebody at `place` still has to wait before the next try as `name`.
    #[must_use]
    pub fn wait(&self, name: &str, place: Option<IpAddr>, now: Instant) -> Option<Duration> {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = |(key, free)| {
            let failures: &Failures = failures.get(&key)?;
            (failures.last + failures.pause(free)).checked_duration_since(now).filter(|wait| !wait.is_zero())
        };
        keys(name, place).into_iter().zip(FREE).filter_map(wait).max()
    }

    pub fn failed(&self, name: &str, place: Option<IpAddr>, now: Instant) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() + FREE.len() > MOST {
            forget_older_half(&mut failures);
        }
        for key in keys(name, place) {
            let entry = failures.entry(key).or_insert(Failures { count: 0, last: now });
            let forgotten = now.duration_since(entry.last) >= MEMORY;
            *entry = Failures { count: if forgotten { 1 } else { entry.count.saturating_add(1) }, last: now };
        }
    }

    /// The name is free again; the place keeps its count, or guessing one's own password would clear it.
    pub fn succeeded(&self, name: &str, place: Option<IpAddr>) {
        let [name, _] = keys(name, place);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
    }
}

/// Half at once, so that somebody who makes up names costs little.
fn forget_older_half(failures: &mut HashMap<Key, Failures>) {
    let mut ages: Vec<_> = failures.values().map(|failures| failures.last).collect();
    let (_, median, _) = ages.select_nth_unstable(failures.len() / 2);
    let median = *median;
    failures.retain(|_, failures| failures.last > median);
}

/// A bounded name: whoever sends megabytes fills nothing.
fn keys(name: &str, place: Option<IpAddr>) -> [Key; 2] {
    // Whoever has one IPv6 address has a network full of them.
    let place = place.map(neighbourhood);
    [Key::Name(name.chars().take(64).collect(), place), Key::Place(place)]
}

// === impl Failures ===

impl Failures {
    fn pause(self, free: u32) -> Duration {
        let Some(doublings) = self.count.checked_sub(free) else { return Duration::ZERO };
        FIRST.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    #[test]
    fn each_wrong_try_waits_longer() {
        let (throttle, mut now) = (Throttle::default(), Instant::now());
        let mut last = Duration::ZERO;
        for _ in 0..3 {
            assert_eq!(throttle.wait("ada", HERE, now), None);
            throttle.failed("ada", HERE, now);
        }
        for _ in 0..12 {
            let wait = throttle.wait("ada", HERE, now).unwrap();
            assert!(wait > last || wait == LONGEST, "{wait:?}");
            (last, now) = (wait, now + wait);
            assert_eq!(throttle.wait("ada", HERE, now), None);
            throttle.failed("ada", HERE, now);
        }
        assert_eq!(last, LONGEST);
    }

    #[test]
    fn who_guesses_locks_out_nobody_elsewhere() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..10 {
            throttle.failed("ada", HERE, now);
        }
        assert!(throttle.wait("ada", HERE, now).is_some());
        assert_eq!(throttle.wait("ada", None, now), None);
        assert_eq!(throttle.wait("bob", HERE, now), None);
        for n in 0..20 {
            throttle.failed(&format!("name-{n}"), HERE, now);
        }
        assert!(throttle.wait("bob", HERE, now).is_some(), "one place tries many names");
    }

    #[test]
    fn an_ipv6_network_is_one_place() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let from = |n: u16| Some(IpAddr::from([0x2001, 0xdb8, 0, 7, 0, 0, 0, n]));
        (0..3).for_each(|n| throttle.failed("ada", from(n), now));
        assert!(throttle.wait("ada", from(9), now).is_some());
        let elsewhere = Some(IpAddr::from([0x2001, 0xdb8, 0, 8, 0, 0, 0, 1]));
        assert_eq!(throttle.wait("ada", elsewhere, now), None);
    }

    #[test]
    fn memory_is_bounded() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..20_000 {
            let later = now + Duration::from_millis(n);
            throttle.failed(&format!("{n}{}", "x".repeat(1000)), None, later);
        }
        assert!(throttle.0.lock().unwrap().len() <= MOST);
    }
}
