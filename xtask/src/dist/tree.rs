//! What an archive or a package holds: the same from the same files, on every machine and at every time.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tar::{Builder, EntryType, Header};

/// Paths without a leading `/`, in their order. Directories above them are made by themselves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree(BTreeMap<PathBuf, Entry>);

#[derive(Clone, Debug)]
struct Entry {
    kind: Kind,
    mode: u32,
    /// User and group in an archive.
    owner: u64,
}

#[derive(Clone, Debug)]
enum Kind {
    Directory,
    Text(Vec<u8>),
    /// A file of this machine.
    Copy(PathBuf),
}

const PROGRAM: u32 = 0o755;
const DATA: u32 = 0o644;

// === impl Tree ===

impl Tree {
    pub(crate) fn directory(&mut self, path: &str, mode: u32, owner: u64) {
        self.add(path, Kind::Directory, mode, owner);
    }

    pub(crate) fn text(&mut self, path: &str, text: impl Into<Vec<u8>>) {
        self.add(path, Kind::Text(text.into()), DATA, 0);
    }

    pub(crate) fn script(&mut self, path: &str, text: impl Into<Vec<u8>>) {
        self.add(path, Kind::Text(text.into()), PROGRAM, 0);
    }

    pub(crate) fn copy(&mut self, path: &str, file: &Path) {
        self.add(path, Kind::Copy(file.to_owned()), DATA, 0);
    }

    pub(crate) fn program(&mut self, path: &str, file: &Path) {
        self.add(path, Kind::Copy(file.to_owned()), PROGRAM, 0);
    }

    /// Everything below `dir`.
    pub(crate) fn copy_all(&mut self, path: &str, dir: &Path) -> Result<()> {
        for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
            let file = entry?.path();
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let inner = format!("{path}/{name}");
            if file.is_dir() {
                self.copy_all(&inner, &file)?;
            } else {
                self.copy(&inner, &file);
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &str, kind: Kind, mode: u32, owner: u64) {
        let path = PathBuf::from(path.trim_start_matches('/'));
        for above in path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
            let above = above.to_owned();
            self.0.entry(above).or_insert(Entry { kind: Kind::Directory, mode: PROGRAM, owner: 0 });
        }
        self.0.insert(path, Entry { kind, mode, owner });
    }

    /// The paths of files.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        let files = self.0.iter().filter(|(_, entry)| !matches!(entry.kind, Kind::Directory));
        files.map(|(path, _)| path.as_path())
    }

    /// Bytes of all files.
    pub(crate) fn size(&self) -> Result<u64> {
        let size = |entry: &Entry| match &entry.kind {
            Kind::Directory => Ok(0),
            Kind::Text(text) => Ok(text.len() as u64),
            Kind::Copy(file) => Ok(fs::metadata(file).with_context(|| file.display().to_string())?.len()),
        };
        self.0.values().map(size).sum()
    }

    /// An uncompressed archive with `time` (seconds since 1970) on everything.
    pub(crate) fn tar<W: Write>(&self, to: W, time: u64) -> Result<W> {
        let mut tar = Builder::new(to);
        for (path, entry) in &self.0 {
            append(&mut tar, path, entry, time).with_context(|| format!("cannot pack {}", path.display()))?;
        }
        Ok(tar.into_inner()?)
    }

    /// Real files below `dir`, for tools that read such.
    pub(crate) fn lay_out(&self, dir: &Path) -> Result<()> {
        for (path, entry) in &self.0 {
            let path = dir.join(path);
            let laid = match &entry.kind {
                Kind::Directory => fs::create_dir_all(&path),
                Kind::Text(text) => fs::write(&path, text),
                Kind::Copy(file) => fs::copy(file, &path).map(drop),
            };
            laid.and_then(|()| fs::set_permissions(&path, Permissions::from_mode(entry.mode)))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

fn append<W: Write>(tar: &mut Builder<W>, path: &Path, entry: &Entry, time: u64) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_uid(entry.owner);
    header.set_gid(entry.owner);
    header.set_mtime(time);
    let (size, content): (u64, Box<dyn Read>) = match &entry.kind {
        Kind::Directory => {
            header.set_entry_type(EntryType::Directory);
            (0, Box::new(io::empty()))
        }
        Kind::Text(text) => (text.len() as u64, Box::new(text.as_slice())),
        Kind::Copy(file) => {
            let file = File::open(file)?;
            (file.metadata()?.len(), Box::new(file))
        }
    };
    header.set_size(size);
    tar.append_data(&mut header, path, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_make_the_same_bytes_in_whatever_order_they_came() {
        let (mut one, mut other) = (Tree::default(), Tree::default());
        one.text("etc/b", "b");
        one.script("etc/a", "a");
        other.script("etc/a", "a");
        other.text("/etc/b", "b");
        assert_eq!(one.tar(Vec::new(), 7).unwrap(), other.tar(Vec::new(), 7).unwrap());
        assert_ne!(one.tar(Vec::new(), 7).unwrap(), one.tar(Vec::new(), 8).unwrap());
    }

    #[test]
    fn an_archive_has_the_directories_above_its_files_and_its_own_modes() {
        let mut tree = Tree::default();
        tree.directory("var/lib/holm", 0o700, 65532);
        tree.text("usr/share/doc/copyright", "free");
        let bytes = tree.tar(Vec::new(), 0).unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let found = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            (entry.path().unwrap().display().to_string(), header.mode().unwrap(), header.uid().unwrap())
        });
        let found: Vec<_> = found.collect();
        assert_eq!(found[0], ("usr".to_owned(), 0o755, 0));
        assert!(found.contains(&("var/lib/holm".to_owned(), 0o700, 65532)), "{found:?}");
        assert!(found.contains(&("usr/share/doc/copyright".to_owned(), 0o644, 0)), "{found:?}");
    }
}
