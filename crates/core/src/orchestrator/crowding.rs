//! Nodes whose disk stays full: the least important of what they run goes elsewhere, one after the other.
//!
//! Only what keeps no data there and can be had by somebody else; whoever has the node decides.

use std::collections::BTreeMap;
use std::time::Duration;

use holm_model::id::{AssignmentId, MemberId};
use holm_model::priority::Priority;
use holm_model::record::Change;
use holm_model::service::ServiceSpec;

use super::Orchestrator;
use super::demand::SlotId;
use super::rows::{Phase, Placement};
use super::standing::Standing;

/// Nodes that are crowded, of this run.
#[derive(Debug, Default)]
pub(super) struct Crowded(BTreeMap<MemberId, Relief>);

#[derive(Clone, Copy, Debug, Default)]
struct Relief {
    /// Boot time of the last move.
    moved: Option<Duration>,
    /// That nothing can leave was said.
    stuck: bool,
}

/// A disk shows only after a while what has left it.
const NEXT: Duration = Duration::from_secs(60);

impl Orchestrator {
    pub(super) fn relieve_disks(&mut self) {
        let crowded: BTreeMap<MemberId, String> = self
            .live
            .iter()
            .filter_map(|(id, live)| Some((*id, live.facts.as_ref()?.crowded.clone()?)))
            .collect();
        self.crowded.0.retain(|id, _| crowded.contains_key(id));
        for (id, why) in crowded {
            self.relieve(id, &why);
        }
    }

    fn relieve(&mut self, id: MemberId, why: &str) {
        let relief = self.crowded.0.entry(id).or_default();
        let rests = relief.moved.is_some_and(|at| self.now.boot.saturating_sub(at) < NEXT);
        let placed: Vec<(AssignmentId, Placement)> = self
            .placements_on(id)
            .into_iter()
            .filter_map(|placed| Some((placed, self.placements.get(&placed)?.clone())))
            .collect();
        // One at a time.
        if rests || placed.iter().any(|(_, placement)| placement.phase != Phase::Active) {
            return;
        }
        let mut leaving: Vec<(Priority, SlotId, AssignmentId)> = placed
            .iter()
            .filter_map(|(active, placement)| {
                let slot_id = Self::slot_of(placement);
                Some((self.may_leave(*active, &slot_id)?, slot_id, *active))
            })
            .collect();
        leaving.sort();
        let moved = leaving.into_iter().any(|(priority, slot_id, active)| {
            self.leave_crowded(
                &slot_id,
                active,
                id,
                &format!("{why}; of priority {}, without data there", priority.word()),
            )
        });
        let now = self.now.boot;
        let Some(relief) = self.crowded.0.get_mut(&id) else { return };
        if moved {
            *relief = Relief { moved: Some(now), stuck: false };
        } else if !std::mem::replace(&mut relief.stuck, true) {
            let why = format!("{why}; nothing that keeps no data there can go anywhere else");
            let name = self.member_name(id);
            self.note("node", name, String::new(), ("disk nearly full", "disk stays full"), ("policy", &why));
        }
    }

    /// How important it is, if it runs without data of its own on the node.
    fn may_leave(&self, active: AssignmentId, slot_id: &SlotId) -> Option<Priority> {
        let demand = self.demands.get(&slot_id.0)?;
        let spec = demand.spec.as_ref()?;
        let settled = self.standing(active) == Standing::Settled && !demand.rests();
        let free =
            settled && keeps_nothing(spec) && self.cannot_move(slot_id, demand, active, false).is_none();
        free.then_some(spec.priority)
    }

    fn leave_crowded(&mut self, slot_id: &SlotId, active: AssignmentId, leaves: MemberId, why: &str) -> bool {
        let Some(demand) = self.demands.get(&slot_id.0).cloned() else { return false };
        let Some(spec) = demand.spec.clone() else { return false };
        let Ok(target) = self.choose_elsewhere(slot_id, &demand, &spec, leaves) else { return false };
        if self.cannot_carry(&demand, active, target.0).is_some() {
            return false;
        }
        let instance = self.copies(active).next().map_or(active, |report| report.id);
        self.behind.change(Change {
            at: self.now.wall,
            kind: "instance".to_owned(),
            subject: instance.to_string(),
            application: demand.part.app.to_string(),
            slot: format!("{}/{}", demand.part.service, slot_id.1),
            from: String::new(),
            to: "leaves a full disk".to_owned(),
            cause: "policy".to_owned(),
            reason: why.to_owned(),
        });
        self.move_to(slot_id, &demand, active, target, false);
        true
    }
}

/// Neither volumes that it writes to nor work that would begin anew.
fn keeps_nothing(spec: &ServiceSpec) -> bool {
    spec.volumes.iter().all(|volume| volume.read_only) && spec.kind.job().is_none()
}
