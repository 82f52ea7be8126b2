//! An uploaded archive as files of a layer. Nothing of it touches a disk: each entry is checked and written on.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read, Seek, Write};
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;
use tar::EntryType;

use crate::layer::Layer;

/// How files are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// `tar`
    Tar,
    /// `tar.gz`
    TarGz,
    /// `zip`
    Zip,
}

/// How much an archive may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Files, directories and links.
    pub entries: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

/// What lies at the top of an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Top {
    /// The only directory, if all is in it.
    pub dir: Option<String>,
    /// Names in it.
    pub names: BTreeSet<String>,
}

/// Where the files of an archive go.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Below this directory.
    pub to: &'a str,
    /// Only those of this directory of the archive, whose name is left out; `None`: all.
    pub of: Option<&'a str>,
}

/// Why an archive is not taken. Each names the entry.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be read.
    #[error("the archive cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It cannot be read.
    #[error("the archive cannot be read: {0}")]
    Zip(#[from] zip::result::ZipError),
    /// It would lie elsewhere.
    #[error("`{0}` would lie outside of the image's directory")]
    Outside(String),
    /// A link to something elsewhere.
    #[error("the link `{link}` leads to `{to}`, outside of the archive")]
    Link {
        /// Which.
        link: String,
        /// Where to.
        to: String,
    },
    /// An entry below a link.
    #[error("`{0}` lies below a link")]
    Below(String),
    /// No file, directory or link.
    #[error("`{0}` is a device, a pipe or another thing that an archive of files does not have")]
    Kind(String),
    /// It cannot be opened.
    #[error("`{0}` is encrypted")]
    Encrypted(String),
    /// Twice.
    #[error("`{0}` is there twice")]
    Twice(String),
    /// Too long or too deep.
    #[error("the name `{0}…` is too long or too deep")]
    Name(String),
    /// Too many.
    #[error("there are more than {0} entries")]
    Entries(usize),
    /// Not to be read as a text.
    #[error("`{0}` is no plain file of at most {max} KiB", max = TEXT / 1024)]
    Text(String),
    /// Too much.
    #[error("`{name}` makes it more than {bytes} bytes unpacked")]
    Bytes {
        /// With which it was too much.
        name: String,
        /// The limit.
        bytes: u64,
    },
}

/// Bytes of a file that is read as a text.
const TEXT: u64 = 256 * 1024;
/// Bytes and parts of a name.
const NAME: usize = 1024;
const DEPTH: usize = 64;
/// How many times its own size an archive may unpack to, beyond what is free.
const RATIO: u64 = 100;
const FREE: u64 = 64 << 20;
/// Entries that are looked at for the kind of a source tree.
const LOOK: usize = 100_000;

// === impl Limits ===

impl Limits {
    /// For an archive of so many bytes: what unpacks to far more is made to do harm.
    #[must_use]
    pub fn of(packed: u64) -> Self {
        let usual = Self::default();
        let bytes = packed.saturating_mul(RATIO).saturating_add(FREE).min(usual.bytes);
        Self { bytes, ..usual }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 100_000, bytes: 8 << 30 }
    }
}

/// What lies at the top of the archive, or in its only directory if there is nothing else.
///
/// # Errors
/// When it cannot be read.
pub fn top<R: Read + Seek>(file: &mut R, packing: Packing) -> Result<Top, ArchiveError> {
    let mut paths = BTreeSet::new();
    match packing {
        Packing::Zip => {
            let zip = zip::ZipArchive::new(file)?;
            for name in zip.file_names().take(LOOK) {
                paths.insert(PathBuf::from(name?.into_owned()));
            }
        }
        Packing::Tar => collect(&mut tar::Archive::new(file), &mut paths)?,
        Packing::TarGz => collect(&mut tar::Archive::new(GzDecoder::new(file)), &mut paths)?,
    }
    let parts = |path: &PathBuf| -> Vec<String> {
        let normal = path.components().filter_map(|part| match part {
            Component::Normal(part) => Some(part.to_string_lossy().into_owned()),
            _ => None,
        });
        normal.take(2).collect()
    };
    let split: Vec<_> = paths.iter().map(parts).filter(|parts| !parts.is_empty()).collect();
    let first: BTreeSet<String> = split.iter().filter_map(|parts| parts.first().cloned()).collect();
    // `project-1.0/…`, as archives of sources often have it.
    let second: BTreeSet<String> = split.iter().filter_map(|parts| parts.get(1).cloned()).collect();
    Ok(match (first.len() == 1 && !second.is_empty(), first.first()) {
        (true, Some(dir)) => Top { dir: Some(dir.clone()), names: second },
        _ => Top { dir: None, names: first },
    })
}

