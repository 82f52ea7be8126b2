//! The directory of a demo, and the record of what must be cleaned up should the demo be killed.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::process::Process;
use crate::failure::Failure;

/// `demo-<pid>`, with a directory for each daemon.
#[derive(Debug)]
pub(super) struct Ground {
    dir: PathBuf,
    record: Record,
}

/// Written before anything is started that it names, as far as it can be known.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) demo: Process,
    #[serde(default)]
    pub(super) children: Vec<Process>,
    #[serde(default)]
    pub(super) namespaces: Vec<String>,
    #[serde(default)]
    pub(super) bridge: Option<String>,
    /// In the container engine.
    #[serde(default)]
    pub(super) image: Option<String>,
    /// The socket of that engine, if a person named it.
    #[serde(default)]
    pub(super) engine: Option<PathBuf>,
    /// Directories above the demo's own that it made, the innermost first.
    #[serde(default)]
    pub(super) made: Vec<PathBuf>,
}

pub(super) const PREFIX: &str = "demo-";
const RECORD: &str = "demo.json";

// === impl Ground ===

impl Ground {
    pub(super) fn create(home: &Path, engine: Option<PathBuf>) -> Result<Self, Failure> {
        let pid = std::process::id();
        let dir = home.join(format!("{PREFIX}{pid}"));
        let own = i32::try_from(pid).ok().and_then(Process::now);
        let demo = own.ok_or_else(|| Failure::new("/proc does not show our own process"))?;
        let (children, namespaces, made) = (Vec::new(), Vec::new(), missing(home));
        let record = Record { demo, children, namespaces, bridge: None, image: None, engine, made };
        let ground = Self { dir, record };
        ground.make().map_err(|e| {
            Failure::from_error(format!("{} cannot be made", ground.dir.display()), &e)
                .hint("give another directory with --state-dir")
        })?;
        Ok(ground)
    }

    /// Instances' users must be able to pass through, and to execute the program.
    fn make(&self) -> io::Result<()> {
        if let Some(home) = self.dir.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(home)?;
        }
        DirBuilder::new().mode(0o711).create(&self.dir)?;
        fs::set_permissions(&self.dir, fs::Permissions::from_mode(0o711))?;
        self.write()?;
        let (own, copy) = (std::env::current_exe()?, self.program());
        // A link is enough on the same file system, when its owner may share it.
        if fs::hard_link(&own, &copy).is_err() || fs::metadata(&copy)?.permissions().mode() & 0o005 != 0o005 {
            let _ = fs::remove_file(&copy);
            fs::copy(&own, &copy)?;
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    /// Our own program, at a place where every user can execute it.
    pub(super) fn program(&self) -> PathBuf {
        self.dir.join("holm")
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    pub(super) const fn record(&self) -> &Record {
        &self.record
    }

    pub(super) fn note(&mut self, change: impl FnOnce(&mut Record)) -> Result<(), Failure> {
        change(&mut self.record);
        self.write().map_err(|e| Failure::from_error("the demo's record cannot be written", &e))
    }

    fn write(&self) -> io::Result<()> {
        let next = self.dir.join("demo.next");
        fs::write(&next, serde_json::to_vec(&self.record)?)?;
        fs::rename(next, self.dir.join(RECORD))
    }

    pub(super) fn remove(&self) -> Result<(), Failure> {
        remove_dir(&self.dir, &self.record.made)
    }
}

/// `dir` and the directories above it that are not there yet, the innermost first.
fn missing(dir: &Path) -> Vec<PathBuf> {
    dir.ancestors().take_while(|dir| !dir.exists()).map(Path::to_owned).collect()
}

/// The record of the demo in `dir`; none when it was killed before it could write one.
pub(super) fn read(dir: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(dir.join(RECORD)).ok()?).ok()
}

/// The record goes last: what is left of a removal that fails can still be cleaned up by it. Of the directories
/// that were `made` above, those go that are empty then.
pub(super) fn remove_dir(dir: &Path, made: &[PathBuf]) -> Result<(), Failure> {
    let remove = || {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                fs::remove_dir_all(path)?;
            } else if path != dir.join(RECORD) {
                fs::remove_file(path)?;
            }
        }
        fs::remove_dir_all(dir)
    };
    match remove() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::from_error(format!("{} cannot be removed", dir.display()), &error))
        }
        _ => {
            // What is not empty is somebody's, and so is all above it.
            let _ = made.iter().try_for_each(fs::remove_dir);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ground_is_recorded_from_the_start_and_removed_as_a_whole() {
        let home = tempfile::tempdir().unwrap();
        let mut ground = Ground::create(home.path(), None).unwrap();
        ground.note(|record| record.namespaces.push("one".to_owned())).unwrap();
        let record = read(&ground.path("")).unwrap();
        assert!(record.demo.lives());
        assert_eq!(record.namespaces, ["one"]);
        assert!(fs::metadata(ground.program()).unwrap().permissions().mode() & 0o005 == 0o005);
        ground.remove().unwrap();
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn directories_that_it_made_go_with_it_unless_somebody_uses_them() {
        let top = tempfile::tempdir().unwrap();
        let home = top.path().join("state/holm");
        Ground::create(&home, None).unwrap().remove().unwrap();
        assert_eq!(fs::read_dir(top.path()).unwrap().count(), 0);
        let ground = Ground::create(&home, None).unwrap();
        fs::write(top.path().join("state/mine"), "").unwrap();
        ground.remove().unwrap();
        assert!(!home.exists() && top.path().join("state/mine").exists());
    }
}
