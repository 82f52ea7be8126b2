//! The SQL of one batch.

use std::borrow::Cow;
use std::collections::BTreeMap;

use holm_model::record::{AuditRecord, Batch, Change, Table};
use holm_model::time::Time;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection};

use crate::chain;
use crate::queue::Behind;
use crate::seal::{Seal, SealError, is_secret};
use crate::store::Keep;

/// What one transaction writes: the last value of each key, in the order of the tables' trees.
#[derive(Debug, Default)]
pub(crate) struct Transaction<'a> {
    rows: BTreeMap<(Table, &'a str), Option<Cow<'a, [u8]>>>,
    audit: Vec<&'a AuditRecord>,
    changes: Vec<&'a Change>,
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

type Statement = Query<'static, Sqlite, SqliteArguments>;

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

/// Rows per statement: few texts, so that all stay prepared, and few trips to SQLite's thread.
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

    /// Writes all of it, or nothing; tells the number of the last change it wrote.
    ///
    /// After an error the caller rolls back.
    pub(crate) async fn run(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Option<i64>, TransactionError> {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
        for table in Table::ALL {
            self.write_table(table, connection).await?;
        }
        self.write_audit(connection).await?;
        let changes =
            self.changes.iter().map(|change| Entry::of_change(change)).collect::<Result<Vec<_>, _>>()?;
        let last = CHANGE.run(&changes, Entry::bind, connection).await?;
        sqlx::query("COMMIT").execute(&mut *connection).await?;
        Ok(last)
    }

    async fn write_audit(&self, connection: &mut SqliteConnection) -> Result<(), TransactionError> {
        if self.audit.is_empty() {
            return Ok(());
        }
        let mut head = chain::head(connection).await?;
        let mut links = Vec::with_capacity(self.audit.len());
        for record in &self.audit {
            let entry = Entry::of_audit(record)?;
            head = chain::next(&head, &entry.body);
            links.push((entry, head));
        }
        let bind = |statement, (entry, hash): &(Entry<'_>, chain::Hash)| {
            Entry::bind(statement, entry).bind(hash.to_vec())
        };
        AUDIT.run(&links, bind, connection).await?;
        Ok(())
    }

    async fn write_table(&self, table: Table, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let mut puts = Vec::new();
        for (&(_, key), value) in self.rows.range((table, "")..).take_while(|((t, _), _)| *t == table) {
            match value {
                Some(value) => puts.push((key, &**value)),
                None => delete(table, key, connection).await?,
            }
        }
        let insert = Insert { table: table.name(), ..ROW };
        insert.run(&puts, |query, (key, value)| query.bind(*key).bind(*value), connection).await?;
        Ok(())
    }
}

// === impl Insert ===

impl Insert {
    /// Inserts the rows in their order; tells the number of the last one.
    async fn run<R>(
        &self,
        rows: &[R],
        bind: impl Fn(Statement, &R) -> Statement,
        connection: &mut SqliteConnection,
    ) -> Result<Option<i64>, sqlx::Error> {
        let mut last = None;
        let mut rest = rows;
        for size in CHUNKS {
            let chunks = rest.chunks_exact(size);
            rest = chunks.remainder();
            for chunk in chunks {
                let statement = sqlx::query(AssertSqlSafe(self.sql(size)));
                let done = chunk.iter().fold(statement, &bind).execute(&mut *connection).await?;
                last = Some(done.last_insert_rowid());
            }
        }
        Ok(last)
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

    fn bind(statement: Statement, entry: &Self) -> Statement {
        let [first, second, third] = entry.filters;
        statement.bind(entry.at.0).bind(first).bind(second).bind(third).bind(&entry.body)
    }
}

async fn delete(table: Table, key: &str, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let sql = format!("DELETE FROM {} WHERE key = ?", table.name());
    sqlx::query(AssertSqlSafe(sql)).bind(key).execute(connection).await.map(drop)
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