/// The text of the first of these files that lies at the top.
///
/// # Errors
/// When the archive cannot be read, or the file is no short text.
pub fn text<R: Read + Seek>(
    file: &mut R,
    packing: Packing,
    top: &Top,
    names: &[&str],
) -> Result<Option<(String, String)>, ArchiveError> {
    let Some(name) = names.iter().find(|name| top.names.contains(**name)) else { return Ok(None) };
    let path = top.dir.as_ref().map_or_else(PathBuf::new, PathBuf::from).join(name);
    let read = |content: &mut dyn Read, is_plain: bool| {
        let mut text = String::new();
        let bytes = content.take(TEXT + 1).read_to_string(&mut text)?;
        match is_plain && bytes as u64 <= TEXT {
            true => Ok(Some(((*name).to_owned(), text))),
            false => Err(ArchiveError::Text((*name).to_owned())),
        }
    };
    match packing {
        Packing::Zip => {
            let mut zip = zip::ZipArchive::new(file)?;
            let mut entry = zip.by_name(&path.to_string_lossy())?;
            let is_plain = entry.is_file();
            read(&mut entry, is_plain)
        }
        Packing::Tar => find(&mut tar::Archive::new(file), &path, read),
        Packing::TarGz => find(&mut tar::Archive::new(GzDecoder::new(file)), &path, read),
    }
}

type Named = Option<(String, String)>;

fn find<R: Read>(
    archive: &mut tar::Archive<R>,
    path: &Path,
    read: impl Fn(&mut dyn Read, bool) -> Result<Named, ArchiveError>,
) -> Result<Named, ArchiveError> {
    for entry in archive.entries()? {
        let mut entry = entry?;
        let here: PathBuf =
            entry.path()?.components().filter(|part| !matches!(part, Component::CurDir)).collect();
        if here == path {
            let is_plain = entry.header().entry_type().is_file();
            return read(&mut entry, is_plain);
        }
    }
    Ok(None)
}

fn collect<R: Read>(archive: &mut tar::Archive<R>, into: &mut BTreeSet<PathBuf>) -> Result<(), ArchiveError> {
    for entry in archive.entries()?.take(LOOK) {
        into.insert(entry?.path()?.into_owned());
    }
    Ok(())
}

/// Writes the files of the archive to their place in the layer.
///
/// # Errors
/// At the first entry that is not taken.
pub fn copy<R: Read + Seek, W: Write>(
    file: &mut R,
    packing: Packing,
    place: Place<'_>,
    limits: Limits,
    into: &mut Layer<W>,
) -> Result<(), ArchiveError> {
    let mut checked =
        Checked { at: place, limits, left: limits.bytes, seen: BTreeSet::new(), links: BTreeSet::new() };
    match packing {
        Packing::Tar => checked.tar(&mut tar::Archive::new(file), into),
        Packing::TarGz => checked.tar(&mut tar::Archive::new(GzDecoder::new(file)), into),
        Packing::Zip => checked.zip(&mut zip::ZipArchive::new(file)?, into),
    }
}

struct Checked<'a> {
    at: Place<'a>,
    limits: Limits,
    left: u64,
    seen: BTreeSet<PathBuf>,
    links: BTreeSet<PathBuf>,
}

// === impl Checked ===

