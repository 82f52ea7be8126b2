//! Why an instance has ended or is not heard of, and why nobody takes one: in words for people, by which nothing is
//! decided.

use holm_model::fact::InstanceReport;
use holm_model::id::{AssignmentId, MemberId};
use holm_model::member::Role;
use holm_model::state::MemberState;

use super::Orchestrator;
use super::slots::Slot;
use crate::scheduler::Reason;

impl Orchestrator {
    /// Its member obeyed a list without it, and has ended it. `None`: nobody here knows of a reason.
    pub(super) fn why_gone(&self, report: &InstanceReport) -> Option<String> {
        let placement = self.placements.get(&report.id).or_else(|| self.placements.get(&report.share?));
        let slot_id = placement.map(Self::slot_of);
        let slot = slot_id.as_ref().and_then(|id| self.slots.get(id));
        let follower =
            slot.and_then(|slot| self.follower(report, slot)).or_else(|| self.newer_report(report));
        if let Some(follower) = follower {
            return Some(format!("replaced by {follower}"));
        }
        let demand = slot_id.as_ref().and_then(|(origin, _)| self.demands.get(origin));
        let leaves = placement.is_some_and(|p| self.members.get(&p.member).is_some_and(|m| m.leaving));
        match demand.filter(|_| slot.is_some_and(|slot| slot.wanted)) {
            Some(_) if leaves => Some("its node leaves".to_owned()),
            Some(demand) if demand.part.generation > report.generation => {
                Some(format!("it makes room for generation {}", demand.part.generation))
            }
            None if slot.is_some() => Some("it is not wanted any more".to_owned()),
            _ => None,
        }
    }

    /// What the slot was given to after this one; of a share, what fills it.
    fn follower(&self, before: &InstanceReport, slot: &Slot) -> Option<AssignmentId> {
        let active = slot.active.filter(|id| *id != before.id)?;
        let placement = self.placements.get(&active)?;
        if placement.role == Role::Node {
            return Some(active);
        }
        let mut there = self.index.by_share.get(&active)?.iter().filter_map(|id| self.instances.get(id));
        there.find(|report| report.id != before.id && report.slot == before.slot).map(|report| report.id)
    }

    /// Of what is not placed by us: another one that is told of the slot.
    fn newer_report(&self, before: &InstanceReport) -> Option<AssignmentId> {
        let service = super::facts::service_of(before);
        let other = |report: &&InstanceReport| {
            report.slot == before.slot && report.id > before.id && report.node.first() == before.node.first()
        };
        self.instances_of(&service).find(other).map(|report| report.id)
    }

    /// A member's refusal in words: one that was revoked is offline, and never comes back.
    pub(super) fn refusal(&self, member: &str, reason: &Reason) -> String {
        let revoked = || self.members.iter().any(|(id, row)| row.name == *member && self.is_void(*id));
        match reason {
            Reason::State(MemberState::Offline) if revoked() => "was revoked".to_owned(),
            reason => reason.to_string(),
        }
    }

    /// What is DANGLING on this way is so since somebody there says nothing, or is not listened to.
    pub(super) fn why_dangling(&self, way: &[MemberId]) -> &'static str {
        if way.iter().any(|id| self.is_void(*id)) {
            "its node was revoked; it may still run there"
        } else {
            "its node is silent past the deadline"
        }
    }
}
