//! Which process has a data directory.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _};
use std::path::Path;

/// Who holds the directory's lock, as the lock says: `123 (holm node)`.
///
/// # Errors
/// When the lock cannot be looked at.
pub(crate) fn of(dir: &Path) -> io::Result<Option<String>> {
    let mut file = match File::open(dir.join("lock")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    // Shared and for a moment: a daemon that starts right now tries again.
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            file.by_ref().take(256).read_to_string(&mut text)?;
            Ok(Some(text.trim().to_owned()))
        }
    }
}

/// The process id in what a lock says.
pub(crate) fn pid(holder: &str) -> Option<i32> {
    holder.split(' ').next()?.parse().ok().filter(|pid| *pid > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_held_or_free() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(of(dir.path()).unwrap(), None);
        std::fs::write(dir.path().join("lock"), "42 (holm node)").unwrap();
        assert_eq!(of(dir.path()).unwrap(), None);
        let file = File::open(dir.path().join("lock")).unwrap();
        file.lock().unwrap();
        let holder = of(dir.path()).unwrap().unwrap();
        assert_eq!(pid(&holder), Some(42));
        assert_eq!(pid("another process"), None);
    }
}
