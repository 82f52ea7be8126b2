//! `kind` as the schema describes it and as it is written.

use schemars::JsonSchema;
use serde::Serialize;

use crate::duration::Span;
use crate::job::{self, Missed, Overlap};
use crate::manifest::kinds::MOST_KEPT;
use crate::manifest::parts::MOST_ATTEMPTS;

/// What kind of work it is: `service` (the default) runs until it is stopped, `job` to its end, `cron` to its end at
/// each of its times.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(in super::super) enum Kind {
    Word(Word),
    Job(JobForm),
    Cron(Cron),
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(in super::super) enum Word {
    #[expect(dead_code, reason = "it is the default, so it is never written")]
    Service,
    Job,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub(in super::super) struct JobForm {
    job: Job,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
struct Job {
    /// Of all of it, retries included; then it is stopped. From `1s` to `365d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Span")]
    deadline: Option<Span>,
    /// How often it begins again after it has failed, in all; without it, `restart` says how often on each of two nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "u32", range(max = MOST_ATTEMPTS))]
    retries: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(deny_unknown_fields, inline)]
pub(in super::super) struct Cron {
    /// Minute, hour, day, month and weekday, as in `*/15 * * * *`.
    cron: String,
    /// The IANA time zone of the schedule, as in `Europe/Vienna`; default `UTC`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "String")]
    zone: Option<String>,
    /// When a run is due before the one before has ended: `forbid` (the default) leaves it out, `allow` starts it,
    /// `replace` ends the old one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "OverlapWord")]
    overlap: Option<OverlapWord>,
    /// What was due while nobody could start it: `skip` (the default), or `run-once` for the last of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "MissedWord")]
    missed: Option<MissedWord>,
    /// Runs that have ended and are still shown; default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "u32", range(min = 1, max = MOST_KEPT))]
    keep: Option<u32>,
    /// Of each run, retries included; then it is stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Span")]
    deadline: Option<Span>,
    /// How often each run begins again after it has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "u32", range(max = MOST_ATTEMPTS))]
    retries: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
enum OverlapWord {
    #[expect(dead_code, reason = "it is the default, so it is never written")]
    Forbid,
    Allow,
    Replace,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
enum MissedWord {
    #[expect(dead_code, reason = "it is the default, so it is never written")]
    Skip,
    RunOnce,
}

// === impl Kind ===

impl Kind {
    /// `None`: it is the default.
    pub(in super::super) fn of(kind: job::Kind) -> Option<Self> {
        match kind {
            job::Kind::Service => None,
            job::Kind::Job(job::Job { deadline: None, retries: None }) => Some(Self::Word(Word::Job)),
            job::Kind::Job(job::Job { deadline, retries }) => {
                Some(Self::Job(JobForm { job: Job { deadline: deadline.map(Span), retries } }))
            }
            job::Kind::Cron(cron) => Some(Self::Cron(cron.into())),
        }
    }
}

impl From<job::Cron> for Cron {
    fn from(cron: job::Cron) -> Self {
        Self {
            cron: cron.schedule.to_string(),
            zone: (!cron.zone.is_utc()).then(|| cron.zone.name().to_owned()),
            overlap: match cron.overlap {
                Overlap::Forbid => None,
                Overlap::Allow => Some(OverlapWord::Allow),
                Overlap::Replace => Some(OverlapWord::Replace),
            },
            missed: match cron.missed {
                Missed::Skip => None,
                Missed::RunOnce => Some(MissedWord::RunOnce),
            },
            keep: (cron.keep != job::Cron::KEEP).then_some(cron.keep),
            deadline: cron.job.deadline.map(Span),
            retries: cron.job.retries,
        }
    }
}
