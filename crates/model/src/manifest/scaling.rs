//! How many replicas a service has by itself: `scale`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::health;
use super::keys;
use super::read::{At, Fields};
use super::service::MOST_REPLICAS;
use crate::duration::Span;
use crate::job::Kind;
use crate::name::Name;
use crate::resources::Resources;
use crate::scale::{Metric, Scale, ScaleBy};
use crate::service::{Port, Replicas};

/// Longest `stabilization` and `cooldown`.
const LONGEST: Duration = Duration::from_secs(3600);
/// Characters in the name of a metric.
const MOST_NAME: usize = 200;

pub(super) fn scale(at: &At<'_>, ports: &BTreeMap<Name, Port>) -> Option<Scale> {
    let fields = at.fields("a mapping with `min`, `max` and `cpu`, `memory` or `metric`", &keys::SCALE)?;
    let min = fields.get("min").map_or(Some(1), |at| at.number(1..=MOST_REPLICAS, ""));
    let max = fields.required("max", "how many there are at most");
    let max = max.and_then(|at| at.number(1..=MOST_REPLICAS, ""));
    let by = by(&fields, at, ports);
    let span = |key, usual| fields.get(key).map_or(Some(usual), |at| span(at));
    let stabilization = span("stabilization", Scale::STABILIZATION);
    let cooldown = span("cooldown", Scale::COOLDOWN);
    let (min, max) = (min?, max?);
    if min > max {
        return at.refuse_key(format_args!("no number is at least `min: {min}` and at most `max: {max}`"));
    }
    Some(Scale { min, max, by: by?, stabilization: stabilization?, cooldown: cooldown? })
}

fn by(fields: &Fields<'_>, at: &At<'_>, ports: &BTreeMap<Name, Port>) -> Option<ScaleBy> {
    const ONE: &str = "one of `cpu`, `memory` and `metric` says by what it is scaled";
    match (fields.get("cpu"), fields.get("memory"), fields.get("metric")) {
        (Some(cpu), None, None) => percent(cpu).map(ScaleBy::Cpu),
        (None, Some(memory), None) => percent(memory).map(ScaleBy::Memory),
        (None, None, Some(at)) => metric(at, ports).map(ScaleBy::Metric),
        _ => at.refuse_key(ONE),
    }
}

fn percent(at: &At<'_>) -> Option<u32> {
    let number = at.scalar().and_then(|text| text.strip_suffix('%')).and_then(|text| text.parse().ok());
    match number {
        Some(number @ 1..=100) => Some(number),
        _ => at.refuse(format_args!(
            "expected a share of what an instance reserves, from `1%` to `100%`, found {}",
            at.found()
        )),
    }
}

fn metric(at: &At<'_>, ports: &BTreeMap<Name, Port>) -> Option<Metric> {
    let fields = at.fields("a mapping with `name` and `target`", &keys::METRIC)?;
    let name = fields.required("name", "the name of the metric, as in `name: queue_length`");
    let name = name.and_then(metric_name);
    let target = fields.required("target", "how much of it each instance should have, as in `target: 20`");
    let target = target.and_then(|at| at.parsed("a number above 0"));
    let path = fields.get("path").map_or_else(|| Some(Metric::PATH.to_owned()), health::path);
    let port = match fields.get("port") {
        Some(port) => health::named(port, ports),
        None => health::only(at, ports),
    };
    Some(Metric { port: port?, path: path?, name: name?, target: target? })
}

fn metric_name(at: &At<'_>) -> Option<String> {
    let text = at.text("the name of a metric")?;
    let letter = |b: u8| b.is_ascii_alphabetic() || b == b'_' || b == b':';
    let begins = text.bytes().next().is_some_and(letter);
    if begins && text.len() <= MOST_NAME && text.bytes().all(|b| letter(b) || b.is_ascii_digit()) {
        return Some(text.to_owned());
    }
    at.refuse(format_args!(
        "expected the name of a metric, letters, digits, `_` and `:`, at most {MOST_NAME}, found {}",
        at.found()
    ))
}

fn span(at: &At<'_>) -> Option<Duration> {
    let Span(span) = at.parsed("a duration, as in `1m`")?;
    if span <= LONGEST {
        return Some(span);
    }
    at.refuse(format_args!("expected a duration up to 1h, found {}", at.found()))
}

/// What it is a share of, and that the rest of the service agrees.
pub(super) fn check(
    fields: &Fields<'_>,
    scale: &Scale,
    resources: &Resources,
    kind: &Kind,
    replicas: Replicas,
) {
    let Some(at) = fields.get("scale") else { return };
    let reserves = match &scale.by {
        ScaleBy::Cpu(_) => resources.cpu.0 > 0,
        ScaleBy::Memory(_) => resources.memory.0 > 0,
        ScaleBy::Metric(_) => true,
    };
    if !reserves {
        let what = scale.by.subject();
        at.refuse_key::<()>(format_args!(
            "a share of nothing: say what an instance reserves, `resources.{what}`"
        ));
    }
    if *kind != Kind::Service {
        at.refuse_key::<()>("work that ends is not scaled; `scale` belongs to `kind: service`");
    }
    match replicas {
        Replicas::PerNode => drop(at.refuse_key::<()>("`replicas: per-node` is scaled by nodes")),
        Replicas::Number(number) if scale.within(number) != number => {
            if let Some(replicas) = fields.get("replicas") {
                replicas.refuse::<()>(format_args!(
                    "it begins with a number from `scale.min`, {}, to `scale.max`, {}",
                    scale.min, scale.max
                ));
            }
        }
        Replicas::Number(_) => {}
    }
}
