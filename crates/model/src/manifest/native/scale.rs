//! `scale` as the schema describes it and as it is written.

use schemars::JsonSchema;
use serde::Serialize;

use crate::duration::Span;
use crate::manifest::service::MOST_REPLICAS;
use crate::name::Name;
use crate::scale::{self, ScaleBy, Thousandths};

/// How many replicas there are by themselves; by exactly one of `cpu`, `memory` and `metric`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in super::super) struct Scale {
    /// At least so many; default 1.
    #[serde(skip_serializing_if = "is_one")]
    #[schemars(default = "one", range(min = 1, max = MOST_REPLICAS))]
    min: u32,
    /// At most so many.
    #[schemars(range(min = 1, max = MOST_REPLICAS))]
    max: u32,
    /// The share of its reserved CPU that an instance should use, as in `70%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "String", regex(pattern = PERCENT))]
    cpu: Option<String>,
    /// The share of its reserved memory that an instance should use, as in `80%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "String", regex(pattern = PERCENT))]
    memory: Option<String>,
    /// A number that each instance tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Metric")]
    metric: Option<Metric>,
    /// Fewer only when nothing in so long a time asked for more; default `5m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Span")]
    stabilization: Option<Span>,
    /// At least so long between two changes; default `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Span")]
    cooldown: Option<Span>,
}

/// A number in the metrics of an instance, in Prometheus' text format.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in super::super) struct Metric {
    /// The port that is asked; without it the only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Name")]
    port: Option<Name>,
    /// The path that is asked for; default `/metrics`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "String", regex(pattern = "^/"))]
    path: Option<String>,
    /// The name of the metric; samples with any labels are added up.
    #[schemars(regex(pattern = "^[A-Za-z_:][A-Za-z0-9_:]*$"))]
    name: String,
    /// How much of it each instance should have.
    #[serde(serialize_with = "number")]
    #[schemars(with = "f64", extend("exclusiveMinimum" = 0))]
    target: Thousandths,
}

const PERCENT: &str = "^([1-9][0-9]?|100)%$";

// === impl From ===

impl From<scale::Scale> for Scale {
    fn from(scale: scale::Scale) -> Self {
        let usual = |span, usual| (span != usual).then_some(Span(span));
        let percent = |percent: u32| Some(format!("{percent}%"));
        let (cpu, memory, metric) = match scale.by {
            ScaleBy::Cpu(share) => (percent(share), None, None),
            ScaleBy::Memory(share) => (None, percent(share), None),
            ScaleBy::Metric(metric) => (None, None, Some(metric.into())),
        };
        Self {
            min: scale.min,
            max: scale.max,
            cpu,
            memory,
            metric,
            stabilization: usual(scale.stabilization, scale::Scale::STABILIZATION),
            cooldown: usual(scale.cooldown, scale::Scale::COOLDOWN),
        }
    }
}

impl From<scale::Metric> for Metric {
    fn from(metric: scale::Metric) -> Self {
        let scale::Metric { port, path, name, target } = metric;
        let path = (path != scale::Metric::PATH).then_some(path);
        Self { port: Some(port), path, name, target }
    }
}

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
const fn is_one(number: &u32) -> bool {
    *number == 1
}

/// A whole number as such.
fn number<S: serde::Serializer>(target: &Thousandths, serializer: S) -> Result<S::Ok, S::Error> {
    if target.0.is_multiple_of(1000) {
        serializer.serialize_u64(target.0 / 1000)
    } else {
        serializer.serialize_f64(target.0 as f64 / 1000.0)
    }
}
