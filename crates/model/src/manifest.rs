//! The YAML a person writes, read into an [`Application`] with errors that name the place.
//!
//! | step | module |
//! | --- | --- |
//! | YAML → tree with places; limits against bombs | `tree` |
//! | tree → typed values, every fault noted with its path | `read` |
//! | which keys there are, which come later | `keys` |
//! | one service and its parts | `service`, `parts`, `placing`, `contents`, `updating`, `kinds`, `healing` |
//! | rules between services | `application` |
//! | files of other systems | [`foreign`] |
//! | the native form as types: for the schema and for [`show`] | `native` |
//!
//! A key whose behaviour is not built yet is refused, never accepted in silence.

mod application;
mod before;
mod contents;
mod expose;
pub mod foreign;
mod healing;
mod health;
mod keys;
mod kinds;
mod native;
mod parts;
mod placing;
mod read;
mod scaling;
mod service;
mod show;
#[cfg(test)]
mod tests;
mod tree;
mod updating;

use std::fmt;

use crate::service::Application;

pub use native::schema;
pub use show::{show, show_service};

/// Bytes; a larger manifest is refused unread.
pub const MOST_BYTES: usize = 1 << 20;

/// Where in the text: line and column, both from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    line: u64,
    column: u64,
}

/// One fault of a manifest. Shown as `12:7: services.web.replicas: expected a number …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {path}{}{message}", if path.is_empty() { "" } else { ": " })]
pub struct ManifestError {
    /// From 1.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
    /// Keys from the top, `services.web.command[2]`; empty for the whole document.
    pub path: String,
    /// What is wrong and what was expected.
    pub message: String,
}

/// Everything that is wrong with a manifest, in the order of the text; a line for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestErrors {
    /// Name of the file, as the caller gave it.
    pub file: String,
    /// At least one.
    pub errors: Vec<ManifestError>,
    /// How many more there were than are listed.
    pub more: usize,
}

/// Reads the manifest `text`; `file` is its name in errors.
///
/// # Errors
/// All faults that could be found at once; YAML that cannot be read is one fault.
pub fn parse(text: &str, file: &str) -> Result<Application, ManifestErrors> {
    let one = |error| ManifestErrors { file: file.to_owned(), errors: vec![error], more: 0 };
    if text.len() > MOST_BYTES {
        let message = format!("a manifest has at most {MOST_BYTES} bytes, this one has {}", text.len());
        return Err(one(ManifestError::new(Place::START, "", &message)));
    }
    let tree = tree::load(text).map_err(one)?;
    let problems = read::Problems::default();
    let application = application::read(&read::At::top(&tree, &problems));
    let (errors, more) = problems.into_list();
    match application {
        Some(application) if errors.is_empty() => Ok(application),
        _ => Err(ManifestErrors { file: file.to_owned(), errors, more }),
    }
}

// === impl Place ===

impl Place {
    const START: Self = Self { line: 1, column: 1 };
}

// === impl ManifestError ===

impl ManifestError {
    const MOST_PATH: usize = 160;
    const MOST_MESSAGE: usize = 480;

    fn new(place: Place, path: &str, message: &str) -> Self {
        Self {
            line: place.line,
            column: place.column,
            path: clip(path, Self::MOST_PATH),
            message: clip(message, Self::MOST_MESSAGE),
        }
    }
}

/// At most `most` bytes of `text`, without control characters, `…` where it was cut.
fn clip(text: &str, most: usize) -> String {
    let mut clipped = String::new();
    for c in text.chars() {
        if clipped.len() + c.len_utf8() > most {
            clipped.push('…');
            break;
        }
        clipped.push(if c.is_control() { ' ' } else { c });
    }
    clipped
}

// === impl ManifestErrors ===

impl fmt::Display for ManifestErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.errors.iter().enumerate() {
            write!(f, "{}{}:{error}", if i == 0 { "" } else { "\n" }, clip(&self.file, 255))?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\n{}: and {more} more", clip(&self.file, 255)),
        }
    }
}

impl std::error::Error for ManifestErrors {}
