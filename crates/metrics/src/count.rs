//! What is counted and measured while a program runs, by any of its tasks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Only goes up.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// How long something took.
#[derive(Debug)]
pub struct Histogram {
    /// One for each of [`BOUNDS`], and one for whatever took longer.
    counts: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

/// A histogram at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Upper bound in seconds, and how many took at most so long.
    pub buckets: Vec<(f64, u64)>,
    pub count: u64,
    /// In seconds.
    pub sum: f64,
}

/// Seconds: from a commit on a fast disk to one that makes everybody wait.
pub const BOUNDS: [f64; 14] =
    [0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

// === impl Counter ===

impl Counter {
    pub fn increment(&self) {
        self.add(1);
    }

    pub fn add(&self, number: u64) {
        self.0.fetch_add(number, Relaxed);
    }

    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

// === impl Histogram ===

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: std::array::from_fn(|_| AtomicU64::new(0)), nanoseconds: AtomicU64::new(0) }
    }
}

impl Histogram {
    pub fn observe(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let at = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.counts[at].fetch_add(1, Relaxed);
        // 584 years in all.
        self.nanoseconds.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    #[must_use]
    pub fn measured(&self) -> Measured {
        let mut count = 0;
        let mut buckets = Vec::with_capacity(BOUNDS.len());
        for (at, own) in self.counts.iter().enumerate() {
            count += own.load(Relaxed);
            buckets.extend(BOUNDS.get(at).map(|bound| (*bound, count)));
        }
        let sum = Duration::from_nanos(self.nanoseconds.load(Relaxed)).as_secs_f64();
        Measured { buckets, count, sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_count_all_that_is_not_longer() {
        let histogram = Histogram::default();
        for milliseconds in [1, 7, 7, 20_000] {
            histogram.observe(Duration::from_millis(milliseconds));
        }
        let measured = histogram.measured();
        let of = |bound| measured.buckets.iter().find(|bucket| bucket.0 == bound).unwrap().1;
        assert_eq!([of(0.0005), of(0.001), of(0.01), of(10.0)], [0, 1, 3, 3]);
        assert_eq!((measured.count, measured.sum), (4, 20.015));
    }
}
