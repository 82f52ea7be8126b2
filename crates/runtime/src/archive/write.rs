//! Writing the format.

use std::io::{self, Read, Write};
use std::path::Path;

use tar::{Builder, EntryType, Header};

use super::CopyError;

/// An archive that is being written.
pub(super) struct Writer<W: Write>(Builder<W>);

/// What stands in a header beside name and kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    pub(super) mode: u32,
    /// Seconds since 1970.
    pub(super) mtime: u64,
}

fn header(kind: EntryType, size: u64, marks: Marks) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(marks.mode);
    header.set_mtime(marks.mtime);
    // Who unpacks it owns it.
    header.set_uid(0);
    header.set_gid(0);
    header
}

// === impl Writer ===

impl<W: Write> Writer<W> {
    pub(super) fn new(output: W) -> Self {
        Self(Builder::new(output))
    }

    pub(super) fn directory(&mut self, path: &Path, marks: Marks) -> Result<(), CopyError> {
        let mut header = header(EntryType::Directory, 0, marks);
        self.0.append_data(&mut header, path, io::empty()).map_err(CopyError::Output)
    }

    /// `data` gives exactly `size` bytes, or fails.
    pub(super) fn file(
        &mut self,
        path: &Path,
        size: u64,
        marks: Marks,
        data: impl Read,
    ) -> Result<(), CopyError> {
        let mut header = header(EntryType::Regular, size, marks);
        self.0.append_data(&mut header, path, data).map_err(CopyError::Output)
    }

    pub(super) fn link(
        &mut self,
        kind: EntryType,
        path: &Path,
        target: &Path,
        marks: Marks,
    ) -> Result<(), CopyError> {
        let mut header = header(kind, 0, marks);
        self.0.append_link(&mut header, path, target).map_err(CopyError::Output)
    }

    pub(super) fn finish(self) -> Result<(), CopyError> {
        let mut output = self.0.into_inner().map_err(CopyError::Output)?;
        output.flush().map_err(CopyError::Output)
    }
}
