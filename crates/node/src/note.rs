//! What was withdrawn while the disk takes no writes: written over zeros of a file that was made beforehand, so that
//! a file system which overwrites in place needs no room for it. One that copies on write may: then the note is
//! missing after a crash, and what it would have named is ended again when the orchestrator says so.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use holm_model::id::AssignmentId;

/// The file in the data directory.
pub(crate) const FILE: &str = "withdrawn";
/// Its size; an id takes some twenty bytes.
const SIZE: usize = 64 * 1024;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Note(File);

// === impl Note ===

impl Note {
    /// # Returns
    /// The file, and what an earlier run wrote there.
    ///
    /// # Errors
    /// Also when there is no room to make it.
    pub(crate) fn open(data_dir: &Path) -> io::Result<(Self, BTreeSet<AssignmentId>)> {
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(data_dir.join(FILE))?;
        let mut text = Vec::with_capacity(SIZE);
        (&file).take(SIZE as u64).read_to_end(&mut text)?;
        let missing = SIZE.saturating_sub(text.len());
        if missing > 0 {
            file.write_all(&vec![0; missing])?;
            file.sync_all()?;
        }
        let whole = text.split(|byte| *byte == 0).next().unwrap_or_default();
        let lines = String::from_utf8_lossy(whole);
        // A line that a crash cut in two names nothing.
        let ids = lines.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')?.parse().ok());
        Ok((Self(file), ids.collect()))
    }

    /// These, and no others.
    ///
    /// # Errors
    /// When the disk does not even take this, or they are too many.
    pub(crate) fn write(&mut self, ids: &BTreeSet<AssignmentId>) -> io::Result<()> {
        let mut text: Vec<u8> = ids.iter().flat_map(|id| format!("{id}\n").into_bytes()).collect();
        if text.len() > SIZE {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "more was withdrawn than can be noted"));
        }
        text.resize(SIZE, 0);
        self.0.seek(SeekFrom::Start(0))?;
        self.0.write_all(&text)?;
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn ids(all: &[&str]) -> BTreeSet<AssignmentId> {
        all.iter().map(|id| id.parse().unwrap()).collect()
    }

    #[test]
    fn what_was_noted_is_there_in_the_next_run_and_takes_no_more_room() {
        let dir = tempfile::tempdir().unwrap();
        let size = || fs::metadata(dir.path().join(FILE)).unwrap().len();
        let (mut note, before) = Note::open(dir.path()).unwrap();
        assert_eq!((before, size()), (ids(&[]), SIZE as u64));
        let two = ids(&["1-000000000001-7", "1-000000000001-10"]);
        note.write(&two).unwrap();
        assert_eq!((Note::open(dir.path()).unwrap().1, size()), (two, SIZE as u64));
        note.write(&ids(&["1-000000000001-7"])).unwrap();
        assert_eq!(Note::open(dir.path()).unwrap().1, ids(&["1-000000000001-7"]));
        note.write(&ids(&[])).unwrap();
        assert_eq!(Note::open(dir.path()).unwrap().1, ids(&[]));
    }

    #[test]
    fn a_note_that_is_damaged_names_what_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), b"1-000000000001-7\n\xff\n1-0000").unwrap();
        assert_eq!(Note::open(dir.path()).unwrap().1, ids(&["1-000000000001-7"]));
        assert_eq!(fs::metadata(dir.path().join(FILE)).unwrap().len(), SIZE as u64);
    }

    #[test]
    fn more_than_fits_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (mut note, _) = Note::open(dir.path()).unwrap();
        let many: BTreeSet<AssignmentId> =
            (0..5000).map(|n| format!("1-000000000001-{n}").parse().unwrap()).collect();
        assert!(note.write(&many).is_err());
        assert_eq!(Note::open(dir.path()).unwrap().1, ids(&[]));
    }
}
