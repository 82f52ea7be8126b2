//! What a registry that is a cache of another one fetches: each blob crosses the way once, however many ask for it at once,
//! goes on after a cut, and is kept when it is what it was said to be. Whoever asked first reads it while it comes; the
//! last bytes are shown when all of it was verified.
//!
//! ```text
//! fetches/<hex>   what came so far
//! ```

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, Stream};
use tokio::sync::{Mutex as AsyncMutex, watch};

use crate::content::{Draft, sync};
use crate::digest::Digest;
use crate::http::blocking;
use crate::names::{Name, Reference};
use crate::store::{Found, Store, StoreError};
use crate::upstream::{FetchedBlob, Upstream, UpstreamError};

/// A registry above, and what comes from it now.
pub(crate) struct Cache {
    upstream: Arc<dyn Upstream>,
    store: Arc<Store>,
    dir: PathBuf,
    coming: Mutex<HashMap<(Name, Digest), watch::Receiver<Coming>>>,
    writing: Mutex<HashMap<Digest, Arc<AsyncMutex<()>>>>,
}

/// How far it has come.
#[derive(Clone, Debug)]
enum Coming {
    /// The answer is not there yet.
    Asked,
    Some {
        there: u64,
        size: u64,
    },
    /// It is kept.
    Kept,
    Failed(CacheError),
}

/// A blob that is read while it comes.
pub(crate) struct Reading {
    pub(crate) size: u64,
    file: fs::File,
    coming: watch::Receiver<Coming>,
}

/// Why it did not come.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CacheError {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error(transparent)]
    Store(Arc<StoreError>),
}

// === impl Cache ===

impl Cache {
    pub(crate) fn open(root: &Path, store: Arc<Store>, upstream: Arc<dyn Upstream>) -> io::Result<Self> {
        let dir = root.join("fetches");
        fs::create_dir_all(&dir)?;
        sync(root)?;
        Ok(Self { upstream, store, dir, coming: Mutex::default(), writing: Mutex::default() })
    }

    /// What a tag names is asked for each time, as long as somebody answers; what a digest names, once.
    pub(crate) async fn manifest(&self, name: &Name, reference: &Reference) -> Result<Found, CacheError> {
        let here = self.store.manifest(name, reference);
        if let (Ok(found), Reference::Digest(_)) = (&here, reference) {
            return Ok(found.clone());
        }
        let most = self.store.limits().manifest;
        let fetched = match (self.upstream.manifest(name, reference, most).await, here) {
            (Ok(fetched), _) => fetched,
            (Err(UpstreamError::Away(_)), Ok(found)) => return Ok(found),
            (Err(error), _) => return Err(error.into()),
        };
        let (store, name, reference) = (Arc::clone(&self.store), name.clone(), reference.clone());
        let kept =
            blocking(move || store.keep_manifest(&name, &fetched.bytes, fetched.kind.as_deref(), &reference));
        kept.await.map_err(CacheError::store)
    }

    /// Begins to fetch a blob, unless that is under way, and returns when its first bytes may come. `None`: it is here.
    pub(crate) async fn blob(
        self: &Arc<Self>,
        name: &Name,
        digest: &Digest,
    ) -> Result<Option<Reading>, CacheError> {
        let mut coming = {
            let key = (name.clone(), *digest);
            let mut all = self.all();
            match all.get(&key) {
                Some(coming) => coming.clone(),
                None => {
                    let (told, coming) = watch::channel(Coming::Asked);
                    all.insert(key.clone(), coming.clone());
                    let cache = Arc::clone(self);
                    tokio::spawn(async move {
                        let ended = match cache.fetch(&key.0, &key.1, &told).await {
                            Ok(()) => Coming::Kept,
                            Err(error) => Coming::Failed(error),
                        };
                        cache.all().remove(&key);
                        told.send_replace(ended);
                    });
                    coming
                }
            }
        };
        let path = self.path(digest);
        let begun =
            coming.wait_for(|coming| !matches!(coming, Coming::Asked)).await.map(|coming| coming.clone());
        match begun {
            Ok(Coming::Some { size, .. }) => {
                let file = blocking(move || fs::File::open(path)).await;
                match file {
                    Ok(file) => Ok(Some(Reading { size, file, coming })),
                    // It was kept in between.
                    Err(_) => self.ended(coming).await,
                }
            }
            Ok(Coming::Failed(error)) => Err(error),
            Ok(Coming::Kept | Coming::Asked) | Err(_) => Ok(None),
        }
    }

