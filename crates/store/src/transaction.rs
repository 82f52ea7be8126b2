//! The SQL of one batch.

use std::borrow::Cow;
use std::collections::BTreeMap;

use holm_model::record::{AuditRecord, Batch, Change, Table};
use holm_model::time::Time;
use sqlx::SqliteConnection;

use crate::chain;
use crate::queue::Behind;
use crate::script::{Script, Value};
use crate::seal::{Seal, SealError, is_secret};
use crate::store::Keep;

/// What one transaction writes: the last value of each key, in the order of the tables' trees.
#[derive(Debug, Default)]
pub(crate) struct Transaction<'a> {
    rows: BTreeMap<(Table, &'a str), Option<Cow<'a, [u8]>>>,
    audit: Vec<&'a AuditRecord>,
    changes: Vec<&'a Change>,
}

/// What a transaction has written.
#[derive(Debug)]
pub(crate) struct Written {
    /// The number of the last change, if there was one.
    pub(crate) change: Option<i64>,
    /// The hash that the next audit record follows, if one was written.
    pub(crate) head: Option<chain::Hash>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TransactionError {
    #[error(transparent)]
    Sqlite(#[from] sqlx::Error),
    #[error(transparent)]
    Encode(#[from] serde_json::Error),
}

/// An insertion of rows that have the same columns.
struct Insert {
    table: &'static str,
    columns: &'static str,
    values: &'static str,
    conflict: &'static str,
}

/// A row of the history: what it can be found by, and all of it.
struct Entry<'a> {
    at: Time,
    filters: [&'a str; 3],
    body: String,
}

const ROW: Insert = Insert {
    table: "",
    columns: "key, value",
    values: "(?, ?)",
    conflict: "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
};
const AUDIT: Insert = Insert {
    table: "audit",
    columns: "at, who, verb, subject, body, hash",
    values: "(?, ?, ?, ?, ?, ?)",
    conflict: "",
};
const CHANGE: Insert = Insert {
    table: "change",
    columns: "at, kind, subject, application, body",
    values: "(?, ?, ?, ?, ?)",
    conflict: "",
};

/// Rows per statement: few texts, so that all stay prepared.
const CHUNKS: [usize; 6] = [64, 16, 4, 3, 2, 1];
/// Rows removed by one transaction of a pruning, so that commits need not wait long.
pub(crate) const PRUNED_AT_ONCE: u32 = 5_000;

// === impl Transaction ===

impl<'a> Transaction<'a> {
    /// Facts first: they are older than the batch. Secrets are sealed.
    ///
    /// # Errors
    /// When a secret cannot be sealed.
    pub(crate) fn new(behind: &'a Behind, batch: &'a Batch, seal: &mut Seal) -> Result<Self, SealError> {
        let facts =
            behind.rows.iter().map(|((table, key), value)| ((*table, key.as_str()), value.as_deref()));
        let writes = batch.writes.iter().map(|w| ((w.table, w.key.as_str()), w.value.as_deref()));
        let last: BTreeMap<_, _> = facts.chain(writes).collect();
        let mut rows = BTreeMap::new();
        for ((table, key), value) in last {
            let value = match value {
                Some(value) if is_secret(table, key) => Some(Cow::Owned(seal.seal(table, key, value)?)),
                value => value.map(Cow::Borrowed),
            };
            rows.insert((table, key), value);
        }
        Ok(Self {
            rows,
            audit: behind.audit.iter().chain(&batch.audit).collect(),
            changes: behind.changes.iter().chain(&batch.changes).collect(),
        })
    }

    /// Writes all of it, or nothing. `head`: the hash that the first audit record follows; `None` when that has
    /// to be read.
    ///
    /// After an error the caller rolls back.
    pub(crate) async fn run(
        &self,
        head: Option<chain::Hash>,
        connection: &mut SqliteConnection,
    ) -> Result<Written, TransactionError> {
        let mut head = match head {
            None if !self.audit.is_empty() => Some(chain::head(connection).await?),
            known => known,
        };
        let mut script = Script::new(connection);
        script.add("BEGIN IMMEDIATE", []).await?;
        for table in Table::ALL {
            self.write_table(table, &mut script).await?;
        }
        if let Some(head) = &mut head {
            self.write_audit(head, &mut script).await?;
        }
        let changes =
            self.changes.iter().map(|change| Entry::of_change(change)).collect::<Result<Vec<_>, _>>()?;
        // The last rows of all, so that the number of the last row is that of the last change.
        CHANGE.run(&changes, Entry::values, &mut script).await?;
        script.add("COMMIT", []).await?;
        let last = script.run().await?;
        Ok(Written { change: (!changes.is_empty()).then_some(last), head })
    }

    async fn write_audit(
        &self,
        head: &mut chain::Hash,
        script: &mut Script<'_>,
    ) -> Result<(), TransactionError> {
        let mut links = Vec::with_capacity(self.audit.len());
        for record in &self.audit {
            let entry = Entry::of_audit(record)?;
            *head = chain::next(head, &entry.body);
            links.push((entry, *head));
        }
        let values = |(entry, hash): &(Entry<'_>, chain::Hash)| {
            Entry::values(entry).into_iter().chain([Value::Blob(hash.to_vec())])
        };
        AUDIT.run(&links, values, script).await?;
        Ok(())
    }

    async fn write_table(&self, table: Table, script: &mut Script<'_>) -> Result<(), sqlx::Error> {
        let mut puts = Vec::new();
        for (&(_, key), value) in self.rows.range((table, "")..).take_while(|((t, _), _)| *t == table) {
            match value {
                Some(value) => puts.push((key, &**value)),
                None => {
                    let sql = format!("DELETE FROM {} WHERE key = ?", table.name());
                    script.add(&sql, [Value::Text(key.to_owned())]).await?;
                }
            }
        }
        let insert = Insert { table: table.name(), ..ROW };
        let values =
            |(key, value): &(&str, &[u8])| [Value::Text((*key).to_owned()), Value::Blob(value.to_vec())];
        insert.run(&puts, values, script).await
    }
}

// === impl Insert ===

impl Insert {
    /// Inserts the rows in their order. Full chunks go at once, by themselves: their text is always the same.
    async fn run<R, V: IntoIterator<Item = Value>>(
        &self,
        rows: &[R],
        values: impl Fn(&R) -> V,
        script: &mut Script<'_>,
    ) -> Result<(), sqlx::Error> {
        let mut rest = rows;
        for size in CHUNKS {
            let chunks = rest.chunks_exact(size);
            rest = chunks.remainder();
            for chunk in chunks {
                let full = size == CHUNKS[0];
                if full {
                    script.run().await?;
                }
                script.add(&self.sql(size), chunk.iter().flat_map(&values)).await?;
                if full {
                    script.run().await?;
                }
            }
        }
        Ok(())
    }

    fn sql(&self, rows: usize) -> String {
        let Self { table, columns, values, conflict } = self;
        let values = vec![*values; rows].join(", ");
        format!("INSERT INTO {table} ({columns}) VALUES {values} {conflict}")
    }
}

// === impl Entry ===

impl<'a> Entry<'a> {
    fn of_audit(record: &'a AuditRecord) -> Result<Self, serde_json::Error> {
        let filters = [record.who.as_str(), &record.verb, &record.subject];
        Ok(Self { at: record.at, filters, body: serde_json::to_string(record)? })
    }

    fn of_change(change: &'a Change) -> Result<Self, serde_json::Error> {
        let filters = [change.kind.as_str(), &change.subject, &change.application];
        Ok(Self { at: change.at, filters, body: serde_json::to_string(change)? })
    }

    fn values(&self) -> [Value; 5] {
        let [first, second, third] = self.filters.map(|text| Value::Text(text.to_owned()));
        [Value::Int(self.at.0), first, second, third, Value::Text(self.body.clone())]
    }
}

/// Removes the oldest changes that need not be kept, at most [`PRUNED_AT_ONCE`]; tells how many.
pub(crate) async fn prune(connection: &mut SqliteConnection, keep: Keep) -> Result<u64, sqlx::Error> {
    // From the oldest up to the first that is young enough: a clock that was wrong for a while
    // makes no holes, and the search ends early.
    const SQL: &str = "DELETE FROM change WHERE seq IN (
        SELECT seq FROM change WHERE
            seq <= (SELECT max(seq) FROM change) - ?1
            OR seq < (SELECT coalesce(min(seq), 9223372036854775807) FROM
                (SELECT seq FROM change WHERE at >= ?2 ORDER BY seq LIMIT 1))
        ORDER BY seq LIMIT ?3)";
    let done = sqlx::query(SQL)
        .bind(i64::try_from(keep.rows).unwrap_or(i64::MAX))
        .bind(keep.since.0)
        .bind(PRUNED_AT_ONCE)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}
