//! What a member holds that obeyed a newer store, and what it would mean to decide about it.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::member::Role;

/// `GET /members/{id}/held`: to be read before `adopt` or `discard`. Nothing of it has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldView {
    pub id: String,
    pub name: String,
    pub role: Role,
    /// It waits for a decision; otherwise it obeys, and holds what this store says.
    pub frozen: bool,
    /// It has shown all that it holds; otherwise `items` tells of a part only.
    pub complete: bool,
    pub items: Vec<HeldItem>,
}

/// One instance (of a node) or share (of a cluster): held there, known here, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldItem {
    pub id: String,
    pub project: String,
    pub application: String,
    pub service: String,
    /// `web/2`; of a per-node share `collector/vienna`.
    pub slot: String,
    /// As the member holds it; `null`: it does not.
    pub generation: Option<u64>,
    /// As this store knows it to be there; `null`: it does not.
    pub known: Option<u64>,
    /// What `adopt` would lead to.
    pub adopt: Fate,
    /// What `discard` would lead to.
    pub discard: Fate,
}

/// What would become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// Both sides say the same: it goes on untouched.
    Keep,
    /// It goes on, and the store learns it as the member holds it.
    Learn,
    /// The store believed it to be there, and does not any more.
    Forget,
    /// It is made what the store says, which may restart it.
    Change,
    /// The member ends it.
    End,
    /// The member starts it.
    Start,
    /// A word of a newer version.
    #[serde(other)]
    Unknown,
}

// === impl Fate ===

impl Fate {
    /// The word as people see it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Learn => "learn",
            Self::Forget => "forget",
            Self::Change => "change",
            Self::End => "end",
            Self::Start => "start",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
