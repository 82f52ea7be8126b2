//! What somebody observed. Facts flow up on change and as a full snapshot per session.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::coordinate::Coordinate;
use crate::health::Readiness;
use crate::id::{AssignmentId, MemberId, WishId};
use crate::item::Reserve;
use crate::member::{Aggregate, NodeReport, Usage};
use crate::name::Name;
use crate::newer::Kinds;
use crate::project::ProjectReport;
use crate::slot::SlotIndex;
use crate::state::InstanceState;
use crate::time::Time;
use crate::wish::AppKey;

/// One observation; the newest with the same [`FactKey`] counts. A new kind gets its number in [`FactKey::since`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    Node(Box<NodeReport>),
    Instance(Box<InstanceReport>),
    /// A cluster's verdict on a share it was given.
    Share(ShareReport),
    Aggregate(Aggregate),
    /// What a cluster has of its own in a project; nothing, if it is absent.
    Project(ProjectReport),
}

/// What a fact is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FactKey {
    Node(Vec<MemberId>),
    Instance(AssignmentId),
    Share(AssignmentId),
    Aggregate,
    Project(Name),
}

/// A live copy, wherever it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceReport {
    pub id: AssignmentId,
    pub app: AppKey,
    pub wish: WishId,
    pub service: Name,
    pub slot: SlotIndex,
    pub generation: u64,
    pub runtime: Name,
    /// Ids from the reporting orchestrator's member down to the node.
    pub node: Vec<MemberId>,
    /// The share it fills, when a parent asked for it.
    pub share: Option<AssignmentId>,
    pub held: bool,
    pub status: InstanceStatus,
}

/// What a node knows of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStatus {
    pub state: InstanceState,
    /// Raised by each start on the node; with `sequence` it orders the states of an instance.
    pub incarnation: u32,
    pub sequence: u64,
    /// Why it is in this state, for people; empty when there is nothing to say.
    pub reason: String,
    pub since: Time,
    /// How often the node restarted it.
    pub restarts: u32,
    /// The restart policy's attempts on this node are used up.
    pub exhausted: bool,
    /// Ports on the node.
    pub ports: BTreeMap<Name, u16>,
    pub usage: Option<Usage>,
    /// What its checks tell while it runs; `None`: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Readiness>,
    /// In thousandths: what it tells of the metric by which its service is scaled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<u64>,
    /// Of one that moves and has not started: a first copy of its named volumes is whole, of so many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied: Option<u64>,
    /// Of one that moves: all of its named volumes are here, since the old copy has ended, and it waits for the word to
    /// start.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fetched: bool,
}

/// A cluster's verdict on a share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareReport {
    pub id: AssignmentId,
    pub verdict: Verdict,
    /// Of a per-node share: the slots that nothing fills there. Of another: its slot, when its node is
    /// silent past the deadline and there is no other place, or when a frozen node may run it. Of either:
    /// slots whose new specification has no place, so that what runs stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfilled: Vec<UnfilledSlot>,
    /// Of a per-node share: how many nodes it is for; `None`: not known, or not told by older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u32>,
    /// There is room for it, which is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<Reserved>,
    /// It runs, is to leave, and has no other place here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaves: Option<Leaves>,
}

/// Why a share is to leave its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaves {
    /// How often that was asked for: each time, a place is looked for once.
    pub times: u32,
    /// In words.
    pub reason: String,
}

/// Room that a cluster keeps for a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// As it was asked to.
    pub reserve: Reserve,
    /// Where the node is in the network, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinate: Option<Coordinate>,
}

/// A slot that a cluster made and cannot fill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnfilledSlot {
    pub slot: SlotIndex,
    /// Of the specification that it is about.
    pub generation: u64,
    /// Why not, in words.
    pub reason: String,
    pub since: Time,
    /// A frozen node may run it: people decide there, and nobody starts it elsewhere meanwhile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Taken; its instances tell the rest.
    Taken,
    /// It cannot be done here (any more); this id is never started later.
    Refused {
        /// Per member why not, in words.
        reason: String,
        /// The instances failed rather than found no place.
        failed: bool,
        /// It has completed, and where it ran is no member any more: it is not done again elsewhere.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        done: bool,
        /// By itself it would have a place: it is the others of its group that have none beside it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        together: bool,
    },
}

// === impl Fact ===

impl Fact {
    #[must_use]
    pub fn key(&self) -> FactKey {
        match self {
            Self::Node(report) => FactKey::Node(report.path.clone()),
            Self::Instance(report) => FactKey::Instance(report.id),
            Self::Share(report) => FactKey::Share(report.id),
            Self::Aggregate(_) => FactKey::Aggregate,
            Self::Project(report) => FactKey::Project(report.project.clone()),
        }
    }
}

impl Kinds for Fact {
    fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }
}

// === impl FactKey ===

impl FactKey {
    /// The revision of [`READS`](crate::message::READS) that brought this kind: an orchestrator that reads less is not
    /// told of it.
    #[must_use]
    pub const fn since(&self) -> u32 {
        match self {
            Self::Node(_) | Self::Instance(_) | Self::Share(_) | Self::Aggregate => 0,
            Self::Project(_) => 3,
        }
    }
}

impl Kinds for FactKey {
    fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }
}

// === impl InstanceStatus ===

impl InstanceStatus {
    /// It runs and takes work, as far as anybody can tell.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let runs = matches!(self.state, InstanceState::Running | InstanceState::Migrating);
        runs && self.readiness.as_ref().is_none_or(|told| told.ready)
    }

    /// Nothing of it runs, and nothing will start by itself: its silence changes nothing.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        match self.state {
            InstanceState::Completed | InstanceState::Stopped | InstanceState::Terminated => true,
            InstanceState::Failed => self.exhausted,
            _ => false,
        }
    }

    /// Whether this is news compared with `old`: a later incarnation, or a later state of the same.
    #[must_use]
    pub const fn is_newer_than(&self, old: &Self) -> bool {
        self.incarnation > old.incarnation
            || (self.incarnation == old.incarnation && self.sequence > old.sequence)
    }
}
