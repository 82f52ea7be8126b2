//! Whether people may have a shell on this machine: its owner's word, a file in the node's data directory.
//!
//! Without the file nobody may. The machine often belongs to somebody else than the sea does, who has joined it
//! to run applications; whoever administers the root must not get the machine with it. Only who can write to the
//! data directory, thus who owns the machine, can give it away.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use holm_model::time::Time;
use serde::{Deserialize, Serialize};

/// Given, until then or until it is taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    pub until: Option<Time>,
}

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("shell.json")
}

/// # Errors
/// When the directory is not the caller's to write to.
pub fn grant(data_dir: &Path, consent: Consent) -> io::Result<()> {
    let path = file(data_dir);
    let next = path.with_extension("next");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    file.write_all(&serde_json::to_vec(&consent)?)?;
    file.sync_all()?;
    fs::rename(next, path)
}

/// # Errors
/// When the directory is not the caller's to write to.
pub fn revoke(data_dir: &Path) -> io::Result<()> {
    match fs::remove_file(file(data_dir)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What was granted, whether or not it is over; `None` if nothing was.
///
/// # Errors
/// When the file cannot be read: then nothing is granted.
pub fn read(data_dir: &Path) -> io::Result<Option<Consent>> {
    match fs::read(file(data_dir)) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

// === impl Consent ===

impl Consent {
    #[must_use]
    pub fn holds(&self, now: Time) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_granted_until_it_is_and_after_it_was() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        let short = Consent { until: Some(Time(100)) };
        grant(dir.path(), short).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(short));
        assert!(short.holds(Time(99)) && !short.holds(Time(100)));
        grant(dir.path(), Consent::default()).unwrap();
        assert!(read(dir.path()).unwrap().unwrap().holds(Time(i64::MAX)));
        revoke(dir.path()).unwrap();
        revoke(dir.path()).unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
    }

    #[test]
    fn what_cannot_be_read_grants_nothing() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "{}x", "{\"until\": \"soon\"}", "{\"untill\": 7}"] {
            fs::write(file(dir.path()), text).unwrap();
            assert!(read(dir.path()).is_err(), "{text}");
        }
    }
}
