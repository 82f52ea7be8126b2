//! Which member takes a slot, and why the others do not.
//!
//! Root and cluster orchestrator ask the same question about their members. The rules that every
//! strategy keeps are in [`fit`]; a strategy only ranks those that fit.

pub mod first_fit;
pub mod fit;

pub use first_fit::first_fit;
pub use fit::{Ask, Candidate, Kind, Reason};
