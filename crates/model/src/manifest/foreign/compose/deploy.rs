//! How many, how much, where, and how they change.

use super::super::build::{self, Map};
use super::super::{Turn, words};
use super::service::span;
use crate::manifest::read::At;
use crate::resources::Memory;

pub(super) fn deploy(at: &At<'_>, native: &mut Map, where_: &mut Map, resources: &mut Map, turn: Turn<'_>) {
    for (key, at) in at.entries("a mapping", |key| Ok(key.to_owned())).unwrap_or_default() {
        let here = at.node().place;
        match (key.as_str(), at.scalar()) {
            ("mode", Some("replicated")) => {}
            ("mode", Some("global")) => native.say("replicas", here, "per-node"),
            ("mode", Some("replicated-job")) => native.say("kind", here, "job"),
            ("replicas", Some(number)) => native.say("replicas", here, number),
            ("resources", _) => limits(&at, resources, turn),
            ("placement", _) => placement(&at, where_, turn),
            ("update_config", _) => update(&at, native, turn),
            ("restart_policy", _) => policy(&at, native, turn),
            ("rollback_config", _) => turn.warn(&at, "is not used: a rollback goes as an update does"),
            ("labels" | "endpoint_mode", _) => turn.warn(&at, "is not used"),
            (key, _) if key.starts_with("x-") => {}
            _ => at.refuse_key::<()>("Holm knows no such way to deploy").unwrap_or_default(),
        }
    }
}

pub(super) fn cpu(at: &At<'_>, resources: &mut Map) {
    if !resources.has("cpu") {
        resources.say("cpu", at.node().place, at.text("cores").unwrap_or_default());
    }
}

pub(super) fn memory(at: &At<'_>, resources: &mut Map) {
    match words::bytes(at.text("an amount of memory").unwrap_or_default()) {
        Some(bytes) if !resources.has("memory") => {
            // As exact as it is written.
            let amount = match bytes % (1 << 20) {
                0 => Memory(bytes).to_string(),
                _ => bytes.to_string(),
            };
            resources.say("memory", at.node().place, amount);
        }
        Some(_) => {}
        None => {
            let found = at.found();
            at.refuse::<()>(format_args!("expected an amount of memory, as in `512m`, found {found}"))
                .unwrap_or_default();
        }
    }
}

/// Holm reserves what it limits: limits come first.
fn limits(at: &At<'_>, resources: &mut Map, turn: Turn<'_>) {
    let (limits, reserved) = (at.child("limits"), at.child("reservations"));
    if let (Some(_), Some(reserved)) = (&limits, &reserved) {
        turn.warn(reserved, "is not used: what an instance may use at most is reserved for it");
    }
    for (key, at) in [limits, reserved].into_iter().flatten().flat_map(|at| {
        at.entries("a mapping with `cpus` and `memory`", |key| Ok(key.to_owned())).unwrap_or_default()
    }) {
        match key.as_str() {
            "cpus" => cpu(&at, resources),
            "memory" => memory(&at, resources),
            "pids" => turn.warn(&at, "is not used: every instance has a limit of its node"),
            _ => at
                .refuse_key::<()>(
                    "Holm reserves `cpus` and `memory`; say `require: [hardware/gpu=1]` in a manifest",
                )
                .unwrap_or_default(),
        }
    }
}

fn placement(at: &At<'_>, where_: &mut Map, turn: Turn<'_>) {
    for (key, at) in at.entries("a mapping", |key| Ok(key.to_owned())).unwrap_or_default() {
        match key.as_str() {
            "constraints" => constraints(&at, where_),
            "preferences" => {
                for item in at.items("a list").unwrap_or_default() {
                    let spread = item.child("spread").and_then(|at| at.scalar().map(str::to_owned));
                    match spread.as_deref().and_then(|text| text.strip_prefix("node.labels.")) {
                        Some(label) if !where_.has("strategy") => {
                            let mut strategy = Map::new(at.node().place);
                            strategy.say("spread", at.node().place, label);
                            where_.put("strategy", strategy.done());
                        }
                        Some(_) => turn.warn(&item, "is not used: Holm spreads over one label"),
                        None => item
                            .refuse::<()>("expected a label, as in `spread: node.labels.zone`")
                            .unwrap_or_default(),
                    }
                }
            }
            "max_replicas_per_node" if at.scalar() == Some("0") => {}
            _ => at
                .refuse_key::<()>("Holm knows `constraints` and `preferences`; see `apart` in a manifest")
                .unwrap_or_default(),
        }
    }
}

