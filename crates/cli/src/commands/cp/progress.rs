//! What people see of a copy that takes long.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use holm_model::resources::Memory;

/// Bytes and files so far; said on standard error, if that is a terminal.
#[derive(Debug)]
pub(super) struct Progress {
    begun: Instant,
    said: Option<Instant>,
    bytes: u64,
    files: Files,
    shown: bool,
}

/// Counts files, directories and links where they are read or written.
#[derive(Clone, Debug, Default)]
pub(super) struct Files(Arc<AtomicU64>);

/// Nobody needs to be told of what is over sooner.
const LONG: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(200);

// === impl Files ===

impl Files {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

// === impl Progress ===

impl Progress {
    pub(super) fn new(files: Files) -> Self {
        Self { begun: Instant::now(), said: None, bytes: 0, files, shown: std::io::stderr().is_terminal() }
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        let due = self.said.map_or(self.begun.elapsed() >= LONG, |said| said.elapsed() >= PAUSE);
        if self.shown && due {
            self.said = Some(Instant::now());
            eprint!("\r\x1b[K{} copied", self.text());
        }
    }

    /// A stream that is handed on as it is has bytes only.
    fn text(&self) -> String {
        let bytes = Memory(self.bytes);
        match self.files.0.load(Ordering::Relaxed) {
            0 => bytes.to_string(),
            1 => format!("1 file, {bytes}"),
            files => format!("{files} files, {bytes}"),
        }
    }

    /// Takes the line away.
    pub(super) fn end(self) {
        if self.said.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_beside_bytes() {
        let files = Files::default();
        let mut progress = Progress::new(files.clone());
        progress.add(3 << 20);
        assert_eq!(progress.text(), "3Mi", "a stream");
        files.add();
        assert_eq!(progress.text(), "1 file, 3Mi");
        files.add();
        assert_eq!(progress.text(), "2 files, 3Mi");
    }
}
