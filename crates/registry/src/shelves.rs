//! The repositories on disk: small files that say what each of them shows. All of it blocks.
//!
//! ```text
//! repositories/<name>/_blobs/<hex>       empty: the blob can be pulled here
//! repositories/<name>/_manifests/<hex>   the media type of a manifest that can be pulled here
//! repositories/<name>/_tags/<tag>        the digest that the tag names
//! ```
//!
//! No component of a repository's name begins with `_`. What these functions write is on the disk when they return;
//! what they remove may come back after a power cut, and is harmless then.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::catalogue::{Catalogue, Held, Link};
use crate::content::{Content, sync};
use crate::digest::Digest;
use crate::manifests::{Manifest, MediaType};
use crate::names::{Name, Tag};

/// The directory.
#[derive(Debug)]
pub(crate) struct Shelves {
    root: PathBuf,
    temp: PathBuf,
}

const BLOBS: &str = "_blobs";
const MANIFESTS: &str = "_manifests";
const TAGS: &str = "_tags";

// === impl Shelves ===

impl Shelves {
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let repositories = root.join("repositories");
        fs::create_dir_all(&repositories)?;
        sync(root)?;
        Ok(Self { root: repositories, temp: root.join("temp") })
    }

    pub(crate) fn show_blob(&self, name: &Name, digest: &Digest) -> io::Result<()> {
        self.place(&self.dir(name).join(BLOBS), &digest.hex(), b"")
    }

    pub(crate) fn hide_blob(&self, name: &Name, digest: &Digest) -> io::Result<()> {
        remove(&self.dir(name).join(BLOBS).join(digest.hex()))
    }

    pub(crate) fn show_manifest(&self, name: &Name, digest: &Digest, kind: MediaType) -> io::Result<()> {
        self.place(&self.dir(name).join(MANIFESTS), &digest.hex(), kind.as_str().as_bytes())
    }

    pub(crate) fn hide_manifest(&self, name: &Name, digest: &Digest) -> io::Result<()> {
        remove(&self.dir(name).join(MANIFESTS).join(digest.hex()))
    }

    pub(crate) fn set_tag(&self, name: &Name, tag: &Tag, digest: &Digest) -> io::Result<()> {
        self.place(&self.dir(name).join(TAGS), tag.as_str(), digest.to_string().as_bytes())
    }

    pub(crate) fn remove_tag(&self, name: &Name, tag: &Tag) -> io::Result<()> {
        remove(&self.dir(name).join(TAGS).join(tag.as_str()))
    }

    /// Removes the directories of a repository in which nothing is left, and those above that are empty then.
    pub(crate) fn prune(&self, name: &Name) {
        let dir = self.dir(name);
        for kind in [BLOBS, MANIFESTS, TAGS] {
            // Those that are not empty, or not there, stay as they are.
            let _ = fs::remove_dir(dir.join(kind));
        }
        let above = dir.ancestors().take_while(|above| *above != self.root);
        let _ = above.map(fs::remove_dir).take_while(Result::is_ok).count();
    }

    /// Everything that repositories show. What names content that is not there is forgotten.
    pub(crate) fn load(&self, content: &Content, now: Instant) -> io::Result<Catalogue> {
        let mut catalogue = Catalogue::default();
        let mut open = vec![self.root.clone()];
        while let Some(dir) = open.pop() {
            let below = dir.strip_prefix(&self.root).ok().and_then(Path::to_str);
            let name = below.and_then(|text| Name::parse(text).ok());
            let mut own = false;
            for entry in fs::read_dir(&dir)? {
                let entry = entry?;
                match entry.file_name().to_str() {
                    Some(BLOBS | MANIFESTS | TAGS) => own = true,
                    _ if entry.file_type()?.is_dir() => open.push(entry.path()),
                    _ => {}
                }
            }
            if let Some(name) = name.filter(|_| own) {
                self.load_one(&name, content, &mut catalogue, now)?;
            }
        }
        Ok(catalogue)
    }

    fn load_one(&self, name: &Name, content: &Content, into: &mut Catalogue, now: Instant) -> io::Result<()> {
        let dir = self.dir(name);
        let repository = into.entry(name);
        for hex in files(&dir.join(BLOBS))? {
            let Some(digest) = Digest::from_hex(&hex) else { continue };
            match content.read(&digest) {
                Ok((_, size)) => {
                    repository.blobs.insert(digest, Link { size, since: now });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.hide_blob(name, &digest)?,
                Err(error) => return Err(error),
            }
        }
        for hex in files(&dir.join(MANIFESTS))? {
            let Some(digest) = Digest::from_hex(&hex) else { continue };
            match self.manifest(name, &digest, content, now) {
                Ok(held) => {
                    repository.manifests.insert(digest, held);
                }
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) =>
                {
                    tracing::warn!(repository = %name, %digest, %error, "a manifest is forgotten");
                    self.hide_manifest(name, &digest)?;
                }
                Err(error) => return Err(error),
            }
        }
        for text in files(&dir.join(TAGS))? {
            let Ok(tag) = Tag::parse(&text) else { continue };
            let digest = fs::read_to_string(dir.join(TAGS).join(&text))?;
            match Digest::parse(&digest).ok().filter(|digest| repository.manifests.contains_key(digest)) {
                Some(digest) => {
                    repository.tags.insert(tag, digest);
                }
                None => self.remove_tag(name, &tag)?,
            }
        }
        into.prune(name);
        Ok(())
    }

    fn manifest(&self, name: &Name, digest: &Digest, content: &Content, now: Instant) -> io::Result<Held> {
        let bytes = content.bytes(digest)?;
        let kind = fs::read_to_string(self.dir(name).join(MANIFESTS).join(digest.hex()))?;
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let manifest = Manifest::parse(Some(&kind), &bytes).map_err(invalid)?;
        Ok(Held { manifest: Arc::new(manifest), size: bytes.len() as u64, since: now })
    }

    fn dir(&self, name: &Name) -> PathBuf {
        self.root.join(name.as_str())
    }

    fn place(&self, dir: &Path, file: &str, bytes: &[u8]) -> io::Result<()> {
        make(dir)?;
        let mut temp = tempfile::NamedTempFile::new_in(&self.temp)?;
        temp.write_all(bytes)?;
        temp.as_file().sync_all()?;
        temp.persist(dir.join(file)).map_err(|error| error.error)?;
        sync(dir)
    }
}

/// Makes a directory that is there after a power cut.
fn make(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Ok(()) => dir.parent().map_or(Ok(()), sync),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // The root of all is there: this ends.
            dir.parent().map_or(Err(error), make)?;
            make(dir)
        }
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Names of the files in a directory, which need not be there.
fn files(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    entries.filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose()).collect()
}