    async fn ended(&self, mut coming: watch::Receiver<Coming>) -> Result<Option<Reading>, CacheError> {
        let over = |coming: &Coming| matches!(coming, Coming::Kept | Coming::Failed(_));
        match coming.wait_for(over).await.map(|coming| coming.clone()) {
            Ok(Coming::Failed(error)) => Err(error),
            _ => Ok(None),
        }
    }

    /// Bytes of a blob that is not here.
    pub(crate) async fn size(&self, name: &Name, digest: &Digest) -> Result<u64, CacheError> {
        Ok(self.upstream.blob(name, digest, 0).await?.size)
    }

    async fn fetch(
        &self,
        name: &Name,
        digest: &Digest,
        told: &watch::Sender<Coming>,
    ) -> Result<(), CacheError> {
        // Whoever answers has admitted this repository: what another one brought here is not brought again.
        let first = self.upstream.blob(name, digest, 0).await?;
        let size = first.size;
        let one = self.one(digest);
        let (_one, first) = match one.try_lock() {
            Ok(lock) => (lock, Some(first)),
            Err(_) => {
                drop(first);
                (one.lock().await, None)
            }
        };
        let store = Arc::clone(&self.store);
        let (of, wanted) = (name.clone(), *digest);
        if blocking(move || store.take_over(&of, &wanted)).await.map_err(CacheError::store)? {
            return Ok(());
        }
        let path = self.path(digest);
        let draft = blocking(move || Draft::at(&path)).await;
        let mut draft = draft.map_err(|error| CacheError::store(self.store.failed(error)))?;
        let mut came = first.filter(|_| draft.length() == 0);
        let mut tries = 0;
        while draft.length() < size {
            let at = draft.length();
            let next = match came.take() {
                Some(first) => Ok(first),
                None => self.upstream.blob(name, digest, at).await,
            };
            let error = match next {
                Ok(next) => {
                    let (back, ended) = self.append(draft, next, size, told).await?;
                    draft = back;
                    ended
                }
                Err(error @ UpstreamError::Away(_)) => Some(error),
                Err(error) => return Err(error.into()),
            };
            if draft.length() > at {
                tries = 0;
            }
            let Some(error) = error else { continue };
            if tries == PAUSES.len() {
                return Err(error.into());
            }
            tokio::time::sleep(PAUSES[tries]).await;
            tries += 1;
        }
        let (store, name, digest) = (Arc::clone(&self.store), name.clone(), *digest);
        let path = self.path(&digest);
        let kept = blocking(move || {
            let sealed = draft.seal(&digest).map_err(|error| store.not_kept(error));
            let kept = sealed.and_then(|sealed| store.add_blob(&name, sealed, None));
            if kept.is_err() {
                // What is wrong is fetched anew the next time.
                let _ = fs::remove_file(path);
            }
            kept
        });
        kept.await.map_err(CacheError::store)
    }

