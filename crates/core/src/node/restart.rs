//! The restart policy: what follows when an instance ends, or never comes up, without being told to.
//!
//! Failures count as in a row unless the instance ran for the longest back-off between them. The
//! `attempts`th in a row is the last on this node.

use std::time::Duration;

use holm_model::id::AssignmentId;
use holm_model::service::{Restart, RestartPolicy, ServiceSpec};
use holm_model::wish::short_hash;

/// How a launch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Exit code 0.
    Well,
    Badly,
    /// It will not come up here, however often it is tried.
    Hopeless,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is done: a job that ended well.
    Done,
    /// Launch it again after `wait`; the `attempts`th failure in a row.
    Again { attempts: u32, wait: Duration },
    /// Nothing more is tried on this node.
    GiveUp { attempts: u32 },
}

/// What a service says about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule<'a> {
    pub(super) restart: &'a Restart,
    /// A job begins again so often, however long it ran in between.
    pub(super) retries: Option<u32>,
}

/// What comes after an instance that ran for `ran`, with `attempts` failures in a row before it.
pub(super) fn verdict(
    Rule { restart, retries }: Rule<'_>,
    id: AssignmentId,
    end: End,
    attempts: u32,
    ran: Duration,
) -> Verdict {
    let (first, most) = restart.backoff;
    let attempts = if ran >= most && retries.is_none() { 1 } else { attempts.saturating_add(1) };
    let again = match (restart.policy, end) {
        (RestartPolicy::Never | RestartPolicy::OnFailure, End::Well) => return Verdict::Done,
        (RestartPolicy::Never, _) | (_, End::Hopeless) => false,
        (RestartPolicy::OnFailure | RestartPolicy::Always, End::Well | End::Badly) => {
            attempts <= retries.unwrap_or(restart.attempts.saturating_sub(1))
        }
    };
    if !again {
        return Verdict::GiveUp { attempts };
    }
    // `always` starts again at once after the first end in a row.
    let doublings = match restart.policy {
        RestartPolicy::Always => attempts.checked_sub(2),
        RestartPolicy::OnFailure | RestartPolicy::Never => Some(attempts - 1),
    };
    let wait = doublings.map_or(Duration::ZERO, |n| {
        let doubled = first.checked_mul(2_u32.saturating_pow(n)).unwrap_or(most);
        jitter(doubled.min(most), id, attempts)
    });
    Verdict::Again { attempts, wait }
}

// === impl Rule ===

impl<'a> Rule<'a> {
    pub(super) fn of(spec: &'a ServiceSpec) -> Self {
        Self { restart: &spec.restart, retries: spec.kind.job().and_then(|job| job.retries) }
    }
}

/// ±10 %, by the instance's id: what ended together on many nodes does not start together, and the
/// machine needs no randomness for it.
fn jitter(wait: Duration, id: AssignmentId, attempts: u32) -> Duration {
    let hash = short_hash(format!("{id}/{attempts}").as_bytes());
    let share = u32::from(u16::from_be_bytes([hash[0], hash[1]]));
    wait * 9 / 10 + wait / 5 * share / u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::id::{Epoch, Uid};

    const SHORT: Duration = Duration::from_millis(10);

    fn id(counter: u64) -> AssignmentId {
        AssignmentId(Uid { epoch: Epoch::new(1, 7), counter })
    }

    fn rule(restart: &Restart) -> Rule<'_> {
        Rule { restart, retries: None }
    }

    fn policy(policy: RestartPolicy) -> Restart {
        Restart { policy, attempts: 5, backoff: (Duration::from_secs(1), Duration::from_secs(4)) }
    }

    fn wait_of(policy_: RestartPolicy, before: u32) -> Duration {
        match verdict(rule(&policy(policy_)), id(1), End::Badly, before, SHORT) {
            Verdict::Again { wait, .. } => wait,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_policy_decides_what_an_end_means() {
        use {End::*, RestartPolicy::*};
        let cases = [
            (Never, Well, Some(Verdict::Done)),
            (Never, Badly, Some(Verdict::GiveUp { attempts: 1 })),
            (OnFailure, Well, Some(Verdict::Done)),
            (OnFailure, Badly, None),
            (OnFailure, Hopeless, Some(Verdict::GiveUp { attempts: 1 })),
            (Always, Well, Some(Verdict::Again { attempts: 1, wait: Duration::ZERO })),
            (Always, Badly, Some(Verdict::Again { attempts: 1, wait: Duration::ZERO })),
            (Always, Hopeless, Some(Verdict::GiveUp { attempts: 1 })),
        ];
        for (name, end, expected) in cases {
            let said = verdict(rule(&policy(name)), id(1), end, 0, SHORT);
            match expected {
                Some(expected) => assert_eq!(said, expected, "{name:?} {end:?}"),
                None => assert!(matches!(said, Verdict::Again { attempts: 1, .. }), "{said:?}"),
            }
        }
    }

    #[test]
    fn waits_double_up_to_the_longest_within_a_tenth() {
        for (before, seconds) in [(0, 1.0), (1, 2.0), (2, 4.0), (3, 4.0)] {
            let wait = wait_of(RestartPolicy::OnFailure, before).as_secs_f64();
            assert!((wait / seconds - 1.0).abs() <= 0.1001, "{before}: {wait}");
        }
        assert_eq!(wait_of(RestartPolicy::Always, 0), Duration::ZERO);
        assert!(wait_of(RestartPolicy::Always, 1) >= Duration::from_millis(900));
    }

    #[test]
    fn waits_of_instances_differ() {
        let wait = |n| verdict(rule(&policy(RestartPolicy::OnFailure)), id(n), End::Badly, 0, SHORT);
        assert!((2..20).any(|n| wait(n) != wait(1)));
    }

    #[test]
    fn attempts_end_and_begin_anew_after_a_long_run() {
        let on_failure = policy(RestartPolicy::OnFailure);
        assert_eq!(
            verdict(rule(&on_failure), id(1), End::Badly, 4, SHORT),
            Verdict::GiveUp { attempts: 5 },
            "the fifth failure in a row is the last"
        );
        let ran = Duration::from_secs(4);
        assert!(matches!(
            verdict(rule(&on_failure), id(1), End::Badly, 4, ran),
            Verdict::Again { attempts: 1, .. }
        ));
    }

    #[test]
    fn a_job_is_tried_again_as_often_as_it_says_however_long_it_ran() {
        let restart = policy(RestartPolicy::OnFailure);
        let said = |retries, before| {
            let rule = Rule { restart: &restart, retries: Some(retries) };
            verdict(rule, id(1), End::Badly, before, Duration::from_secs(3600))
        };
        assert_eq!(said(0, 0), Verdict::GiveUp { attempts: 1 });
        assert!(matches!(said(7, 6), Verdict::Again { attempts: 7, .. }), "more than `attempts`");
        assert_eq!(said(7, 7), Verdict::GiveUp { attempts: 8 });
    }

    #[test]
    fn no_number_of_attempts_overflows() {
        let endless = Restart { attempts: u32::MAX, ..policy(RestartPolicy::OnFailure) };
        for before in [30, 31, 32, u32::MAX - 2] {
            verdict(rule(&endless), id(1), End::Badly, before, SHORT);
        }
    }
}
