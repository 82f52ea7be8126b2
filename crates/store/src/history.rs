//! Pages of changes and audit records.

use std::ops::RangeInclusive;
use std::path::Path;

use holm_model::record::{AuditRecord, Change};
use holm_model::time::Time;
use serde::de::DeserializeOwned;
use sqlx::{QueryBuilder, Sqlite, SqlitePool};

use crate::error::ReadError;

/// A record with its number in its table; numbers rise and are never given twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered<T> {
    pub seq: u64,
    pub record: T,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    OldestFirst,
    NewestFirst,
}

/// Which changes; what is None does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeFilter {
    pub order: Order,
    /// The number of the last record of the page before.
    pub cursor: Option<u64>,
    /// None, and more than [`MAX_PAGE`], mean [`MAX_PAGE`].
    pub limit: Option<u32>,
    pub kind: Option<String>,
    pub subject: Option<String>,
    pub application: Option<String>,
}

/// Which audit records; what is None does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    pub order: Order,
    /// The number of the last record of the page before.
    pub cursor: Option<u64>,
    /// None, and more than [`MAX_PAGE`], mean [`MAX_PAGE`].
    pub limit: Option<u32>,
    pub who: Option<String>,
    pub verb: Option<String>,
    /// A part of it.
    pub subject: Option<String>,
    /// Not before; and before.
    pub since: Option<Time>,
    pub until: Option<Time>,
}

/// Records of one page at most, so that no reader holds back the write-ahead log for long.
pub const MAX_PAGE: u32 = 1_000;

/// The common part of both filters.
struct Page<'a> {
    table: &'static str,
    order: Order,
    cursor: Option<u64>,
    limit: Option<u32>,
    /// Columns with what they must be.
    equal: &'a [(&'static str, &'a Option<String>)],
    /// Columns with what they must hold.
    part: Option<(&'static str, &'a str)>,
    since: Option<Time>,
    until: Option<Time>,
}

pub(crate) async fn changes(
    readers: &SqlitePool,
    path: &Path,
    filter: &ChangeFilter,
) -> Result<Vec<Numbered<Change>>, ReadError> {
    let ChangeFilter { order, cursor, limit, kind, subject, application } = filter;
    let equal = &[("kind", kind), ("subject", subject), ("application", application)];
    let (part, since, until) = (None, None, None);
    let (table, order, cursor, limit) = ("change", *order, *cursor, *limit);
    let page = Page { table, order, cursor, limit, equal, part, since, until };
    page.read(readers, path).await
}

pub(crate) async fn audit(
    readers: &SqlitePool,
    path: &Path,
    filter: &AuditFilter,
) -> Result<Vec<Numbered<AuditRecord>>, ReadError> {
    let AuditFilter { order, cursor, limit, who, verb, subject, since, until } = filter;
    let equal = &[("who", who), ("verb", verb)];
    let part = subject.as_deref().map(|subject| ("subject", subject));
    let (table, order, cursor, limit, since, until) = ("audit", *order, *cursor, *limit, *since, *until);
    let page = Page { table, order, cursor, limit, equal, part, since, until };
    page.read(readers, path).await
}

pub(crate) async fn kept_changes(
    readers: &SqlitePool,
    path: &Path,
) -> Result<Option<RangeInclusive<u64>>, ReadError> {
    // Two sub-queries: SQLite answers a lone min or max from the end of the tree, both from a scan.
    let (first, last): (Option<i64>, Option<i64>) =
        sqlx::query_as("SELECT (SELECT min(seq) FROM change), (SELECT max(seq) FROM change)")
            .fetch_one(readers)
            .await
            .map_err(|source| ReadError::reading(path.to_owned(), source))?;
    Ok(first.zip(last).map(|(first, last)| number(first)..=number(last)))
}

// === impl Page ===

impl Page<'_> {
    async fn read<T: DeserializeOwned>(
        &self,
        readers: &SqlitePool,
        path: &Path,
    ) -> Result<Vec<Numbered<T>>, ReadError> {
        let rows: Vec<(i64, String)> = self
            .query()
            .build_query_as()
            .fetch_all(readers)
            .await
            .map_err(|source| ReadError::reading(path.to_owned(), source))?;
        rows.into_iter().map(|(seq, body)| self.parse(path, number(seq), &body)).collect()
    }

    fn query(&self) -> QueryBuilder<Sqlite> {
        let (after, order) = match self.order {
            Order::OldestFirst => (" WHERE seq > ", " ORDER BY seq LIMIT "),
            Order::NewestFirst => (" WHERE seq < ", " ORDER BY seq DESC LIMIT "),
        };
        let start = match self.order {
            Order::OldestFirst => 0,
            Order::NewestFirst => i64::MAX,
        };
        let cursor = self.cursor.map_or(start, |cursor| i64::try_from(cursor).unwrap_or(i64::MAX));
        let mut query = QueryBuilder::new("SELECT seq, body FROM ");
        query.push(self.table).push(after).push_bind(cursor);
        for (column, value) in self.equal {
            if let Some(value) = value {
                query.push(" AND ").push(column).push(" = ").push_bind(value.clone());
            }
        }
        if let Some((column, part)) = self.part {
            query.push(" AND instr(").push(column).push(", ").push_bind(part.to_owned()).push(") > 0");
        }
        if let Some(since) = self.since {
            query.push(" AND at >= ").push_bind(since.0);
        }
        if let Some(until) = self.until {
            query.push(" AND at < ").push_bind(until.0);
        }
        query.push(order).push_bind(self.limit.unwrap_or(MAX_PAGE).min(MAX_PAGE));
        query
    }

    fn parse<T: DeserializeOwned>(
        &self,
        path: &Path,
        seq: u64,
        body: &str,
    ) -> Result<Numbered<T>, ReadError> {
        match serde_json::from_str(body) {
            Ok(record) => Ok(Numbered { seq, record }),
            Err(source) => Err(ReadError::Record { path: path.to_owned(), table: self.table, seq, source }),
        }
    }
}

/// SQLite's numbers are signed; ours start at 1.
fn number(seq: i64) -> u64 {
    u64::try_from(seq).unwrap_or(0)
}
