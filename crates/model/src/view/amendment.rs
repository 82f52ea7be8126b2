//! Capabilities and labels of a node, and where they are from.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

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
    /// How many units the node has of it; `null`: they are not counted.
    #[serde(default)]
    pub units: Option<u32>,
    pub origin: Origin,
}

/// What keeps new work away from a node, except for services that tolerate it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaintView {
    pub name: String,
    /// May be empty.
    pub value: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LabelView {
    pub name: String,
    /// `null` when it was removed.
    pub value: Option<String>,
    pub origin: Origin,
}

/// How many units of a capability a node has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UnitsQuery {
    /// How many units it has; without it, they are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 100_000)]
    pub units: Option<u32>,
}

/// The body that gives a label or a taint to a node.
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
        let units = &node.facts.amendments.units;
        let counted = units.iter().any(|(capability, _)| capability.to_string() == *name);
        let added = counted || said.iter().any(|(capability, has)| *has && capability.to_string() == *name);
        if added { Origin::Added } else { Origin::Found }
    };
    let has = node.capabilities.iter().map(|name| CapabilityView {
        name: name.clone(),
        units: node.units.get(name).copied(),
        origin: origin(name),
    });
    let removed = said.iter().filter(|(_, has)| !**has);
    let removed = removed.map(|(name, _)| CapabilityView {
        name: name.to_string(),
        units: None,
        origin: Origin::Removed,
    });
    let mut all: Vec<_> = has.chain(removed).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// By name.
#[must_use]
pub fn taints(node: &NodeView) -> Vec<TaintView> {
    let view = |(name, value): (&String, &String)| TaintView { name: name.clone(), value: value.clone() };
    node.taints.iter().map(view).collect()
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
