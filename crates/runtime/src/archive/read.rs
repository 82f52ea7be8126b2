//! Reading the format: ustar, GNU and pax, as far as programs that copy files write it.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use tar::{Archive, Entry, EntryType, Header, PaxExtensions};

use super::item::{Beneath, Item, Kind, MODE, Reason, stays_inside};
use super::{CopyError, shown};

/// What stands in front of an entry and belongs to it.
#[derive(Debug, Default)]
struct Ahead {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    /// Seconds since 1970.
    mtime: Option<u64>,
    size: Option<u64>,
    sparse: bool,
}

/// Bytes of names and attributes of one entry at most.
const NAMES: u64 = 64 * 1024;

/// Calls `take` with the name of each entry, what it is (or why it must not be), and its content. `floor`
/// names at the top of each path are no part of what links may reach.
///
/// # Errors
/// When the archive cannot be read, and those of `take`.
pub(super) fn each<R: Read>(
    input: R,
    floor: usize,
    mut take: impl FnMut(&[u8], Result<Item, Reason>, &mut dyn Read) -> Result<(), CopyError>,
) -> Result<(), CopyError> {
    let mut archive = Archive::new(input);
    let mut ahead = Ahead::default();
    for entry in archive.entries().map_err(CopyError::Archive)?.raw(true) {
        let mut entry = entry.map_err(CopyError::Archive)?;
        match entry.header().entry_type() {
            EntryType::GNULongName => ahead.path = Some(trimmed(names(&mut entry)?)),
            EntryType::GNULongLink => ahead.link = Some(trimmed(names(&mut entry)?)),
            EntryType::XHeader => ahead.read_pax(&names(&mut entry)?)?,
            EntryType::XGlobalHeader => {}
            _ => {
                let ahead = std::mem::take(&mut ahead);
                let header = entry.header().clone();
                let name = ahead.path.as_deref().map_or_else(|| header.path_bytes(), Cow::Borrowed);
                ahead.check(&header, &name)?;
                take(&name, item(&header, &name, &ahead, floor), &mut entry)?;
            }
        }
    }
    // Whoever sends it wants to send it all.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(CopyError::Archive)?;
    Ok(())
}

fn names<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, CopyError> {
    let name = || shown(&entry.header().path_bytes());
    if entry.header().entry_size().map_err(CopyError::Archive)? > NAMES {
        return Err(CopyError::Names { name: name(), most: NAMES });
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(CopyError::Archive)?;
    Ok(bytes)
}

/// GNU's long names end with a NUL.
fn trimmed(mut name: Vec<u8>) -> Vec<u8> {
    if name.last() == Some(&0) {
        name.pop();
    }
    name
}

fn item(header: &Header, name: &[u8], ahead: &Ahead, floor: usize) -> Result<Item, Reason> {
    let path = Beneath::parse(name)?;
    let link = || {
        let link = ahead.link.as_deref().map(Cow::Borrowed).or_else(|| header.link_name_bytes());
        link.map(Cow::into_owned).unwrap_or_default()
    };
    // Old archives tell directories by their names only.
    let directory = name.ends_with(b"/");
    let kind = match header.entry_type() {
        EntryType::Directory => Kind::Directory,
        EntryType::Regular if directory => Kind::Directory,
        EntryType::Regular | EntryType::Continuous => {
            Kind::File { size: header.entry_size().map_err(|_| Reason::Unknown)? }
        }
        EntryType::Symlink => {
            let target = link();
            let depth = path.0.len().saturating_sub(1 + floor);
            if !stays_inside(&target, depth) {
                return Err(Reason::LeadsOut);
            }
            Kind::Symlink { target: PathBuf::from(OsString::from_vec(target)) }
        }
        EntryType::Link => Kind::Again { target: Beneath::parse(&link()).map_err(|_| Reason::LeadsOut)? },
        EntryType::Char | EntryType::Block => return Err(Reason::Device),
        EntryType::Fifo => return Err(Reason::Pipe),
        _ => return Err(Reason::Unknown),
    };
    if path.0.is_empty() && kind != Kind::Directory {
        return Err(Reason::NoName);
    }
    let mtime = ahead.mtime.or_else(|| header.mtime().ok()).unwrap_or(0);
    Ok(Item { path, mode: header.mode().unwrap_or(0o600) & MODE, mtime, kind })
}

// === impl Ahead ===

impl Ahead {
    fn read_pax(&mut self, bytes: &[u8]) -> Result<(), CopyError> {
        for extension in PaxExtensions::new(bytes) {
            let extension = extension.map_err(CopyError::Archive)?;
            let value = extension.value_bytes();
            match extension.key_bytes() {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = whole(value),
                b"mtime" => self.mtime = whole(value),
                key if key.starts_with(b"GNU.sparse.") => self.sparse = true,
                _ => {}
            }
        }
        Ok(())
    }

    /// What cannot be passed over, as its end would not be found.
    fn check(&self, header: &Header, name: &[u8]) -> Result<(), CopyError> {
        let wrong = |what| Err(CopyError::Format { name: shown(name), what });
        if self.sparse || header.entry_type().is_gnu_sparse() {
            return wrong("sparse");
        }
        match self.size {
            Some(size) if header.entry_size().ok() != Some(size) => wrong("a file of more than 8 GiB in pax"),
            _ => Ok(()),
        }
    }
}

/// A number of pax, whose fraction is left out.
fn whole(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    text.split_once('.').map_or(text, |(whole, _)| whole).parse().ok()
}
