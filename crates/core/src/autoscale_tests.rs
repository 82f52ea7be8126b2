use holm_model::scale::ScaleBy;

use super::*;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn scale(min: u32, max: u32) -> Scale {
    Scale { min, max, by: ScaleBy::Cpu(70), stabilization: secs(60), cooldown: secs(30) }
}

/// The advice of an autoscaler whose window has passed.
fn advised(current: u32, loads: &[u64]) -> Option<u32> {
    let mut autoscaler = Autoscaler::new(secs(0), 1);
    autoscaler.look(secs(100), &scale(1, 20), current, loads.iter().copied()).map(|advice| advice.to)
}

#[test]
fn as_many_are_asked_for_as_the_load_needs_and_near_the_target_nothing_changes() {
    assert_eq!(advised(3, &[1500, 1500, 1500]), Some(5), "⌈3 × 1.5⌉");
    assert_eq!(advised(4, &[500; 4]), Some(2));
    assert_eq!(advised(4, &[0; 4]), Some(1), "never below min");
    assert_eq!(advised(10, &[9000; 10]), Some(20), "at most doubled, and never above max");
    assert_eq!(advised(1, &[9000]), Some(4), "of few, up to four");
    for near in [900, 1000, 1100] {
        assert_eq!(advised(10, &[near; 10]), None, "{near}");
    }
}

#[test]
fn who_tells_nothing_changes_nothing() {
    assert_eq!(advised(3, &[]), None);
    assert_eq!(advised(4, &[1500, 1500]), None, "the others may be idle: 0.75 of the target");
    assert_eq!(advised(4, &[2500, 2500]), Some(5), "1.25, even if the others are idle");
    assert_eq!(advised(4, &[100]), None, "the others may be busy: 0.78, which is four of four");
    assert_eq!(advised(4, &[100, 100, 100]), Some(2), "0.33");
}

#[test]
fn fewer_only_when_nothing_in_the_window_asked_for_more_and_not_before_it_has_cooled() {
    let scale = scale(1, 10);
    let mut autoscaler = Autoscaler::new(secs(0), 2);
    let mut look = |at, current: u32, load| {
        let loads = vec![load; current as usize];
        autoscaler.look(secs(at), &scale, current, loads).map(|advice| advice.to)
    };
    assert_eq!(look(0, 2, 2000), Some(4), "more at once");
    assert_eq!(look(5, 4, 2000), None, "it cools");
    assert_eq!(look(30, 4, 2000), Some(8));
    assert_eq!(look(60, 8, 250), None, "eight were asked for within the last minute");
    assert_eq!(look(90, 8, 250), None);
    assert_eq!(look(91, 8, 250), Some(2));
    assert_eq!(look(100, 2, 250), None, "two were asked for nine seconds ago");
    assert_eq!(look(155, 2, 250), Some(1));
}

#[test]
fn what_the_bounds_say_is_obeyed_at_once() {
    let mut autoscaler = Autoscaler::new(secs(0), 9);
    let bounded = scale(2, 4);
    assert_eq!(autoscaler.look(secs(1), &bounded, 9, []), Some(Advice { to: 4, load: None }));
    assert_eq!(autoscaler.look(secs(2), &bounded, 1, [5000]).map(|advice| advice.to), Some(4));
}

/// One day of a shop, each number five minutes: the load of all, in thousandths of what one replica should have.
const DAY: [u64; 48] = [
    900, 850, 800, 780, 760, 750, 740, 760, 900, 1200, 1900, 2800, 3600, 4300, 4700, 4900, 5100, 5000, 4800,
    5200, 5600, 6100, 6400, 6200, 5900, 5400, 5000, 4700, 4400, 4600, 4900, 5300, 5800, 6300, 6600, 6400,
    5800, 5000, 4100, 3300, 2700, 2200, 1800, 1500, 1300, 1100, 1000, 950,
];

/// A number from 0 to 999 that looks like chance and is the same each time.
fn chance(seed: u64) -> u64 {
    let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x ^= x >> 31;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (x ^ (x >> 29)) % 1000
}

struct Replayed {
    /// Every change: when, and to how many.
    changes: Vec<(u64, u32)>,
    /// Looks at which the mean was more than half above the target.
    overloaded: usize,
}

/// Each look five seconds after the other; new replicas tell something after 15 s; of a thousand samples, so many are
/// lost, and of a minute in each ten all are lost if `gaps`.
fn replay(lost: u64, gaps: bool) -> Replayed {
    let scale = Scale { stabilization: secs(300), ..scale(1, 10) };
    let (mut current, mut grown_at, mut grown_from) = (1u32, 0u64, 1u32);
    let mut autoscaler = Autoscaler::new(secs(0), current);
    let mut replayed = Replayed { changes: Vec::new(), overloaded: 0 };
    for look in 0..(48 * 60) {
        let at = look * 5;
        let (index, part) = ((at / 300) as usize, at % 300);
        let next = DAY[(index + 1).min(DAY.len() - 1)];
        let total = (DAY[index] * (300 - part) + next * part) / 300;
        let telling = if at < grown_at + 15 { grown_from.min(current) } else { current };
        // A tenth up or down, each for itself.
        let noise = |replica: u64| 900 + chance(look * 64 + replica) / 5;
        let gap = gaps && at % 600 < 60;
        let loads =
            (0..u64::from(telling)).filter(|replica| !gap && chance(look * 7919 + replica * 31 + 5) >= lost);
        let loads: Vec<u64> =
            loads.map(|replica| total / u64::from(telling) * noise(replica) / 1000).collect();
        replayed.overloaded += usize::from(total / u64::from(telling) > 1500);
        if let Some(advice) = autoscaler.look(secs(at), &scale, current, loads) {
            (grown_at, grown_from) = (at, current);
            current = advice.to;
            replayed.changes.push((at, current));
        }
    }
    replayed
}

/// How often growing turned into shrinking, or the other way round.
fn turns(changes: &[(u64, u32)]) -> usize {
    let numbers: Vec<u32> = std::iter::once(1).chain(changes.iter().map(|(_, number)| *number)).collect();
    let up: Vec<bool> = numbers.windows(2).map(|pair| pair[1] > pair[0]).collect();
    up.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

#[test]
fn a_recorded_day_is_followed_without_flapping_also_when_samples_are_lost() {
    for (lost, gaps) in [(0, false), (300, false), (0, true), (300, true)] {
        let replayed = replay(lost, gaps);
        let changes = &replayed.changes;
        assert!(turns(changes) <= 5, "two peaks, one valley between, and little more: {changes:?}");
        assert!(changes.len() <= 24, "{changes:?}");
        assert!(changes.iter().any(|(_, number)| *number >= 7), "the peak of 6.6 is followed: {changes:?}");
        assert!(
            changes.last().unwrap().1 <= 4,
            "and so is the evening, the later the more is lost: {changes:?}"
        );
        assert!(replayed.overloaded <= 24, "at most two minutes of the day: {}", replayed.overloaded);
    }
}
