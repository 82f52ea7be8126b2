//! The meter reader of the energy survey: bytes of optical probes and P1 ports in, exact readings out.

pub mod config;
pub mod decimal;
pub mod decoder;
pub mod outbox;
mod probe;
pub mod reading;
pub mod run;
mod schedule;
pub mod sender;
pub mod sml;
pub mod source;
pub mod telegram;
pub mod text;
