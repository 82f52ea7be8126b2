//! The registry's memory: content, and what repositories show of it, on disk and in memory.
//!
//! Changes come one after another; readers wait for none of them. What a method acknowledges is on the disk. Methods
//! that change something or read content block: they belong on a thread that may.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use crate::catalogue::{Catalogue, Garbage, Held, Lack, Link, Patience};
use crate::content::{Content, Draft, KeepError, Sealed};
use crate::digest::Digest;
use crate::manifests::{Manifest, ManifestError};
use crate::names::{Name, Project, Reference, Tag};
use crate::referrers;
use crate::shelves::Shelves;

/// What a registry allows and how long it waits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a manifest.
    pub manifest: usize,
    /// Uploads that a project may have open.
    pub uploads: usize,
    /// An upload that nobody went on with for so long is dropped.
    pub idle: Duration,
    /// Bytes of the disk that uploads leave free.
    pub reserve: u64,
    /// A blob that no manifest names stays so long.
    pub loose: Duration,
    /// A manifest without a tag, that nobody uses, stays so long.
    pub untagged: Duration,
}

/// Everything below one directory. One process per directory: whoever opens it sees to that.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    limits: Limits,
    content: Content,
    shelves: Shelves,
    catalogue: RwLock<Catalogue>,
    /// Whoever changes something.
    turn: Mutex<()>,
}

/// A manifest, as clients get it.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name.
    pub digest: Digest,
    /// What it says.
    pub manifest: Arc<Manifest>,
    /// Its bytes.
    pub size: u64,
}

/// What a collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Manifests that nobody needed.
    pub manifests: usize,
    /// Blobs that a repository showed and nobody needed.
    pub blobs: usize,
    /// Files, and their bytes.
    pub files: usize,
    /// Bytes that are free now.
    pub bytes: u64,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The repository shows no such blob.
    #[error("the repository has no blob {0}")]
    BlobUnknown(Digest),
    /// The repository shows no such manifest.
    #[error("the repository has no manifest {0}")]
    ManifestUnknown(String),
    /// There is no such repository.
    #[error("there is no repository {0}")]
    NameUnknown(Name),
    /// A manifest names what is not here.
    #[error("the manifest names what the repository has not: {}", list(.0))]
    Missing(Vec<Digest>),
    /// A manifest names content by another size than it has.
    #[error("the manifest says that {digest} has {said} bytes; it has {found}")]
    Size {
        /// Of what.
        digest: Digest,
        /// In the manifest.
        said: u64,
        /// On disk.
        found: u64,
    },
    /// No manifest.
    #[error("not a manifest: {0}")]
    Manifest(#[from] ManifestError),
    /// Content is not what it was said to be.
    #[error("the content has the digest {found}, not {expected}")]
    Digest {
        /// As it was announced.
        expected: Digest,
        /// As it came.
        found: Digest,
    },
    /// A manifest would lose a part of itself.
    #[error("the manifest {by} needs it; delete that first")]
    Needed {
        /// Which.
        by: Digest,
    },
    /// The project may not keep so much.
    #[error(
        "the project {project} may keep {} in the registry, and would have {}; delete images that are not needed, or ask \
         an administrator for more", bytes(*limit), bytes(*wanted)
    )]
    Quota {
        /// Whose.
        project: Project,
        /// Bytes allowed.
        limit: u64,
        /// Bytes there would be.
        wanted: u64,
    },
    /// The disk is full, or nearly so.
    #[error("the registry's disk is full ({}); ask whoever runs it to make room", dir.display())]
    Full {
        /// Where.
        dir: PathBuf,
    },
    /// The disk refuses.
    #[error("the registry's disk refuses ({}): {source}", dir.display())]
    Disk {
        /// Where.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
}

type Result<T> = std::result::Result<T, StoreError>;

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest: 4 * 1024 * 1024,
            uploads: 64,
            idle: Duration::from_secs(24 * 3600),
            reserve: 256 * 1024 * 1024,
            loose: Duration::from_secs(6 * 3600),
            untagged: Duration::from_secs(14 * 24 * 3600),
        }
    }
}

// === impl Store ===