    /// Writes what comes until it ends; says why it ended early.
    async fn append(
        &self,
        mut draft: Draft,
        next: FetchedBlob,
        size: u64,
        told: &watch::Sender<Coming>,
    ) -> Result<(Draft, Option<UpstreamError>), CacheError> {
        let mut bytes = next.bytes.ready_chunks(CHUNKS);
        loop {
            let pieces = match tokio::time::timeout(SILENCE, bytes.next()).await {
                Ok(Some(pieces)) => pieces,
                Ok(None) if draft.length() < size => {
                    return Ok((draft, Some(UpstreamError::Away("it was cut".to_owned()))));
                }
                Ok(None) => return Ok((draft, None)),
                Err(_) => return Ok((draft, Some(UpstreamError::Away("nothing comes any more".to_owned())))),
            };
            let mut good = Vec::new();
            let mut error = None;
            for piece in pieces {
                match piece {
                    Ok(piece) => good.push(piece),
                    Err(cut) => error = Some(UpstreamError::Away(cut.to_string())),
                }
            }
            let more: u64 = good.iter().map(|piece| piece.len() as u64).sum();
            if draft.length() + more > size {
                let error = UpstreamError::Refused("it sends more than it said".to_owned());
                return Err(error.into());
            }
            self.store.room(more).map_err(CacheError::store)?;
            let (back, written) = blocking(move || {
                let written = good.iter().try_for_each(|piece| draft.append(piece));
                (draft, written)
            })
            .await;
            draft = back;
            written.map_err(|error| CacheError::store(self.store.failed(error)))?;
            told.send_replace(Coming::Some { there: draft.length(), size });
            if error.is_some() {
                return Ok((draft, error));
            }
        }
    }

    /// Held by whoever writes the content of this digest: several repositories may ask for it at once.
    fn one(&self, digest: &Digest) -> Arc<AsyncMutex<()>> {
        let mut all = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, one| Arc::strong_count(one) > 1);
        Arc::clone(all.entry(*digest).or_default())
    }

    /// Removes what nobody went on with for so long. Blocks.
    pub(crate) fn clean(&self, idle: Duration) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let changed = entry.metadata()?.modified()?;
            let old = changed.elapsed().is_ok_and(|age| age > idle);
            let under_way = entry
                .file_name()
                .to_str()
                .and_then(Digest::from_hex)
                .is_some_and(|digest| self.all().keys().any(|(_, coming)| *coming == digest));
            if old && !under_way {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(digest.hex())
    }

    fn all(&self) -> MutexGuard<'_, HashMap<(Name, Digest), watch::Receiver<Coming>>> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl CacheError ===

impl CacheError {
    fn store(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

// === impl Reading ===

impl Reading {
    /// The bytes from the first to the last, both included, as they come.
    pub(crate) fn bytes(self, first: u64, last: u64) -> impl Stream<Item = io::Result<Bytes>> + Send {
        stream::try_unfold((self, first), move |(mut reading, at)| async move {
            if at > last {
                return Ok(None);
            }
            let there = reading.until(at).await?;
            let most = (there.min(last + 1) - at).min(PIECE as u64);
            let (reading, piece) = blocking(move || {
                let piece = read(&mut reading.file, at, most);
                (reading, piece)
            })
            .await;
            let piece = piece?;
            let next = at + piece.len() as u64;
            Ok(Some((piece, (reading, next))))
        })
    }

    /// How much may be shown, when it is more than `at`.
    async fn until(&mut self, at: u64) -> io::Result<u64> {
        let size = self.size;
        let shown = move |coming: &Coming| match coming {
            Coming::Asked | Coming::Failed(_) => 0,
            // The last byte waits until all of it is known to be right.
            Coming::Some { there, .. } => (*there).min(size - 1),
            Coming::Kept => size,
        };
        let ready = |coming: &Coming| shown(coming) > at || matches!(coming, Coming::Failed(_));
        match self.coming.wait_for(ready).await {
            Ok(coming) => match &*coming {
                Coming::Failed(error) => Err(io::Error::other(error.clone())),
                coming => Ok(shown(coming)),
            },
            Err(_) => Err(io::Error::other("the fetch met a bug")),
        }
    }
}

fn read(file: &mut fs::File, at: u64, most: u64) -> io::Result<Bytes> {
    file.seek(SeekFrom::Start(at))?;
    let mut piece = Vec::with_capacity(most as usize);
    file.take(most).read_to_end(&mut piece)?;
    if piece.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(piece.into())
}

/// Between tries to go on; after all of them without a byte, it is given up.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
];
/// A way on which nothing came for so long is cut.
const SILENCE: Duration = Duration::from_secs(60);
/// Pieces that are written at once.
const CHUNKS: usize = 16;
/// Read at once.
const PIECE: usize = 128 * 1024;
