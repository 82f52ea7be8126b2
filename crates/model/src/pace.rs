//! How often something may be asked: so often at once, and then at a steady pace. The generic cell rate algorithm
//! (ITU-T I.371), which needs one moment to be kept for each who asks. Pure.

use std::time::{Duration, Instant};

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Until one more is allowed.
    step: Duration,
    /// Until all are allowed again at once.
    depth: Duration,
}

// === impl Pace ===

impl Pace {
    /// So many per second on average; at once what `patience` would bring.
    #[must_use]
    pub fn per_second(rate: u32, patience: Duration) -> Self {
        let step = Duration::from_secs(1) / rate.max(1);
        Self { step, depth: patience.max(step) }
    }

    /// One per `step` on average; at once as many as `burst`.
    #[must_use]
    pub fn every(step: Duration, burst: u32) -> Self {
        Self { step, depth: step * burst.max(1) }
    }

    /// Asks once more; `rested` is what the last answer was, and `None` for who is new.
    ///
    /// # Errors
    /// How long to wait, when there were too many.
    pub fn ask(&self, rested: Option<Instant>, now: Instant) -> Result<Instant, Duration> {
        let rested = rested.map_or(now, |at| at.max(now)) + self.step;
        match rested.checked_duration_since(now + self.depth).filter(|wait| !wait.is_zero()) {
            Some(wait) => Err(wait),
            None => Ok(rested),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn taken(pace: Pace, rested: &mut Option<Instant>, now: Instant) -> usize {
        let mut once = || pace.ask(*rested, now).map(|at| *rested = Some(at)).is_ok();
        (0..100).filter(|_| once()).count()
    }

    #[test]
    fn a_burst_then_the_rate() {
        for pace in [Pace::per_second(2, 5 * SECOND), Pace::every(SECOND / 2, 10)] {
            let (mut rested, start) = (None, Instant::now());
            assert_eq!(taken(pace, &mut rested, start), 10);
            assert_eq!(pace.ask(rested, start), Err(SECOND / 2));
            assert_eq!(taken(pace, &mut rested, start + 3 * SECOND), 6);
            assert_eq!(taken(pace, &mut rested, start + 3600 * SECOND), 10);
        }
    }

    #[test]
    fn who_waits_as_told_is_served() {
        let (pace, mut rested, mut now) = (Pace::per_second(3, SECOND), None, Instant::now());
        for _ in 0..50 {
            if let Err(wait) = pace.ask(rested, now) {
                now += wait;
            }
            rested = Some(pace.ask(rested, now).unwrap());
        }
    }

    #[test]
    fn a_rate_of_nothing_lets_one_a_second_pass() {
        let (now, none) = (Instant::now(), Pace::per_second(0, SECOND));
        assert!(none.ask(None, now).is_ok());
        assert!(Pace::every(SECOND, 0).ask(None, now).is_ok());
    }
}
