//! The registry over HTTP on the loopback.

mod collect;
mod common;
mod lists;
mod model;
mod pull;
mod push;
