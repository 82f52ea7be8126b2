//! One file of a volume, as it is told to another machine.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

/// Files and directories of one volume at most.
pub const MOST_ENTRIES: usize = 1_000_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Below the volume's root, which is the empty path itself.
    #[serde(with = "serde_bytes")]
    pub path: Vec<u8>,
    pub kind: Kind,
    /// Permissions, with set-id and sticky bits; those of a file are not all taken over.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds and nanoseconds since 1970.
    pub mtime: (i64, u32),
}

/// Sockets, pipes and devices do not travel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Dir,
    /// Bytes.
    File(u64),
    /// Where it points to, which is never followed.
    Link(#[serde(with = "serde_bytes")] Vec<u8>),
}

impl Entry {
    /// Its directory and its name.
    ///
    /// # Errors
    /// When the path is no way straight down.
    pub(super) fn place(&self) -> io::Result<(&Path, &OsStr)> {
        let path = Path::new(OsStr::from_bytes(&self.path));
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) if plain && !self.path.contains(&0) => Ok((parent, name)),
            _ => {
                let what = format!("`{}` is no path below a volume", path.display());
                Err(io::Error::new(io::ErrorKind::InvalidData, what))
            }
        }
    }
}
