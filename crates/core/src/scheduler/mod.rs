//! Which member takes a slot, and why the others do not.
//!
//! Root and cluster orchestrator ask the same question about their members. The rules that every
//! strategy keeps are in [`fit`]; a strategy only ranks those that fit.
//!
//! | module | what |
//! | --- | --- |
//! | [`fit`], [`units`], [`company`], [`reason`] | who fits, and why not |
//! | [`first_fit`], [`best_fit`], [`spread`], [`location`], [`latency`], [`random`] | the strategies |
//! | [`score`] | preferences and strategy as one number to compare |
//! | [`ranking`] | the scores of all members, kept from one placement to the next |
//! | [`group`] | services that have to be near each other, in one decision |
//! | [`explain`] | every member's score or reason |
//!
//! A strategy: a module with one pure function from what is asked and a member that fits to a number (less is
//! better), its line in [`score`], and its word in `holm_model::placement::Strategy`.

pub mod across;
pub mod best_fit;
pub mod company;
pub mod explain;
pub mod first_fit;
pub mod fit;
pub mod group;
pub mod latency;
pub mod location;
pub mod random;
pub mod ranking;
pub mod reason;
pub mod score;
pub mod spread;
#[cfg(test)]
mod tests;
pub mod units;

pub use company::{Around, Others, Shared, There};
pub use explain::{Most, Opinion, Verdict, explain};
pub use first_fit::first_fit;
pub use fit::{Ask, Candidate, Kind};
pub use latency::{Estimate, Spot, Target, Way};
pub use ranking::Ranking;
pub use reason::Reason;
pub use score::{Score, score};
pub use units::Taken;
