//! Refused attempts go into the audit log, but nobody fills the disk by being refused: beyond a few, each caller
//! gets one record for many.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::bucket::Buckets;

/// How often each caller was refused of late.
#[derive(Debug)]
pub(crate) struct Denials(Mutex<Callers>);

#[derive(Debug)]
struct Callers {
    /// For whom a record may still be written.
    records: Buckets<String>,
    /// How often each was refused since their last record.
    silent: HashMap<String, u64>,
}

/// Records that may be written at once for one caller.
const BURST: u32 = 20;
/// One more record after so long.
const REFILL: Duration = Duration::from_secs(10);
/// Callers whose silent refusals are counted.
const MOST: usize = 1_024;

// === impl Denials ===

impl Default for Denials {
    fn default() -> Self {
        Self(Mutex::new(Callers { records: Buckets::every(REFILL, BURST), silent: HashMap::new() }))
    }
}

impl Denials {
    /// How many refusals the next record stands for; none if there is to be no record now.
    pub(crate) fn record(&self, who: &str, now: Instant) -> Option<u64> {
        // Nothing that holds the lock can panic half-way.
        let Callers { records, silent } = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if records.take(who, now).is_ok() {
            return Some(1 + silent.remove(who).unwrap_or(0));
        }
        if silent.len() >= MOST && !silent.contains_key(who) {
            silent.clear();
        }
        *silent.entry(who.to_owned()).or_default() += 1;
        None
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
        for n in 0..2 * MOST {
            let recorded = (0..=BURST).filter(|_| denials.record(&n.to_string(), now).is_some()).count();
            assert_eq!(recorded, BURST as usize);
        }
        assert!(denials.0.lock().unwrap().silent.len() <= MOST);
    }
}
