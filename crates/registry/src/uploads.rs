//! Uploads that are open: bytes that came so far, on disk, so that a client goes on with them after a cut or a restart.
//!
//! ```text
//! uploads/<uuid>/repository   where it belongs
//! uploads/<uuid>/data         what came so far
//! ```

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;

use crate::content::{Draft, sync};
use crate::names::{Name, Project, UploadId};

/// All of them.
#[derive(Debug)]
pub(crate) struct Uploads {
    dir: PathBuf,
    open: StdMutex<HashMap<UploadId, Arc<Upload>>>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) repository: Name,
    dir: PathBuf,
    data: Arc<Mutex<Data>>,
    seen: StdMutex<Seen>,
}

/// What is known without waiting for whoever writes.
#[derive(Debug)]
struct Seen {
    length: u64,
    touched: Instant,
    /// Of whoever has the turn now.
    turn: CancellationToken,
}

/// What only whoever has the turn may touch.
#[derive(Debug)]
pub(crate) enum Data {
    /// Not looked at since the start.
    Closed,
    Open(Draft),
    /// It became a blob, or was given up.
    Gone,
}

/// Somebody's turn to write.
pub(crate) struct Turn {
    pub(crate) upload: Arc<Upload>,
    pub(crate) data: OwnedMutexGuard<Data>,
    /// Somebody newer wants to write: this one's connection is dead, as it seems.
    pub(crate) over: CancellationToken,
}

const REPOSITORY: &str = "repository";
const DATA: &str = "data";

// === impl Uploads ===

impl Uploads {
    /// Finds those that a process before had open.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let dir = root.join("uploads");
        fs::create_dir_all(&dir)?;
        sync(root)?;
        let mut open = HashMap::new();
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            let id = path.file_name().and_then(|name| name.to_str()).and_then(UploadId::parse);
            let name =
                fs::read_to_string(path.join(REPOSITORY)).ok().and_then(|text| Name::parse(&text).ok());
            match (id, name) {
                (Some(id), Some(repository)) => {
                    let length = fs::metadata(path.join(DATA)).map_or(0, |found| found.len());
                    open.insert(id, Arc::new(Upload::new(repository, path, length, Data::Closed)));
                }
                // It was not acknowledged.
                _ => fs::remove_dir_all(&path)?,
            }
        }
        Ok(Self { dir, open: StdMutex::new(open) })
    }

    /// Begins one. Blocks.
    pub(crate) fn begin(&self, repository: Name) -> io::Result<UploadId> {
        let id = UploadId::random().map_err(io::Error::other)?;
        let dir = self.dir.join(id.to_string());
        fs::create_dir(&dir)?;
        let made = (|| {
            let name = dir.join(REPOSITORY);
            fs::write(&name, repository.as_str())?;
            fs::File::open(&name)?.sync_all()?;
            let draft = Draft::at(&dir.join(DATA))?;
            sync(&dir)?;
            sync(&self.dir)?;
            Ok(draft)
        })();
        match made {
            Ok(draft) => {
                let upload = Upload::new(repository, dir, 0, Data::Open(draft));
                self.all().insert(id, Arc::new(upload));
                Ok(id)
            }
            Err(error) => {
                // What the disk refused is not there to be removed, perhaps.
                let _ = fs::remove_dir_all(&dir);
                Err(error)
            }
        }
    }

    pub(crate) fn get(&self, name: &Name, id: Option<UploadId>) -> Option<Arc<Upload>> {
        self.all().get(&id?).filter(|upload| upload.repository == *name).map(Arc::clone)
    }

    /// How many a project has open, and their bytes.
    pub(crate) fn of(&self, project: &Project) -> (usize, u64) {
        let all = self.all();
        let own = all.values().filter(|upload| upload.repository.project() == *project);
        own.fold((0, 0), |(count, bytes), upload| (count + 1, bytes + upload.length()))
    }

    /// Ends one: it became a blob, or was given up. Blocks.
    pub(crate) fn end(&self, id: UploadId, turn: Turn) {
        self.all().remove(&id);
        let Turn { upload, mut data, .. } = turn;
        *data = Data::Gone;
        if let Err(error) = fs::remove_dir_all(&upload.dir) {
            tracing::warn!(dir = %upload.dir.display(), %error, "an upload that has ended stays on the disk");
        }
    }

    /// Those that nobody went on with since `before`.
    pub(crate) fn idle(&self, before: Instant) -> Vec<(UploadId, Arc<Upload>)> {
        let all = self.all();
        let idle = all.iter().filter(|(_, upload)| upload.seen().touched < before);
        idle.map(|(id, upload)| (*id, Arc::clone(upload))).collect()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<UploadId, Arc<Upload>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Upload ===

impl Upload {
    fn new(repository: Name, dir: PathBuf, length: u64, data: Data) -> Self {
        let seen = Seen { length, touched: Instant::now(), turn: CancellationToken::new() };
        Self { repository, dir, data: Arc::new(Mutex::new(data)), seen: StdMutex::new(seen) }
    }

    /// Bytes so far.
    pub(crate) fn length(&self) -> u64 {
        self.seen().length
    }

    pub(crate) fn touch(&self, length: u64) {
        let mut seen = self.seen();
        (seen.length, seen.touched) = (length, Instant::now());
    }

    pub(crate) fn data_path(&self) -> PathBuf {
        self.dir.join(DATA)
    }

    /// Takes the turn; whoever has it is told to let go.
    pub(crate) async fn take(self: Arc<Self>) -> Turn {
        let over = CancellationToken::new();
        std::mem::replace(&mut self.seen().turn, over.clone()).cancel();
        let data = Arc::clone(&self.data).lock_owned().await;
        Turn { upload: self, data, over }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
