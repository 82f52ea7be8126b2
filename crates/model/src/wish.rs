//! What somebody wants to run, versioned: the manifest plus what people did by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sha2::{Digest as _, Sha256};

use crate::id::{Epoch, WishId};
use crate::name::Name;
use crate::service::{Replicas, ServiceSpec};
use crate::state::RunState;
use crate::time::Time;

/// Identity of an application for people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AppKey {
    pub project: Name,
    pub application: Name,
}

/// Version of a wish: compared by epoch, then generation. Generations rise across creations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    pub epoch: Epoch,
    pub generation: u64,
}

/// A wish as its owner keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    pub key: AppKey,
    /// Of this creation: deleting and applying again makes another.
    pub id: WishId,
    pub version: Version,
    /// `Some`: deleted at that time; the tombstone keeps the version.
    pub deleted: Option<Time>,
    /// Restored from a member without an owner's confirmation; never started unasked.
    #[serde(default)]
    pub unconfirmed: bool,
    pub created: Time,
    pub changed: Time,
    pub services: BTreeMap<Name, ServiceWish>,
}

/// One service of a wish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceWish {
    pub spec: SpecBytes,
    /// The wish's generation at which `spec` changed last; instances of another one are replaced.
    pub generation: u64,
    /// In force now: the manifest's number, or what people scaled to since.
    pub replicas: Replicas,
    /// As last applied; a later `apply` changes `replicas` only if the manifest changed this.
    pub applied_replicas: Replicas,
    pub run: RunState,
    /// Raised by `holm restart`; a node that sees a higher number restarts the instance.
    pub restarts: u64,
}

/// A [`ServiceSpec`] as it was committed: bytes that are handed on unchanged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpecBytes(Arc<ByteBuf>);

/// The bytes are not a specification that this version understands.
#[derive(Debug, thiserror::Error)]
#[error("the service's specification cannot be read by this version: {0}")]
pub struct SpecError(#[from] serde_json::Error);

// === impl AppKey ===

impl std::fmt::Display for AppKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.project, self.application)
    }
}

// === impl SpecBytes ===

impl SpecBytes {
    /// The canonical bytes of `spec`: JSON, since sorted maps make equal specifications equal bytes.
    #[must_use]
    pub fn encode(spec: &ServiceSpec) -> Self {
        // Serializing a plain data structure with string keys to memory cannot fail.
        #[expect(clippy::expect_used, reason = "see above")]
        let bytes = serde_json::to_vec(spec).expect("a specification is plain data");
        Self(Arc::new(ByteBuf::from(bytes)))
    }

    /// # Errors
    /// When the bytes were written by a version whose specifications this one does not understand.
    pub fn decode(&self) -> Result<ServiceSpec, SpecError> {
        Ok(serde_json::from_slice(&self.0)?)
    }

    /// The start of the SHA-256 of the bytes, for comparing and showing.
    #[must_use]
    pub fn hash(&self) -> [u8; 16] {
        short_hash(&self.0)
    }
}

impl std::fmt::Debug for SpecBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// The first 16 bytes of SHA-256: enough against accidents and, at 2^64 work, against malice that a
/// list's digest would have to resist.
#[must_use]
pub fn short_hash(bytes: &[u8]) -> [u8; 16] {
    let full = Sha256::digest(bytes);
    let mut short = [0; 16];
    short.copy_from_slice(&full[..16]);
    short
}
