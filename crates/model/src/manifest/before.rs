//! Steps before a start.

use std::time::Duration;

use super::keys;
use super::read::At;
use super::service;
use crate::before::Step;
use crate::duration::Span;

/// Most steps of a service: whoever needs more has a script.
pub(super) const MOST_STEPS: usize = 16;
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

pub(super) fn steps(at: &At<'_>) -> Option<Vec<Step>> {
    let items = at.items("a list of steps, as in `[{ command: [./migrate, up] }]`")?;
    if items.len() > MOST_STEPS {
        return at.refuse(format_args!("expected at most {MOST_STEPS} steps, found {}", items.len()));
    }
    let steps: Vec<_> = items.iter().map(step).collect();
    steps.into_iter().collect()
}

fn step(at: &At<'_>) -> Option<Step> {
    let fields = at.fields("a mapping with `command`, as in `{ command: [./migrate, up] }`", &keys::STEP)?;
    let command = fields.required("command", "program and arguments of the step");
    let command = command.and_then(service::command);
    let timeout = fields.get("timeout").map_or(Some(Step::TIMEOUT), timeout);
    Some(Step { command: command?, timeout: timeout? })
}

fn timeout(at: &At<'_>) -> Option<Duration> {
    let Span(span) = at.parsed("a duration, as in `10m`")?;
    if (SHORTEST..=LONGEST).contains(&span) {
        return Some(span);
    }
    at.refuse(format_args!("expected {} to {}, found {}", Span(SHORTEST), Span(LONGEST), at.found()))
}
