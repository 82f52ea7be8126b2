//! What an orchestrator's list for a member is made of.
//!
//! The list says all that the member shall run and know. Items travel as opaque bytes with the hash
//! they had when they were committed; both sides compute the list's [`Digest`] over (key, hash) and
//! exchange items only when digests of equal revisions differ.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::ByteBuf;

use crate::content::{Content, ContentKey};
use crate::coordinate::Coordinate;
use crate::id::{AssignmentId, Epoch, StoreId, WishId};
use crate::message::READS_WIPING;
use crate::name::Name;
use crate::newer::{Either, Kinds, Newer};
use crate::project::Allowance;
use crate::service::Replicas;
use crate::slot::{ServiceKey, SlotIndex};
use crate::state::RunState;
use crate::wish::{AppKey, SpecBytes, Version, short_hash};

/// Which item of a list. A new kind gets its number in [`ItemKey::since`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub enum ItemKey {
    /// To a cluster: a share of a service.
    Share(AssignmentId),
    /// To a node: an instance to run.
    Assignment(AssignmentId),
    /// Addresses of a service's port, for those that connect to it.
    Endpoints(EndpointsKey),
    /// A certificate that is no longer valid, by serial number (hex); or `word:…`, a member, a token or a person.
    Revocation(String),
    /// A secret or plain file, for those that have something placed whose specification names it.
    Content(ContentKey),
    /// To a cluster: a project that there is.
    Project(Name),
    /// To a node: wipe all that is ours as soon as nothing of ours runs, and tell; see [`crate::wipe`].
    Decommission,
    /// Of a newer version: nothing is done with it, but it is a part of the list.
    #[serde(skip)]
    Newer(Newer),
}

/// A port of a service whose addresses are wanted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EndpointsKey {
    pub service: ServiceKey,
    pub port: Name,
}

/// The content of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item {
    Share(Share),
    Assignment(Assignment),
    Endpoints(Endpoints),
    Revocation,
    Content(Content),
    Project(Allowance),
    Decommission,
}

/// An item as it travels and is kept: key, bytes as committed, hash of the bytes.
///
/// Debug shows no bytes: they may be a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedItem {
    pub key: ItemKey,
    pub body: ByteBuf,
}

/// The item's bytes cannot be read, or say another thing than their key.
#[derive(Debug, thiserror::Error)]
#[error("item {key:?}: {reason}")]
pub struct ItemError {
    key: ItemKey,
    reason: String,
}

/// What a share or an assignment is a part of: enough to restore the wish from it (`holm adopt`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub app: AppKey,
    pub wish: WishId,
    pub version: Version,
    pub service: Name,
    /// The generation of `spec`.
    pub generation: u64,
    pub spec: SpecBytes,
    pub replicas: Replicas,
    pub run: RunState,
    /// How often people asked for a restart.
    pub restarts: u64,
    /// The service with `cron` that `service` is a run of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_of: Option<Name>,
}

/// To a cluster: fill this slot (or: one on each of your matching nodes).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    pub id: AssignmentId,
    pub part: Part,
    pub slots: ShareSlots,
    /// How often the slot's assignments failed before this one, counted over all clusters.
    pub failures: u32,
    /// A replacement elsewhere is about to take over: keep what runs, start nothing anew.
    pub held: bool,
    /// Keep room for it, and start nothing before this is gone; see [`READS_RESERVING`](crate::message::READS_RESERVING).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserve: Option<Reserve>,
}

/// How room is kept for a part of a group that goes to several members: all of it starts, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reserve {
    /// Whether all have room is not known yet: after [`RESERVED_FOR`] the member refuses it.
    Asked,
    /// All have room. It is kept until the orchestrator says more.
    Kept,
}

/// How long a member keeps room that it is only asked for, by its own boot clock. Whoever asks gives up earlier.
pub const RESERVED_FOR: Duration = Duration::from_secs(15);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShareSlots {
    /// One slot of a numbered service.
    Number(u32),
    /// Per node: the cluster makes the slots.
    PerNode,
}

/// To a node: run this instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The instance's id.
    pub id: AssignmentId,
    pub part: Part,
    pub slot: SlotIndex,
    /// Replaced but not yet given up: it goes on and gets no traffic.
    pub held: bool,
    /// It moves, and its named volumes follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carry: Option<Carry>,
}

/// What a copy has to do with the named volumes of a slot that moves; see
/// [`READS_MOVING`](crate::message::READS_MOVING).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Carry {
    /// To the new copy: it fetches them from this one, until that one has ended, and starts when this is taken off.
    /// What it has fetched until then goes with it.
    From(AssignmentId),
    /// To the old copy, which is to stop: the new one fetches what differs.
    Gives,
    /// To the old copy: the new one has all of them. With this one its volumes go.
    Given,
}

/// Current addresses of a service's port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    pub endpoints: Vec<Endpoint>,
}

/// One running instance that listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub instance: AssignmentId,
    pub slot: SlotIndex,
    /// The node, as ids from the root down: `[cluster, node]`.
    pub node: Vec<crate::id::MemberId>,
    /// The port on that node.
    pub port: u16,
    /// Where the port may be reached without a tunnel; to be tried, not trusted.
    pub direct: Vec<SocketAddr>,
    /// It runs, and its check says that it takes no work: told only where nobody takes any.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unready: bool,
    /// Where that node is in the network, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinate: Option<Coordinate>,
}

