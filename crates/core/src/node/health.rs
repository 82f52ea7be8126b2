//! What the probes of an instance told, and what follows from it. The shell probes; here is decided.
//!
//! ```text
//!             good                      so many bad ones in a row
//!  Unknown ───────────▶ Passed ─────────────────────────────────▶ Failed
//!     │                    ▲                 good                    │
//!     │                    └────────────────────────────────────────┘
//!     └── bad ones count after `start` only ─────────────────────────▶
//! ```
//!
//! However often the shell asks, one bad answer counts per `every`.

use std::collections::BTreeMap;
use std::time::Duration;

use holm_model::health::{Check, Readiness};
use holm_model::id::AssignmentId;
use holm_model::name::Name;
use holm_model::service::ServiceSpec;
use holm_model::state::{InstanceState, RunState};
use holm_model::time::Now;

use super::decide::Doing;
use super::machine::NodeMachine;

/// Which of an instance's two checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CheckKind {
    /// Whoever fails is started again.
    Health,
    /// Whoever fails gets no work.
    Readiness,
}

/// What one probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    pub good: bool,
    /// For people: `GET /healthz: 503`. The same finding has the same words.
    pub answer: String,
}

/// An instance that runs and has a check.
#[derive(Clone, Copy, Debug)]
pub struct Checked<'a> {
    pub id: AssignmentId,
    pub incarnation: u32,
    pub spec: &'a ServiceSpec,
    /// Its ports on the node.
    pub ports: &'a BTreeMap<Name, u16>,
}

/// One check of one incarnation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checkup {
    /// Bad answers in a row that count.
    failures: u32,
    /// Boot time of the last of them.
    counted: Option<Duration>,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There was no good answer yet.
    #[default]
    Unknown,
    Passed,
    Failed,
}

/// Both checks of one incarnation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Checkups {
    health: Checkup,
    readiness: Checkup,
}

/// Before the first probe.
const NOT_ASKED: &str = "not asked yet";
/// It would take work, and its health check has had no good answer yet.
const NOT_HEALTHY: &str = "its health check has had no good answer yet";

// === impl CheckKind ===

impl CheckKind {
    /// The check of this kind, if the service has one.
    #[must_use]
    pub const fn of(self, spec: &ServiceSpec) -> Option<&Check> {
        match self {
            Self::Health => spec.health.as_ref(),
            Self::Readiness => spec.ready.as_ref(),
        }
    }
}

// === impl Checkup ===

impl Checkup {
    /// Takes one answer of an instance that has run for `ran`, at a boot time.
    fn hear(&mut self, check: &Check, ran: Duration, at: Duration, good: bool) {
        // The shell's waits are up to a tenth shorter.
        let soon = self.counted.is_some_and(|last| at.saturating_sub(last) < check.every * 9 / 10);
        if good {
            *self = Self { failures: 0, counted: None, verdict: Verdict::Passed };
        } else if !soon && (self.verdict != Verdict::Unknown || ran >= check.start) {
            self.failures = self.failures.saturating_add(1);
            self.counted = Some(at);
            if self.failures >= check.failures {
                self.verdict = Verdict::Failed;
            }
        }
    }
}

// === impl Checkups ===

impl Checkups {
    fn of(&mut self, kind: CheckKind) -> &mut Checkup {
        match kind {
            CheckKind::Health => &mut self.health,
            CheckKind::Readiness => &mut self.readiness,
        }
    }
}

/// The check that decides whether an instance is ready: without one of its own, whoever is healthy is. With both, it has
/// to have been healthy once.
const fn decides(spec: &ServiceSpec) -> Option<CheckKind> {
    match (&spec.ready, &spec.health) {
        (Some(_), _) => Some(CheckKind::Readiness),
        (None, Some(_)) => Some(CheckKind::Health),
        (None, None) => None,
    }
}

// === impl NodeMachine ===

