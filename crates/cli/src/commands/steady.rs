//! Whether instances stay as they are, and whether waiting for them is of any use. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use holm_model::view::{EventView, InstanceView};
use tokio::time::Instant;

use super::slots;

/// Since when nothing has changed.
#[derive(Debug)]
pub(super) struct Steady {
    stable: Duration,
    /// With the lives that there were.
    since: Option<(Instant, Vec<Life>)>,
}

/// Id and incarnation.
type Life = (Option<String>, u32);

/// What became of instances while we looked, by id: between two looks one may fail and start again.
#[derive(Debug, Default)]
pub(super) struct Crashes {
    /// Restarts at the first look.
    before: BTreeMap<String, u32>,
    /// Why it failed last.
    reasons: BTreeMap<String, String>,
}

/// A program that was started again so often, and failed again, will not come up by waiting.
const MOST_CRASHES: u32 = 3;

/// What a node says of an instance that it does not try again.
const NO_ATTEMPT: &str = "no attempt is left";

// === impl Steady ===

impl Steady {
    pub(super) const fn new(stable: Duration) -> Self {
        Self { stable, since: None }
    }

    pub(super) fn broken(&mut self) {
        self.since = None;
    }

    /// `instances` are as wished; until when they must be so, and `None` once they were for long enough.
    pub(super) fn held(&mut self, instances: &[InstanceView], now: Instant) -> Option<Instant> {
        let lives: Vec<Life> = instances.iter().map(|i| (i.id.clone(), i.incarnation)).collect();
        let since = match &self.since {
            Some((since, known)) if *known == lives => *since,
            _ => {
                self.since = Some((now, lives));
                now
            }
        };
        Some(since + self.stable).filter(|end| *end > now)
    }
}

// === impl Crashes ===

impl Crashes {
    pub(super) fn hear(&mut self, happened: Vec<EventView>) {
        let failed = happened.into_iter().filter(|event| event.to == "FAILED");
        self.reasons.extend(failed.map(|event| (event.subject, event.reason)));
    }

    /// Slots that their orchestrator cannot place since nothing is tried on its node any more.
    /// Whoever has not failed yet may find a place later; this one needs people.
    pub(super) fn given_up(instances: &[InstanceView]) -> String {
        let given_up = |i: &&InstanceView| i.state == "REQUESTED" && i.reason.contains(NO_ATTEMPT);
        slots::below(instances.iter().filter(given_up).map(|i| (i.slot.clone(), i.reason.clone())))
    }

    /// Those that were started again [`MOST_CRASHES`] times while we looked.
    pub(super) fn again_and_again(&mut self, instances: &[InstanceView]) -> String {
        let mut told = Vec::new();
        for instance in instances {
            let Some(id) = &instance.id else { continue };
            if instance.state == "FAILED" {
                self.reasons.insert(id.clone(), instance.reason.clone());
            }
            let before = *self.before.entry(id.clone()).or_insert(instance.restarts);
            let restarts = instance.restarts.saturating_sub(before);
            if restarts >= MOST_CRASHES {
                let reason = self.reasons.get(id).map_or_else(String::new, |why| format!(": {why}"));
                told.push((instance.slot.clone(), format!("was started again {restarts} times{reason}")));
            }
        }
        slots::below(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::instance;

    #[test]
    fn a_restart_begins_the_stable_time_anew() {
        let (begin, second) = (Instant::now(), Duration::from_secs(1));
        let mut steady = Steady::new(2 * second);
        let mut one = instance("1-aa-1", "web/0");
        assert_eq!(steady.held(&[one.clone()], begin), Some(begin + 2 * second));
        one.incarnation = 2;
        assert_eq!(steady.held(&[one.clone()], begin + second), Some(begin + 3 * second));
        assert_eq!(steady.held(&[one.clone()], begin + 3 * second), None);
        steady.broken();
        assert_eq!(steady.held(&[one.clone()], begin + 3 * second), Some(begin + 5 * second));
        assert_eq!(Steady::new(Duration::ZERO).held(&[one], begin), None);
    }

    #[test]
    fn what_nobody_tries_any_more_is_given_up() {
        let mut one = instance("1-aa-1", "web/0");
        one.state = "REQUESTED".to_owned();
        one.reason = "no place: fl-1: no room".to_owned();
        assert_eq!(Crashes::given_up(&[one.clone()]), "", "room may come");
        one.reason = "no place: fl-1: refused; no attempt is left on this node".to_owned();
        assert_eq!(
            Crashes::given_up(&[one]),
            "\n  web/0  no place: fl-1: refused; no attempt is left on this node"
        );
    }

    #[test]
    fn a_program_that_fails_again_and_again_is_given_up() {
        let mut crashes = Crashes::default();
        let mut one = instance("1-aa-1", "web/0");
        one.restarts = 7;
        assert_eq!(crashes.again_and_again(&[one.clone()]), "", "these were before");
        one.restarts = 9;
        assert_eq!(crashes.again_and_again(&[one.clone()]), "");
        // Seen while it starts once more; why it failed only the event has told.
        (one.restarts, one.state) = (10, "STARTING".to_owned());
        crashes.reasons.insert("1-aa-1".to_owned(), "exited with code 3".to_owned());
        let told = crashes.again_and_again(&[one]);
        assert_eq!(told, "\n  web/0  was started again 3 times: exited with code 3");
    }
}
