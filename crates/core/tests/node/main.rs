//! The member's half of the core: lists, facts and the node machine.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod deadlines;
mod full_disk;
mod given;
mod health;
mod held;
mod leases;
mod report;
mod rules;
mod support;
mod survival;
mod world;
