//! What a machine keeps beside its rows: work that waits, and what finds things quickly.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holm_model::content::ContentKey;
use holm_model::coordinate::{Coordinate, Landmark};
use holm_model::fact::UnfilledSlot;
use holm_model::id::{AssignmentId, Epoch, MemberId};
use holm_model::item::EndpointsKey;
use holm_model::name::Name;
use holm_model::slot::{ServiceKey, SlotIndex};

use super::choosing::Full;
use super::contents::Readers;
use super::demand::{Origin, SlotId};
use super::endpoints::Consumers;
use super::event::LinkId;
use super::grouping::{BoundWishes, Nowhere};
use crate::report::Reporter;

/// What must be looked at again: at the end of the step, or when something changes.
#[derive(Debug, Default)]
pub(super) struct Todo {
    pub(super) slots: BTreeSet<SlotId>,
    pub(super) origins: BTreeSet<Origin>,
    pub(super) endpoints: BTreeSet<EndpointsKey>,
    pub(super) contents: BTreeSet<ContentKey>,
    pub(super) projects: BTreeSet<Name>,
    pub(super) said: Said,
    /// Shares of which the parent may have to hear something new.
    pub(super) shares: BTreeSet<AssignmentId>,
    /// Members whose list has changed.
    pub(super) members: BTreeSet<MemberId>,
    /// Whose update is under way.
    pub(super) updating: BTreeSet<Origin>,
    /// Slots whose successor may have proved itself by the next tick.
    pub(super) relieving: BTreeSet<SlotId>,
    /// Placements of which something was reported: what has ended takes no room.
    pub(super) weigh: BTreeSet<AssignmentId>,
    /// Those that have ended, of members that have not obeyed the last that they were told of them.
    pub(super) weigh_later: BTreeMap<MemberId, BTreeSet<AssignmentId>>,
    /// Slots that wait for room.
    pub(super) unfilled: BTreeSet<SlotId>,
    /// Members that are removed as soon as they have ended what they owe.
    pub(super) leaving: BTreeSet<MemberId>,
    /// Nodes that are told to wipe themselves as soon as they are empty.
    pub(super) retiring: BTreeSet<MemberId>,
}

/// By clusters, since the last tick. However often they say something else, others hear of it, and it is written down,
/// once per tick.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Clusters of which something must be remembered.
    pub(super) by: BTreeSet<MemberId>,
    pub(super) projects: BTreeSet<Name>,
    /// How many nodes they have.
    pub(super) nodes: bool,
    /// Where they are, or may be dialled; or somebody is there who was not told.
    pub(super) landmarks: bool,
}

/// Instances and nodes by what they belong to.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) by_share: BTreeMap<AssignmentId, BTreeSet<AssignmentId>>,
    /// When an instance was heard to change last: its state, or by a new start (boot time).
    pub(super) changed: BTreeMap<AssignmentId, Duration>,
    pub(super) by_service: BTreeMap<ServiceKey, BTreeSet<AssignmentId>>,
    pub(super) consumers: Consumers,
    pub(super) readers: Readers,
    /// Slots of shares that their clusters cannot fill, or cannot replace while a node is silent.
    pub(super) unfilled_below: BTreeMap<AssignmentId, Vec<UnfilledSlot>>,
    /// Nodes that a per-node share is for, as its cluster tells.
    pub(super) nodes_below: BTreeMap<AssignmentId, u32>,
}

/// Links of members, and what may be said on them.
#[derive(Debug, Default)]
pub(super) struct Links {
    pub(super) open: BTreeMap<LinkId, MemberId>,
    /// Their certificate has expired: no sessions, nothing but `Renew` is heard there.
    pub(super) renewing: BTreeMap<LinkId, MemberId>,
    /// Counts the sessions of this run.
    pub(super) sessions: u64,
}

/// Our own parent, in this run.
#[derive(Debug, Default)]
pub(super) struct Parent {
    pub(super) open: bool,
    /// As it told in its last welcome.
    pub(super) reigns: BTreeSet<Epoch>,
    pub(super) reporter: Reporter,
    /// Where we are by what was measured; a root stays where it is.
    pub(super) coordinate: Option<Coordinate>,
    /// What it told us to measure our way to.
    pub(super) landmarks: Vec<Landmark>,
}

/// Of one step only.
#[derive(Debug, Default)]
pub(super) struct ThisStep {
    pub(super) full: Option<Full>,
    /// Whether any member is frozen, once a slot wanted to know.
    pub(super) frozen: Option<bool>,
    /// Whether this store lost what it knew of its members, once a slot wanted to know.
    pub(super) forgotten: Option<bool>,
    /// Slots of an origin that others of it wait for in an update.
    pub(super) movers: Option<(Origin, Vec<SlotIndex>)>,
    /// An origin that was to end before anything new of it starts, and has.
    pub(super) ended: Option<Origin>,
    /// Where something is bound to something, once a slot wanted to know.
    pub(super) bound: Option<BoundWishes>,
    /// Groups for which there is no place.
    pub(super) nowhere: Vec<Nowhere>,
    /// It takes a revision even if it changes no list: a tombstone waits for it.
    pub(super) deleted: bool,
}

// === impl Links ===

impl Links {
    /// Whether the member asks for nothing but another certificate.
    pub(super) fn renews(&self, id: MemberId) -> bool {
        self.renewing.values().any(|member| *member == id)
    }
}
