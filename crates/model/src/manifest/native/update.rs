//! `update` as the schema describes it and as it is written.

use schemars::JsonSchema;
use serde::Serialize;

use crate::duration::Span;
use crate::manifest::service::MOST_REPLICAS;
use crate::update::{self, CanarySize, OnFailure, UpdateStrategy};

/// How a service goes from one specification to the next.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(deny_unknown_fields)]
pub(in super::super) struct Update {
    /// `rolling` (the default): slot by slot, each proved before the next; `recreate`: all old ones end before the
    /// first new one starts; `canary`: some first, the others when those are good.
    #[schemars(default = "rolling")]
    strategy: Strategy,
    /// How many slots are updated at once; default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "u32", range(min = 1, max = MOST_REPLICAS))]
    parallel: Option<u32>,
    /// How long a slot must have run well before the next one is updated; default as the orchestrator says, `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Span")]
    healthy_for: Option<Span>,
    /// An update in which no further slot runs well for so long has failed; default `5m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Span")]
    deadline: Option<Span>,
    /// `halt` (the default): what was not updated stays; `rollback`: back to the last generation of which
    /// everything ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Failure")]
    on_failure: Option<Failure>,
    /// Of `strategy: canary`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Canary")]
    canary: Option<Canary>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
enum Strategy {
    Rolling,
    Recreate,
    Canary,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
enum Failure {
    Halt,
    Rollback,
}

/// Which slots go first, and when the others follow.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in super::super) struct Canary {
    /// How many go first; default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "u32", range(min = 1, max = MOST_REPLICAS))]
    count: Option<u32>,
    /// The same as a share of all, rounded up, as in `20%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "String", regex(pattern = "^[1-9][0-9]?%$"))]
    share: Option<String>,
    /// `manual` (the default): `holm promote` says when; `{ after: 1m }`: once they have run well for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Promote")]
    promote: Option<Promote>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
enum Promote {
    #[expect(dead_code, reason = "it is the default, so it is never written")]
    Word(Manual),
    After(After),
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
#[expect(dead_code, reason = "it is the default, so it is never written")]
enum Manual {
    Manual,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
struct After {
    after: Span,
}

// === impl From ===

impl From<update::Update> for Update {
    fn from(update: update::Update) -> Self {
        let usual = update::Update::default();
        let (strategy, canary) = match update.strategy {
            UpdateStrategy::Rolling => (Strategy::Rolling, None),
            UpdateStrategy::Recreate => (Strategy::Recreate, None),
            UpdateStrategy::Canary(canary) => (Strategy::Canary, Some(canary.into())),
        };
        Self {
            strategy,
            parallel: (update.parallel != usual.parallel).then_some(update.parallel),
            healthy_for: update.healthy_for.map(Span),
            deadline: (update.deadline != usual.deadline).then_some(Span(update.deadline)),
            on_failure: (update.on_failure != usual.on_failure).then_some(match update.on_failure {
                OnFailure::Halt => Failure::Halt,
                OnFailure::Rollback => Failure::Rollback,
            }),
            canary,
        }
    }
}

impl From<update::Canary> for Canary {
    fn from(canary: update::Canary) -> Self {
        let (count, share) = match canary.size {
            CanarySize::Count(count) => (Some(count), None),
            CanarySize::Share(percent) => (None, Some(format!("{percent}%"))),
        };
        let promote = match canary.promote {
            update::Promote::Manual => None,
            update::Promote::After(after) => Some(Promote::After(After { after: Span(after) })),
        };
        Self { count, share, promote }
    }
}

fn rolling() -> Strategy {
    Strategy::Rolling
}