impl NodeMachine {
    /// Instances that have to be probed now, each by the checks of its specification.
    pub fn checked(&self) -> impl Iterator<Item = Checked<'_>> {
        self.lives.iter().filter(|(_, life)| life.doing == Doing::Up).filter_map(|(id, life)| {
            let spec = self.spec(*id).filter(|spec| decides(spec).is_some())?;
            let record = self.records.get(id).filter(|record| record.state == InstanceState::Running)?;
            Some(Checked { id: *id, incarnation: life.incarnation, spec, ports: &record.ports })
        })
    }

    pub(super) fn probed(
        &mut self,
        id: AssignmentId,
        incarnation: u32,
        kind: CheckKind,
        probed: Probed,
        now: Now,
    ) {
        let runs = self.records.get(&id).is_some_and(|record| record.state == InstanceState::Running);
        let Some(wanted) = self.wanted.get(&id).filter(|_| runs) else { return };
        let Some(spec) = wanted.order.as_ref().ok().map(|order| &order.spec) else { return };
        let Some(check) = kind.of(spec) else { return };
        let up =
            |life: &&mut super::machine::Life| life.incarnation == incarnation && life.doing == Doing::Up;
        let Some(life) = self.lives.get_mut(&id).filter(up) else { return };
        let ran = life.up_since.map_or(Duration::ZERO, |since| now.boot.saturating_sub(since));
        let checkup = life.checkups.of(kind);
        checkup.hear(check, ran, now.boot, probed.good);
        let Checkup { failures, verdict, .. } = *checkup;
        match (kind, verdict) {
            (CheckKind::Health, Verdict::Failed) if wanted.run == RunState::Run => {
                life.unhealthy = Some(format!("health check failed {failures} times: {}", probed.answer));
            }
            (CheckKind::Health, Verdict::Passed) if probed.good => life.unhealthy = None,
            _ => {}
        }
        if decides(spec) == Some(kind) {
            // One that was ready before this agent began stays so until its check has failed.
            let was = self.records.get(&id).and_then(|record| record.readiness.as_ref());
            let was_ready = was.is_some_and(|was| was.ready);
            let ready = match verdict {
                Verdict::Passed => true,
                Verdict::Failed => false,
                Verdict::Unknown => was_ready && failures < check.failures,
            };
            // Whoever may still turn out never to be healthy takes no work yet, and is no proof of its specification.
            let proved =
                was_ready || spec.health.is_none() || life.checkups.health.verdict != Verdict::Unknown;
            let answer = if ready && !proved { NOT_HEALTHY.to_owned() } else { probed.answer };
            self.set_readiness(id, Readiness { ready: ready && proved, answer });
        }
        self.touched.insert(id);
    }

    /// It has begun to run: with a check it is not ready before a good answer.
    pub(super) fn await_answer(&mut self, id: AssignmentId) {
        let has_check = self.spec(id).is_some_and(|spec| decides(spec).is_some());
        let told = self.records.get(&id).is_some_and(|record| record.readiness.is_some());
        if has_check && !told {
            self.set_readiness(id, Readiness { ready: false, answer: NOT_ASKED.to_owned() });
        }
    }

    fn set_readiness(&mut self, id: AssignmentId, readiness: Readiness) {
        if self.records.get(&id).is_some_and(|record| record.readiness.as_ref() != Some(&readiness)) {
            self.records.change(&mut self.journal, &id, |record| {
                record.readiness = Some(readiness);
                record.sequence += 1;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::health::Probe;
    use proptest::prelude::*;

    fn check(failures: u32, start: u64) -> Check {
        let (start, every) = (Duration::from_secs(start), Duration::from_secs(1));
        Check { failures, start, every, ..Check::new(Probe::Exec(vec!["true".to_owned()])) }
    }

    fn after(check: &Check, answers: &[bool]) -> Checkup {
        let mut checkup = Checkup::default();
        for (second, good) in (0..).zip(answers) {
            let ran = Duration::from_secs(second);
            checkup.hear(check, ran, Duration::from_secs(100) + ran, *good);
        }
        checkup
    }

    #[test]
    fn failures_in_a_row_count_and_a_good_answer_forgives_all() {
        let check = check(3, 0);
        assert_eq!(after(&check, &[true, false, false]).verdict, Verdict::Passed);
        assert_eq!(after(&check, &[true, false, false, true, false, false]).verdict, Verdict::Passed);
        let failed = after(&check, &[true, false, false, false]);
        assert_eq!((failed.failures, failed.verdict), (3, Verdict::Failed));
        assert_eq!(after(&check, &[false, false, false, true]).verdict, Verdict::Passed);
    }

    #[test]
    fn what_has_just_started_may_take_its_time_until_it_has_worked() {
        let check = check(2, 5);
        let waits = after(&check, &[false; 6]);
        assert_eq!((waits.failures, waits.verdict), (1, Verdict::Unknown));
        assert_eq!(after(&check, &[false; 7]).verdict, Verdict::Failed);
        assert_eq!(after(&check, &[true, false, false]).verdict, Verdict::Failed, "it has worked before");
    }

    proptest! {
        #[test]
        fn it_has_failed_exactly_when_the_last_answers_were_bad(
            answers in proptest::collection::vec(any::<bool>(), 1..40), failures in 1..5_u32,
        ) {
            let checkup = after(&check(failures, 0), &answers);
            let bad = answers.iter().rev().take_while(|good| !**good).count();
            prop_assert_eq!(checkup.verdict == Verdict::Failed, bad >= failures as usize);
            prop_assert_eq!(checkup.failures as usize, bad);
            prop_assert!(checkup.verdict != Verdict::Passed || answers.contains(&true));
        }
    }
}
