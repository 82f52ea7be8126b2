//! What a node keeps of an instance on disk, and the one way to change its state.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use holm_model::content::ContentKey;
use holm_model::fact::{InstanceReport, InstanceStatus};
use holm_model::health::Readiness;
use holm_model::id::{AssignmentId, MemberId, Uid};
use holm_model::member::Usage;
use holm_model::name::Name;
use holm_model::record::Change;
use holm_model::service::ServiceSpec;
use holm_model::state::InstanceState;
use holm_model::time::Time;
use serde::{Deserialize, Serialize};

use super::deadlines::Begun;
use super::given::Stamps;
use super::wanted::{Identity, Order, Wanted};

/// A row of [`Table::Instance`](holm_model::record::Table::Instance).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRecord {
    pub identity: Identity,
    /// Of the specification that was launched last.
    pub generation: u64,
    /// Hash of that specification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<[u8; 16]>,
    /// `None` until a specification could be read.
    pub runtime: Option<Name>,
    pub state: InstanceState,
    /// Raised before each launch; 0: never launched.
    pub incarnation: u32,
    /// Raised by each change of state or reason, and never reset.
    pub sequence: u64,
    /// Why it is in this state, for people.
    pub reason: String,
    pub since: Time,
    /// How often it was launched again.
    pub restarts: u32,
    /// Failures in a row, for the restart policy.
    pub attempts: u32,
    /// No attempt follows on this node unless people ask for one.
    pub exhausted: bool,
    /// People's restart counter at the last launch.
    pub restarts_seen: u64,
    /// Somebody asked for a restart of this very instance since the last launch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    pub ports: BTreeMap<Name, u16>,
    /// How long a graceful stop of what was launched may take.
    pub grace: Duration,
    /// How long that stop waits first for connections that are open.
    #[serde(default, skip_serializing_if = "Duration::is_zero")]
    pub drain: Duration,
    /// What its checks told last; `None`: it has none, or has not run yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Readiness>,
    /// Boot of the machine at the last launch.
    pub boot: String,
    /// Which setting of each secret and file it was given; never the bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<(ContentKey, Uid)>,
    /// Of a job with a deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<Begun>,
    /// The named volumes of the copy before it are here: they are not fetched again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fetched: bool,
    /// Its named volumes go with it: they are elsewhere by now, or only a copy that never served.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discards: Vec<String>,
    /// Those are a copy that never served.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unused: bool,
}

/// Why a state changed, for the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A person's wish: stop, pause, restart.
    Person,
    /// The list: a new assignment, one that is gone, another specification.
    Scheduler,
    /// Something happened on the node.
    Node,
    /// The restart policy.
    Policy,
}

// === impl InstanceRecord ===

impl InstanceRecord {
    /// A new assignment, nothing done yet.
    pub(super) fn new(identity: Identity, wanted: &Wanted, now: Time) -> Self {
        Self {
            identity,
            generation: wanted.generation,
            spec: None,
            runtime: wanted.runtime().cloned(),
            state: InstanceState::ScheduledNode,
            incarnation: 0,
            sequence: 1,
            reason: String::new(),
            since: now,
            restarts: 0,
            attempts: 0,
            exhausted: false,
            restarts_seen: wanted.restarts,
            again: false,
            ports: BTreeMap::new(),
            grace: ServiceSpec::GRACE,
            drain: Duration::ZERO,
            readiness: None,
            boot: String::new(),
            given: Vec::new(),
            begun: None,
            fetched: false,
            discards: Vec::new(),
            unused: false,
        }
    }

    /// People asked for a restart, or for another specification, since the last launch.
    pub(super) fn is_outdated(&self, wanted: &Wanted) -> bool {
        let asked = self.again || wanted.restarts > self.restarts_seen;
        wanted.order.is_ok() && (asked || wanted.generation != self.generation)
    }

    /// The wanted generation is what was launched, under another number.
    pub(super) fn is_renumbered(&self, wanted: &Wanted) -> bool {
        let (Ok(order), Some(launched)) = (&wanted.order, self.spec) else { return false };
        !wanted.held && wanted.generation != self.generation && order.part.spec.hash() == launched
    }

    /// The next incarnation. Failures count anew when people asked for it, in whichever way; `asked` is
    /// their restart counter.
    pub(super) fn begin(&mut self, order: &Order, asked: u64, given: Stamps, boot: &str) {
        let anew = self.state == InstanceState::Stopped
            || self.again
            || asked > self.restarts_seen
            || given != self.given
            || order.part.generation != self.generation;
        if anew {
            self.attempts = 0;
        }
        // After it has fetched its volumes it starts for the first time.
        let fetched = self.fetched && self.state == InstanceState::Preparing;
        self.restarts += u32::from(self.incarnation > 0 && !fetched);
        self.incarnation += 1;
        self.restarts_seen = asked;
        self.again = false;
        self.given = given;
        self.generation = order.part.generation;
        self.spec = Some(order.part.spec.hash());
        self.runtime = Some(order.spec.runtime.clone());
        self.grace = order.spec.grace;
        self.drain = order.spec.drains_for();
        self.readiness = None;
        self.exhausted = false;
        boot.clone_into(&mut self.boot);
    }

