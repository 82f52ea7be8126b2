//! A [pace](Pace) for each caller who asked of late.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use holm_model::pace::Pace;

/// How much each caller may still ask at once.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    pace: Pace,
    /// When each bucket will be full again. A full one is as good as none.
    full_at: HashMap<K, Instant>,
}

/// Callers that are remembered: who makes up more costs no more memory.
const MOST: usize = 4_096;

// === impl Buckets ===

impl<K: Eq + Hash> Buckets<K> {
    /// So many requests per second on average; at once what `patience` would bring.
    pub(crate) fn new(rate: u32, patience: Duration) -> Self {
        Self { pace: Pace::per_second(rate, patience), full_at: HashMap::new() }
    }

    /// One request per `step` on average; at once as many as `burst`.
    pub(crate) fn every(step: Duration, burst: u32) -> Self {
        Self { pace: Pace::every(step, burst), full_at: HashMap::new() }
    }

    /// One request.
    ///
    /// # Errors
    /// How long to wait, when there were too many.
    pub(crate) fn take<Q>(&mut self, caller: &Q, now: Instant) -> Result<(), Duration>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let full_at = self.look(caller, now)?;
        match self.full_at.get_mut(caller) {
            Some(at) => *at = full_at,
            None => {
                self.make_room(now);
                self.full_at.insert(caller.to_owned(), full_at);
            }
        }
        Ok(())
    }

    /// Whether one more request would be allowed: when its bucket would be full again after it.
    ///
    /// # Errors
    /// As for [`Self::take`].
    pub(crate) fn look<Q>(&self, caller: &Q, now: Instant) -> Result<Instant, Duration>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.pace.ask(self.full_at.get(caller).copied(), now)
    }

    /// The fuller half goes when there is no other way: who asks most is remembered.
    fn make_room(&mut self, now: Instant) {
        if self.full_at.len() < MOST {
            return;
        }
        self.full_at.retain(|_, at| *at > now);
        if self.full_at.len() >= MOST {
            let mut times: Vec<_> = self.full_at.values().copied().collect();
            let (_, median, _) = times.select_nth_unstable(MOST / 2);
            let median = *median;
            self.full_at.retain(|_, at| *at > median);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_caller_has_a_pace_of_his_own() {
        let (mut buckets, start) = (Buckets::<u8>::new(2, 5 * SECOND), Instant::now());
        let taken = (0..100).filter(|_| buckets.take(&1, start).is_ok()).count();
        assert_eq!(taken, 10);
        assert_eq!(buckets.take(&1, start), Err(SECOND / 2));
        assert_eq!(buckets.take(&2, start), Ok(()), "another is not concerned");
    }

    #[test]
    fn memory_is_bounded_and_keeps_who_asks_most() {
        let (mut buckets, now) = (Buckets::<u32>::new(1, 10 * SECOND), Instant::now());
        while buckets.take(&0, now).is_ok() {}
        for caller in 1..20_000 {
            assert_eq!(buckets.take(&caller, now), Ok(()));
        }
        assert!(buckets.full_at.len() <= MOST);
        assert!(buckets.take(&0, now).is_err(), "the busiest was forgotten");
    }
}
