//! A node that goes to another orchestrator has two memberships for a while: the one that it uses, and the other.
//!
//! ```text
//! joined the new one ──► kept as the other ──► exchanged, in one step ──► welcomed there ──► leaves the other
//!                                                    ▲                         │
//!                                                    └── exchanged back ◄──────┘ refused, or not reached
//! ```
//!
//! Whoever is killed on the way goes on with the one that was in use, and leaves the other as soon as it is welcomed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holm_link::credentials::{Credentials, LoadCredentialsError};
use holm_link::identity::Identity;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde::{Deserialize, Serialize};

/// A membership that is not in use.
#[derive(Debug)]
pub(crate) struct Other {
    pub(crate) credentials: Credentials,
    /// `host:port` of its orchestrator.
    pub(crate) address: String,
}

/// What is kept about a second membership, in the data directory.
#[derive(Clone, Debug)]
pub(crate) struct Memberships {
    dir: PathBuf,
    /// The orchestrator's address, as the node was started.
    configured: String,
}

/// Where orchestrators are, by their identities. It counts as long as the node is started with the same address.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Addresses {
    configured: String,
    of: BTreeMap<String, String>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum MembershipsError {
    #[error(transparent)]
    Load(#[from] LoadCredentialsError),
    #[error("the new membership cannot be kept in {}: {reason}", path.display())]
    Keep { path: PathBuf, reason: String },
}

const ADDRESSES: &str = "orchestrators.json";
const OTHER: &str = "other-membership";
const CREDENTIALS: &str = "credentials.pem";

// === impl Memberships ===

impl Memberships {
    pub(crate) const fn new(dir: PathBuf, configured: String) -> Self {
        Self { dir, configured }
    }

    /// Where to call with these credentials.
    pub(crate) fn address(&self, credentials: &Credentials) -> String {
        let known = credentials.identity().parent().and_then(|parent| self.known().of.remove(&key(&parent)));
        known.unwrap_or_else(|| self.configured.clone())
    }

    /// The membership that was not left yet, or not begun.
    pub(crate) fn other(&self) -> Result<Option<Other>, LoadCredentialsError> {
        self.load(&self.dir.join(OTHER))
    }

    /// As [`Memberships::other`]; one that cannot be read is of no use, and keeps nobody from working.
    pub(crate) fn other_if_sound(&self) -> Option<Arc<Other>> {
        let read = self.other();
        let read = read.inspect_err(
            |error| tracing::warn!(%error, "The other membership cannot be read; it is left alone."),
        );
        read.ok().flatten().map(Arc::new)
    }

    /// The membership that is in use, as far as the disk goes.
    pub(crate) fn used(&self) -> Result<Option<Other>, LoadCredentialsError> {
        self.load(&self.dir)
    }

    fn load(&self, dir: &Path) -> Result<Option<Other>, LoadCredentialsError> {
        Ok(Credentials::load(dir)?.map(|credentials| {
            let address = self.address(&credentials);
            Other { credentials, address }
        }))
    }

    /// Keeps `other` beside what is in use, with the addresses of both.
    pub(crate) fn keep(&self, current: (&Credentials, &str), other: &Other) -> Result<(), MembershipsError> {
        let of = [current, (&other.credentials, &other.address)].into_iter();
        let of = of.filter_map(|(of, at)| Some((key(&of.identity().parent()?), at.to_owned()))).collect();
        let addresses = Addresses { configured: self.configured.clone(), of };
        let dir = self.dir.join(OTHER);
        let failed = |error: io::Error| self.unkept(&error);
        fs::create_dir_all(&dir).map_err(failed)?;
        replace(
            &self.dir.join(ADDRESSES),
            &serde_json::to_vec_pretty(&addresses).map_err(|e| failed(e.into()))?,
        )
        .map_err(failed)?;
        other.credentials.save(&dir).map_err(|error| self.unkept(&error))
    }

    /// What was the other is in use, and the other way round; after a power cut, too, one of them is. Fails before
    /// anything was exchanged, or not at all.
    pub(crate) fn exchange(&self) -> Result<(), MembershipsError> {
        let (used, other) = (self.dir.join(CREDENTIALS), self.dir.join(OTHER));
        renameat2(AT_FDCWD, &used, AT_FDCWD, &other.join(CREDENTIALS), RenameFlags::RENAME_EXCHANGE)
            .map_err(|errno| self.unkept(&io::Error::from(errno)))?;
        for dir in [&self.dir, &other] {
            if let Err(error) = File::open(dir).and_then(|dir| dir.sync_all()) {
                tracing::warn!(%error, dir = %dir.display(), "That the membership has changed is not known to be on the disk.");
            }
        }
        Ok(())
    }

    /// The other one is void, or was never used.
    pub(crate) fn drop_other(&self) {
        match fs::remove_dir_all(self.dir.join(OTHER)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "The membership that was left stays on the disk; it is of no use any more.");
            }
            _ => {}
        }
    }

    /// Whether it is here that the node was led from the orchestrator of its configuration.
    pub(crate) fn led_to(&self, orchestrator: &Identity) -> bool {
        self.known().of.contains_key(&key(orchestrator))
    }

    /// None when it cannot be read, too: then the address is that of the start.
    fn known(&self) -> Addresses {
        let read = fs::read(self.dir.join(ADDRESSES)).ok();
        let known: Option<Addresses> = read.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        known.filter(|known| known.configured == self.configured).unwrap_or_default()
    }

    fn unkept(&self, error: &dyn std::error::Error) -> MembershipsError {
        MembershipsError::Keep { path: self.dir.clone(), reason: crate::link::chain(error) }
    }
}

fn key(orchestrator: &Identity) -> String {
    orchestrator.to_string()
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, bytes)?;
    File::open(&new)?.sync_all()?;
    fs::rename(&new, path)
}