impl Store {
    /// Reads what is in `dir`, and makes what is missing.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open(dir: &Path, limits: Limits) -> Result<Self> {
        let at = |source| failed(dir, source);
        // Others on this machine read no images.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(at)?;
        let content = Content::open(dir).map_err(at)?;
        let shelves = Shelves::open(dir).map_err(at)?;
        let catalogue = shelves.load(&content, Instant::now()).map_err(at)?;
        let (dir, catalogue, turn) = (dir.to_owned(), RwLock::new(catalogue), Mutex::new(()));
        Ok(Self { dir, limits, content, shelves, catalogue, turn })
    }

    /// What is allowed here.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Bytes of a blob, if the repository shows it.
    #[must_use]
    pub fn blob(&self, name: &Name, digest: &Digest) -> Option<u64> {
        // Manifests may be read as blobs, too: some clients do so.
        self.read().get(name)?.size(digest)
    }

    /// Somebody was told that the blob is here, and counts on it.
    pub fn counted_on(&self, name: &Name, digest: &Digest) {
        let mut catalogue = self.write();
        let link = catalogue.get_mut(name).and_then(|repository| repository.blobs.get_mut(digest));
        if let Some(link) = link {
            link.since = Instant::now();
        }
    }

    /// Opens content. Ask [`Store::blob`] first whether it may be seen.
    ///
    /// # Errors
    /// When it is not here, or the disk refuses.
    pub fn open_content(&self, digest: &Digest) -> Result<(File, u64)> {
        self.content.read(digest).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::BlobUnknown(*digest),
            _ => self.failed(error),
        })
    }

    /// A manifest that the repository shows.
    ///
    /// # Errors
    /// When it shows no such thing.
    pub fn manifest(&self, name: &Name, reference: &Reference) -> Result<Found> {
        let catalogue = self.read();
        let found = catalogue.get(name).and_then(|repository| repository.find(reference));
        let (digest, Held { manifest, size, .. }) =
            found.ok_or_else(|| StoreError::ManifestUnknown(reference.to_string()))?;
        Ok(Found { digest, manifest: Arc::clone(manifest), size: *size })
    }

    /// All of a manifest's bytes.
    ///
    /// # Errors
    /// When they are not here, or the disk refuses.
    pub fn manifest_bytes(&self, digest: &Digest) -> Result<Vec<u8>> {
        self.content.bytes(digest).map_err(|error| self.failed(error))
    }

    /// Tags of a repository in order, after `last`, at most `most`; and whether there are more.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn tags(&self, name: &Name, last: Option<&str>, most: usize) -> Result<(Vec<Tag>, bool)> {
        let catalogue = self.read();
        let repository = catalogue.get(name).ok_or_else(|| StoreError::NameUnknown(name.clone()))?;
        let mut after = repository.tags.keys().filter(|tag| last.is_none_or(|last| tag.as_str() > last));
        let page: Vec<_> = after.by_ref().take(most).cloned().collect();
        Ok((page, after.next().is_some()))
    }

    /// What is attached to a manifest, which need not be here.
    #[must_use]
    pub fn referrers(
        &self,
        name: &Name,
        subject: &Digest,
        kind: Option<&str>,
        last: Option<Digest>,
        most: usize,
    ) -> referrers::Page {
        let catalogue = self.read();
        let repository = catalogue.get(name);
        let attached = repository.into_iter().flat_map(|repository| repository.attached(subject));
        referrers::page(attached, kind, last, most)
    }

    /// Names of all repositories, and of each its tags and the digests that they name.
    #[must_use]
    pub fn repositories(&self) -> BTreeMap<Name, BTreeMap<Tag, Digest>> {
        let catalogue = self.read();
        let tags = |name: &Name| catalogue.get(name).map(|of| of.tags.clone()).unwrap_or_default();
        catalogue.names().map(|name| (name.clone(), tags(name))).collect()
    }

    /// Bytes that a project keeps.
    #[must_use]
    pub fn used(&self, project: &Project) -> u64 {
        self.read().used(project)
    }

    /// Begins to write content.
    ///
    /// # Errors
    /// When the disk refuses or is nearly full.
    pub fn draft(&self) -> Result<Draft> {
        self.room(0)?;
        self.content.draft().map_err(|error| self.failed(error))
    }

    /// Is there room for so many bytes more?
    ///
    /// # Errors
    /// When there is not.
    pub fn room(&self, more: u64) -> Result<()> {
        let free = free(&self.dir).map_err(|error| self.failed(error))?;
        if free < self.limits.reserve.saturating_add(more) {
            return Err(StoreError::Full { dir: self.dir.clone() });
        }
        Ok(())
    }

    /// The repository shows this content from now on.
    ///
    /// # Errors
    /// When the project may not keep so much, or the disk refuses.
    pub fn add_blob(&self, name: &Name, sealed: Sealed, quota: Option<u64>) -> Result<()> {
        let (digest, size) = (sealed.digest(), sealed.length());
        let _turn = self.turn();
        self.affordable(name, (digest, size), quota)?;
        sealed.keep(&self.content).map_err(|error| self.not_kept(error))?;
        self.show_blob(name, digest, size)
    }

    /// The same for a draft, which is to be `expected`.
    ///
    /// # Errors
    /// When it is something else, the project may not keep so much, or the disk refuses.
    pub fn keep(&self, name: &Name, draft: Draft, expected: &Digest, quota: Option<u64>) -> Result<()> {
        let sealed = draft.seal(expected).map_err(|error| self.not_kept(error))?;
        self.add_blob(name, sealed, quota)
    }

    /// The repository shows from now on what `from` shows; false if that shows no such blob.
    ///
    /// # Errors
    /// When the project may not keep so much, or the disk refuses.
    pub fn mount(&self, name: &Name, from: &Name, digest: &Digest, quota: Option<u64>) -> Result<bool> {
        let _turn = self.turn();
        let size = self.read().get(from).and_then(|from| from.blobs.get(digest)).map(|link| link.size);
        let Some(size) = size else { return Ok(false) };
        self.affordable(name, (*digest, size), quota)?;
        self.show_blob(name, *digest, size)?;
        Ok(true)
    }

    /// The repository shows this content from now on, if it is here at all; says whether. Whoever calls knows that it may.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn take_over(&self, name: &Name, digest: &Digest) -> Result<bool> {
        let _turn = self.turn();
        match self.content.read(digest) {
            Ok((_, size)) => self.show_blob(name, *digest, size).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The repository shows this manifest from now on; under `tag`, if there is one.
    ///
    /// # Errors
    /// When it is no manifest, is not `expected`, names what is not here, or cannot be kept.
    pub fn add_manifest(
        &self,
        name: &Name,
        bytes: &[u8],
        content_type: Option<&str>,
        wanted: &Reference,
        quota: Option<u64>,
    ) -> Result<Found> {
        self.hold_manifest(name, (bytes, content_type), wanted, |store, manifest, size| {
            let catalogue = store.read();
            let nothing = crate::catalogue::Repository::default();
            match catalogue.get(name).unwrap_or(&nothing).lacks(manifest) {
                Some(Lack::Missing(missing)) => return Err(StoreError::Missing(missing)),
                Some(Lack::Size { digest, said, found }) => {
                    return Err(StoreError::Size { digest, said, found });
                }
                None => {}
            }
            drop(catalogue);
            store.affordable(name, size, quota)
        })
    }

    /// The same in a cache, which gets what the manifest names when somebody asks for it.
    ///
    /// # Errors
    /// When it is no manifest, is not `expected`, or cannot be kept.
    pub fn keep_manifest(
        &self,
        name: &Name,
        bytes: &[u8],
        content_type: Option<&str>,
        wanted: &Reference,
    ) -> Result<Found> {
        self.hold_manifest(name, (bytes, content_type), wanted, |_, _, _| Ok(()))
    }

    fn hold_manifest(
        &self,
        name: &Name,
        (bytes, content_type): (&[u8], Option<&str>),
        wanted: &Reference,
        check: impl FnOnce(&Self, &Manifest, (Digest, u64)) -> Result<()>,
    ) -> Result<Found> {
        let manifest = Arc::new(Manifest::parse(content_type, bytes)?);
        let digest = Digest::of(bytes);
        let tag = match wanted {
            Reference::Tag(tag) => Some(tag),
            Reference::Digest(expected) if *expected == digest => None,
            Reference::Digest(expected) => {
                return Err(StoreError::Digest { expected: *expected, found: digest });
            }
        };
        let mut draft = self.draft()?;
        draft.append(bytes).map_err(|error| self.failed(error))?;
        let sealed = draft.seal(&digest).map_err(|error| self.not_kept(error))?;
        let size = sealed.length();
        let _turn = self.turn();
        check(self, &manifest, (digest, size))?;
        let kind = manifest.media_type;
        sealed.keep(&self.content).map_err(|error| self.not_kept(error))?;
        self.shelves.show_manifest(name, &digest, kind).map_err(|error| self.failed(error))?;
        let held = Held { manifest: Arc::clone(&manifest), size, since: Instant::now() };
        self.write().entry(name).manifests.insert(digest, held);
        if let Some(tag) = tag {
            self.shelves.set_tag(name, tag, &digest).map_err(|error| self.failed(error))?;
            let mut catalogue = self.write();
            let repository = catalogue.entry(name);
            let before = repository.tags.insert(tag.clone(), digest);
            // What loses its name now has its time from now on.
            if let Some(before) = before.and_then(|before| repository.manifests.get_mut(&before)) {
                before.since = Instant::now();
            }
        }
        Ok(Found { digest, manifest, size })
    }

    /// Takes a tag away, or a manifest with all its tags.
    ///
    /// # Errors
    /// When it is not here, or a manifest needs it.
    pub fn delete_manifest(&self, name: &Name, reference: &Reference) -> Result<()> {
        let _turn = self.turn();
        match reference {
            Reference::Tag(tag) => {
                let known = self.read().get(name).is_some_and(|of| of.tags.contains_key(tag));
                if !known {
                    return Err(StoreError::ManifestUnknown(tag.to_string()));
                }
                self.drop_tag(name, tag)?;
            }
            Reference::Digest(digest) => {
                {
                    let catalogue = self.read();
                    let of = catalogue.get(name).filter(|of| of.manifests.contains_key(digest));
                    let of = of.ok_or_else(|| StoreError::ManifestUnknown(digest.to_string()))?;
                    if let Some(by) = of.needing(digest) {
                        return Err(StoreError::Needed { by });
                    }
                }
                self.drop_manifest(name, digest)?;
            }
        }
        self.prune(name);
        Ok(())
    }

    /// Takes a blob away from a repository.
    ///
    /// # Errors
    /// When it is not here, or a manifest needs it.
    pub fn delete_blob(&self, name: &Name, digest: &Digest) -> Result<()> {
        let _turn = self.turn();
        {
            let catalogue = self.read();
            let of = catalogue.get(name).filter(|of| of.blobs.contains_key(digest));
            let of = of.ok_or(StoreError::BlobUnknown(*digest))?;
            if let Some(by) = of.needing(digest) {
                return Err(StoreError::Needed { by });
            }
        }
        self.drop_blob(name, digest)?;
        self.prune(name);
        Ok(())
    }

    /// Removes what nobody needs any more, while others push and pull. `is_used` says which manifests without a tag are
    /// needed all the same.
    ///
    /// # Errors
    /// When the disk refuses; the next collection goes on.
    pub fn collect(&self, now: Instant, is_used: &dyn Fn(&Name, &Digest) -> bool) -> Result<Collected> {
        let patience = Patience { blob: self.limits.loose, manifest: self.limits.untagged };
        let mut done = Collected::default();
        let garbage = self.read().garbage(now, patience, is_used);
        for piece in garbage.chunks(PIECE) {
            let _turn = self.turn();
            // Meanwhile, somebody may have come to need it.
            let still = self.read().garbage(now, patience, is_used);
            for one in piece.iter().filter(|one| still.contains(one)) {
                match one {
                    Garbage::Manifest(name, digest) => {
                        self.drop_manifest(name, digest)?;
                        done.manifests += 1;
                        self.prune(name);
                    }
                    Garbage::Blob(name, digest) => {
                        self.drop_blob(name, digest)?;
                        done.blobs += 1;
                        self.prune(name);
                    }
                }
            }
        }
        for first in 0..=u8::MAX {
            let _turn = self.turn();
            for digest in self.content.list(first).map_err(|error| self.failed(error))? {
                if !self.read().is_linked(&digest) {
                    done.bytes += self.open_content(&digest).map_or(0, |(_, size)| size);
                    self.content.remove(&digest).map_err(|error| self.failed(error))?;
                    done.files += 1;
                }
            }
        }
        Ok(done)
    }

    fn affordable(&self, name: &Name, more: (Digest, u64), quota: Option<u64>) -> Result<()> {
        let Some(limit) = quota else { return Ok(()) };
        let project = name.project();
        let wanted = self.read().used_with(&project, more);
        if wanted > limit { Err(StoreError::Quota { project, limit, wanted }) } else { Ok(()) }
    }

    fn show_blob(&self, name: &Name, digest: Digest, size: u64) -> Result<()> {
        self.shelves.show_blob(name, &digest).map_err(|error| self.failed(error))?;
        self.write().entry(name).blobs.insert(digest, Link { size, since: Instant::now() });
        Ok(())
    }

    fn drop_tag(&self, name: &Name, tag: &Tag) -> Result<()> {
        self.shelves.remove_tag(name, tag).map_err(|error| self.failed(error))?;
        if let Some(repository) = self.write().get_mut(name) {
            let digest = repository.tags.remove(tag);
            if let Some(held) = digest.and_then(|digest| repository.manifests.get_mut(&digest)) {
                held.since = Instant::now();
            }
        }
        Ok(())
    }

    fn drop_manifest(&self, name: &Name, digest: &Digest) -> Result<()> {
        let tags: Vec<_> = {
            let catalogue = self.read();
            let tags = catalogue.get(name).into_iter().flat_map(|of| &of.tags);
            tags.filter(|(_, named)| *named == digest).map(|(tag, _)| tag.clone()).collect()
        };
        for tag in tags {
            self.drop_tag(name, &tag)?;
        }
        self.shelves.hide_manifest(name, digest).map_err(|error| self.failed(error))?;
        if let Some(repository) = self.write().get_mut(name) {
            repository.manifests.remove(digest);
        }
        Ok(())
    }

    fn drop_blob(&self, name: &Name, digest: &Digest) -> Result<()> {
        self.shelves.hide_blob(name, digest).map_err(|error| self.failed(error))?;
        if let Some(repository) = self.write().get_mut(name) {
            repository.blobs.remove(digest);
        }
        Ok(())
    }

    fn prune(&self, name: &Name) {
        if self.write().prune(name) {
            self.shelves.prune(name);
        }
    }

    /// Why the disk refused what was written to a draft.
    #[must_use]
    pub fn refused(&self, source: io::Error) -> StoreError {
        self.failed(source)
    }

    pub(crate) fn failed(&self, source: io::Error) -> StoreError {
        failed(&self.dir, source)
    }

    pub(crate) fn not_kept(&self, error: KeepError) -> StoreError {
        match error {
            KeepError::Digest { expected, found } => StoreError::Digest { expected, found },
            KeepError::Write { source, .. } => self.failed(source),
        }
    }

    // A panic of another thread leaves nothing half: each change of the memory is one step.
    fn read(&self) -> RwLockReadGuard<'_, Catalogue> {
        self.catalogue.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Catalogue> {
        self.catalogue.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removed in one turn.
const PIECE: usize = 64;

fn failed(dir: &Path, source: io::Error) -> StoreError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { dir: dir.to_owned() },
        _ => StoreError::Disk { dir: dir.to_owned(), source },
    }
}

/// Bytes that may still be written.
fn free(dir: &Path) -> io::Result<u64> {
    let found = nix::sys::statvfs::statvfs(dir)?;
    #[allow(clippy::unnecessary_cast, reason = "u32 on 32-bit targets")]
    let (blocks, size) = (found.blocks_available() as u64, found.fragment_size() as u64);
    Ok(blocks.saturating_mul(size))
}

fn list(digests: &[Digest]) -> String {
    let shown = digests.iter().take(5).map(Digest::to_string).collect::<Vec<_>>().join(", ");
    if digests.len() > 5 { format!("{shown} and {} more", digests.len() - 5) } else { shown }
}

/// As people read sizes.
fn bytes(count: u64) -> String {
    match count {
        0..=0xf_ffff => format!("{} KiB", count.div_ceil(1024)),
        0x10_0000..=0x3fff_ffff => format!("{:.1} MiB", count as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", count as f64 / 1_073_741_824.0),
    }
}
