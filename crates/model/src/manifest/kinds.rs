//! What kind of work a service does: `kind`.

use std::time::Duration;

use super::keys;
use super::parts::MOST_ATTEMPTS;
use super::read::{At, Fields};
use crate::cron::Zone;
use crate::duration::Span;
use crate::job::{Cron, Job, Kind, Missed, Overlap};
use crate::service::{Replicas, Restart, RestartPolicy};

const WHAT: &str = "`service`, `job`, `{ job: { deadline: 1h } }` or `{ cron: \"*/15 * * * *\" }`";
/// Shortest and longest `deadline` of a job.
const DEADLINES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(365 * 24 * 3600));
/// Most of `keep`.
pub(super) const MOST_KEPT: u32 = 100;
/// Longest name of a service with `cron`: the runs add their time to it.
const LONGEST_NAME: usize = 48;

pub(super) fn kind(at: &At<'_>) -> Option<Kind> {
    if !at.is_map() {
        return match at.scalar() {
            Some("service") => Some(Kind::Service),
            Some("job") => Some(Kind::Job(Job::default())),
            _ => at.refuse(format_args!("expected {WHAT}, found {}", at.found())),
        };
    }
    let fields = at.fields(WHAT, &keys::KIND)?;
    match (fields.get("job"), fields.get("cron")) {
        (Some(_), Some(cron)) => cron.refuse_key("either `job` (once) or `cron` (again and again)"),
        (Some(job), None) => {
            for key in ["zone", "overlap", "missed", "keep", "deadline", "retries"] {
                if let Some(at) = fields.get(key) {
                    at.refuse_key::<()>("belongs to `cron`, or, a deadline or retries, into `job`");
                }
            }
            let fields = job.fields("a mapping with `deadline` or `retries`", &keys::JOB)?;
            once(&fields).map(Kind::Job)
        }
        (None, Some(schedule)) => cron(&fields, schedule).map(Kind::Cron),
        (None, None) => at.refuse(format_args!("expected {WHAT}, found neither")),
    }
}

fn cron(fields: &Fields<'_>, schedule: &At<'_>) -> Option<Cron> {
    let schedule = schedule.parsed("a schedule, as in `*/15 * * * *`");
    let zone = fields.get("zone").map_or_else(|| Some(Zone::default()), |at| at.parsed("a time zone"));
    let overlaps = [("forbid", Overlap::Forbid), ("allow", Overlap::Allow), ("replace", Overlap::Replace)];
    let overlap = fields.or_default("overlap", |at| at.one_of(&overlaps));
    let missed =
        fields.or_default("missed", |at| at.one_of(&[("skip", Missed::Skip), ("run-once", Missed::RunOnce)]));
    let keep = fields.get("keep").map_or(Some(Cron::KEEP), |at| at.number(1..=MOST_KEPT, ""));
    let job = once(fields);
    Some(Cron {
        schedule: schedule?,
        zone: zone?,
        overlap: overlap?,
        missed: missed?,
        keep: keep?,
        job: job?,
    })
}

fn once(fields: &Fields<'_>) -> Option<Job> {
    let deadline = fields.optional("deadline", deadline);
    let retries = fields.optional("retries", |at| at.number(0..=MOST_ATTEMPTS, ""));
    Some(Job { deadline: deadline?, retries: retries? })
}

fn deadline(at: &At<'_>) -> Option<Duration> {
    let Span(span) = at.parsed("a duration, as in `10m`")?;
    if (DEADLINES.0..=DEADLINES.1).contains(&span) {
        return Some(span);
    }
    at.refuse(format_args!("expected a duration from 1s to 365d, found {}", at.found()))
}

/// What does not go with work that ends.
pub(super) fn check(
    fields: &Fields<'_>,
    kind: &Kind,
    name: &str,
    restart: Option<&Restart>,
    replicas: Option<Replicas>,
) {
    let Some(at) = fields.get("kind").filter(|_| kind.job().is_some()) else { return };
    if restart.is_some_and(|restart| restart.policy == RestartPolicy::Always)
        && let Some(restart) = fields.get("restart")
    {
        restart.refuse_key::<()>("a job ends: `policy: always` would begin it again for ever");
    }
    if kind.job().is_some_and(|job| job.retries.is_some())
        && restart.is_some_and(|restart| restart.policy == RestartPolicy::Never)
        && let Some(restart) = fields.get("restart")
    {
        restart
            .refuse_key::<()>("`policy: never` begins nothing again, and `retries` does; remove one of them");
    }
    if kind.cron().is_some() && name.len() > LONGEST_NAME {
        at.refuse_key::<()>(format_args!(
            "the name of the service has at most {LONGEST_NAME} characters: each run adds its time to it"
        ));
    }
    if kind.cron().is_some() && replicas == Some(Replicas::PerNode) {
        at.refuse_key::<()>("runs of `cron` need `replicas` in numbers, not `per-node`");
    }
    if kind.cron().is_some()
        && let Some(expose) = fields.get("expose")
    {
        expose.refuse_key::<()>("a port leads to one service, and each run of `cron` is one of its own");
    }
}
