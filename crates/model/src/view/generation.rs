//! What an application said in each generation, and how that went.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::PlannedChange;
use super::build::PhaseView;
use crate::time::Time;

/// One generation of an application whose specification is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GenerationView {
    pub generation: u64,
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// Who made it; empty for what was there before generations were kept, and for automatic rollbacks.
    pub who: String,
    /// From where: `unix`, an address.
    pub from: String,
    pub cause: GenerationCause,
    /// The generation that a rollback went back to.
    pub to: Option<u64>,
    pub outcome: GenerationOutcome,
    /// Why it failed, or why it was made; empty when there is nothing to say.
    pub reason: String,
    /// It is what the application says now.
    pub current: bool,
    /// Against the kept one before it; of the first kept one nothing is said.
    pub changes: Vec<PlannedChange>,
    /// How long its deployment took, part by part; empty: it was none, or it is not over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<PhaseView>,
    /// As YAML; of one generation alone, not in a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
}

/// How a generation came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GenerationCause {
    /// It was there before generations were kept.
    Found,
    Apply,
    /// A person went back.
    Rollback,
    /// A generation failed, and this one takes its place.
    AutomaticRollback,
    #[serde(other)]
    Unknown,
}

/// How a generation went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GenerationOutcome {
    /// Not all of it has run yet.
    Underway,
    /// Another one took its place before all of it had run.
    Replaced,
    /// All of it ran.
    Ran,
    Failed,
    #[serde(other)]
    Unknown,
}

/// How the newest generation of an application goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RolloutView {
    /// As [`GenerationView::generation`]: what was scaled by hand since has a higher number.
    pub generation: u64,
    pub outcome: GenerationOutcome,
    /// Why it failed, or why it was made; empty when there is nothing to say.
    pub reason: String,
    /// The generation that failed and whose place this one took by itself.
    pub took_back: Option<u64>,
    /// Services whose canary runs well and waits for `holm promote`.
    pub canaries: Vec<String>,
    /// If it fails, what ran before takes its place.
    pub rolls_back: bool,
}

/// `POST /projects/{project}/applications/{application}/rollback`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// To which generation; without it, to the kept one before the present one.
    #[serde(default)]
    pub generation: Option<u64>,
}

// === impl GenerationCause ===

impl GenerationCause {
    /// As people read it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Apply => "apply",
            Self::Rollback => "rollback",
            Self::AutomaticRollback => "automatic-rollback",
            Self::Unknown => "unknown",
        }
    }
}

// === impl GenerationOutcome ===

impl GenerationOutcome {
    /// As people read it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Underway => "underway",
            Self::Replaced => "replaced",
            Self::Ran => "ran",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}
