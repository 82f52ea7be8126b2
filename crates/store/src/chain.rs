//! The chain of the audit log: each record carries SHA-256 over the hash before it and its own text, so that a
//! record that was changed, taken out or put between is seen. Whoever can write the file can make a whole new
//! chain; a head that was noted elsewhere tells that, too.

use std::path::Path;

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
    /// The number of the first record that does not follow from the one before.
    pub broken_at: Option<u64>,
    /// Whether the hash that was asked for is one of the chain's.
    pub has_noted: bool,
}

/// Records that are read at once.
const PAGE: i64 = 1_000;

pub(crate) fn next(before: &Hash, body: &str) -> Hash {
    Sha256::new().chain_update(before).chain_update(body).finalize().into()
}

/// The hash that the next record follows. Records of before there was a chain have none.
pub(crate) async fn head(connection: &mut SqliteConnection) -> Result<Hash, sqlx::Error> {
    let last: Option<Option<Vec<u8>>> =
        sqlx::query_scalar("SELECT hash FROM audit ORDER BY seq DESC LIMIT 1")
            .fetch_optional(connection)
            .await?;
    Ok(hash(last.flatten().as_deref()).unwrap_or_default())
}

/// Looks through the chain, page by page. `noted`: a head, in hexadecimal, that somebody has written down.
pub(crate) async fn verify(
    readers: &SqlitePool,
    path: &Path,
    noted: Option<&str>,
) -> Result<Proof, ReadError> {
    let mut proof =
        Proof { checked: 0, head: hex(&Hash::default()), broken_at: None, has_noted: noted.is_none() };
    let (mut head, mut last) = (Hash::default(), i64::MIN);
    loop {
        let rows: Vec<(i64, String, Option<Vec<u8>>)> =
            sqlx::query_as("SELECT seq, body, hash FROM audit WHERE seq > ? ORDER BY seq LIMIT ?")
                .bind(last)
                .bind(PAGE)
                .fetch_all(readers)
                .await
                .map_err(|source| ReadError::reading(path.to_owned(), source))?;
        let Some((newest, ..)) = rows.last() else { return Ok(proof) };
        last = *newest;
        for (seq, body, kept) in &rows {
            match hash(kept.as_deref()) {
                // Older than the chain.
                None if proof.checked == 0 => {}
                Some(kept) if kept == next(&head, body) => {
                    head = kept;
                    proof.checked += 1;
                    proof.head = hex(&head);
                    proof.has_noted |= noted == Some(proof.head.as_str());
                }
                _ => {
                    // Ours start at 1: another was put there.
                    proof.broken_at = Some(u64::try_from(*seq).unwrap_or(0));
                    return Ok(proof);
                }
            }
        }
    }
}

fn hash(bytes: Option<&[u8]>) -> Option<Hash> {
    bytes?.try_into().ok()
}

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
