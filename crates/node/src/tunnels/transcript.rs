//! What a shell has shown, in a file of the data directory. What was typed is kept as far as it was shown: not
//! passwords. Files are bounded in size and number.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// One session's.
#[derive(Debug)]
pub(super) struct Transcript {
    file: File,
    /// Bytes that are still kept.
    left: usize,
}

/// Bytes of one transcript, and how many are kept.
const MOST: usize = 1 << 20;
const KEPT: usize = 32;

// === impl Transcript ===

impl Transcript {
    /// # Errors
    /// When it cannot be kept: there is no session without one.
    pub(super) fn begin(data_dir: &Path, name: &str) -> io::Result<Self> {
        let dir = data_dir.join("shells");
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(dir.join(name))?;
        forget(&dir)?;
        Ok(Self { file, left: MOST })
    }

    /// A full disk does not end a session that has begun.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let kept = &bytes[..bytes.len().min(self.left)];
        if kept.is_empty() {
            return;
        }
        self.left -= kept.len();
        if let Err(error) = self.file.write_all(kept) {
            tracing::warn!(%error, "The transcript of a shell is not complete.");
        } else if self.left == 0 {
            let _ = self.file.write_all(b"\r\n[the rest was not kept]\r\n");
        }
    }
}

/// Names are in the order of time: the first are the oldest.
fn forget(dir: &Path) -> io::Result<()> {
    let mut names: Vec<_> =
        fs::read_dir(dir)?.map(|entry| entry.map(|e| e.file_name())).collect::<Result<_, _>>()?;
    names.sort();
    let surplus = names.len().saturating_sub(KEPT);
    names[..surplus].iter().try_for_each(|name| fs::remove_file(dir.join(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_and_number_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..40 {
            let mut transcript = Transcript::begin(dir.path(), &format!("{i:03}")).unwrap();
            (0..30).for_each(|_| transcript.add(&[b'x'; 64 * 1024]));
        }
        let kept: Vec<_> = fs::read_dir(dir.path().join("shells")).unwrap().map(Result::unwrap).collect();
        assert_eq!(kept.len(), 32);
        assert!(kept.iter().all(|file| file.metadata().unwrap().len() < MOST as u64 + 100));
        assert!(!dir.path().join("shells/007").exists() && dir.path().join("shells/039").exists());
    }
}
