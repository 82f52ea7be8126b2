//! What has happened since the start, counted for those who watch. Nothing is decided by it, so that a commit that
//! fails takes nothing of it back.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::cron::of_run;
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
    /// Starts after the first, of services that are counted by themselves: once, for as long as they are there.
    pub restarts: BTreeMap<ServiceId, u64>,
    /// Those of all other services.
    pub other_restarts: u64,
    /// Somebody found no place among them: those that have gone may leave theirs.
    crowded: bool,
}

/// A service, by the names that people know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceId {
    pub app: AppKey,
    pub service: Name,
}

/// Services that are counted by themselves; the last quarter of them are for projects that have few.
const MOST: usize = 500;

// === impl ServiceId ===

impl ServiceId {
    pub(super) fn of(part: &Part) -> Self {
        Self::new(&part.app, &part.service)
    }

    /// Runs of a `cron` are counted as what they are runs of.
    pub(super) fn new(app: &AppKey, service: &Name) -> Self {
        Self { app: app.clone(), service: of_run(service).unwrap_or_else(|| service.clone()) }
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
        self.count(ServiceId::new(&new.app, &new.service), restarts);
    }

    fn count(&mut self, id: ServiceId, restarts: u64) {
        if let Some(known) = self.restarts.get_mut(&id) {
            *known += restarts;
        } else if self.has_room(&id.app.project) {
            self.restarts.insert(id, restarts);
        } else {
            self.other_restarts += restarts;
            self.crowded = true;
        }
    }

    fn has_room(&self, project: &Name) -> bool {
        let own = || self.restarts.keys().filter(|id| id.app.project == *project).count();
        let taken = self.restarts.len();
        taken < MOST - MOST / 4 || (taken < MOST && own() < MOST / 8)
    }

    /// Whether others need the places of those that have gone; it is asked once about each who found none.
    pub(super) fn take_crowded(&mut self) -> bool {
        std::mem::take(&mut self.crowded)
    }

    /// What has gone is counted no more. It is not added to the others: it did not happen now.
    pub(super) fn keep(&mut self, there: &BTreeSet<ServiceId>) {
        self.restarts.retain(|id, _| there.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(project: &str, number: usize) -> ServiceId {
        let app = AppKey { project: project.parse().unwrap(), application: "shop".parse().unwrap() };
        ServiceId { app, service: format!("web-{number}").parse().unwrap() }
    }

    /// A restart of each of so many services.
    fn restart(tally: &mut Tally, project: &str, services: usize) {
        for number in 0..services {
            tally.count(id(project, number), 1);
        }
    }

    #[test]
    fn what_others_have_been_counted_never_gets_less() {
        let mut tally = Tally::default();
        restart(&mut tally, "blue", 600);
        assert_eq!((tally.restarts.len(), tally.other_restarts), (375, 225));
        restart(&mut tally, "red", 70);
        assert_eq!(
            (tally.restarts.len(), tally.other_restarts),
            (375 + 62, 225 + 8),
            "a few are left for others"
        );
        assert!(tally.take_crowded() && !tally.take_crowded());
        let there: BTreeSet<_> = (1..600).map(|number| id("blue", number)).collect();
        tally.keep(&there);
        assert_eq!((tally.restarts.len(), tally.other_restarts), (374, 233));
        restart(&mut tally, "blue", 600);
        assert!(tally.restarts.contains_key(&id("blue", 0)) && tally.other_restarts >= 233);
    }

    #[test]
    fn runs_are_counted_as_what_they_are_runs_of() {
        let app = id("blue", 0).app;
        let of = |service: &str| ServiceId::new(&app, &service.parse().unwrap()).service.to_string();
        assert_eq!(of("report-20261122t1700z"), "report");
        for other in ["report", "report-1700z", "a-20261122t17z", "t-z"] {
            assert_eq!(of(other), other);
        }
    }
}
