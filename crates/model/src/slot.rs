//! One place of a service that wants to be filled.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::WishId;
use crate::name::Name;

/// Which slot of its service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SlotIndex {
    /// Numbered services: 0, 1, 2, … made by the owner of the wish.
    Number(u32),
    /// Per-node services: the path of the node as names, `[vienna, fl-1]`; made by the orchestrator
    /// whose member the node is.
    Node(Vec<Name>),
}

/// A service of one creation of an application.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceKey {
    pub wish: WishId,
    pub service: Name,
}

/// A slot, everywhere in the sea. Shown as `web/2` or `collector/vienna/fl-1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SlotKey {
    pub service: ServiceKey,
    pub index: SlotIndex,
}

// === impl SlotIndex ===

impl fmt::Display for SlotIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Node(path) => {
                for (i, name) in path.iter().enumerate() {
                    write!(f, "{}{name}", if i == 0 { "" } else { "/" })?;
                }
                Ok(())
            }
        }
    }
}

// === impl SlotKey ===

impl SlotKey {
    #[must_use]
    pub const fn new(service: ServiceKey, index: SlotIndex) -> Self {
        Self { service, index }
    }
}

impl fmt::Display for SlotKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service.service, self.index)
    }
}
