//! What Holm has brought to an engine beside containers: images that it pulled, volumes that it made; and which
//! images took a login, and who had one.
//!
//! An engine can label neither. A file per thing, written before the engine is asked, so that a crash in between
//! forgets nothing; whatever somebody else brought is never in it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holm_model::wish::short_hash;

/// A directory with one file per name. Without one, nothing is written down, and nothing is ours.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    dir: Option<PathBuf>,
    pulls: Arc<Mutex<Pulls>>,
}

/// What is noted before a pull names what the engine has only after it.
#[derive(Debug, Default)]
struct Pulls {
    begun: u64,
    under_way: usize,
}

/// A pull, as long as this lives.
#[derive(Debug)]
pub(super) struct Pull<'a>(&'a Ledger);

/// No pull was under way then; whether one has begun since is seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quiet(u64);

/// What is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thing {
    Image,
    Volume,
}

/// Where a note is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shelf {
    Brought(Thing),
    /// The name or the id of an image that was pulled with a login.
    Private,
    /// The id of such an image, and a project that has proved its own right to it.
    Right,
    /// The id of an image in builds on which no other image is read.
    Plain,
}

// === impl Ledger ===

impl Ledger {
    pub(super) fn new(dir: Option<PathBuf>) -> Self {
        Self { dir, pulls: Arc::default() }
    }

    pub(super) fn pull(&self) -> Pull<'_> {
        let mut pulls = self.pulls();
        pulls.begun += 1;
        pulls.under_way += 1;
        Pull(self)
    }

    /// Before the engine is asked what it has.
    pub(super) fn quiet(&self) -> Option<Quiet> {
        let pulls = self.pulls();
        (pulls.under_way == 0).then_some(Quiet(pulls.begun))
    }

    /// Forgets what the engine does not have, unless a pull may have brought it since.
    pub(super) fn forget_absent(&self, quiet: Quiet, shelf: impl Into<Shelf>, name: &str) {
        let pulls = self.pulls();
        if pulls.begun == quiet.0 {
            self.forget(shelf, name);
        }
        drop(pulls);
    }

    fn pulls(&self) -> MutexGuard<'_, Pulls> {
        self.pulls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes it down, unless it is there already.
    ///
    /// # Errors
    /// When the disk takes no writes.
    pub(super) fn note(&self, shelf: impl Into<Shelf>, name: &str) -> io::Result<()> {
        let Some(path) = self.path(shelf, name) else { return Ok(()) };
        if read(&path).is_some() {
            return Ok(());
        }
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        // Half-written by a crash, it says nothing, and nothing was brought.
        let mut file = File::create(&path)?;
        file.write_all(name.as_bytes())?;
        file.sync_all()
    }

    pub(super) fn has(&self, shelf: impl Into<Shelf>, name: &str) -> bool {
        self.path(shelf, name).and_then(|path| read(&path)).is_some()
    }

    pub(super) fn forget(&self, shelf: impl Into<Shelf>, name: &str) {
        if let Some(path) = self.path(shelf, name) {
            // What stays is looked for again, and is not there.
            let _ = fs::remove_file(path);
        }
    }

    /// # Errors
    /// When it cannot be known what is noted.
    pub(super) fn all(&self, shelf: impl Into<Shelf>) -> io::Result<Vec<String>> {
        let Some(dir) = self.dir.as_ref().map(|dir| dir.join(shelf.into().word())) else {
            return Ok(Vec::new());
        };
        let files = match fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            files => files?.collect::<io::Result<Vec<_>>>()?,
        };
        let mut names: Vec<String> = files.iter().filter_map(|file| read(&file.path())).collect();
        names.sort();
        Ok(names)
    }

    fn path(&self, shelf: impl Into<Shelf>, name: &str) -> Option<PathBuf> {
        Some(self.dir.as_ref()?.join(shelf.into().word()).join(hash(name)))
    }
}

/// A name that was written whole: its file is called after it. A part of one may be somebody else's.
fn read(path: &Path) -> Option<String> {
    let name = fs::read_to_string(path).ok()?;
    (path.file_name()?.to_str()? == hash(&name)).then_some(name)
}

fn hash(name: &str) -> String {
    short_hash(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

// === impl Pull ===

impl Drop for Pull<'_> {
    fn drop(&mut self) {
        self.0.pulls().under_way -= 1;
    }
}

// === impl Shelf ===

impl From<Thing> for Shelf {
    fn from(thing: Thing) -> Self {
        Self::Brought(thing)
    }
}

impl Shelf {
    const fn word(self) -> &'static str {
        match self {
            Self::Brought(thing) => thing.word(),
            Self::Private => "private",
            Self::Right => "right",
            Self::Plain => "plain",
        }
    }
}

// === impl Thing ===

impl Thing {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Volume => "volume",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_brought_is_known_after_a_crash_and_forgotten_once() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Some(dir.path().join("engine")));
        for name in ["registry.local:5000/web:2", "nginx", "nginx"] {
            ledger.note(Thing::Image, name).unwrap();
        }
        ledger.note(Thing::Volume, "holm-1-data").unwrap();
        // Cut by a crash: it is no name, and is written again when it is brought again.
        fs::write(dir.path().join("engine/image").join(hash("nginx:1.25")), "nginx:1.2").unwrap();
        let again = Ledger::new(Some(dir.path().join("engine")));
        assert_eq!(again.all(Thing::Image).unwrap(), ["nginx", "registry.local:5000/web:2"]);
        again.note(Thing::Image, "nginx:1.25").unwrap();
        assert_eq!(again.all(Thing::Image).unwrap().len(), 3);
        again.forget(Thing::Image, "nginx:1.25");
        again.forget(Thing::Image, "nginx");
        assert_eq!(again.all(Thing::Image).unwrap(), ["registry.local:5000/web:2"]);
        assert_eq!(again.all(Thing::Volume).unwrap(), ["holm-1-data"]);
        Ledger::new(None).note(Thing::Image, "web").unwrap();
    }

    #[test]
    fn what_a_pull_may_have_brought_meanwhile_is_not_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Some(dir.path().to_owned()));
        ledger.note(Shelf::Private, "web").unwrap();
        let before = ledger.quiet().unwrap();
        let pull = ledger.clone();
        let pull = pull.pull();
        assert!(ledger.quiet().is_none());
        drop(pull);
        ledger.forget_absent(before, Shelf::Private, "web");
        assert!(ledger.has(Shelf::Private, "web"));
        ledger.forget_absent(ledger.quiet().unwrap(), Shelf::Private, "web");
        assert!(!ledger.has(Shelf::Private, "web"));
    }
}
