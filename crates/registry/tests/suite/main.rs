//! The registry over HTTP on the loopback.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod cache;
mod collect;
mod common;
mod lists;
mod model;
mod pull;
mod push;
