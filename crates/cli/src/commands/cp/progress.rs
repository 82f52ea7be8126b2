//! What people see of a copy that takes long.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use holm_model::resources::Memory;

/// Bytes so far; said on standard error, if that is a terminal.
#[derive(Debug)]
pub(super) struct Progress {
    begun: Instant,
    said: Option<Instant>,
    bytes: u64,
    shown: bool,
}

/// Nobody needs to be told of what is over sooner.
const LONG: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(200);

impl Progress {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), said: None, bytes: 0, shown: std::io::stderr().is_terminal() }
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        let due = self.said.map_or(self.begun.elapsed() >= LONG, |said| said.elapsed() >= PAUSE);
        if self.shown && due {
            self.said = Some(Instant::now());
            eprint!("\r\x1b[K{} copied", Memory(self.bytes));
        }
    }

    /// Takes the line away.
    pub(super) fn end(self) {
        if self.said.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}
