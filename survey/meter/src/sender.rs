//! Where readings go.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::reading::Reading;

/// Takes readings for good. It may be given one again that it has: series and sequence tell.
pub trait Sender {
    /// # Errors
    /// Nothing counts as taken; all of it is sent again later.
    fn send(&mut self, readings: &[Reading]) -> Result<()>;
}

/// Appends JSON lines to a file.
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
}

impl Lines {
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

impl Sender for Lines {
    fn send(&mut self, readings: &[Reading]) -> Result<()> {
        let mut lines = Vec::new();
        for reading in readings {
            serde_json::to_writer(&mut lines, reading)?;
            lines.push(b'\n');
        }
        let at = || format!("cannot append to {}", self.path.display());
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path).with_context(at)?;
        file.write_all(&lines).with_context(at)?;
        file.sync_data().with_context(at)
    }
}
