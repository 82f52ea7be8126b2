//! Capabilities and labels of a node, and where they are from.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::NodeView;

/// Why a node has something, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The node found it, or was started with it.
    Found,
    /// An operator said so.
    Added,
    /// An operator took away what the node found, or was started with.
    Removed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CapabilityView {
    /// As in `hardware/zigbee`.
    pub name: String,
    pub origin: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LabelView {
    pub name: String,
    /// `null` when it was removed.
    pub value: Option<String>,
    pub origin: Origin,
}

/// The body that gives a label to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelValue {
    pub value: String,
}

// === impl Origin ===

impl Origin {
    /// The word as people see it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Added => "added",
            Self::Removed => "removed",
        }
    }
}

/// Those that the node has, and those that were taken from it, by name.
#[must_use]
pub fn capabilities(node: &NodeView) -> Vec<CapabilityView> {
    let said = &node.facts.amendments.capabilities;
    let origin = |name: &String| {
        let added = said.iter().any(|(capability, has)| *has && capability.to_string() == *name);
        if added { Origin::Added } else { Origin::Found }
    };
    let has =
        node.capabilities.iter().map(|name| CapabilityView { name: name.clone(), origin: origin(name) });
    let removed = said.iter().filter(|(_, has)| !**has);
    let removed = removed.map(|(name, _)| CapabilityView { name: name.to_string(), origin: Origin::Removed });
    let mut all: Vec<_> = has.chain(removed).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// Those that the node has, and those that were taken from it, by name.
#[must_use]
pub fn labels(node: &NodeView) -> Vec<LabelView> {
    let said = &node.facts.amendments.labels;
    let has = node.labels.iter().map(|(name, value)| LabelView {
        name: name.clone(),
        value: Some(value.clone()),
        origin: if said.contains_key(name) { Origin::Added } else { Origin::Found },
    });
    let removed = said.iter().filter(|(_, value)| value.is_none());
    let removed =
        removed.map(|(name, _)| LabelView { name: name.clone(), value: None, origin: Origin::Removed });
    let mut all: Vec<_> = has.chain(removed).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}
