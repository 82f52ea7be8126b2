//! The real machines in a simulated world: virtual time, seeded misfortune, checked promises.
//!
//! `HOLM_SIM_SEED=n` runs one seed (with `HOLM_SIM_TRACE=1`, telling what happens),
//! `HOLM_SIM_RUNS=n` that many seeds of each kind.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod chaos;
mod checks;
mod disk;
mod fleet;
mod link;
mod member;
mod oracle;
mod rng;
mod runtime;
mod seeds;
mod shell;
mod stories;
mod volumes;
mod world;
