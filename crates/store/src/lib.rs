//! What must survive, in one SQLite file.
//!
//! ```text
//! commit, flush, prune ──► queue ──► writer (one task, one connection) ──► holm.db
//! write_behind ─────────►   │                                                │
//!                      facts wait here, 250 ms at most    changes, audit ◄── readers (pool)
//! ```
//!
//! The store knows tables of keys and bytes and nothing of what they mean: one [`Batch`] is one
//! transaction, and what is acknowledged is on the disk (`WAL`, `synchronous=FULL`).
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | `store` | what callers can ask |
//! | `open` | the way from a directory to a store: create, identify, check, migrate, read |
//! | `schema` | the tables, and how older ones become today's |
//! | `lock` | one process per directory |
//! | `queue` | the order of commits and of what is written behind them (pure) |
//! | `writer` | the task that owns the writing connection |
//! | `transaction` | the SQL of one batch |
//! | `history` | pages of changes and audit records |
//! | `chain` | hashes that show what was changed in the audit log |
//! | `sqlite` | connections, and the kinds of their errors |
//! | `seal` | what a secret is on the disk |
//! | `file` | files that are whole or not there |
//! | `error` | what can go wrong, per operation |
//!
//! [`Batch`]: holm_model::record::Batch

mod chain;
mod error;
mod file;
mod history;
mod lock;
mod open;
mod queue;
mod schema;
mod script;
mod seal;
mod sqlite;
mod store;
mod transaction;
mod writer;

pub use chain::{Break, Proof};
pub use error::{CommitError, CopyError, OpenError, ReadError};
pub use file::make_passable;
pub use history::{AuditFilter, ChangeFilter, MAX_PAGE, Numbered, Order};
pub use lock::Holder;
pub use open::Snapshot;
pub use schema::Kind;
pub use seal::{FILE as SEAL_KEY, SealError};
pub use store::{Committed, Keep, Store};
