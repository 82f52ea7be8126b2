//! A store that keeps what was committed, and nothing else.

use std::collections::BTreeMap;

use holm_core::orchestrator::restored;
use holm_core::table::Snapshot;
use holm_model::record::{AuditRecord, Batch, Change, Table};
use holm_model::time::Time;

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) rows: BTreeMap<(Table, String), Vec<u8>>,
    pub(crate) audit: Vec<AuditRecord>,
    pub(crate) history: Vec<Change>,
}

impl Disk {
    pub(crate) fn commit(&mut self, batch: Batch) {
        for write in batch.writes {
            match write.value {
                Some(value) => self.rows.insert((write.table, write.key), value),
                None => self.rows.remove(&(write.table, write.key)),
            };
        }
        self.audit.extend(batch.audit);
        self.history.extend(batch.changes);
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::new();
        for ((table, key), value) in &self.rows {
            snapshot.entry(*table).or_default().push((key.clone(), value.clone()));
        }
        snapshot
    }

    /// As it comes out of a backup.
    pub(crate) fn distrust(&mut self) {
        let (batch, _) = restored::distrust(self.snapshot(), Time(1)).unwrap();
        self.commit(batch);
    }

    /// The rows of a table as text.
    pub(crate) fn texts(&self, table: Table) -> Vec<String> {
        let rows = self.rows.iter().filter(|((of, _), _)| *of == table);
        rows.map(|((_, key), value)| format!("{key}: {}", String::from_utf8_lossy(value))).collect()
    }
}
