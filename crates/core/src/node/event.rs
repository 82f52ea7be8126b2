//! What happens to a node machine, and what it wants done.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use holm_model::content::{Content, ContentKey};
use holm_model::id::{AssignmentId, MemberId, WishId};
use holm_model::item::{EndpointsKey, ItemError, Part};
use holm_model::member::{NodeFacts, Usage};
use holm_model::message::{Down, Up};
use holm_model::name::Name;
use holm_model::service::ServiceSpec;
use holm_model::slot::SlotIndex;
use holm_model::wipe::WipeReport;

use super::health::{CheckKind, Probed};
use super::pressure::Space;

/// Input of the machine.
#[derive(Clone, Debug)]
pub enum NodeEvent {
    LinkUp,
    LinkDown,
    Received(Down),
    /// From now on another orchestrator is called: what the old one had on its list goes on until the new one's list
    /// is here.
    Resettled,
    /// All that the runtimes still have of this node: once at the start, before which nothing is
    /// launched, and as the answer to [`NodeEffect::ListSurvivors`]. What [`NodeEvent::Runtime`] tells of an
    /// instance while [`NodeMachine::awaits_survivor`](super::NodeMachine::awaits_survivor) is to be fed after it.
    Survivors {
        found: Vec<Survivor>,
        /// Runtimes that could not tell: what they had goes on, as far as anybody knows.
        silent: BTreeSet<Name>,
    },
    /// The answer to [`NodeEffect::AskSilent`]; void once [`NodeEffect::ListSurvivors`] was asked after it.
    SilentTold {
        asked: BTreeSet<Name>,
        found: Vec<Survivor>,
        /// Those of `asked` that still cannot tell.
        silent: BTreeSet<Name>,
    },
    Runtime {
        id: AssignmentId,
        incarnation: u32,
        event: RuntimeEvent,
    },
    /// An instance was asked whether it works; see [`NodeMachine::checked`](super::NodeMachine::checked).
    Probed {
        id: AssignmentId,
        incarnation: u32,
        kind: CheckKind,
        probed: Probed,
    },
    /// Somebody wants the instance to begin anew; see [`NodeMachine::can_restart`](super::NodeMachine::can_restart).
    Restart {
        id: AssignmentId,
    },
    Facts(Box<NodeFacts>),
    /// [`NodeEffect::Wipe`] was done.
    Wiped(WipeReport),
    NodeUsage(Usage),
    /// How much room the data directory's file system has.
    DiskSpace(Space),
    /// [`NodeEffect::Clean`] was done: names of images that are gone.
    Cleaned {
        images: Vec<String>,
    },
    /// Why the disk takes no writes, or that it takes them again. Meanwhile nothing is obeyed but what ends
    /// something, and nothing launched; what happens is told all the same, and whatever the journal holds waits.
    Disk {
        trouble: Option<String>,
    },
    /// What [`NodeEffect::Withdrawn`] noted last, in the run before: to be told before [`NodeEvent::Survivors`].
    Withdrawn(BTreeSet<AssignmentId>),
    /// [`NodeMachine::next_deadline`](super::NodeMachine::next_deadline) has passed.
    Tick,
}

/// What a runtime says about an incarnation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeEvent {
    /// Progress, for people. Each one is a write: not more than one per second.
    Preparing {
        progress: String,
    },
    /// A first copy of the volumes that it fetches is whole, of so many bytes.
    Copied(u64),
    /// All of its volumes are here, and the one that gave them has ended. Nothing of it executes.
    Fetched,
    /// It is about to start, with these ports on the node.
    Starting {
        ports: BTreeMap<Name, u16>,
    },
    /// It runs: for the first time, or again after a pause.
    Running,
    Paused,
    /// It ended, by itself or by [`NodeEffect::Halt`]; nothing of it executes any more.
    Exited(Outcome),
    /// It never ran, and nothing of it executes.
    LaunchFailed {
        reason: String,
        retry: bool,
    },
    /// It may still run.
    HaltFailed {
        reason: String,
    },
    /// Neither paused nor resumed.
    PauseFailed {
        reason: String,
    },
    /// What was set anew did not reach it.
    RefreshFailed {
        reason: String,
    },
    /// Nothing is left of the instance.
    Removed,
    Usage(Usage),
    /// What it tells of the number by which its service is scaled, in thousandths; `None`: nothing.
    Metric(Option<u64>),
}

/// How an instance ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Exit code; `None` when a signal ended it, or nobody saw how it ended.
    pub code: Option<i32>,
    pub signal: Option<i32>,
    /// It was killed because memory ran out.
    pub oom: bool,
    /// Its lease ended, and it was asked to end for that; or it was not even started.
    pub lease: bool,
}

/// What a runtime has of an instance that this node (this data directory) launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survivor {
    pub id: AssignmentId,
    pub incarnation: u32,
    pub state: SurvivorState,
    pub ports: BTreeMap<Name, u16>,
    /// Boot time until which it may run, if it is exclusive and runs.
    pub lease: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SurvivorState {
    /// A launch is under way; its events follow.
    Launching,
    /// It was made, and never started.
    Created,
    Running,
    Paused,
    Exited(Outcome),
}

