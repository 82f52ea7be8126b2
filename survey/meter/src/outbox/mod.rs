//! The outbox on disk: what was measured, until it was taken and 90 days are over.
//!
//! Segments are only ever appended to. A record counts once it is whole and synchronized; a segment that ends in the midst
//! of one (a power cut, a full disk) is left as it is and a new one begun, so nothing is ever cut off or written over.

mod record;
mod segments;
mod state;

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use self::record::Record;
use self::segments::Segments;
use self::state::State;
use crate::reading::{Measured, Reading, Series};

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A segment is closed behind that many bytes.
    pub segment: u64,
    /// Bytes on disk: beyond, the oldest go, sent or not. A segment more than that is there at most.
    pub total: u64,
    /// So many seconds is kept what was taken. What was not is kept until it is.
    pub age: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { segment: 1024 * 1024, total: 64 * 1024 * 1024, age: 90 * 24 * 3600 }
    }
}

#[derive(Debug)]
pub struct Outbox {
    limits: Limits,
    segments: Segments,
    state: State,
    /// The segment that is written; none if the next record begins one.
    current: Option<File>,
    _lock: File,
}

impl Outbox {
    /// Opens or begins one.
    ///
    /// # Errors
    /// The directory is no such, or another process has it open.
    pub fn open(dir: &Path, limits: Limits) -> io::Result<Self> {
        let (segments, lock) = Segments::open(dir)?;
        let mut state = State::default();
        let mut current = segments.newest()?;
        for &segment in segments.all() {
            let (records, whole) = record::read(&segments.read(segment)?);
            records.into_iter().for_each(|record| state.apply(record));
            if !whole && segments.all().last() == Some(&segment) {
                current = None;
            }
        }
        Ok(Self { limits, segments, state, current, _lock: lock })
    }

    /// Keeps what was measured; it is on disk when this returns.
    ///
    /// # Errors
    /// It could not be written: nothing of it counts as measured, though a part may be there at the next start.
    pub fn append(&mut self, measured: Vec<Measured>) -> io::Result<usize> {
        let readings = self.state.number(measured);
        let count = readings.len();
        if count > 0 {
            self.write(readings.into_iter().map(Record::Reading).collect(), true)?;
        }
        Ok(count)
    }

    /// What was not taken yet, oldest first; in order for each series.
    pub fn pending(&self) -> impl Iterator<Item = &Reading> {
        self.state.pending().iter()
    }

    /// The receiver has all of a series before this sequence. If that is forgotten in a power cut it is sent again, and the
    /// receiver knows it by its sequence: so this does not wait for the disk.
    ///
    /// # Errors
    /// It could not be written.
    pub fn taken(&mut self, series: &Series, before: u64) -> io::Result<()> {
        self.write(vec![Record::Taken { series: series.clone(), before }], false)
    }

    fn write(&mut self, records: Vec<Record>, durable: bool) -> io::Result<()> {
        let mut file = match self.current.take() {
            Some(file) if file.metadata()?.len() < self.limits.segment => file,
            _ => self.segments.begin(self.state.heads())?,
        };
        let mut bytes = Vec::new();
        for record in &records {
            record.write(&mut bytes)?;
        }
        file.write_all(&bytes)?;
        if durable {
            file.sync_data()?;
        }
        // Only a segment without a mistake is gone on with.
        self.current = Some(file);
        records.into_iter().for_each(|record| self.state.apply(record));
        Ok(())
    }

    /// Removes what need not be kept at `now` (seconds since 1970).
    ///
    /// # Returns
    /// How many readings were removed that nobody had taken: there was no more room.
    ///
    /// # Errors
    /// A segment could not be read or removed.
    pub fn prune(&mut self, now: u64) -> io::Result<usize> {
        let mut lost = 0;
        let mut total = self.segments.size()?;
        while let [oldest, _, ..] = *self.segments.all() {
            let (records, _) = record::read(&self.segments.read(oldest)?);
            let reading = |record| if let Record::Reading(reading) = record { Some(reading) } else { None };
            let readings: Vec<_> = records.into_iter().filter_map(reading).collect();
            let full = total > self.limits.total;
            let old =
                |r: &Reading| self.state.is_taken(r) && r.measured.at.saturating_add(self.limits.age) < now;
            if !full && !readings.iter().all(old) {
                break;
            }
            // The newest segment's heads tell where a series stands once the older ones are gone.
            total -= self.segments.remove_oldest()?;
            lost += self.state.forget(&readings);
        }
        Ok(lost)
    }
}
