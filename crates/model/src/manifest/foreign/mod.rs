//! Files of other systems, translated at the door into the native form.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`edgeio`] | the deployment file of edgeIO |
//! | [`sla`] | Oakestra's SLA 2.0 |
//! | [`compose`] | the Compose Specification |
//! | [`variables`] | `${NAME}` in texts |
//! | [`words`] | command lines, amounts and spans as these files write them |
//! | [`build`] | native nodes that know the foreign place |
//!
//! A translation is a tree in the native form whose nodes have the places of the foreign file: the native rules read it, and
//! what they refuse is shown where it was written. What Holm cannot do is an error where it changes what runs, and a
//! warning where it does not; nothing is dropped in silence.

mod build;
mod compose;
mod edgeio;
mod sla;
#[cfg(test)]
mod tests;
mod variables;
mod words;

use std::collections::BTreeSet;
use std::fmt;

use super::application;
use super::read::{At, Problems};
use super::tree::{self, Node};
use super::{MOST_BYTES, ManifestError, ManifestErrors, Place};
use crate::service::Application;

/// What a file is, by what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Native,
    EdgeIo,
    Sla,
    Compose,
}

/// What a file may refer to beside itself.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Of the application, where the file names none.
    pub name: &'a str,
    /// What `${NAME}` stands for.
    pub variables: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a file of variables beside it; why there is none, for people.
    pub files: &'a dyn Fn(&str) -> Result<String, String>,
    /// Services that are left out without them.
    pub profiles: &'a BTreeSet<String>,
}

/// A file that was read.
#[derive(Clone, Debug)]
pub struct Translated {
    pub format: Format,
    /// At least one.
    pub applications: Vec<Application>,
    /// What is not as it was in the other system, in the order of the text.
    pub warnings: Vec<ManifestError>,
}

/// Where faults and warnings go.
#[derive(Clone, Copy)]
struct Turn<'a> {
    problems: &'a Problems,
    warnings: &'a Problems,
    around: &'a Surroundings<'a>,
}

/// Reads a file of any known form; `file` is its name in errors.
///
/// # Errors
/// All faults that could be found at once.
pub fn read(text: &str, file: &str, around: &Surroundings<'_>) -> Result<Translated, ManifestErrors> {
    let one = |error| ManifestErrors { file: file.to_owned(), errors: vec![error], more: 0 };
    if text.len() > MOST_BYTES {
        let message = format!("a manifest has at most {MOST_BYTES} bytes, this one has {}", text.len());
        return Err(one(ManifestError::new(Place::START, "", &message)));
    }
    let tree = tree::load(text).map_err(one)?;
    let format = Format::of(&tree);
    let (problems, warnings) = (Problems::default(), Problems::default());
    let turn = Turn { problems: &problems, warnings: &warnings, around };
    let applications = match format {
        Format::Native => application::read(&At::top(&tree, &problems)).map(|one| vec![one]),
        Format::EdgeIo => turn.natives(vec![edgeio::translate(&At::top(&tree, &problems), turn)]),
        Format::Sla => turn.natives(sla::translate(&At::top(&tree, &problems), turn)),
        Format::Compose => {
            let tree = variables::resolve(tree, turn);
            turn.natives(vec![compose::translate(&At::top(&tree, &problems), turn)])
        }
    };
    let (errors, more) = problems.into_list();
    match applications.filter(|all| !all.is_empty()) {
        Some(applications) if errors.is_empty() => {
            Ok(Translated { format, applications, warnings: warnings.into_list().0 })
        }
        _ => Err(ManifestErrors { file: file.to_owned(), errors, more }),
    }
}

// === impl Format ===

impl Format {
    fn of(tree: &Node) -> Self {
        let has = |key| tree.child(key).is_some();
        if has("holm") || has("application") {
            Self::Native
        } else if has("sla_version") || has("applications") {
            Self::Sla
        } else if has("job_name") {
            Self::EdgeIo
        } else if has("services") {
            Self::Compose
        } else {
            Self::Native
        }
    }
}

/// For people: `a Compose file`.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "a manifest",
            Self::EdgeIo => "a deployment file of edgeIO",
            Self::Sla => "an SLA of Oakestra",
            Self::Compose => "a Compose file",
        })
    }
}

impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("name", &self.name).finish_non_exhaustive()
    }
}

// === impl Turn ===

impl Turn<'_> {
    /// By the native rules. `None`: something is wrong, and noted.
    fn natives(&self, trees: Vec<Option<Node>>) -> Option<Vec<Application>> {
        let read = |tree: Node| application::read(&At::top(&tree, self.problems));
        // All are read, so that all faults are seen.
        let all: Vec<_> = trees.into_iter().map(|tree| tree.and_then(read)).collect();
        all.into_iter().collect()
    }

    /// It is taken, and not as it was there.
    fn warn(&self, at: &At<'_>, message: impl fmt::Display) {
        at.noting(self.warnings).refuse_key(message).unwrap_or_default()
    }
}
