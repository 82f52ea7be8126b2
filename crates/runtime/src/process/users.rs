//! Users of projects: programs of two projects on one node run as two users, which have nothing in common.
//!
//! ```text
//! project ──first program──→ a free number of the range, written to `process-users.json` ──→ its user, for good
//! ```
//!
//! A number is never given to another project, whatever becomes of the first: files of it may lie anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use holm_model::name::Name;
use nix::unistd::{Gid, Group, Uid, User};
use procfs::process::all_processes;
use serde::{Deserialize, Serialize};

use super::range::{self, UserRange};
use crate::error::RunError;

/// Who runs programs of a root agent that name no user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessUsers {
    /// A user for each project, of these.
    Each(UserRange),
    /// One for all, by name or number: then nothing keeps projects apart.
    One(String),
}

/// The users that this node has given to projects.
#[derive(Debug)]
pub(super) struct Users {
    pub(super) choice: ProcessUsers,
    file: PathBuf,
    /// As in the file, once that was read.
    given: Mutex<Option<Given>>,
}

/// `process-users.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    projects: BTreeMap<Name, u32>,
    /// Of projects that have another since the range was changed: files may be left.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    former: BTreeSet<u32>,
}

/// Where a root agent may become none of the usual range: it sees a part of the machine's users only.
const LAST_RESORT: &str = "nobody";

// === impl ProcessUsers ===

impl Default for ProcessUsers {
    fn default() -> Self {
        Self::Each(UserRange::default())
    }
}

// === impl Users ===

impl Users {
    pub(super) fn new(choice: ProcessUsers, file: PathBuf) -> Self {
        let unmapped = |range: &UserRange| !range::mapped(range);
        let choice = match choice {
            ProcessUsers::Each(range) if range == UserRange::default() && unmapped(&range) => {
                tracing::warn!(
                    "This agent cannot become the users {range}: programs of all projects run as {LAST_RESORT}."
                );
                ProcessUsers::One(LAST_RESORT.to_owned())
            }
            choice => choice,
        };
        Self { choice, file, given: Mutex::default() }
    }

    /// The project's user, which is given to it at the first time.
    ///
    /// # Errors
    /// When there is none left, or it cannot be written down.
    pub(super) fn of(&self, project: &Name, range: UserRange) -> Result<u32, RunError> {
        // Nothing that holds the lock changes it half-way.
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match given.take() {
            Some(known) => known,
            None => self.read()?,
        };
        let known = given.insert(known);
        if let Some(user) = known.projects.get(project).filter(|user| range.contains(**user)) {
            return Ok(*user);
        }
        range::usable(range)?;
        let live = running();
        let taken = |user| {
            let given = known.projects.values().chain(&known.former).any(|other| *other == user);
            given || live.contains(&user) || known_here(user)
        };
        #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
        let word = RandomState::new().hash_one(project) as u32;
        let user = range.choose(word, taken).ok_or_else(|| RunError::UserRange {
            range: range.to_string(),
            reason: "each of them is given to a project; start the agent with a larger range".to_owned(),
        })?;
        let mut next = known.clone();
        next.former.extend(next.projects.insert(project.clone(), user));
        // Nothing runs as a user that might be given once more after a crash.
        write(&self.file, &next).map_err(|source| self.failed(source))?;
        *known = next;
        Ok(user)
    }

    fn read(&self) -> Result<Given, RunError> {
        match fs::read(&self.file) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| self.failed(error.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Given::default()),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, source: io::Error) -> RunError {
        RunError::UserFile { path: self.file.clone(), source }
    }
}

/// Users whose processes run on this machine: those of another node here, perhaps.
fn running() -> BTreeSet<u32> {
    let processes = all_processes().into_iter().flatten();
    processes.filter_map(|process| process.ok()?.uid().ok()).collect()
}

/// Whether the machine knows a user or group of this number, from wherever it has its users.
fn known_here(user: u32) -> bool {
    // Who cannot be asked is nobody's user: the files were looked at before.
    User::from_uid(Uid::from_raw(user)).is_ok_and(|user| user.is_some())
        || Group::from_gid(Gid::from_raw(user)).is_ok_and(|group| group.is_some())
}

/// Whole or not at all, and on the disk.
fn write(path: &Path, given: &Given) -> io::Result<()> {
    let next = path.with_extension("next");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    file.write_all(&serde_json::to_vec(given)?)?;
    file.sync_all()?;
    fs::rename(&next, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(dir: &Path) -> Users {
        Users::new(ProcessUsers::default(), dir.join("process-users.json"))
    }

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn a_project_keeps_its_user_and_shares_it_with_none() {
        let dir = tempfile::tempdir().unwrap();
        let range: UserRange = "1900000000-1900000002".parse().unwrap();
        let first = users(dir.path());
        let (blue, red) = (first.of(&name("blue"), range).unwrap(), first.of(&name("red"), range).unwrap());
        assert_ne!(blue, red);
        let again = users(dir.path());
        assert_eq!(again.of(&name("red"), range).unwrap(), red);
        let green = again.of(&name("green"), range).unwrap();
        assert_eq!(BTreeSet::from([blue, red, green]).len(), 3);
        let error = again.of(&name("black"), range).unwrap_err();
        assert!(error.to_string().contains("start the agent with a larger range"), "{error}");
        assert_eq!(again.of(&name("blue"), range).unwrap(), blue, "whatever was refused");
    }

    #[test]
    fn what_a_project_had_in_another_range_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let [one, other] =
            ["1900000000-1900000000", "1900000001-1900000002"].map(|range| range.parse().unwrap());
        let users = users(dir.path());
        users.of(&name("blue"), one).unwrap();
        users.of(&name("blue"), other).unwrap();
        assert!(users.of(&name("red"), one).is_err(), "blue had the only one");
    }

    #[test]
    fn what_cannot_be_read_gives_nobody_anothers_user() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("process-users.json"), "{\"projects\": {\"blue\": ").unwrap();
        let error = users(dir.path()).of(&name("red"), UserRange::default()).unwrap_err();
        assert!(error.to_string().contains("process-users.json"), "{error}");
    }
}
