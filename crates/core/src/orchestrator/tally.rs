//! What has happened since the start, counted for those who watch. Nothing is decided by it, so that a commit that
//! fails takes nothing of it back.

use std::collections::BTreeMap;

use holm_model::fact::InstanceReport;
use holm_model::item::Part;
use holm_model::name::Name;
use holm_model::wish::AppKey;

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// By the word of the strategy that chose.
    pub placements: BTreeMap<&'static str, u64>,
    /// Members that could not take a slot, by the class of their reason.
    pub refusals: BTreeMap<&'static str, u64>,
    /// Questions to schedulers of people's own, by what came of them.
    pub consultations: BTreeMap<&'static str, u64>,
    /// Slots that were filled anew since their member was silent.
    pub replacements: u64,
    /// Starts after the first, of the services that were heard of first.
    pub restarts: BTreeMap<ServiceId, u64>,
    /// Those of all other services.
    pub other_restarts: u64,
}

/// A service, by the names that people know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceId {
    pub app: AppKey,
    pub service: Name,
}

/// Services that are counted by themselves.
const MOST: usize = 1000;

// === impl ServiceId ===

impl ServiceId {
    pub(super) fn of(part: &Part) -> Self {
        Self { app: part.app.clone(), service: part.service.clone() }
    }
}

// === impl Tally ===

impl Tally {
    pub(super) fn placed(&mut self, strategy: &'static str) {
        *self.placements.entry(strategy).or_default() += 1;
    }

    pub(super) fn refused(&mut self, reasons: &BTreeMap<&'static str, u64>) {
        for (class, number) in reasons {
            *self.refusals.entry(class).or_default() += number;
        }
    }

    pub(super) fn consulted(&mut self, outcome: &'static str) {
        *self.consultations.entry(outcome).or_default() += 1;
    }

    /// What is not known from before was not started again before our eyes.
    pub(super) fn heard(&mut self, old: Option<&InstanceReport>, new: &InstanceReport) {
        let before = old.map_or(new.status.restarts, |old| old.status.restarts);
        let restarts = u64::from(new.status.restarts.saturating_sub(before));
        if restarts == 0 {
            return;
        }
        let id = ServiceId { app: new.app.clone(), service: new.service.clone() };
        let room = self.restarts.len() < MOST;
        match self.restarts.get_mut(&id) {
            Some(known) => *known += restarts,
            None if room => drop(self.restarts.insert(id, restarts)),
            None => self.other_restarts += restarts,
        }
    }
}
