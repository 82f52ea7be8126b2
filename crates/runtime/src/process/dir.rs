//! The directory of an instance, shared by agent and supervisor.
//!
//! | file | written by | says |
//! | --- | --- | --- |
//! | `lock` | locked by the agent, handed to the supervisor | while it is locked a supervisor lives, whatever pids say |
//! | `plan.json` | agent | what to run ([`super::plan::Plan`]) |
//! | `running.json` | supervisor | its pid and the program's |
//! | `exit.json` | supervisor | how the program ended; reserved before the start, so that a full disk cannot lose it |
//! | `lease.json` | agent | until when it may run, if it is exclusive ([`super::lease`]) |
//! | `log.*` | supervisor | see [`super::segments`] |
//! | `work/` | the program | its working directory, unless the service names one |

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::event::Outcome;

/// Paths of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InstanceDir(pub(crate) PathBuf);

/// Written when the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) incarnation: u32,
    pub(crate) supervisor: i32,
    /// Leads the program's process group.
    pub(crate) program: i32,
    /// When it started, in ticks since boot: tells it from a later process of the same number.
    pub(crate) program_start: u64,
}

/// Written when everything of the program has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) incarnation: u32,
    pub(crate) outcome: Outcome,
}

/// Room for the longest [`Ended`]: written in place it needs no further block of the disk.
const RESERVED: usize = 1024;

impl InstanceDir {
    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    pub(crate) fn plan(&self) -> PathBuf {
        self.0.join("plan.json")
    }

    pub(crate) fn running(&self) -> PathBuf {
        self.0.join("running.json")
    }

    pub(crate) fn exit(&self) -> PathBuf {
        self.0.join("exit.json")
    }

    pub(crate) fn lease(&self) -> PathBuf {
        self.0.join("lease.json")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    fn reserve(&self) -> PathBuf {
        self.0.join("exit.reserved")
    }

    /// Makes room for the exit file.
    ///
    /// # Errors
    /// When the disk is full.
    pub(crate) fn reserve_exit(&self) -> io::Result<()> {
        fs::write(self.reserve(), [b' '; RESERVED])
    }

    /// Writes the exit file into the reserved room, whole or not at all.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn write_exit(&self, ended: &Ended) -> io::Result<()> {
        let mut text = serde_json::to_vec(ended)?;
        // White space behind JSON is no part of it: the room keeps its size.
        text.resize(RESERVED.max(text.len()), b' ');
        let mut file = File::options().write(true).create(true).truncate(false).open(self.reserve())?;
        file.write_all(&text)?;
        file.sync_data()?;
        fs::rename(self.reserve(), self.exit())
    }
}

/// Whole or not at all.
///
/// # Errors
/// Those of the file system.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let next = path.with_extension("next");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    fs::rename(next, path)
}

/// `None` when there is no such file.
///
/// # Errors
/// When it cannot be read or holds something else.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// # Errors
/// Those of the file system; a file that is not there is none.
pub(crate) fn forget(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
