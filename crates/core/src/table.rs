//! Durable rows in memory, with what must be written to keep the disk equal and what undoes it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Bound;
use std::str::FromStr;

use holm_model::record::{AuditRecord, Batch, Change, Table, Write};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Rows of all tables as the store returns them at opening.
pub type Snapshot = BTreeMap<Table, Vec<(String, Vec<u8>)>>;

/// The typed rows of one table. Values are JSON on disk: a person with `sqlite3` can read them.
#[derive(Debug, Clone)]
pub struct Rows<K, V> {
    table: Table,
    rows: BTreeMap<K, V>,
}

/// What the steps since the last commit changed.
#[derive(Debug, Default)]
pub struct Journal {
    batch: Batch,
    /// Inverses, in the order of the writes.
    undo: Vec<(Table, String, Option<Vec<u8>>)>,
}

/// A row of the store cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error(
    "the store's row `{key}` in table `{table}` cannot be read: {reason}; restore a backup, or use the version that wrote it"
)]
pub struct LoadError {
    table: &'static str,
    key: String,
    reason: String,
}

// === impl Rows ===

impl<K, V> Rows<K, V>
where
    K: Ord + Clone + Display + FromStr<Err: Display>,
    V: Clone + PartialEq + Serialize + DeserializeOwned,
{
    #[must_use]
    pub const fn new(table: Table) -> Self {
        Self { table, rows: BTreeMap::new() }
    }

    /// # Errors
    /// When a row's key or value is not what this version writes.
    pub fn load(table: Table, snapshot: &mut Snapshot) -> Result<Self, LoadError> {
        let mut loaded = Self::new(table);
        for (key, value) in snapshot.remove(&table).unwrap_or_default() {
            loaded.restore(&key, Some(&value))?;
        }
        Ok(loaded)
    }

    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key)
    }

    #[must_use]
    pub fn contains(&self, key: &K) -> bool {
        self.rows.contains_key(key)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.rows.iter()
    }

    /// Rows with this key or a later one; all of them for `None`.
    pub fn from(&self, first: Option<K>) -> impl Iterator<Item = (&K, &V)> {
        let from = first.map_or(Bound::Unbounded, Bound::Included);
        self.rows.range((from, Bound::Unbounded))
    }

    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.rows.values()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Puts a row; an equal one is not written again.
    pub fn put(&mut self, journal: &mut Journal, key: K, value: V) {
        let old = self.rows.get(&key);
        if old == Some(&value) {
            return;
        }
        journal.write(self.table, key.to_string(), Some(encode(&value)), old.map(encode));
        self.rows.insert(key, value);
    }

    /// Changes a row in place, if there is one.
    pub fn change(&mut self, journal: &mut Journal, key: &K, change: impl FnOnce(&mut V)) {
        if let Some(mut value) = self.rows.get(key).cloned() {
            change(&mut value);
            self.put(journal, key.clone(), value);
        }
    }

    pub fn remove(&mut self, journal: &mut Journal, key: &K) -> Option<V> {
        let old = self.rows.remove(key)?;
        journal.write(self.table, key.to_string(), None, Some(encode(&old)));
        Some(old)
    }

    /// Sets a row to what the disk says, without a journal: loading and undoing.
    ///
    /// # Errors
    /// When key or value cannot be read.
    pub fn restore(&mut self, key: &str, value: Option<&[u8]>) -> Result<(), LoadError> {
        let error = |reason: String| LoadError { table: self.table.name(), key: key.to_owned(), reason };
        let typed: K = key.parse().map_err(|e: K::Err| error(e.to_string()))?;
        match value {
            Some(bytes) => {
                let value = serde_json::from_slice(bytes).map_err(|e| error(e.to_string()))?;
                self.rows.insert(typed, value);
            }
            None => {
                self.rows.remove(&typed);
            }
        }
        Ok(())
    }
}

/// Most rows fit. They are encoded with this much room and copied: a batch keeps thousands of them, and
/// shrinking each costs the allocator more than the copy.
const USUAL: usize = 1024;

fn encode<V: Serialize>(value: &V) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL);
    // Rows are plain data with string keys; serializing them to memory cannot fail.
    #[expect(clippy::expect_used, reason = "see above")]
    serde_json::to_writer(&mut bytes, value).expect("a row is plain data");
    bytes.as_slice().to_vec()
}

// === impl Journal ===

impl Journal {
    fn write(&mut self, table: Table, key: String, value: Option<Vec<u8>>, old: Option<Vec<u8>>) {
        self.undo.push((table, key.clone(), old));
        self.batch.writes.push(Write { table, key, value });
    }

    pub fn audit(&mut self, record: AuditRecord) {
        self.batch.audit.push(record);
    }

    pub fn change(&mut self, change: Change) {
        self.batch.changes.push(change);
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// What to commit; the inverses stay until [`Journal::committed`] or [`Journal::take_undo`].
    pub fn take_batch(&mut self) -> Batch {
        std::mem::take(&mut self.batch)
    }

    pub fn committed(&mut self) {
        self.undo.clear();
    }

    /// The rows as they were before, newest change first.
    pub fn take_undo(&mut self) -> impl Iterator<Item = (Table, String, Option<Vec<u8>>)> + use<> {
        self.batch = Batch::default();
        std::mem::take(&mut self.undo).into_iter().rev()
    }
}
