//! The durable rows of an orchestrator.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::access::Grants;
use holm_model::id::{AssignmentId, Epoch, MemberId};
use holm_model::item::{Assignment, Carry, Item, ItemKey, Obeyed, Part, Reserve, Share, ShareSlots};
use holm_model::member::{NodeFacts, Role};
use holm_model::name::Name;
use holm_model::placement::Strategy;
use holm_model::project::ProjectReport;
use holm_model::slot::SlotIndex;
use holm_model::state::RunState;
use holm_model::time::Time;
use holm_model::view::TokenRole;
use holm_model::wish::Wish;
use serde::{Deserialize, Serialize};

use crate::scheduler::Score;

/// A reign of this store; the newest is ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reign {
    pub last_revision: u64,
    pub last_id: u64,
    /// Number of the last change in the history before it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub role: Role,
    pub name: Name,
    pub joined: Time,
    /// Serial numbers (hex) of its certificates that may still be valid.
    pub serials: BTreeSet<String>,
    /// Known by its certificate only, since this store does not remember its joining; or by a store that was restored:
    /// nobody knows here whether it was revoked, and a person has to adopt it before it is told anything.
    pub unconfirmed: bool,
    /// It is ahead of this store, and that was held against our wishes already.
    #[serde(default)]
    pub doubted: bool,
    /// It was ahead of this store with this, and people decided: it is told again until it obeys.
    #[serde(default)]
    pub thawed: Option<Obeyed>,
    /// People removed it: it takes nothing new, and is cut off when it has ended what it owes.
    #[serde(default)]
    pub leaving: bool,
    /// People keep new work away from it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cordoned: bool,
    /// People empty it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining: Option<Drain>,
    /// People take it out of service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decommission: Option<Decommission>,
    /// It came from another orchestrator and was not heard yet: at this time it is forgotten, since it stayed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Time>,
    /// Its machine is this node of a cluster that was silent as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_of: Option<(MemberId, MemberId)>,
}

/// People take a node out of service: it is emptied, wipes itself, and is forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decommission {
    pub since: Time,
    /// Who asked, and from where: for the audit log, when it has told what it wiped.
    pub who: String,
    pub from: String,
    /// It was told to wipe itself: that is not taken back.
    pub wiping: bool,
}

/// People empty a member: all that can move moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    pub since: Time,
    /// Named volumes are left behind.
    pub lose_volumes: bool,
}

/// What is kept of a member beside its [`Member`] row; written behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Not long before it was heard last.
    pub heard: Time,
    /// A node's.
    pub facts: Option<NodeFacts>,
    /// What a cluster has of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub projects: BTreeMap<Name, ProjectReport>,
    /// How many a cluster has.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub nodes: u32,
}

/// A wish and, once it is deleted, what its tombstone waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WishRow {
    pub wish: Wish,
    /// The revision that took the items of a deleted wish off the lists; the tombstone goes when every
    /// member has obeyed it.
    pub gone_at: Option<u64>,
    /// The reign in which people applied, confirmed or adopted it last.
    #[serde(default)]
    pub trusted: Option<Epoch>,
}

/// An assignment of a slot to a member: an instance on a node, or a share for a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    pub member: MemberId,
    pub role: Role,
    pub part: Part,
    pub index: SlotIndex,
    /// To a cluster: it makes one slot per node below itself.
    pub per_node: bool,
    /// The parent's share that this fills.
    pub share: Option<AssignmentId>,
    pub phase: Phase,
    /// Assignments of this slot that failed before.
    pub failures: u32,
    pub since: Time,
    /// The revision at which the item was put or changed last.
    pub revision: u64,
    /// Why it is there; `None`: it was the first that fit, or the slot's own node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Chosen>,
    /// What ran there when its replacement was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<Life>,
    /// A copy of it may run from before its service was exclusive: without a lease that would end it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unleased: bool,
    /// It moves, and its named volumes follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carry: Option<Carry>,
    /// Its member keeps room for it and starts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation: Option<Reservation>,
}

