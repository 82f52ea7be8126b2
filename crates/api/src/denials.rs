//! Refused attempts go into the audit log, but nobody fills the disk by being refused: beyond a few, each caller
//! gets one record for many.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often each caller was refused of late.
#[derive(Debug, Default)]
pub(crate) struct Denials(Mutex<HashMap<String, Tally>>);

#[derive(Clone, Copy, Debug)]
struct Tally {
    /// Records that may still be written at once.
    left: u32,
    filled: Instant,
    /// Refused since the last record.
    silent: u64,
}

const BURST: u32 = 20;
/// One more record after so long.
const REFILL: Duration = Duration::from_secs(10);
/// Callers that are remembered.
const MOST: usize = 1_024;

// === impl Denials ===

impl Denials {
    /// How many refusals the next record stands for; none if there is to be no record now.
    pub(crate) fn record(&self, who: &str, now: Instant) -> Option<u64> {
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= MOST && !callers.contains_key(who) {
            callers.retain(|_, tally| now.duration_since(tally.filled) < REFILL * BURST);
            if callers.len() >= MOST {
                callers.clear();
            }
        }
        let full = Tally { left: BURST, filled: now, silent: 0 };
        let tally = callers.entry(who.to_owned()).or_insert(full);
        let refills = now.duration_since(tally.filled).as_secs() / REFILL.as_secs();
        if refills > 0 {
            let more = u32::try_from(refills).unwrap_or(BURST);
            (tally.left, tally.filled) = (tally.left.saturating_add(more).min(BURST), now);
        }
        tally.silent += 1;
        if tally.left == 0 {
            return None;
        }
        tally.left -= 1;
        Some(std::mem::take(&mut tally.silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_refusals_make_few_records_and_none_is_lost() {
        let (denials, start) = (Denials::default(), Instant::now());
        let mut records = 0;
        let mut counted = 0;
        for _ in 0..1000 {
            let record = denials.record("ada", start);
            records += u32::from(record.is_some());
            counted += record.unwrap_or(0);
        }
        assert_eq!((records, counted), (BURST, u64::from(BURST)));
        assert_eq!(denials.record("bob", start), Some(1));
        assert_eq!(denials.record("ada", start + REFILL), Some(1000 - u64::from(BURST) + 1));
    }

    #[test]
    fn callers_are_bounded() {
        let (denials, now) = (Denials::default(), Instant::now());
        for n in 0..10_000 {
            denials.record(&n.to_string(), now);
        }
        assert!(denials.0.lock().unwrap().len() <= MOST);
    }
}