fn constraints(at: &At<'_>, where_: &mut Map) {
    let mut labels = Map::new(at.node().place);
    let mut conditions = Vec::new();
    for item in at.items("a list of conditions").unwrap_or_default() {
        let place = item.node().place;
        let text = item.text("a condition").unwrap_or_default();
        let (sign, (key, value)) = match (text.split_once("!="), text.split_once("==")) {
            (Some(pair), _) => ("!=", pair),
            (None, Some(pair)) => ("==", pair),
            (None, None) => {
                item.refuse::<()>("expected a condition, as in `node.labels.zone == indoor`")
                    .unwrap_or_default();
                continue;
            }
        };
        let (key, value) = (key.trim(), value.trim().replace(['"', '\\'], ""));
        match (key.strip_prefix("node.labels."), key, sign) {
            (Some(label), _, "==") => labels.say(label, place, value),
            (Some(label), ..) => conditions.push(format!("labels[\"{label}\"] {sign} \"{value}\"")),
            (None, "node.hostname", "==") => where_.say("node", place, value),
            (None, "node.hostname", _) => conditions.push(format!("name != \"{value}\"")),
            (None, "node.platform.arch", _) => {
                let arch = match &*value {
                    "x86_64" => "amd64".to_owned(),
                    "aarch64" => "arm64".to_owned(),
                    _ => value,
                };
                conditions.push(format!("arch {sign} \"{arch}\""));
            }
            (None, "node.platform.os", _) => conditions.push(format!("os {sign} \"{value}\"")),
            _ => item
                .refuse::<()>("Holm knows `node.labels.…`, `node.hostname`, `node.platform.arch` and `node.platform.os`")
                .unwrap_or_default(),
        }
    }
    where_.put_map("labels", labels);
    if !conditions.is_empty() {
        where_.put("where", build::scalar(at.node().place, conditions.join(" && ")));
    }
}

fn update(at: &At<'_>, native: &mut Map, turn: Turn<'_>) {
    let mut update = Map::new(at.node().place);
    for (key, at) in at.entries("a mapping", |key| Ok(key.to_owned())).unwrap_or_default() {
        let here = at.node().place;
        match (key.as_str(), at.scalar()) {
            ("parallelism", Some("0")) => turn.warn(&at, "all at once is not done here: one by one"),
            ("parallelism", Some(number)) => update.say("parallel", here, number),
            ("monitor", _) => span(&at, "healthy-for", &mut update),
            ("failure_action", Some("pause")) => update.say("on-failure", here, "halt"),
            ("failure_action", Some("rollback")) => update.say("on-failure", here, "rollback"),
            ("order", Some("start-first")) => {}
            ("order", Some("stop-first")) => {
                turn.warn(&at, "is not used: the new copy runs before the old one goes (`strategy: recreate` ends all first)");
            }
            ("delay" | "max_failure_ratio", _) => {
                turn.warn(&at, "is not used: each has to run well before the next")
            }
            _ => at.refuse_key::<()>("Holm cannot update so").unwrap_or_default(),
        }
    }
    native.put_map("update", update);
}

fn policy(at: &At<'_>, native: &mut Map, turn: Turn<'_>) {
    let mut restart = Map::new(at.node().place);
    for (key, at) in at.entries("a mapping", |key| Ok(key.to_owned())).unwrap_or_default() {
        let here = at.node().place;
        match (key.as_str(), at.scalar()) {
            ("condition", Some("none")) => restart.say("policy", here, "never"),
            ("condition", Some("on-failure")) => restart.say("policy", here, "on-failure"),
            ("condition", Some("any")) => restart.say("policy", here, "always"),
            ("max_attempts", Some(number)) => restart.say("attempts", here, number),
            ("delay" | "window", _) => {
                turn.warn(&at, "is not used: waits grow from attempt to attempt (`backoff`)")
            }
            _ => at.refuse_key::<()>("Holm knows no such rule for restarts").unwrap_or_default(),
        }
    }
    if native.has("restart") {
        turn.warn(at, "is not used: `restart` is said beside it");
    } else {
        native.put_map("restart", restart);
    }
}