impl Checked<'_> {
    fn tar<R: Read, W: Write>(
        &mut self,
        archive: &mut tar::Archive<R>,
        into: &mut Layer<W>,
    ) -> Result<(), ArchiveError> {
        for entry in archive.entries()? {
            let mut entry = entry?;
            let kind = entry.header().entry_type();
            if matches!(kind, EntryType::XGlobalHeader) {
                continue;
            }
            let raw = entry.path()?.into_owned();
            let Some(path) = self.path(&raw)? else { continue };
            let mode = entry.header().mode()?;
            let target = entry.link_name()?.map(std::borrow::Cow::into_owned);
            match (kind, target) {
                (EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse, _) => {
                    let size = self.take(&path, entry.size())?;
                    into.file(&self.place(&path), mode, size, &mut entry)?;
                }
                (EntryType::Directory, _) => into.dir(&self.place(&path), mode)?,
                (EntryType::Symlink, Some(to)) => self.link(&path, &to, into)?,
                (EntryType::Link, Some(to)) => {
                    let own = self.at.of.map_or(Ok(&*to), |of| to.strip_prefix(of));
                    let inside = own.ok().and_then(|own| self.inside(own));
                    let to = inside.ok_or_else(|| outside(&path, &to))?;
                    if !self.seen.contains(&to) || self.links.contains(&to) {
                        return Err(outside(&path, &to));
                    }
                    into.hard_link(&self.place(&path), &self.place(&to))?;
                }
                _ => return Err(ArchiveError::Kind(shown(&path))),
            }
        }
        Ok(())
    }

    fn zip<R: Read + Seek, W: Write>(
        &mut self,
        archive: &mut zip::ZipArchive<R>,
        into: &mut Layer<W>,
    ) -> Result<(), ArchiveError> {
        for index in 0..archive.len() {
            let entry = archive.by_index_raw(index)?;
            let raw = PathBuf::from(entry.name()?.into_owned());
            let (encrypted, is_link, is_dir) = (entry.encrypted(), entry.is_symlink(), entry.is_dir());
            let (mode, size) = (entry.unix_mode().unwrap_or(0o644), entry.size());
            drop(entry);
            if encrypted {
                return Err(ArchiveError::Encrypted(shown(&raw)));
            }
            let Some(path) = self.path(&raw)? else { continue };
            if is_dir {
                into.dir(&self.place(&path), mode | 0o755)?;
                continue;
            }
            let mut content = archive.by_index(index)?;
            if is_link {
                let mut to = String::new();
                content.take(NAME as u64).read_to_string(&mut to)?;
                self.link(&path, Path::new(&to), into)?;
            } else {
                let size = self.take(&path, size)?;
                // What holds more than it says is cut off there.
                into.file(&self.place(&path), mode, size, &mut content)?;
            }
        }
        Ok(())
    }

    fn link<W: Write>(&mut self, path: &Path, to: &Path, into: &mut Layer<W>) -> Result<(), ArchiveError> {
        let from = path.parent().unwrap_or(Path::new("")).join(to);
        if to.is_absolute() || self.inside(&from).is_none() {
            return Err(outside(path, to));
        }
        self.links.insert(path.to_owned());
        Ok(into.symlink(&self.place(path), to)?)
    }

    /// The path without `.`; none for the directory itself.
    fn path(&mut self, raw: &Path) -> Result<Option<PathBuf>, ArchiveError> {
        let text = raw.to_string_lossy();
        let too_long = text.len() > NAME || raw.components().count() > DEPTH;
        if too_long || text.contains(['\0', '\\']) {
            return Err(ArchiveError::Name(text.chars().take(80).collect()));
        }
        let mut path = PathBuf::new();
        for part in raw.components() {
            match part {
                Component::Normal(part) => path.push(part),
                Component::CurDir => {}
                _ => return Err(ArchiveError::Outside(shown(raw))),
            }
        }
        if let Some(of) = self.at.of {
            // What lies beside it is not meant.
            let Ok(below) = path.strip_prefix(of) else { return Ok(None) };
            path = below.to_owned();
        }
        if path.as_os_str().is_empty() {
            return Ok(None);
        }
        if path.ancestors().skip(1).any(|above| self.links.contains(above)) {
            return Err(ArchiveError::Below(shown(&path)));
        }
        if self.seen.len() >= self.limits.entries {
            return Err(ArchiveError::Entries(self.limits.entries));
        }
        if !self.seen.insert(path.clone()) {
            return Err(ArchiveError::Twice(shown(&path)));
        }
        Ok(Some(path))
    }

    /// Where a name leads, if that is below the top.
    fn inside(&self, path: &Path) -> Option<PathBuf> {
        let mut found = PathBuf::new();
        for part in path.components() {
            match part {
                Component::Normal(part) => found.push(part),
                Component::CurDir => {}
                Component::ParentDir if found.pop() => {}
                _ => return None,
            }
        }
        Some(found)
    }

    fn take(&mut self, path: &Path, size: u64) -> Result<u64, ArchiveError> {
        let too_much = || ArchiveError::Bytes { name: shown(path), bytes: self.limits.bytes };
        self.left = self.left.checked_sub(size).ok_or_else(too_much)?;
        Ok(size)
    }

    fn place(&self, path: &Path) -> String {
        format!("{}/{}", self.at.to, path.to_string_lossy())
    }
}

fn outside(link: &Path, to: &Path) -> ArchiveError {
    ArchiveError::Link { link: shown(link), to: shown(to) }
}

/// As people may read it.
fn shown(path: &Path) -> String {
    path.to_string_lossy().chars().filter(|c| !c.is_control()).take(200).collect()
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tar => "tar",
            Self::TarGz => "tar.gz",
            Self::Zip => "zip",
        })
    }
}
