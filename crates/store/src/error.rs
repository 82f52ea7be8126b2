//! What can go wrong, per operation. Display names place, reason and next step; the source, where
//! there is one, is not repeated in it.

use std::io;
use std::path::PathBuf;

use crate::lock::Holder;
use crate::schema::Kind;
use crate::seal::SealError;
use crate::sqlite::{Fault, fault};

/// Why a store could not be opened. Nothing was changed unless the variant says so.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot create or enter the data directory {}; check its path and owner", dir.display())]
    Directory { dir: PathBuf, source: io::Error },
    #[error("cannot lock {}; check the owner of the data directory", path.display())]
    Lock { path: PathBuf, source: io::Error },
    #[error("{} is held by {holder}; stop it, or choose another --data-dir", path.display())]
    Held { path: PathBuf, holder: Holder },
    #[error("{} is a database, but not one of Holm; choose another --data-dir", path.display())]
    Foreign { path: PathBuf },
    #[error("{} is the store of {found}, not of {wanted}; choose another --data-dir", path.display())]
    OtherKind { path: PathBuf, found: Kind, wanted: Kind },
    #[error(
        "{} has schema version {found}, this holm knows versions up to {known}; \
         run the newer holm, or restore a backup made by this one",
        path.display()
    )]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error(
        "{} is missing, but its log {} is there; put the database back beside its log, \
         or move the log away and restore a backup",
        path.display(), log.display()
    )]
    Incomplete { path: PathBuf, log: PathBuf },
    #[error("{} is damaged ({detail}); move it away and restore a backup", path.display())]
    Damaged { path: PathBuf, detail: String },
    #[error("cannot create the store {}; check free space and permissions", path.display())]
    Create { path: PathBuf, source: Cause },
    #[error("cannot copy the store to {} before its migration; check free space and permissions", path.display())]
    Copy { path: PathBuf, source: Cause },
    #[error(
        "cannot migrate {} from schema version {from} to {to}; it is unchanged; \
         run the holm that wrote it and report this as a bug",
        path.display()
    )]
    Migrate { path: PathBuf, from: u32, to: u32, source: sqlx::Error },
    #[error("the disk of {} is full; free some space and start again", path.display())]
    Full { path: PathBuf },
    #[error("cannot read {}; check the disk and the owner of the file", path.display())]
    Read { path: PathBuf, source: sqlx::Error },
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Either a file operation or SQLite.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Sqlite(#[from] sqlx::Error),
}

/// A copy of the store was not made.
#[derive(Debug, thiserror::Error)]
#[error("cannot copy the store to {}; check free space and permissions", path.display())]
pub struct CopyError {
    pub(crate) path: PathBuf,
    pub(crate) source: Cause,
}

/// Why a batch was not committed: nothing of it is visible.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Try again when there is space.
    #[error("the disk of {} is full; free some space", path.display())]
    Full { path: PathBuf },
    /// Try again with back-off.
    #[error("cannot write {}; check the disk and the owner of the file", path.display())]
    Io { path: PathBuf, source: sqlx::Error },
    /// Trying again is of no use.
    #[error("{} is damaged; stop, move it away and restore a backup", path.display())]
    Damaged { path: PathBuf, source: sqlx::Error },
    /// Nothing secret is written in the clear: try again when the key can be read.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A bug: these records are plain text.
    #[error("a record cannot be written as JSON; report this as a bug")]
    Encode(#[source] serde_json::Error),
    #[error("the store is closed")]
    Closed,
}

/// Why a page of the history could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read {}; check the disk and the owner of the file", path.display())]
    Io { path: PathBuf, source: sqlx::Error },
    #[error("record {seq} of table {table} in {} is damaged; restore a backup", path.display())]
    Record { path: PathBuf, table: &'static str, seq: u64, source: serde_json::Error },
    #[error("the store is closed")]
    Closed,
}

// === impl OpenError ===

impl OpenError {
    /// The variant for `source`, which happened while the store was opened and read.
    pub(crate) fn reading(path: PathBuf, source: sqlx::Error) -> Self {
        match fault(&source) {
            Fault::Damaged => Self::Damaged { path, detail: source.to_string() },
            Fault::Full => Self::Full { path },
            Fault::Closed | Fault::Other => Self::Read { path, source },
        }
    }
}

// === impl CommitError ===

impl CommitError {
    pub(crate) fn writing(path: PathBuf, source: sqlx::Error) -> Self {
        match fault(&source) {
            Fault::Full => Self::Full { path },
            Fault::Damaged => Self::Damaged { path, source },
            Fault::Closed | Fault::Other => Self::Io { path, source },
        }
    }
}

// === impl ReadError ===

impl ReadError {
    pub(crate) fn reading(path: PathBuf, source: sqlx::Error) -> Self {
        match fault(&source) {
            Fault::Closed => Self::Closed,
            Fault::Full | Fault::Damaged | Fault::Other => Self::Io { path, source },
        }
    }
}
