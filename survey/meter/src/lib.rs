//! The meter reader of the energy survey: bytes of optical probes and P1 ports in, exact readings out.

pub mod decimal;
pub mod decoder;
pub mod outbox;
pub mod reading;
pub mod sml;
pub mod telegram;
pub mod text;
