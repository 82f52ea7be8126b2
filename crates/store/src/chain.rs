//! The chain of the audit log: each record carries SHA-256 over the hash before it and its own text, so that a
//! record that was changed, taken out or put between is seen. The columns by which records are found are
//! compared with that text; and numbers are never given twice, so that missing ones are noticed at the end, too.
//! Whoever can write the file can make a whole new chain; a head that was noted elsewhere tells that, too.

use std::path::Path;

use holm_model::record::AuditRecord;
use sha2::{Digest as _, Sha256};
use sqlx::{SqliteConnection, SqlitePool};

use crate::error::ReadError;

/// A link of the chain.
pub(crate) type Hash = [u8; 32];

/// What looking through the whole chain has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Records whose hash is right.
    pub checked: u64,
    /// Of the newest record, in hexadecimal; 64 zeros while there is none.
    pub head: String,
    /// The first thing that is not as it was written.
    pub broken: Option<Break>,
    /// Whether the hash that was asked for is one of the chain's.
    pub has_noted: bool,
}

/// What is wrong, and the number of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    #[error("record {0} does not follow from the one before it")]
    Order(u64),
    #[error("record {0} has lost its hash")]
    Bare(u64),
    #[error("record {0} is filed under other words than it says")]
    Filed(u64),
    #[error("the records from {0} on are missing")]
    Cut(u64),
}

/// A record as it is kept: number, time, who, verb, subject, text, hash.
type Row = (i64, i64, String, String, String, String, Option<Vec<u8>>);

/// Records that are read at once.
const PAGE: i64 = 1_000;
const READ: &str =
    "SELECT seq, at, who, verb, subject, body, hash FROM audit WHERE seq > ? ORDER BY seq LIMIT ?";
/// The highest number that was ever given.
const HIGHEST: &str = "SELECT seq FROM sqlite_sequence WHERE name = 'audit'";

pub(crate) fn next(before: &Hash, body: &str) -> Hash {
    Sha256::new().chain_update(before).chain_update(body).finalize().into()
}

/// The hash that the next record follows.
pub(crate) async fn head(connection: &mut SqliteConnection) -> Result<Hash, sqlx::Error> {
    let last: Option<Option<Vec<u8>>> =
        sqlx::query_scalar("SELECT hash FROM audit ORDER BY seq DESC LIMIT 1")
            .fetch_optional(connection)
            .await?;
    Ok(hash(last.flatten().as_deref()).unwrap_or_default())
}

/// Begins the chain with the records of a store that had none.
pub(crate) async fn begin(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let (mut head, mut last) = (Hash::default(), i64::MIN);
    loop {
        let rows: Vec<Row> = sqlx::query_as(READ).bind(last).bind(PAGE).fetch_all(&mut *connection).await?;
        let Some(newest) = rows.last() else { return Ok(()) };
        last = newest.0;
        for (seq, .., body, _) in rows {
            head = next(&head, &body);
            let set = sqlx::query("UPDATE audit SET hash = ? WHERE seq = ?");
            set.bind(head.to_vec()).bind(seq).execute(&mut *connection).await?;
        }
    }
}

/// Looks through the chain, page by page. `noted`: a head, in hexadecimal, that somebody has written down.
pub(crate) async fn verify(
    readers: &SqlitePool,
    path: &Path,
    noted: Option<&str>,
) -> Result<Proof, ReadError> {
    let failed = |source| ReadError::reading(path.to_owned(), source);
    // Read first: those that come meanwhile are beyond it.
    let highest: Option<i64> = sqlx::query_scalar(HIGHEST).fetch_optional(readers).await.map_err(failed)?;
    let mut proof =
        Proof { checked: 0, head: hex(&Hash::default()), broken: None, has_noted: noted.is_none() };
    let (mut head, mut last) = (Hash::default(), i64::MIN);
    loop {
        let rows: Vec<Row> =
            sqlx::query_as(READ).bind(last).bind(PAGE).fetch_all(readers).await.map_err(failed)?;
        let Some(newest) = rows.last() else { break };
        last = newest.0;
        for row in &rows {
            match follows(&head, row) {
                Ok(kept) => head = kept,
                Err(broken) => return Ok(Proof { broken: Some(broken), ..proof }),
            }
            proof.checked += 1;
            proof.head = hex(&head);
            proof.has_noted |= noted.is_some_and(|noted| noted.eq_ignore_ascii_case(&proof.head));
        }
    }
    // Ours start at 1.
    let last = last.max(0);
    if highest.is_some_and(|highest| highest > last) {
        proof.broken = Some(Break::Cut(number(last + 1)));
    }
    Ok(proof)
}

/// The record's hash, if it and all that it is found by are as they were written after `before`.
fn follows(before: &Hash, (seq, at, who, verb, subject, body, kept): &Row) -> Result<Hash, Break> {
    let seq = number(*seq);
    let kept = hash(kept.as_deref()).ok_or(Break::Bare(seq))?;
    if kept != next(before, body) {
        return Err(Break::Order(seq));
    }
    let says: AuditRecord = serde_json::from_str(body).map_err(|_| Break::Filed(seq))?;
    let same = (*at, who, verb, subject) == (says.at.0, &says.who, &says.verb, &says.subject);
    if same { Ok(kept) } else { Err(Break::Filed(seq)) }
}

/// SQLite's numbers are signed; another than ours was put there.
fn number(seq: i64) -> u64 {
    u64::try_from(seq).unwrap_or(0)
}

fn hash(bytes: Option<&[u8]>) -> Option<Hash> {
    bytes?.try_into().ok()
}

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
