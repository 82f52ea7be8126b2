//! A step before a start in the native form.

use schemars::JsonSchema;
use serde::Serialize;

use super::Scalar;
use crate::before;
use crate::duration::Span;

/// Runs to its end before a start; fails with another exit code than 0, or when it takes too long.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::manifest) struct Step {
    /// Program and arguments; may contain templates, as the service's own.
    #[schemars(with = "Vec<Scalar>", length(min = 1))]
    command: Vec<String>,
    /// How long it may take, `1s` to `1d`; default `10m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Span")]
    timeout: Option<Span>,
}

// === impl Step ===

impl From<before::Step> for Step {
    fn from(before::Step { command, timeout }: before::Step) -> Self {
        Self { command, timeout: (timeout != before::Step::TIMEOUT).then_some(Span(timeout)) }
    }
}