/// Sum over (key, hash) of all items, independent of their order, changed in constant time.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest(#[serde(with = "serde_bytes")] [u8; 16]);

/// What a list was when somebody last obeyed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obeyed {
    pub store: StoreId,
    pub epoch: Epoch,
    /// One count per store, raised by every batch that changes any member's list.
    pub revision: u64,
}

/// A list as one side holds it.
pub type Items = BTreeMap<ItemKey, PackedItem>;

// === impl Part ===

impl Part {
    /// The service of the manifest: who it is for those who give roles and check proofs.
    #[must_use]
    pub const fn known_as(&self) -> &Name {
        match &self.run_of {
            Some(cron) => cron,
            None => &self.service,
        }
    }
}

// === impl ItemKey ===

impl ItemKey {
    /// The revision of [`READS`](crate::message::READS) that brought this kind: members that read less are not told
    /// of it.
    #[must_use]
    pub const fn since(&self) -> u32 {
        match self {
            Self::Share(_)
            | Self::Assignment(_)
            | Self::Endpoints(_)
            | Self::Revocation(_)
            | Self::Content(_) => 0,
            Self::Project(_) => 3,
            Self::Decommission => READS_WIPING,
            // Whoever may read it: not from us.
            Self::Newer(_) => u32::MAX,
        }
    }

    /// What it is, in a word.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Share(_) => "share",
            Self::Assignment(_) => "assignment",
            Self::Endpoints(_) => "endpoints",
            Self::Revocation(_) => "revocation",
            Self::Content(_) => "content",
            Self::Project(_) => "project",
            Self::Decommission => "decommission",
            Self::Newer(newer) => newer.kind(),
        }
    }
}

impl Kinds for ItemKey {
    fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // What serde derives.
        Self::deserialize(deserializer)
    }
}

impl<'de> Deserialize<'de> for ItemKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Either::deserialize(deserializer)? {
            Either::Known(key) => key,
            Either::Newer(newer) => Self::Newer(newer),
        })
    }
}

impl Serialize for ItemKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Newer(newer) => newer.serialize(serializer),
            // What serde derives.
            known => Self::serialize(known, serializer),
        }
    }
}

// === impl Item ===

impl Item {
    /// The item under its key, as bytes.
    #[must_use]
    pub fn pack(&self, key: ItemKey) -> PackedItem {
        // Room for most, then copied: a list keeps many items, and shrinking each costs more.
        let mut body = Vec::with_capacity(1024);
        // Serializing plain data to memory cannot fail.
        #[expect(clippy::expect_used, reason = "see above")]
        ciborium::into_writer(self, &mut body).expect("an item is plain data");
        PackedItem { key, body: ByteBuf::from(body.as_slice()) }
    }
}

// === impl PackedItem ===

impl PackedItem {
    #[must_use]
    pub fn hash(&self) -> [u8; 16] {
        short_hash(&self.body)
    }

    /// # Errors
    /// When the bytes are no item that this version knows, or not the one that the key names.
    pub fn unpack(&self) -> Result<Item, ItemError> {
        let error = |reason: String| ItemError { key: self.key.clone(), reason };
        if let ItemKey::Newer(_) = self.key {
            return Err(error("this version does not know its kind".to_owned()));
        }
        let item: Item = ciborium::from_reader(&self.body[..]).map_err(|e| error(e.to_string()))?;
        let fits = match (&self.key, &item) {
            (ItemKey::Share(id), Item::Share(share)) => *id == share.id,
            (ItemKey::Assignment(id), Item::Assignment(assignment)) => *id == assignment.id,
            (ItemKey::Endpoints(_), Item::Endpoints(_))
            | (ItemKey::Revocation(_), Item::Revocation)
            | (ItemKey::Content(_), Item::Content(_))
            | (ItemKey::Project(_), Item::Project(_))
            | (ItemKey::Decommission, Item::Decommission) => true,
            _ => false,
        };
        if fits { Ok(item) } else { Err(error("the content belongs to another key".to_owned())) }
    }
}

impl fmt::Debug for PackedItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({} bytes)", self.key, self.body.len())
    }
}

// === impl Digest ===

impl Digest {
    /// The digest of a whole list.
    #[must_use]
    pub fn of(items: &Items) -> Self {
        let mut digest = Self::default();
        for item in items.values() {
            digest.toggle(&item.key, item.hash());
        }
        digest
    }

    /// Adds an item that is not there yet, or takes one away that is.
    pub fn toggle(&mut self, key: &ItemKey, hash: [u8; 16]) {
        let mut bytes = Vec::with_capacity(128);
        // Serializing plain data to memory cannot fail.
        #[expect(clippy::expect_used, reason = "see above")]
        ciborium::into_writer(key, &mut bytes).expect("a key is plain data");
        bytes.extend_from_slice(&hash);
        for (sum, byte) in self.0.iter_mut().zip(short_hash(&bytes)) {
            *sum ^= byte;
        }
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
