//! Files as a tar stream, packed and unpacked without trusting whoever made it.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`item`] | what an archive may hold, and under which names (pure) |
//! | [`read`] | the format, read with bounded memory |
//! | [`write`] | the format, written |
//! | [`pack`] | a tree of files becomes an archive |
//! | [`unpack`] | an archive becomes files: below the target, or nowhere |
//! | [`place`] | directories below the target; no link is ever followed |
//! | [`rewrite`] | an archive becomes one that an engine may be given |
//!
//! An entry that must not be is passed over and told by name; the rest is copied. An archive that cannot be
//! read, or a file that cannot be written, ends the copy. Everything blocks.

mod item;
mod pack;
mod place;
mod read;
mod rewrite;
#[cfg(test)]
mod tests;
mod unpack;
mod write;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use item::Reason;
pub use pack::{pack, pack_each};
pub use rewrite::rewrite;
pub use unpack::{unpack, unpack_each};

/// A copy did not come to its end. What was copied before is there.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("`{path}`: {source}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("no directory `{path}` to copy into", path = path.display())]
    NoDirectory { path: PathBuf },
    #[error("the archive cannot be read: {}", shown(.0.to_string().as_bytes()))]
    Archive(#[source] io::Error),
    #[error("the archive cannot be written: {0}")]
    Output(#[source] io::Error),
    #[error("the archive ends inside `{name}`")]
    CutOff { name: String },
    #[error("`{name}` has more than {most} bytes of names and attributes")]
    Names { name: String, most: u64 },
    #[error("`{name}` is stored in a way that cannot be read here ({what})")]
    Format { name: String, what: &'static str },
}

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Files, directories and links.
    pub entries: u64,
    pub refused: Refused,
}

/// What was passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    pub count: u64,
    /// The first of them, each with its reason.
    pub first: Vec<(String, Reason)>,
}

/// Refused entries that are told by name.
const TOLD: usize = 20;

/// Where the top of an archive goes: into a directory, or to a name that is free or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub dir: PathBuf,
    /// What the one thing at the archive's top is called; `None`: as in the archive.
    pub rename: Option<OsString>,
}

// === impl Target ===

impl Target {
    /// As `cp` understands its last word: `is_dir` tells whether `path` is a directory.
    ///
    /// # Errors
    /// When it must be one and is none.
    pub fn of(path: &Path, is_dir: bool) -> Result<Self, CopyError> {
        let must = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        match (is_dir, path.file_name()) {
            (true, _) => Ok(Self { dir: path.to_owned(), rename: None }),
            (false, Some(name)) if !must => {
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                let dir = parent.unwrap_or_else(|| Path::new(".")).to_owned();
                Ok(Self { dir, rename: Some(name.to_owned()) })
            }
            _ => Err(CopyError::NoDirectory { path: path.to_owned() }),
        }
    }
}

// === impl Refused ===

impl Refused {
    fn add(&mut self, name: &[u8], reason: Reason) {
        self.count += 1;
        if self.first.len() < TOLD {
            self.first.push((shown(name), reason));
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, reason) in &self.first {
            writeln!(f, "refused `{name}`: {reason}")?;
        }
        match self.count.saturating_sub(TOLD as u64) {
            0 => Ok(()),
            more => writeln!(f, "refused {more} more"),
        }
    }
}

/// A name for people: short, and without what a terminal would obey.
fn shown(name: &[u8]) -> String {
    const MOST: usize = 200;
    let text = String::from_utf8_lossy(&name[..name.len().min(MOST)]);
    let clean: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if name.len() > MOST { format!("{clean}…") } else { clean }
}

impl CopyError {
    fn file(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::File { path, source }
    }
}
