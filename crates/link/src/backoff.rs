//! When to try again.

use std::time::Duration;

/// Exponential back-off with full jitter: after the n-th failure in a row, a uniformly random time
/// up to `base × 2ⁿ`, at most a cap. Ten thousand members that lost one orchestrator come back
/// spread out instead of all at once.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    eager: Eager,
    cap: Duration,
    failures: u32,
    /// Given out since the last success.
    waited: Duration,
}

/// A lower cap to begin with: most outages are restarts, and short.
#[derive(Clone, Copy, Debug)]
struct Eager {
    cap: Duration,
    /// Of waiting in all; then the usual cap counts.
    time: Duration,
}

impl Backoff {
    #[must_use]
    pub const fn new(base: Duration, cap: Duration) -> Self {
        let eager = Eager { cap, time: Duration::ZERO };
        Self { base, eager, cap, failures: 0, waited: Duration::ZERO }
    }

    /// For a member whose link broke: 100 ms doubling to 5 s, and to 30 s after two minutes.
    ///
    /// Ten thousand members make at most 4,000 tries per second on the average, each of them a refused
    /// connection while nobody listens; once somebody does, they are let in by the limit on handshakes.
    #[must_use]
    pub const fn reconnect() -> Self {
        let eager = Eager { cap: Duration::from_secs(5), time: Duration::from_secs(120) };
        Self { eager, ..Self::new(Duration::from_millis(100), Duration::from_secs(30)) }
    }

    /// Another try failed: how long to wait, given 64 random bits.
    pub fn failed(&mut self, random: u64) -> Duration {
        let cap = if self.waited < self.eager.time { self.eager.cap } else { self.cap };
        let ceiling = self.base.saturating_mul(2_u32.saturating_pow(self.failures)).min(cap);
        self.failures = self.failures.saturating_add(1);
        // 53 bits of `random` as a fraction of one: exact in a double.
        let fraction = (random >> 11) as f64 / (1_u64 << 53) as f64;
        let wait = ceiling.mul_f64(fraction);
        self.waited = self.waited.saturating_add(wait);
        wait
    }

    /// A try succeeded: the next failure counts as the first.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
        self.waited = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_start_again() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
        let waits: Vec<u64> = (0..6).map(|_| backoff.failed(u64::MAX).as_millis() as u64).collect();
        assert_eq!(waits, [999, 1999, 3999, 7999, 9999, 9999].map(|w| w + 1));
        backoff.succeeded();
        assert!(backoff.failed(u64::MAX) <= Duration::from_secs(1));
    }

    #[test]
    fn jitter_is_full_and_many_failures_do_not_overflow() {
        let mut backoff = Backoff::reconnect();
        for _ in 0..1000 {
            assert_eq!(backoff.failed(0), Duration::ZERO);
        }
        assert!(backoff.failed(u64::MAX / 2) < Duration::from_secs(3));
    }

    #[test]
    fn a_broken_link_is_dialled_eagerly_for_two_minutes() {
        let mut backoff = Backoff::reconnect();
        let mut waited = Duration::ZERO;
        while waited < Duration::from_secs(119) {
            let wait = backoff.failed(u64::MAX);
            assert!(wait <= Duration::from_secs(5), "{wait:?} after {waited:?}");
            waited += wait;
        }
        backoff.failed(u64::MAX);
        assert!(backoff.failed(u64::MAX) > Duration::from_secs(29));
        backoff.succeeded();
        assert!(backoff.failed(u64::MAX) <= Duration::from_millis(100));
    }

    /// A root that was away for five seconds, on the worst of schedules, has everybody back in ten.
    #[test]
    fn a_short_outage_is_over_soon() {
        let mut backoff = Backoff::reconnect();
        let mut away = Duration::ZERO;
        while away < Duration::from_secs(5) {
            away += backoff.failed(u64::MAX);
        }
        assert!(away <= Duration::from_secs(10), "{away:?}");
    }
}