impl SurvivorState {
    /// Whether it runs, or will; what does not, holds no lease.
    #[must_use]
    pub const fn is_alive(&self) -> bool {
        !matches!(self, Self::Created | Self::Exited(_))
    }
}

/// Output of the machine; carried out in order, after the journal was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeEffect {
    Send(Up),
    /// Answered by [`RuntimeEvent::Running`], or by `LaunchFailed`.
    Launch(Box<Launch>),
    /// End it, or its launch: once its connections have ended, after `drain` at the latest; graceful first, by
    /// force after `grace`. Always answered by `Exited`, `LaunchFailed` or `HaltFailed`; by `Exited` also when
    /// nothing of it is there.
    Halt {
        id: AssignmentId,
        incarnation: u32,
        drain: Duration,
        grace: Duration,
    },
    /// Its files are replaced by those of the launch, then it is told, if the service says so. Answered
    /// by `RefreshFailed` only.
    Refresh(Box<Launch>),
    /// It may run until then (boot time); its supervisor ends it without being told.
    Lease {
        id: AssignmentId,
        until: Duration,
    },
    Pause {
        id: AssignmentId,
        incarnation: u32,
    },
    Resume {
        id: AssignmentId,
        incarnation: u32,
    },
    /// Remove what is left after the end, logs too. Answered by `Removed`.
    Remove {
        id: AssignmentId,
        incarnation: u32,
    },
    /// As [`Self::Remove`], and then these named volumes of it, which nothing here uses.
    Discard {
        id: AssignmentId,
        incarnation: u32,
        what: Discard,
    },
    /// Addresses of these changed; see [`NodeMachine::consumers`](super::NodeMachine::consumers).
    Endpoints {
        changed: BTreeSet<EndpointsKey>,
    },
    /// A session began; the orchestrator knows this node by these.
    Welcomed {
        member: MemberId,
        name: Name,
        path: Vec<Name>,
    },
    /// An item of the list that this version cannot read, for the log.
    Unreadable {
        reason: String,
    },
    /// A new certificate chain of our own.
    Certificate {
        chain: Vec<Vec<u8>>,
    },
    /// The orchestrator ends the link; trying again soon is of no use.
    Refused {
        reason: String,
    },
    /// Send [`NodeEvent::Survivors`]: after an undo the runtimes know better.
    ListSurvivors,
    /// Remove images that we pulled and nothing uses, and say [`NodeEvent::Cleaned`].
    Clean,
    /// Wipe all of ours but the keys and the store, and say [`NodeEvent::Wiped`].
    Wipe,
    /// Send [`NodeEvent::SilentTold`]: these could not tell, and may be able to now. All others go on meanwhile.
    AskSilent(BTreeSet<Name>),
    /// All that was withdrawn while the disk takes no writes; to be noted where that needs no room, before what
    /// follows.
    Withdrawn(BTreeSet<AssignmentId>),
    /// Close the link and open it anew: after an undo, answers are missing on it.
    Reconnect,
}

/// A new incarnation of an instance. No other one of it is live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    pub id: AssignmentId,
    pub incarnation: u32,
    pub part: Part,
    pub slot: SlotIndex,
    pub spec: ServiceSpec,
    /// Ports of the incarnation before, to be given again where they are free and still wanted.
    pub ports: BTreeMap<Name, u16>,
    /// Secrets and files that the specification names.
    pub contents: BTreeMap<ContentKey, Content>,
    /// Boot time at which it ends by itself, unless its lease is renewed.
    pub lease: Option<Duration>,
    pub data: Data,
}

/// Named volumes that go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discard {
    pub wish: WishId,
    pub runtime: Name,
    pub volumes: Vec<String>,
    /// They are a copy that never served: only what is marked as that goes.
    pub unused: bool,
}

/// Where the named volumes of an instance come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// They are here, or begin empty.
    Here,
    /// They are fetched from this instance, and it is not started yet.
    From(AssignmentId),
    /// They were fetched: from now on they are its own.
    Fetched,
}

// === impl NodeEvent ===

impl NodeEvent {
    /// Every runtime told.
    #[must_use]
    pub const fn survivors(found: Vec<Survivor>) -> Self {
        Self::Survivors { found, silent: BTreeSet::new() }
    }
}

// === impl Outcome ===

impl Outcome {
    #[must_use]
    pub const fn exited(code: i32) -> Self {
        Self { code: Some(code), signal: None, oom: false, lease: false }
    }

    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self.code, Some(0)) && !self.oom
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.oom, self.code, self.signal) {
            (true, _, _) => f.write_str("killed because memory ran out"),
            (false, Some(code), _) => write!(f, "exited with code {code}"),
            (false, None, Some(signal)) => write!(f, "ended by signal {signal}"),
            (false, None, None) => f.write_str("ended; nobody saw how"),
        }
    }
}

// === impl NodeEffect ===

impl NodeEffect {
    pub(super) fn unreadable(error: &ItemError) -> Self {
        Self::Unreadable { reason: error.to_string() }
    }
}
