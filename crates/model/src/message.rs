//! The messages of a link, one enum per direction, CBOR inside length-prefixed frames.
//!
//! ```text
//! member                                        orchestrator
//!   Hello {obeyed, digest}            ──→
//!                                     ←──   Welcome {session, store, epoch, reigns}
//!   (behind? freeze, send Holding)    ──→
//!   Sync {obeyed, digest}             ──→         digests differ?
//!                                     ←──   Catalog {revision, [(key, hash)]}
//!   Want {keys}                       ──→
//!                                     ←──   Change {revision, items, complete}
//!   Facts {Begin … End, then changes} ──→
//!   Lease {held, wanted}              ──→         of what is exclusive
//!                                     ←──   Lease {for how long}
//!                                     ←──   Change …            as wishes change
//!   Alive                             ⇄     Alive               every 5 s
//! ```
//!
//! Every enum has `Unknown`-tolerance by framing: a message that cannot be decoded is skipped and
//! counted, never fatal; what it meant is repaired by the next digest. Items and facts travel many in a
//! message: each side says what it [reads](READS), and the other holds back the rest.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::coordinate::{Coordinate, Landmark};
use crate::fact::{Fact, FactKey};
use crate::id::{AssignmentId, Epoch, MemberId, StoreId};
use crate::item::{Digest, ItemKey, Obeyed, PackedItem};
use crate::member::{NodeFacts, Role, Usage};
use crate::name::Name;
use crate::newer;
use crate::transfer::Secret;
use crate::wipe::WipeReport;

/// Versions of the link protocol that this program speaks, lowest and highest.
pub const PROTOCOL: (u16, u16) = (1, 1);

/// Which kinds of items and facts this program reads: all whose `since` is not higher.
///
/// To add a kind: raise this by one, give the kind that number in `ItemKey::since` or `FactKey::since`, and have a
/// golden sample of it. 0 is whoever says nothing, 1 passes over kinds that it does not know, 2 knows of
/// [musts](READS_MUSTS), 3 of projects and of [health](READS_HEALTH), 4 of [healing](READS_HEALING) and of
/// [units](READS_PLACING), 5 of [latency](READS_LATENCY), of
/// [wiping](READS_WIPING) and of [steps before a start](READS_BEFORE), 6 of [retries](READS_RETRIES) and of
/// volumes that follow as they did once, 7 of [reservations](READS_RESERVING) and of
/// [nodes that change their orchestrator](READS_TRANSFERS), 8 of [volumes that follow](READS_MOVING) and of
/// [witnesses](READS_WITNESSES).
pub const READS: u32 = 8;
/// From here on a cluster knows what [`Placement::newer_must`](crate::placement::Placement::newer_must) names;
/// before, it passes over that.
pub const READS_MUSTS: u32 = 2;
/// From here on members know `health`, `ready` and `expose` of a service; before, they pass over them.
pub const READS_HEALTH: u32 = 3;
/// From here on clusters count units of capabilities; before, they pass over how many are asked.
pub const READS_PLACING: u32 = 4;
/// From here on clusters keep bounds of latency, and orchestrators answer pings; before, they pass over them.
pub const READS_LATENCY: u32 = 5;
/// From here on clusters know that the tokens of somebody can be void in one project; before, they pass over that.
pub const READS_ROLES: u32 = 3;
/// From here on a member knows of leases, and a cluster of [`Healing`](crate::healing::Healing).
pub const READS_HEALING: u32 = 4;
/// From here on a node wipes itself when it is decommissioned.
pub const READS_WIPING: u32 = 5;
/// From here on members run the steps before a start; before, they pass over them.
pub const READS_BEFORE: u32 = 5;
/// From here on members count the `retries` of a job; before, they pass over them.
pub const READS_RETRIES: u32 = 6;
/// From here on a node knows what to do with the volumes of what moves; one that reads 6 or 7 would start with them
/// without waiting for the word.
pub const READS_MOVING: u32 = 8;
/// From here on clusters invite nodes and let them go, and nodes go where they are told.
pub const READS_TRANSFERS: u32 = 7;
/// From here on a cluster keeps room for parts of groups; before, it would start them at once.
pub const READS_RESERVING: u32 = 7;

/// From here on a node tells the orchestrator above its own what it runs, when it does not hear its own.
pub const READS_WITNESSES: u32 = 8;

/// What a node of a cluster runs, told to the orchestrator above it: alone on a connection of its own, every few seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Testimony {
    pub runs: Vec<AssignmentId>,
    /// As the machine calls itself, if it asks to be a node there, too, meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<Name>,
}

/// To each [`Testimony`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hearing {
    /// Why it does not count; the connection ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// It may be a node here, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invited: Option<Invited>,
}

/// A machine whose orchestrator is silent may be a node of the one above, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invited {
    /// There.
    pub name: Name,
    /// A join token: good once, for ten minutes, for that name only.
    pub token: Secret,
}

