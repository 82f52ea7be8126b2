//! What the owner of this machine allows its instances beyond what is theirs: users of the machine, and paths of it.
//!
//! Kept in a file of the data directory, read at each launch. Without it nothing is allowed: who may apply
//! manifests in a project has not been given this machine. What runs already is not asked again.

mod path;

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use holm_model::service::ServiceSpec;
use nix::unistd::Uid;
use serde::{Deserialize, Serialize};

pub use path::{HostPath, HostPathError};

/// All that is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Allowed {
    /// Names or numbers, as manifests say them.
    pub users: BTreeSet<String>,
    pub paths: BTreeSet<HostPath>,
}

/// The owner's word about instances of this node.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    data_dir: PathBuf,
    /// Whether the agent could become other users at all.
    root: bool,
}

/// A service asks for what the owner has not allowed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "this node's owner has not agreed that instances run as user `{user}`; on the machine, `holm node consent users \
         {user} --data-dir {dir}` does, or leave `user:` out", dir = dir.display()
    )]
    User { user: String, dir: PathBuf },
    #[error(
        "this node's owner has not agreed that instances {mount} `{path}`; on the machine, `holm node consent paths \
         {path}{ro} --data-dir {dir}` does, or use a named volume", dir = dir.display(),
        mount = if *read_only { "read" } else { "mount" }, ro = if *read_only { ":ro" } else { "" }
    )]
    Path { path: String, read_only: bool, dir: PathBuf },
    #[error("what this node's owner allows cannot be read: {}: {source}; mend or remove the file", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
}

/// The runtime whose programs see the machine's own files, as their user; a volume gives them nothing.
const PROCESS: &str = "process";

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("allowed.json")
}

/// # Errors
/// When the file cannot be read: then nothing is allowed.
pub fn read(data_dir: &Path) -> io::Result<Allowed> {
    match fs::read(file(data_dir)) {
        Ok(text) => Ok(serde_json::from_slice(&text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Allowed::default()),
        Err(error) => Err(error),
    }
}

/// In place of all that was allowed before.
///
/// # Errors
/// When the directory is not the caller's to write to.
pub fn write(data_dir: &Path, allowed: &Allowed) -> io::Result<()> {
    let path = file(data_dir);
    let next = path.with_extension("next");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    file.write_all(&serde_json::to_vec(allowed)?)?;
    file.sync_all()?;
    fs::rename(next, path)
}

// === impl Owner ===

impl Owner {
    pub(crate) fn of(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned(), root: Uid::effective().is_root() }
    }

    /// # Errors
    /// See [`Refusal`].
    pub(crate) fn agrees(&self, spec: &ServiceSpec) -> Result<(), Refusal> {
        let native = spec.runtime == *PROCESS;
        let user = spec.user.as_ref().filter(|_| native && self.root);
        let mut mounts = spec.volumes.iter().filter(|v| !native && v.source.starts_with('/')).peekable();
        if user.is_none() && mounts.peek().is_none() {
            return Ok(());
        }
        let unreadable = |source| Refusal::Unreadable { path: file(&self.data_dir), source };
        let allowed = read(&self.data_dir).map_err(unreadable)?;
        let dir = || self.data_dir.clone();
        if let Some(user) = user.filter(|user| !allowed.users.contains(*user)) {
            return Err(Refusal::User { user: user.clone(), dir: dir() });
        }
        match mounts.find(|volume| !allowed.paths.iter().any(|path| path.allows(volume))) {
            Some(volume) => {
                let (path, read_only) = (volume.source.clone(), volume.read_only);
                Err(Refusal::Path { path, read_only, dir: dir() })
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use holm_model::name::Name;
    use holm_model::service::Volume;

    use super::*;

    fn spec(runtime: &str) -> ServiceSpec {
        ServiceSpec::new(Name::new(runtime).unwrap(), vec!["x".into()])
    }

    fn owner(dir: &Path, root: bool) -> Owner {
        Owner { data_dir: dir.to_owned(), root }
    }

    #[test]
    fn a_user_of_the_machine_needs_the_owners_word() {
        let dir = tempfile::tempdir().unwrap();
        let root = ServiceSpec { user: Some("root".into()), ..spec("process") };
        let refused = owner(dir.path(), true).agrees(&root).unwrap_err().to_string();
        assert!(refused.contains("`holm node consent users root --data-dir /"), "{refused}");
        owner(dir.path(), true).agrees(&spec("process")).unwrap();
        owner(dir.path(), false).agrees(&root).unwrap();
        // Inside an image users are the image's.
        owner(dir.path(), true)
            .agrees(&ServiceSpec { user: Some("root".into()), ..spec("container") })
            .unwrap();
        let users = BTreeSet::from(["root".to_owned()]);
        write(dir.path(), &Allowed { users, ..Allowed::default() }).unwrap();
        owner(dir.path(), true).agrees(&root).unwrap();
        let other = ServiceSpec { user: Some("daemon".into()), ..spec("process") };
        assert!(matches!(owner(dir.path(), true).agrees(&other), Err(Refusal::User { .. })));
    }

    #[test]
    fn a_path_of_the_machine_needs_the_owners_word() {
        let dir = tempfile::tempdir().unwrap();
        let with = |source: &Path, read_only| ServiceSpec {
            volumes: vec![Volume { source: source.display().to_string(), target: "/x".into(), read_only }],
            ..spec("container")
        };
        let owner = owner(dir.path(), true);
        let refused = owner.agrees(&with(dir.path(), true)).unwrap_err().to_string();
        let path = dir.path().display();
        assert!(
            refused.contains(&format!("`holm node consent paths {path}:ro --data-dir {path}`")),
            "{refused}"
        );
        owner.agrees(&with(Path::new("data"), false)).unwrap();
        let paths = BTreeSet::from([format!("{path}:ro").parse().unwrap()]);
        write(dir.path(), &Allowed { paths, ..Allowed::default() }).unwrap();
        owner.agrees(&with(dir.path(), true)).unwrap();
        assert!(matches!(
            owner.agrees(&with(dir.path(), false)),
            Err(Refusal::Path { read_only: false, .. })
        ));
    }

    #[test]
    fn what_cannot_be_read_allows_nothing() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "{\"user\": [\"root\"]}", "{\"paths\": [\"relative\"]}"] {
            fs::write(file(dir.path()), text).unwrap();
            let root = ServiceSpec { user: Some("root".into()), ..spec("process") };
            let refused = owner(dir.path(), true).agrees(&root).unwrap_err();
            assert!(matches!(refused, Refusal::Unreadable { .. }), "{text}");
        }
    }
}
