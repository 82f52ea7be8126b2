//! `on-node-loss`, `reconcile` and `exclusive` of a service, and what they rule out together.

use super::keys;
use super::read::{At, Fields};
use crate::duration::Span;
use crate::healing::{Healing, LONGEST_ENDING, LONGEST_LOSS, OnNodeLoss, Reconcile, SHORTEST_LOSS};
use crate::service::{Replicas, ServiceSpec};

const ON_LOSS: &str = "`wait-for-return`, or `{ replace-after: 30s }`";

/// `leases`: the runtime ends an instance at the end of its lease by itself.
pub(super) fn healing(fields: &Fields<'_>, leases: bool, replicas: Option<Replicas>) -> Option<Healing> {
    let on_node_loss = fields.or_default("on-node-loss", on_node_loss);
    let reconcile = fields.or_default("reconcile", |at| at.one_of(&Reconcile::ALL));
    let exclusive = fields.or_default("exclusive", At::switch);
    let healing = Healing { on_node_loss: on_node_loss?, reconcile: reconcile?, exclusive: exclusive? };
    contradictions(fields, healing, leases, replicas);
    Some(healing)
}

fn on_node_loss(at: &At<'_>) -> Option<OnNodeLoss> {
    if let Some(word) = at.scalar() {
        return match word {
            "wait-for-return" => Some(OnNodeLoss::WaitForReturn),
            _ => at.refuse(format_args!("expected {ON_LOSS}, found {}", at.found())),
        };
    }
    let fields = at.fields(ON_LOSS, &keys::ON_NODE_LOSS)?;
    let at = fields.required("replace-after", "how long its node is waited for, as in `30s`")?;
    let Span(after) = at.parsed("a duration, as in `30s`")?;
    if (SHORTEST_LOSS..=LONGEST_LOSS).contains(&after) {
        return Some(OnNodeLoss::ReplaceAfter(after));
    }
    let (least, most) = (Span(SHORTEST_LOSS), Span(LONGEST_LOSS));
    at.refuse(format_args!(
        "expected from {least} (keep-alives may be lost) to {most}, found {}; `wait-for-return` waits for ever",
        at.found()
    ))
}

/// An exclusive instance that ends is ended by force at the end of its lease.
pub(super) fn check_ending(fields: &Fields<'_>, spec: &ServiceSpec) {
    let ending = spec.drains_for() + spec.grace;
    if !spec.healing.exclusive || ending <= LONGEST_ENDING {
        return;
    }
    if let Some(at) = fields.get("stop").or_else(|| fields.get("exclusive")) {
        let (most, ending) = (Span(LONGEST_ENDING), Span(ending));
        at.refuse::<()>(format_args!(
            "an exclusive instance ends within its lease: expected a `drain` and a `grace` of {most} together at most, \
             found {ending}"
        ));
    }
}

fn contradictions(fields: &Fields<'_>, healing: Healing, leases: bool, replicas: Option<Replicas>) {
    let refuse = |key: &str, why: &str| {
        if let Some(at) = fields.get(key) {
            at.refuse_key::<()>(why);
        }
    };
    if replicas == Some(Replicas::PerNode) {
        for key in ["on-node-loss", "reconcile", "exclusive"] {
            refuse(
                key,
                "with `replicas: per-node` each instance belongs to its node, and is never replaced; remove it",
            );
        }
    }
    if healing.on_node_loss == OnNodeLoss::WaitForReturn {
        refuse(
            "reconcile",
            "with `on-node-loss: wait-for-return` nothing is replaced, so there is nothing to choose",
        );
    }
    if healing.exclusive {
        refuse("reconcile", "an exclusive service has one copy at most, so there is nothing to choose");
        if !leases {
            refuse(
                "exclusive",
                "only `runtime: process` ends an instance at the end of its lease when its agent cannot; use that one, \
                 or remove this",
            );
        }
    }
}
