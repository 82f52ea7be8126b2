//! What tools show as a supervisor's command line. It was never executed with arguments of its own: those it
//! has are the nursery's, and are written over.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use procfs::process::Process;

/// Bytes that the nursery's last argument keeps free for the directory of an instance.
pub(crate) const ROOM: usize = 256;

/// Where a process keeps its arguments, and those that stay.
#[derive(Debug)]
pub(super) struct Title {
    place: Option<(u64, usize)>,
    words: Vec<OsString>,
}

// === impl Title ===

impl Title {
    /// Takes the room out of the nursery's own.
    pub(super) fn of_nursery() -> Self {
        let stat = Process::myself().and_then(|own| own.stat()).ok();
        let place = stat.and_then(|stat| {
            let (start, end) = (stat.arg_start?, stat.arg_end?);
            Some((start, usize::try_from(end.checked_sub(start)?).ok()?))
        });
        let words = std::env::args_os().take_while(|word| word != "nursery").collect();
        let title = Self { place, words };
        title.show("nursery".as_ref());
        title
    }

    /// Nothing depends on it: where the kernel refuses, the old one stays.
    pub(super) fn show(&self, last: &Path) {
        let words: Vec<&OsStr> = self.words.iter().map(AsRef::as_ref).chain([last.as_os_str()]).collect();
        let _ = self.write(&words);
    }

    fn write(&self, words: &[&OsStr]) -> io::Result<()> {
        let (start, size) = self.place.ok_or(io::ErrorKind::NotFound)?;
        let mut text = words.join(OsStr::new("\0")).as_bytes().to_vec();
        // A last byte that is none would mean that the environment belongs to it.
        text.truncate(size.saturating_sub(1));
        text.resize(size, 0);
        File::options().write(true).open("/proc/self/mem")?.write_all_at(&text, start)
    }
}
