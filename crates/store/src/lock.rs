//! One process per directory: an exclusive `flock` that ends with the process, however it ends.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::OpenError;

/// Held as long as it lives. The file stays behind: removing it would let two processes lock two
/// files of the same name.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Who holds a lock, as the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder(Option<String>);

/// More is never read from a lock file.
const MAX_TEXT: u64 = 256;

// === impl Lock ===

impl Lock {
    /// Locks `dir/lock` and writes into it who we are.
    pub(crate) fn acquire(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join("lock");
        let failed = |path: PathBuf| |source| OpenError::Lock { path, source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed(path.clone()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Held { holder: Holder::read(&mut file), path });
            }
            Err(TryLockError::Error(source)) => return Err(failed(path)(source)),
        }
        sign(&mut file).map_err(failed(path))?;
        Ok(Self { _file: file })
    }
}

/// `123 (holm root)`: process id, program and role.
fn sign(file: &mut File) -> io::Result<()> {
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_default();
    let program = Path::new(&program).file_name().unwrap_or(OsStr::new("?")).to_string_lossy().into_owned();
    let role = args.next().map(|arg| arg.to_string_lossy().into_owned()).filter(|arg| !arg.starts_with('-'));
    let name = [Some(program), role].into_iter().flatten().collect::<Vec<_>>().join(" ");
    file.set_len(0)?;
    file.write_all(format!("{} ({name})", std::process::id()).as_bytes())
}

// === impl Holder ===

impl Holder {
    fn read(file: &mut File) -> Self {
        let mut text = String::new();
        let read = file.take(MAX_TEXT).read_to_string(&mut text);
        let text = text.trim();
        Self((read.is_ok() && !text.is_empty()).then(|| text.to_owned()))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(text) => write!(f, "process {text}"),
            // It was locked a moment ago and not yet signed.
            None => f.write_str("another process"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::acquire(dir.path()).unwrap();
        let error = Lock::acquire(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("lock is held by process {} (", std::process::id())), "{error}");
        drop(first);
        Lock::acquire(dir.path()).unwrap();
    }
}
