//! What somebody wants to run, versioned: the manifest plus what people did by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::ByteBuf;
use serde_json::value::{RawValue, to_raw_value};
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
    /// The generation whose canary was good: all slots may have it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub promoted: u64,
    /// Of a `cron`: the last time at which it was due, run or left out; before that, since when its schedule holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Time>,
    /// Of work that ends.
    #[serde(default, skip_serializing_if = "Work::is_unknown")]
    pub work: Work,
    /// It is no service of the manifest: one of its `cron` has begun it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_of: Option<RunOf>,
}

/// How far a service's work is that ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// When it was asked for last: applied, started, restarted, or begun by its `cron`. Its deadline counts from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<Time>,
    /// Its deadline has stopped it, not people.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// Of a `cron`: a time at which it was due and that waits for the runs before to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Time>,
    /// Slots that have completed, and where they ran is no member any more: they are not run again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub done: BTreeSet<u32>,
    /// Slots that have failed and are not tried again, and where they ran is no member any more.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub failed: BTreeSet<u32>,
}

/// Which `cron` a run is of, and when it was due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOf {
    pub service: Name,
    pub at: Time,
}

/// A [`ServiceSpec`] as it was committed: bytes that are handed on unchanged.
#[derive(Clone)]
pub struct SpecBytes(Arc<Spec>);

struct Spec {
    bytes: ByteBuf,
    /// The bytes as a string of JSON, once somebody wrote it: each placement's row has it, and escaping it each time was a
    /// tenth of a decision.
    text: OnceLock<Option<Box<RawValue>>>,
}

/// The bytes are not a specification that this version understands.
#[derive(Debug, thiserror::Error)]
#[error("the service's specification cannot be read by this version: {0}")]
pub struct SpecError(#[from] serde_json::Error);

fn is_zero(number: &u64) -> bool {
    *number == 0
}

// === impl ServiceWish ===

impl ServiceWish {
    /// Its work is asked for anew at this moment, whatever became of it before.
    pub fn begin(&mut self, now: Time) {
        self.work = Work { begun: Some(now), ..Work::default() };
        self.due = Some(now);
    }
}

// === impl Work ===

impl Work {
    fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

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
        Self::from(ByteBuf::from(bytes))
    }

    /// # Errors
    /// When the bytes were written by a version whose specifications this one does not understand.
    pub fn decode(&self) -> Result<ServiceSpec, SpecError> {
        Ok(serde_json::from_slice(&self.0.bytes)?)
    }

    /// The start of the SHA-256 of the bytes, for comparing and showing.
    #[must_use]
    pub fn hash(&self) -> [u8; 16] {
        short_hash(&self.0.bytes)
    }

    /// `None`: a Holm did not write them.
    fn text(&self) -> Option<&RawValue> {
        let escape = || to_raw_value(std::str::from_utf8(&self.0.bytes).ok()?).ok();
        self.0.text.get_or_init(escape).as_deref()
    }
}

impl From<ByteBuf> for SpecBytes {
    fn from(bytes: ByteBuf) -> Self {
        Self(Arc::new(Spec { bytes, text: OnceLock::new() }))
    }
}

impl PartialEq for SpecBytes {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.bytes == other.0.bytes
    }
}

impl Eq for SpecBytes {}

/// Bytes on the wire. In the store, whose rows are JSON (no other text is made of them), they are a string: they are UTF-8
/// as long as a Holm wrote them; others stay bytes.
impl Serialize for SpecBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable().then(|| self.text()).flatten() {
            Some(text) => text.serialize(serializer),
            None => self.0.bytes.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for SpecBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Takes strings, bytes and sequences of bytes alike.
        ByteBuf::deserialize(deserializer).map(Self::from)
    }
}

impl std::fmt::Debug for SpecBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0.bytes))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_is_text_in_the_store_and_the_same_bytes_everywhere() {
        let spec = ServiceSpec::new(Name::new("process").unwrap(), vec!["x".into()]);
        let bytes = SpecBytes::encode(&spec);
        let json = serde_json::to_string(&bytes).unwrap();
        assert!(json.starts_with("\"{"), "{json}");
        let text = serde_json::to_vec(&spec).unwrap();
        let text = std::str::from_utf8(&text).unwrap();
        assert_eq!(json, serde_json::to_string(text).unwrap(), "as any other string");
        assert_eq!(serde_json::to_value(&bytes).unwrap(), text, "not only when it is written as text");
        assert_eq!(serde_json::from_str::<SpecBytes>(&json).unwrap(), bytes);
        let mut cbor = Vec::new();
        ciborium::into_writer(&bytes, &mut cbor).unwrap();
        assert_eq!(ciborium::from_reader::<SpecBytes, _>(&cbor[..]).unwrap(), bytes);
        assert_eq!(bytes.decode().unwrap(), spec);
    }

    #[test]
    fn bytes_of_nobody_we_know_survive_the_store_too() {
        let odd = SpecBytes::from(ByteBuf::from(vec![0xff, 0, 1]));
        let json = serde_json::to_string(&odd).unwrap();
        assert_eq!(serde_json::from_str::<SpecBytes>(&json).unwrap(), odd);
    }
}
