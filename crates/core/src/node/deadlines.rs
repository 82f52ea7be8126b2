//! Jobs that a node stops by itself when their deadline has passed, so that one is kept also where whoever wants them
//! is out of reach. Counted from when this node took the job: the owner, who counts from when it was asked for, is
//! earlier wherever it is heard.

use std::collections::BTreeMap;
use std::time::Duration;

use holm_model::id::AssignmentId;
use holm_model::state::RunState;
use holm_model::time::{Now, Time};
use serde::{Deserialize, Serialize};

use super::machine::NodeMachine;
use super::wanted::Wanted;

/// Since when this node has been at a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    pub at: Time,
    /// Another specification, and a restart, begin it anew.
    pub generation: u64,
    pub restarts: u64,
}

/// When jobs have to have ended, in this run: a clock that is set meanwhile changes nothing.
#[derive(Debug, Default)]
pub(super) struct Deadlines(BTreeMap<AssignmentId, Due>);

#[derive(Clone, Copy, Debug)]
struct Due {
    begun: Begun,
    deadline: Duration,
    /// Boot time.
    at: Duration,
    passed: bool,
}

// === impl Deadlines ===

impl Deadlines {
    /// The next that passes, in boot time.
    pub(super) fn next(&self) -> Option<Duration> {
        self.0.values().filter(|due| !due.passed).map(|due| due.at).min()
    }

    /// Those that have passed since the last call.
    pub(super) fn pass(&mut self, now: Duration) -> Vec<AssignmentId> {
        let passing = self.0.iter_mut().filter(|(_, due)| !due.passed && due.at <= now);
        let pass = |(id, due): (&AssignmentId, &mut Due)| {
            due.passed = true;
            *id
        };
        passing.map(pass).collect()
    }

    /// The deadline, if it has passed.
    pub(super) fn late(&self, id: AssignmentId) -> Option<Duration> {
        self.0.get(&id).filter(|due| due.passed).map(|due| due.deadline)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn set(&mut self, id: AssignmentId, begun: Begun, deadline: Duration, now: Now) {
        if self.0.get(&id).is_some_and(|due| (due.begun, due.deadline) == (begun, deadline)) {
            return;
        }
        let left = deadline.saturating_sub(now.wall.since(begun.at));
        let due = Due { begun, deadline, at: now.boot + left, passed: left.is_zero() };
        self.0.insert(id, due);
    }
}

impl NodeMachine {
    /// Keeps when this node began what has a deadline.
    pub(super) fn meet_deadline(&mut self, id: AssignmentId, now: Now) {
        let wanted = self.wanted.get(&id);
        let deadline = wanted.and_then(deadline);
        let known = self.records.get(&id).and_then(|record| record.begun);
        let begun = match (wanted, deadline) {
            (Some(wanted), Some(_)) if wanted.run == RunState::Run => {
                let (generation, restarts) = (wanted.generation, wanted.restarts);
                let same = |begun: &Begun| (begun.generation, begun.restarts) == (generation, restarts);
                known.filter(same).or(Some(Begun { at: now.wall, generation, restarts }))
            }
            // It counts on.
            (Some(wanted), Some(_)) if wanted.run == RunState::Pause => known,
            _ => None,
        };
        if begun != known {
            self.records.change(&mut self.journal, &id, |record| record.begun = begun);
        }
        match (begun, deadline) {
            (Some(begun), Some(deadline)) => self.deadlines.set(id, begun, deadline, now),
            _ => drop(self.deadlines.0.remove(&id)),
        }
    }
}

fn deadline(wanted: &Wanted) -> Option<Duration> {
    wanted.order.as_ref().ok()?.spec.kind.job()?.deadline
}
