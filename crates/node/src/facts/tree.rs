//! Bounded reading below a root directory: `/` on a node, a fake tree in tests.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The root of what is read. Files of `/proc` and `/sys` are small; more than [`MOST`] is not read.
#[derive(Clone, Debug)]
pub(crate) struct Tree(PathBuf);

/// Bytes read of one file at most: `/proc/cpuinfo` of a large machine has some hundred KiB.
const MOST: u64 = 4 << 20;
/// Entries listed of one directory at most.
const MOST_ENTRIES: usize = 4096;

// === impl Tree ===

impl Tree {
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// `path` (absolute or not) below the root.
    pub(crate) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The file as text, without white space and NUL bytes around it; none when it cannot be read or
    /// says nothing.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        let mut bytes = Vec::new();
        File::open(self.at(path)).ok()?.take(MOST).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Names in a directory, sorted; empty when there is none.
    pub(crate) fn list(&self, dir: &str) -> Vec<String> {
        let entries = fs::read_dir(self.at(dir)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.take(MOST_ENTRIES).filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.at(path).exists()
    }

    /// The last part of what a symbolic link points to: sysfs names drivers and subsystems so.
    pub(crate) fn link_name(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.at(path)).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::new("/")
    }
}