    /// Goes to `next` over the legal states between, and says what changed. An equal state with another
    /// reason is a change that the history does not note. From where no way leads, it stays.
    pub(super) fn become_state(
        &mut self,
        id: AssignmentId,
        next: InstanceState,
        cause: Cause,
        reason: &str,
        now: Time,
    ) -> Vec<Change> {
        if self.state == next {
            if self.reason != reason {
                reason.clone_into(&mut self.reason);
                self.sequence += 1;
            }
            return Vec::new();
        }
        let mut changes = Vec::new();
        for step in way(self.state, next) {
            debug_assert!(self.state.may_become(step), "{id}: {} to {step}", self.state);
            let last = step == next;
            changes.push(Change {
                at: now,
                kind: "instance".to_owned(),
                subject: id.to_string(),
                application: self.identity.app.to_string(),
                slot: format!("{}/{}", self.identity.service, self.identity.slot),
                from: self.state.to_string(),
                to: step.to_string(),
                cause: cause.word().to_owned(),
                reason: if last { reason.to_owned() } else { String::new() },
            });
            self.state = step;
            self.sequence += 1;
        }
        if !changes.is_empty() {
            reason.clone_into(&mut self.reason);
            self.since = now;
        }
        changes
    }

    pub(super) fn report(
        &self,
        id: AssignmentId,
        node: Vec<MemberId>,
        held: bool,
        (usage, metric, copied): (Option<Usage>, Option<u64>, Option<u64>),
        waits: bool,
    ) -> InstanceReport {
        InstanceReport {
            id,
            app: self.identity.app.clone(),
            wish: self.identity.wish,
            service: self.identity.service.clone(),
            slot: self.identity.slot.clone(),
            generation: self.generation,
            runtime: self.runtime.clone().unwrap_or_else(unknown_runtime),
            node,
            share: None,
            held,
            status: InstanceStatus {
                state: self.state,
                incarnation: self.incarnation,
                sequence: self.sequence,
                reason: self.reason.clone(),
                since: self.since,
                restarts: self.restarts,
                exhausted: self.exhausted,
                ports: self.ports.clone(),
                usage: usage.filter(|_| self.state.is_live()),
                readiness: self.readiness.clone().filter(|_| self.state == InstanceState::Running),
                metric: metric.filter(|_| self.state == InstanceState::Running),
                copied: copied.filter(|_| self.state == InstanceState::Preparing),
                fetched: waits && self.fetched,
            },
        }
    }
}

fn unknown_runtime() -> Name {
    // A constant that the rule of names allows.
    #[expect(clippy::expect_used, reason = "see above")]
    Name::new("unknown").expect("a name")
}

/// The shortest legal way: an event may tell a state whose forerunners nobody reported. Empty when
/// there is none.
fn way(from: InstanceState, to: InstanceState) -> Vec<InstanceState> {
    use InstanceState as I;
    // States that a node passes through by itself; the others would claim what did not happen.
    const BETWEEN: [I; 5] = [I::Preparing, I::Starting, I::Stopping, I::Failed, I::Running];
    let mut queue = VecDeque::from([vec![]]);
    while let Some(way) = queue.pop_front() {
        let at = way.last().copied().unwrap_or(from);
        if at.may_become(to) {
            return [way, vec![to]].concat();
        }
        for next in BETWEEN {
            if at.may_become(next) && !way.contains(&next) && next != from {
                queue.push_back([way.clone(), vec![next]].concat());
            }
        }
    }
    Vec::new()
}

// === impl Cause ===

impl Cause {
    const fn word(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Scheduler => "scheduler",
            Self::Node => "node",
            Self::Policy => "policy",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use InstanceState as I;

    #[test]
    fn ways_are_short_and_legal() {
        assert_eq!(way(I::Preparing, I::Running), [I::Starting, I::Running]);
        assert_eq!(way(I::Paused, I::Completed), [I::Running, I::Completed]);
        assert_eq!(way(I::Starting, I::Terminated), [I::Stopping, I::Terminated]);
        assert_eq!(way(I::Failed, I::Preparing), [I::Preparing]);
        assert!(way(I::Terminated, I::Running).is_empty());
    }
}
