//! When to try again.

use std::time::Duration;

/// Exponential back-off with full jitter: after the n-th failure in a row, a uniformly random time
/// up to `base × 2ⁿ`, at most `cap`. Ten thousand members that lost one orchestrator come back
/// spread out instead of all at once.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    #[must_use]
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, failures: 0 }
    }

    /// Another try failed: how long to wait, given 64 random bits.
    pub fn failed(&mut self, random: u64) -> Duration {
        let ceiling = self.base.saturating_mul(2_u32.saturating_pow(self.failures)).min(self.cap);
        self.failures = self.failures.saturating_add(1);
        // 53 bits of `random` as a fraction of one: exact in a double.
        let fraction = (random >> 11) as f64 / (1_u64 << 53) as f64;
        ceiling.mul_f64(fraction)
    }

    /// A try succeeded: the next failure counts as the first.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }
}

impl Default for Backoff {
    /// Half a second doubling to 30 s.
    fn default() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(30))
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
        let mut backoff = Backoff::default();
        for _ in 0..1000 {
            assert_eq!(backoff.failed(0), Duration::ZERO);
        }
        assert!(backoff.failed(u64::MAX / 2) < Duration::from_secs(16));
    }
}
