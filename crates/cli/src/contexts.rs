//! Contexts: which orchestrators somebody uses, which sea each of them belongs to, and as whom.
//!
//! They are in `contexts.toml` below the user's configuration, readable by its owner only; the file is changed
//! under a lock and replaced as a whole.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use holm_client::Fingerprint;
use holm_model::name::Name;
use holm_model::time::Time;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::secret;

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contexts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    #[serde(default, rename = "context", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) all: BTreeMap<String, Context>,
}

/// One orchestrator, and who one is there.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Context {
    /// `host:port`.
    pub(crate) server: String,
    /// Of the sea, hexadecimal: whoever answers there must belong to it.
    pub(crate) fingerprint: String,
    pub(crate) person: String,
    /// None once logged out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<Session>,
    /// Of commands that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) project: Option<Name>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) token: String,
    pub(crate) expires: Time,
}

const FILE: &str = "contexts.toml";
const LOCK: &str = "contexts.lock";

// === impl Contexts ===

impl Contexts {
    /// None of them when there is no file.
    pub(crate) fn read() -> Result<Self, Failure> {
        directory().map_or_else(|| Ok(Self::default()), |dir| Self::read_from(&dir.join(FILE)))
    }

    /// Changes what is there now; nothing is written when `change` fails.
    pub(crate) fn change<T>(change: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        let dir = directory().ok_or_else(|| {
            Failure::new("there is no place for contexts: HOME is not set").hint("set HOLM_CONFIG_DIR")
        })?;
        let unwritable = |e: io::Error| Failure::from_error(format!("cannot write in {}", dir.display()), &e);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(unwritable)?;
        let _lock = lock(&dir.join(LOCK)).map_err(unwritable)?;
        let mut contexts = Self::read_from(&dir.join(FILE))?;
        let outcome = change(&mut contexts)?;
        contexts.write_to(&dir).map_err(unwritable)?;
        Ok(outcome)
    }

    pub(crate) fn get(&self, name: &str) -> Result<&Context, Failure> {
        self.all.get(name).ok_or_else(|| unknown(name))
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Result<&mut Context, Failure> {
        self.all.get_mut(name).ok_or_else(|| unknown(name))
    }

    /// The one that commands use which name none.
    pub(crate) fn current(&self) -> Option<(&str, &Context)> {
        let name = self.current.as_deref()?;
        Some((name, self.all.get(name)?))
    }

    /// The first becomes the current one.
    pub(crate) fn put(&mut self, name: &str, context: Context) {
        self.all.insert(name.to_owned(), context);
        if self.current().is_none() {
            self.current = Some(name.to_owned());
        }
    }

    pub(crate) fn remove(&mut self, name: &str) -> Result<(), Failure> {
        self.all.remove(name).ok_or_else(|| unknown(name))?;
        self.current.take_if(|current| current == name);
        Ok(())
    }

    fn read_from(file: &Path) -> Result<Self, Failure> {
        let text = match std::fs::read_to_string(file) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Self::default());
            }
            text => text.map_err(|e| Failure::from_error(format!("cannot read {}", file.display()), &e))?,
        };
        // What the parser says may hold a line with a token: it is not repeated.
        toml::from_str(&text).map_err(|_| {
            Failure::new(format!("{} is damaged", file.display()))
                .hint("mend it or remove it, then log in again with `holm login`")
        })
    }

    /// By whoever holds the lock.
    fn write_to(&self, dir: &Path) -> io::Result<()> {
        secret::keep(&dir.join(FILE), &toml::to_string(self).map_err(io::Error::other)?)
    }
}

fn unknown(name: &str) -> Failure {
    Failure::wrong_use(format!("there is no context `{name}`"))
        .hint(format!("`holm context ls` shows them; `holm login SERVER --context {name}` makes it"))
}

fn lock(path: &Path) -> io::Result<Flock<File>> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
}

/// None when there is no user's configuration.
fn directory() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("HOLM_CONFIG_DIR")
        .or_else(|| Some(variable("XDG_CONFIG_HOME")?.join("holm")))
        .or_else(|| Some(variable("HOME")?.join(".config/holm")))
}

// === impl Context ===

impl Context {
    pub(crate) fn root(&self) -> Result<Fingerprint, Failure> {
        Ok(self.fingerprint.parse()?)
    }

    /// The token, if it is still good by our clock. `name` is the context's.
    pub(crate) fn token(&self, name: &str, now: Time) -> Result<&str, Failure> {
        let (what, session) = match &self.session {
            Some(session) if now < session.expires => return Ok(&session.token),
            Some(_) => ("the log-in of context", "has expired"),
            None => ("context", "is logged out"),
        };
        Err(Failure::new(format!("{what} `{name}` {session}"))
            .hint(format!("log in again with `holm login --context {name}`")))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("server", &self.server).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    pub(crate) fn context(server: &str) -> Context {
        Context {
            server: server.to_owned(),
            fingerprint: "ab".repeat(32),
            person: "ada".to_owned(),
            session: Some(Session { token: "holm-api.secret".to_owned(), expires: Time(1_000_000) }),
            project: Name::new("blue").ok(),
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let mut contexts = Contexts::default();
        contexts.put("root.example", context("root.example:7700"));
        contexts.put("[::1]:7701", Context { session: None, project: None, ..context("[::1]:7701") });
        for _ in 0..2 {
            contexts.write_to(dir.path()).unwrap();
        }
        let file = dir.path().join(FILE);
        assert_eq!(Contexts::read_from(&file).unwrap(), contexts);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn the_first_is_current_until_it_goes() {
        let mut contexts = Contexts::default();
        contexts.put("a", context("a:1"));
        contexts.put("b", context("b:1"));
        assert_eq!(contexts.current.as_deref(), Some("a"));
        contexts.remove("a").unwrap();
        assert!(contexts.current().is_none());
        assert!(contexts.remove("a").is_err());
        contexts.put("c", context("c:1"));
        assert_eq!(contexts.current.as_deref(), Some("c"));
    }

    #[test]
    fn a_log_in_that_is_over_says_what_to_do() {
        let mut context = context("a:1");
        assert_eq!(context.token("a", Time(0)).unwrap(), "holm-api.secret");
        assert!(context.token("a", Time(1_000_000)).unwrap_err().to_string().contains("has expired"));
        context.session = None;
        assert!(context.token("a", Time(0)).unwrap_err().to_string().contains("logged out"));
        assert!(!format!("{context:?}").contains("secret"));
    }

    #[test]
    fn a_damaged_file_is_told_without_its_secrets() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        std::fs::write(&file, "[context.a]\ntoken = \"holm-api.secret").unwrap();
        let error = Contexts::read_from(&file).unwrap_err().to_string();
        assert!(error.contains("damaged") && !error.contains("secret"), "{error}");
    }
}
