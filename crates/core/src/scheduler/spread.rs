//! Spread: where the fewest of the service are.

use holm_model::id::MemberId;
use holm_model::placement::Scope;

use super::fit::{Ask, Candidate, Kind};

/// What counts as one place for a service that is spread.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Members count one by one.
    Each,
    /// The nodes of the asking orchestrator itself.
    Here,
    Cluster(MemberId),
    Value(String),
    /// Without the label: taken last.
    Nowhere,
}

/// The group in which the member counts.
#[must_use]
pub fn group(scope: &Scope, member: &Candidate<'_>) -> Group {
    match (scope, member.kind) {
        (Scope::Node, _) => Group::Each,
        (Scope::Cluster, Kind::Node { .. }) => Group::Here,
        (Scope::Cluster, Kind::Cluster { .. }) => Group::Cluster(member.id),
        (Scope::Label(key), Kind::Node { labels, .. }) => {
            labels.get(key).map_or(Group::Nowhere, |value| Group::Value(value.clone()))
        }
        (Scope::Label(key), Kind::Cluster { aggregate, .. }) => {
            let mut values = aggregate.classes.iter().map(|class| class.labels.get(key));
            match values.next().flatten() {
                Some(first) if values.all(|value| value == Some(first)) => Group::Value(first.clone()),
                // It spans several, among which it spreads itself.
                _ if aggregate.classes.iter().any(|class| class.labels.contains_key(key)) => {
                    Group::Cluster(member.id)
                }
                _ => Group::Nowhere,
            }
        }
    }
}

/// How many of the service are on the member: for each node of it, in thousandths, where it has several.
#[must_use]
pub fn crowd(ask: &Ask<'_>, member: &Candidate<'_>) -> u64 {
    let own = u64::from(ask.around.own.count(member.id));
    match member.kind {
        Kind::Node { .. } => own * 1000,
        Kind::Cluster { aggregate, .. } => own * 1000 / u64::from(aggregate.online.max(1)),
    }
}
