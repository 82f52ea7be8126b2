//! How placements stand, from the facts of their members.

use std::collections::BTreeSet;

use holm_model::fact::{InstanceReport, UnfilledSlot};
use holm_model::id::AssignmentId;
use holm_model::member::Role;
use holm_model::service::ServiceSpec;
use holm_model::slot::SlotIndex;
use holm_model::state::{InstanceState, MemberState, RunState};

use super::Orchestrator;
use super::reconcile::ASSIGNMENTS;
use super::rows::Placement;

/// How a placement stands, from the facts of its member.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// What is wanted is so.
    Settled,
    /// On its way, or nothing heard yet.
    Moving,
    /// Its member is silent past the deadline, or the node of its cluster, which has no other place.
    Dangling,
    /// The restart policy's attempts are used up there: why.
    Exhausted(String),
}

impl Orchestrator {
    pub(super) fn online(&self, placement: &Placement) -> bool {
        self.live.get(&placement.member).is_some_and(|l| l.state == MemberState::Online && l.reported)
    }

    /// Nothing is heard of it: its member is silent past the deadline, or whoever has it below the member.
    pub(super) fn is_silent(&self, id: AssignmentId, placement: &Placement) -> bool {
        let dangling = |id: &AssignmentId| {
            self.instances.get(id).is_some_and(|report| report.status.state == InstanceState::Dangling)
        };
        let below = self.index.by_share.get(&id).is_some_and(|all| all.iter().all(dangling));
        below || self.is_dangling(id, placement)
    }

    /// The cluster has no place: its node is silent past the deadline, or the new specification needs more.
    /// What a frozen node may run is not without one.
    pub(super) fn is_stranded(&self, id: AssignmentId, placement: &Placement) -> bool {
        let generation = placement.part.generation;
        let without = |slots: &Vec<UnfilledSlot>| {
            slots.iter().any(|slot| !slot.frozen && slot.generation == generation)
        };
        !placement.per_node && self.index.unfilled_below.get(&id).is_some_and(without)
    }

    /// The member obeyed a list without it and reports nothing of it any more.
    pub(super) fn is_gone(&self, id: AssignmentId, placement: &Placement) -> bool {
        let Some(live) = self.live.get(&placement.member) else { return true };
        live.reported
            && live.obeyed >= placement.revision
            && match placement.role {
                Role::Node => !self.instances.contains(&id),
                Role::Cluster => self.index.by_share.get(&id).is_none_or(BTreeSet::is_empty),
            }
    }

    /// It has ended and is not started again by itself, whatever becomes of its node. What is said of an older
    /// specification, or was said before its member heard of the last start, says nothing of this one.
    pub(super) fn is_done(&self, id: AssignmentId, spec: &ServiceSpec) -> bool {
        let Some(placement) = self.placements.get(&id) else { return false };
        let live = self.live.get(&placement.member);
        // Where nothing is known yet in this run, it may have obeyed long ago.
        if live.is_some_and(|live| live.obeyed != 0 && live.obeyed < placement.revision) {
            return false;
        }
        let over = |report: &InstanceReport| match report.status.state {
            _ if report.generation != placement.part.generation => false,
            InstanceState::Completed => true,
            InstanceState::Failed => {
                spec.fails_once() || spec.kind.job().is_some() && self.has_used_up(report, placement)
            }
            _ => false,
        };
        let mut copies = self.copies(id).peekable();
        let nobody = placement.per_node && self.index.nodes_below.get(&id) == Some(&0);
        (copies.peek().is_some() || nobody) && copies.all(over)
    }

    /// All attempts on its node, and there is no other one that it may be tried on. Of that a cluster tells a moment later.
    fn has_used_up(&self, report: &InstanceReport, placement: &Placement) -> bool {
        let tried = match placement.role {
            Role::Node => placement.failures + 1 >= ASSIGNMENTS,
            Role::Cluster => self.unchanged(report) >= self.config.deadlines.steady,
        };
        report.status.exhausted && (tried || matches!(placement.index, SlotIndex::Node(_)))
    }

    /// Of a per-node share: its cluster has told of as many instances as it has nodes for it, or why there are fewer.
    fn is_complete_below(&self, share: AssignmentId) -> bool {
        let told = self.index.by_share.get(&share).map_or(0, BTreeSet::len)
            + self.index.unfilled_below.get(&share).map_or(0, Vec::len);
        self.index.nodes_below.get(&share).is_none_or(|nodes| told >= *nodes as usize)
    }

    pub(super) fn standing(&self, id: AssignmentId) -> Standing {
        let Some(placement) = self.placements.get(&id) else { return Standing::Moving };
        if self.is_dangling(id, placement) || self.is_stranded(id, placement) {
            return Standing::Dangling;
        }
        match placement.role {
            Role::Node => match self.instances.get(&id) {
                Some(report) => stands(report, placement),
                None => Standing::Moving,
            },
            Role::Cluster => self.standing_of_share(id, placement),
        }
    }

    /// Copies on nodes that are silent to the cluster say nothing: it replaces them, or waits for them.
    fn standing_of_share(&self, id: AssignmentId, placement: &Placement) -> Standing {
        let obeyed = self.live.get(&placement.member).map_or(0, |live| live.obeyed);
        let shared =
            self.index.by_share.get(&id).into_iter().flatten().filter_map(|id| self.instances.get(id));
        let mut heard = shared.filter(|r| r.status.state != InstanceState::Dangling).peekable();
        let none = heard.peek().is_none();
        let settled = heard
            .all(|report| matches!(stands(report, placement), Standing::Settled | Standing::Exhausted(_)));
        let complete = if placement.per_node { self.is_complete_below(id) } else { !none };
        if obeyed >= placement.revision && settled && complete { Standing::Settled } else { Standing::Moving }
    }
}

fn stands(report: &InstanceReport, placement: &Placement) -> Standing {
    use InstanceState::{Completed, Failed, Migrating, Paused, Running, Stopped};
    if report.generation != placement.part.generation {
        return Standing::Moving;
    }
    match (report.status.state, placement.part.run) {
        (Failed, RunState::Run) if report.status.exhausted => {
            Standing::Exhausted(report.status.reason.clone())
        }
        (Running | Migrating, RunState::Run | RunState::Unknown) if report.status.is_ready() => {
            Standing::Settled
        }
        (Completed, _) | (Stopped, RunState::Stop) | (Paused | Stopped, RunState::Pause) => Standing::Settled,
        _ => Standing::Moving,
    }
}