/// Member → orchestrator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Up {
    Hello(Hello),
    /// The member agrees to obey and says what it holds; the orchestrator sends what is missing.
    Sync {
        obeyed: Option<Obeyed>,
        digest: Digest,
    },
    /// The member freezes: the parent is behind. It tells what it holds, so that it can be adopted.
    Holding {
        items: Vec<PackedItem>,
        complete: bool,
    },
    Want {
        keys: Vec<ItemKey>,
    },
    Facts(Facts),
    Alive {
        revision: u64,
    },
    /// The member asks for leases of what is exclusive.
    Lease(LeaseRequest),
    /// A new certificate is wanted for the same identity.
    Renew {
        csr: ByteBuf,
    },
    /// A node that is decommissioned has wiped all but its keys and its store, which go when its certificate is void.
    Wiped(WipeReport),
    /// The member leaves for good: its certificates are void from now on.
    Leave,
    /// How long does an answer take? The link's own business: machines never see it.
    Ping {
        /// The member's own, which the answer repeats.
        stamp: u64,
    },
}

/// Orchestrator → member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Down {
    Welcome(Welcome),
    /// All keys of the list with their hashes.
    Catalog {
        revision: u64,
        entries: Vec<(ItemKey, ByteBuf)>,
    },
    Change(ListChange),
    Alive {
        revision: u64,
        digest: Digest,
    },
    Lease(LeaseGrant),
    /// A person decided (`adopt` or `discard`): the freeze ends, this parent's list counts again.
    Thaw {
        obeyed: Obeyed,
    },
    Certificate {
        chain: Vec<ByteBuf>,
    },
    /// A tunnel is wanted: the member shall open the session's second connection. The link's own
    /// business, too.
    Bulk,
    /// The platform time in Unix seconds, at the beginning of a link and every hour. The link's own
    /// business: machines never see it.
    Time {
        now: u64,
    },
    /// At once after [`Up::Ping`].
    Pong {
        stamp: u64,
        /// Where the orchestrator is.
        coordinate: Coordinate,
    },
    /// What the member may dial to find out where it is: the whole list.
    Landmarks {
        landmarks: Vec<Landmark>,
    },
    /// Where the orchestrator above this one is called, `host:port`: by nodes that do not hear this one any more. None:
    /// they shall not. The link's own business, too.
    Above {
        addresses: Vec<String>,
    },
    /// The link ends for a reason that trying again will not mend soon.
    Refused {
        reason: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub protocol: (u16, u16),
    /// The program's version.
    pub version: String,
    pub role: Role,
    pub name: Name,
    /// What the member obeyed last.
    pub obeyed: Option<Obeyed>,
    pub digest: Digest,
    /// The items that the member reads: see [`READS`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reads: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    pub protocol: u16,
    pub version: String,
    /// Given by the receiver of facts; orders sessions.
    pub session: u64,
    pub member: MemberId,
    /// The member's name as its orchestrator knows it, and the path of names above it.
    pub name: Name,
    pub path: Vec<Name>,
    pub store: StoreId,
    pub epoch: Epoch,
    pub revision: u64,
    /// All earlier reigns of this store with the last revision of each.
    pub reigns: Vec<(Epoch, u64)>,
    /// The facts that the orchestrator reads: see [`READS`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reads: u32,
}

/// What a member has, or is to have, that may run only with a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRequest {
    /// The member's own boot time in milliseconds; the answer repeats it, and counts from it.
    pub sent: u64,
    /// A lease of these goes on.
    pub held: Vec<AssignmentId>,
    /// Of these there is none.
    pub wanted: Vec<AssignmentId>,
}

/// What of it may run, and for how many milliseconds after it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseGrant {
    pub sent: u64,
    pub leases: Vec<(AssignmentId, u64)>,
}

/// From `from` to `to`: applied only by a member whose list is at `from` (or to `complete` a sync).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListChange {
    pub store: StoreId,
    pub epoch: Epoch,
    pub from: Option<u64>,
    pub to: u64,
    pub put: Vec<PackedItem>,
    pub removed: Vec<ItemKey>,
    /// Of the whole list afterwards.
    pub digest: Digest,
}

/// Facts of one session in order; `Begin … End` is a snapshot, what is absent between is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub session: u64,
    pub sequence: u64,
    pub part: FactsPart,
    /// The revision of the list that these facts already reflect.
    pub revision: u64,
    #[serde(deserialize_with = "newer::known")]
    pub put: Vec<Fact>,
    #[serde(deserialize_with = "newer::known")]
    pub gone: Vec<FactKey>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FactsPart {
    Begin,
    More,
    End,
    /// A snapshot in one piece.
    Whole,
    Change,
}

/// What a node sends at joining, beside its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    pub role: Role,
    pub name: Name,
    pub facts: Option<NodeFacts>,
    pub usage: Option<Usage>,
}

const fn is_zero(number: &u32) -> bool {
    *number == 0
}
