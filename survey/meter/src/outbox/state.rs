//! What the records say together: where each series stands, and what is still to be sent.

use std::collections::{BTreeMap, VecDeque};

use super::record::Record;
use crate::reading::{Measured, Reading, Series};

#[derive(Debug, Default)]
pub(super) struct State {
    heads: BTreeMap<Series, Head>,
    pending: VecDeque<Reading>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Head {
    next: u64,
    taken: u64,
    last_at: Option<u64>,
}

impl State {
    pub(super) fn apply(&mut self, record: Record) {
        match record {
            Record::Reading(reading) => {
                let head = self.heads.entry(reading.measured.series.clone()).or_default();
                if reading.sequence < head.taken {
                    return;
                }
                (head.next, head.last_at) = (reading.sequence + 1, Some(reading.measured.at));
                self.retract(&reading.measured.series, reading.sequence);
                self.pending.push_back(reading);
            }
            Record::Taken { series, before } => self.take(&series, before),
            Record::Head { series, next, taken, last_at } => {
                let head = self.heads.entry(series.clone()).or_default();
                (head.next, head.last_at) = (next, last_at);
                self.retract(&series, next);
                self.take(&series, taken);
            }
        }
    }

    /// A sequence that is given again: writing it failed the first time, and it never counted.
    fn retract(&mut self, series: &Series, from: u64) {
        self.pending.retain(|reading| reading.measured.series != *series || reading.sequence < from);
    }

    fn take(&mut self, series: &Series, before: u64) {
        let Some(head) = self.heads.get_mut(series) else { return };
        head.taken = head.taken.max(before.min(head.next));
        let taken = head.taken;
        self.pending.retain(|reading| reading.measured.series != *series || reading.sequence >= taken);
    }

    /// What was measured, numbered. A quarter hour that a series has already is left out: it was read before a restart.
    pub(super) fn number(&self, measured: Vec<Measured>) -> Vec<Reading> {
        let mut heads = self.heads.clone();
        let mut readings = Vec::new();
        for measured in measured {
            let head = heads.entry(measured.series.clone()).or_default();
            if head.last_at != Some(measured.at) {
                head.last_at = Some(measured.at);
                readings.push(Reading { sequence: head.next, measured });
                head.next += 1;
            }
        }
        readings
    }

    pub(super) fn heads(&self) -> impl Iterator<Item = Record> {
        self.heads.iter().map(|(series, head)| Record::Head {
            series: series.clone(),
            next: head.next,
            taken: head.taken,
            last_at: head.last_at,
        })
    }

    pub(super) fn pending(&self) -> &VecDeque<Reading> {
        &self.pending
    }

    pub(super) fn is_taken(&self, reading: &Reading) -> bool {
        self.heads.get(&reading.measured.series).is_some_and(|head| reading.sequence < head.taken)
    }

    /// Forgets what was never sent, and how much that was.
    pub(super) fn forget(&mut self, readings: &[Reading]) -> usize {
        let before = self.pending.len();
        self.pending.retain(|pending| !readings.contains(pending));
        before - self.pending.len()
    }
}

#[cfg(test)]
mod tests {
    use super::State;
    use crate::outbox::record::Record;
    use crate::reading::{Measured, Reading, Series};

    fn series() -> Series {
        Series { probe: "grid".to_owned(), meter: "a".to_owned() }
    }

    fn reading(sequence: u64, at: u64) -> Record {
        let measured = Measured {
            series: series(),
            at,
            received: at,
            meter_time: None,
            locked: false,
            entries: Vec::new(),
        };
        Record::Reading(Reading { sequence, measured })
    }

    fn pending(records: Vec<Record>) -> Vec<(u64, u64)> {
        let mut state = State::default();
        records.into_iter().for_each(|record| state.apply(record));
        state.pending().iter().map(|reading| (reading.sequence, reading.measured.at)).collect()
    }

    /// Its bytes may have reached the disk all the same.
    #[test]
    fn what_failed_does_not_count_beside_what_took_its_place() {
        assert_eq!(pending(vec![reading(0, 1), reading(0, 2)]), [(0, 2)], "the first of a series");
        let head = Record::Head { series: series(), next: 1, taken: 0, last_at: Some(1) };
        assert_eq!(pending(vec![reading(0, 1), reading(1, 2), head, reading(1, 3)]), [(0, 1), (1, 3)]);
    }

    #[test]
    fn what_was_taken_is_not_pending() {
        let taken = Record::Taken { series: series(), before: 1 };
        assert_eq!(pending(vec![reading(0, 1), reading(1, 2), taken]), [(1, 2)]);
    }
}