/// A part of a group that several members share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// That of its first part.
    pub group: AssignmentId,
    /// How many there are, over all members.
    pub parts: u32,
    pub reserve: Reserve,
}

/// One start of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    pub instance: AssignmentId,
    pub incarnation: u32,
}

/// Why a member was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    pub strategy: Strategy,
    pub score: Score,
    /// How many fit.
    pub of: u32,
    /// The scheduler that said so, not the strategy: `rank` is its own, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Name>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It fills the slot.
    Active,
    /// Its member was silent and a replacement was made; kept as *held* until the service's rule has chosen.
    Superseded,
    /// Its successor was made elsewhere; it goes on as it is until that one is ready.
    Migrating,
    /// Off the member's list; counted until the member says that it is gone.
    Retiring,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub role: TokenRole,
    /// SHA-256 of the secret, hex; empty for API tokens, which carry a signature.
    pub secret_hash: String,
    pub expires: Time,
    pub uses_left: Option<u32>,
    pub revoked: bool,
    #[serde(default)]
    pub who: String,
    /// What an API token allows.
    #[serde(default)]
    pub grants: Option<Grants>,
    /// Only the node of this name joins by it, which comes from another orchestrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invites: Option<Name>,
    /// Who joins by it is the machine of this node of a cluster, which is silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_of: Option<(MemberId, MemberId)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    pub at: Time,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

// === impl Member ===

impl Member {
    pub(super) const fn new(role: Role, name: Name, joined: Time) -> Self {
        let serials = BTreeSet::new();
        Self {
            role,
            name,
            joined,
            serials,
            unconfirmed: false,
            doubted: false,
            thawed: None,
            leaving: false,
            cordoned: false,
            draining: None,
            decommission: None,
            expected: None,
            guest_of: None,
        }
    }

    /// People keep new work away from it.
    pub(super) const fn takes_nothing(&self) -> bool {
        self.cordoned || self.draining.is_some()
    }
}

// === impl WishRow ===

impl WishRow {
    /// A wish that this store has forgotten, as far as a part of it tells; without services.
    pub(super) fn restored(part: &Part, now: Time) -> Self {
        let wish = Wish {
            key: part.app.clone(),
            id: part.wish,
            version: part.version,
            deleted: None,
            unconfirmed: false,
            created: now,
            changed: now,
            services: BTreeMap::new(),
        };
        Self { wish, gone_at: None, trusted: None }
    }
}

// === impl Placement ===

impl Placement {
    /// Its volumes are its own: those of what was on its way were never whole, and what has gone is elsewhere.
    pub(super) const fn has_data(&self) -> bool {
        !matches!(self.carry, Some(Carry::From(_) | Carry::Given))
    }

    /// What the member's list calls it.
    #[must_use]
    pub const fn key(&self, id: AssignmentId) -> ItemKey {
        match self.role {
            Role::Cluster => ItemKey::Share(id),
            Role::Node => ItemKey::Assignment(id),
        }
    }

    /// The item for the member's list, or `None` when it is off the list.
    #[must_use]
    pub fn item(&self, id: AssignmentId) -> Option<Item> {
        // Nodes keep no room: we do that for them.
        if self.phase == Phase::Retiring || (self.role == Role::Node && self.reservation.is_some()) {
            return None;
        }
        let reserve = self.reservation.map(|reservation| reservation.reserve);
        let held = self.phase == Phase::Superseded;
        let (part, failures) = (self.part.clone(), self.failures);
        Some(match (self.role, &self.index) {
            (Role::Cluster, index) => {
                let slots = match index {
                    SlotIndex::Number(number) if !self.per_node => ShareSlots::Number(*number),
                    _ => ShareSlots::PerNode,
                };
                Item::Share(Share { id, part, slots, failures, held, reserve })
            }
            (Role::Node, index) => {
                let slot = index.clone();
                let mut part = part;
                if matches!(self.carry, Some(Carry::Gives | Carry::Given)) {
                    part.run = RunState::Stop;
                }
                Item::Assignment(Assignment { id, part, slot, held, carry: self.carry })
            }
        })
    }
}
