//! What a cluster said last of work that may still run, kept over its restarts until its parent has heard it.
//!
//! They are rows among the facts, of members that are no more.

use std::time::Duration;

use holm_model::fact::{Fact, InstanceReport};
use holm_model::id::AssignmentId;
use holm_model::record::Table;
use holm_model::state::InstanceState;

use super::{Orchestrator, Tier};
use crate::table::Rows;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct LastWords {
    rows: Rows<AssignmentId, InstanceReport>,
    /// Boot time since when the parent could hear all of them.
    told: Option<Duration>,
}

impl Default for LastWords {
    fn default() -> Self {
        Self { rows: Rows::new(Table::Fact), told: None }
    }
}

// === impl LastWords ===

impl LastWords {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The instance is known again: its row is a fact's.
    pub(super) fn take_back(&mut self, id: AssignmentId) {
        if self.rows.contains(&id) {
            // Without a value nothing has to be read.
            let _ = self.rows.restore(&id.to_string(), None);
        }
    }
}

// === impl Orchestrator ===

impl Orchestrator {
    /// The parent hears why before the instance goes: nobody saw it end.
    pub(super) fn give_up_report(&mut self, mut report: InstanceReport) {
        if self.config.tier == Tier::Cluster {
            report.status.state = InstanceState::Dangling;
            self.last_words.rows.put(&mut self.behind, report.id, report.clone());
            self.say_last_word(report);
        }
    }

    /// What the run before this one said last of instances that nobody has any more.
    pub(super) fn recall_last_word(&mut self, report: InstanceReport) {
        self.last_words.rows.put(&mut self.behind, report.id, report);
    }

    /// To a parent that has not heard anything yet in its session.
    pub(super) fn say_last_words(&mut self) {
        for report in self.last_words.rows.values().cloned().collect::<Vec<_>>() {
            self.say_last_word(report);
        }
    }

    fn say_last_word(&mut self, report: InstanceReport) {
        self.parent.reporter.remove_with(Fact::Instance(Box::new(report)));
        self.last_words.told = Some(self.now.boot);
    }

    /// A session that went on for so long after they were told has brought them there.
    pub(super) fn forget_last_words(&mut self) {
        let heard = |told| self.now.boot.saturating_sub(told) >= self.config.deadlines.unknown;
        if !self.parent.open || !self.last_words.told.is_some_and(heard) {
            return;
        }
        for id in self.last_words.rows.iter().map(|(id, _)| *id).collect::<Vec<_>>() {
            self.last_words.rows.remove(&mut self.behind, &id);
        }
    }
}
