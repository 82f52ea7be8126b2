//! How a service is updated: `update`.

use std::time::Duration;

use super::keys;
use super::read::{At, Fields};
use super::service::MOST_REPLICAS;
use crate::duration::Span;
use crate::service::Replicas;
use crate::update::{Canary, CanarySize, OnFailure, Promote, Update, UpdateStrategy};

/// Longest `healthy-for` and `promote: { after: … }`.
const LONGEST_PROOF: Duration = Duration::from_secs(24 * 3600);
/// Shortest and longest `deadline`.
const DEADLINES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(7 * 24 * 3600));

#[derive(Clone, Copy)]
enum Word {
    Rolling,
    Recreate,
    Canary,
}

pub(super) fn update(at: &At<'_>, replicas: Option<Replicas>) -> Option<Update> {
    let fields = at.fields("a mapping with `strategy`, `parallel`, …", &keys::UPDATE)?;
    let default = Update::default();
    let words = [("rolling", Word::Rolling), ("recreate", Word::Recreate), ("canary", Word::Canary)];
    let word = fields.get("strategy").map_or(Some(Word::Rolling), |at| at.one_of(&words));
    let parallel =
        fields.get("parallel").map_or(Some(default.parallel), |at| at.number(1..=MOST_REPLICAS, ""));
    let healthy_for = fields.optional("healthy-for", |at| span(at, Duration::ZERO, LONGEST_PROOF));
    let deadline =
        fields.get("deadline").map_or(Some(default.deadline), |at| span(at, DEADLINES.0, DEADLINES.1));
    let failures = [("halt", OnFailure::Halt), ("rollback", OnFailure::Rollback)];
    let on_failure = fields.get("on-failure").map_or(Some(default.on_failure), |at| at.one_of(&failures));
    let strategy = word.and_then(|word| strategy(&fields, word, replicas));
    let update = Update {
        strategy: strategy?,
        parallel: parallel?,
        healthy_for: healthy_for?,
        deadline: deadline?,
        on_failure: on_failure?,
    };
    check_deadline(&fields, &update)?;
    Some(update)
}

fn strategy(fields: &Fields<'_>, word: Word, replicas: Option<Replicas>) -> Option<UpdateStrategy> {
    if !matches!(word, Word::Canary)
        && let Some(canary) = fields.get("canary")
    {
        return canary.refuse_key("belongs to `strategy: canary`");
    }
    match word {
        Word::Rolling => Some(UpdateStrategy::Rolling),
        Word::Recreate => match fields.get("parallel") {
            Some(parallel) => {
                parallel.refuse_key("`recreate` ends all at once; `parallel` belongs to `rolling`")
            }
            None => Some(UpdateStrategy::Recreate),
        },
        Word::Canary => {
            let usual = Canary { size: CanarySize::Count(1), promote: Promote::Manual };
            let canary = fields.get("canary").map_or(Some(usual), canary)?;
            check_replicas(fields, canary, replicas)?;
            Some(UpdateStrategy::Canary(canary))
        }
    }
}

fn canary(at: &At<'_>) -> Option<Canary> {
    let fields = at.fields("a mapping with `count` or `share`, and `promote`", &keys::CANARY)?;
    let size = match (fields.get("count"), fields.get("share")) {
        (Some(_), Some(share)) => share.refuse_key("either `count` or `share` says how many go first"),
        (None, Some(share)) => percent(share).map(CanarySize::Share),
        (Some(count), None) => count.number(1..=MOST_REPLICAS, "").map(CanarySize::Count),
        (None, None) => Some(CanarySize::Count(1)),
    };
    let promote = fields.get("promote").map_or(Some(Promote::Manual), promote);
    Some(Canary { size: size?, promote: promote? })
}

fn percent(at: &At<'_>) -> Option<u32> {
    let number = at.scalar().and_then(|text| text.strip_suffix('%')).and_then(|text| text.parse().ok());
    match number {
        Some(number @ 1..=99) => Some(number),
        _ => at.refuse(format_args!("expected a share from `1%` to `99%`, found {}", at.found())),
    }
}

fn promote(at: &At<'_>) -> Option<Promote> {
    if at.is_map() {
        let fields = at.fields("a mapping with `after`", &keys::PROMOTE)?;
        let after = fields.required("after", "how long the canary must have run well, as in `after: 1m`")?;
        return span(after, Duration::from_secs(1), LONGEST_PROOF).map(Promote::After);
    }
    match at.scalar() {
        Some("manual") => Some(Promote::Manual),
        _ => at.refuse(format_args!("expected `manual` or `{{ after: 1m }}`, found {}", at.found())),
    }
}

/// A canary that is everything, or of what cannot be counted, protects nothing.
fn check_replicas(fields: &Fields<'_>, canary: Canary, replicas: Option<Replicas>) -> Option<()> {
    let at = fields.get("canary").or_else(|| fields.get("strategy"))?;
    match replicas {
        Some(Replicas::PerNode) => at.refuse_key("a canary needs `replicas` in numbers, not `per-node`"),
        Some(Replicas::Number(number)) if number > 0 && canary.size.of(number) >= number => {
            at.refuse_key(format_args!(
                "a canary of {} is all of {number} replicas: nothing is left to be careful with",
                canary.size.of(number)
            ))
        }
        _ => Some(()),
    }
}

fn check_deadline(fields: &Fields<'_>, update: &Update) -> Option<()> {
    let proof = update.healthy_for.unwrap_or_default();
    if update.deadline > proof {
        return Some(());
    }
    let at = fields.get("deadline").or_else(|| fields.get("healthy-for"))?;
    let (deadline, proof) = (Span(update.deadline), Span(proof));
    at.refuse_key(format_args!("no slot can run well for {proof} within a deadline of {deadline}"))
}

fn span(at: &At<'_>, shortest: Duration, longest: Duration) -> Option<Duration> {
    let Span(span) = at.parsed("a duration, as in `10s`")?;
    if (shortest..=longest).contains(&span) {
        return Some(span);
    }
    let (shortest, longest) = (Span(shortest), Span(longest));
    at.refuse(format_args!("expected a duration from {shortest} to {longest}, found {}", at.found()))
}
