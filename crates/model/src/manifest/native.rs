//! The native form of a manifest as types: what `show` writes and what the schema describes. The doc
//! comments here are the descriptions that editors show.

mod before;
mod health;
mod kind;
mod placement;
mod scale;
mod update;

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde::Serialize;

use super::before::MOST_STEPS;
use super::parts::MOST_ATTEMPTS;
use super::service::MOST_REPLICAS;
use crate::duration::Span;
use crate::healing::Reconcile;
use crate::name::{NAME_PATTERN, Name};
use crate::priority::Priority;
use crate::resources::Resources;
use crate::service::{self, RestartPolicy};

pub(super) use before::Step;
pub(super) use health::{At, Expose, ExposeFull, Health};
pub(super) use kind::Kind;
pub(super) use placement::Placement;
pub(super) use scale::Scale;
pub(super) use update::Update;

/// An application of Holm: what to run, and where it may run.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, title = "Holm manifest")]
pub(super) struct Manifest {
    /// The version of the format.
    pub(super) holm: Format,
    /// The name of the application, unique in its project.
    pub(super) application: Name,
    /// The parts of the application by name; at least one.
    #[schemars(schema_with = "named::<Service>", extend("minProperties" = 1))]
    pub(super) services: BTreeMap<Name, Service>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub(super) enum Format {
    #[serde(rename = "v1")]
    V1,
}

/// One part of an application: what to run, how, how many and where.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(deny_unknown_fields)]
pub(super) struct Service {
    /// Who runs it: `process`, `container` or the name of a plug-in.
    pub(super) runtime: Name,
    /// Program and arguments, a list. For containers it replaces the command of the image. May contain
    /// templates: `{{node.name}}`, `{{node.labels.floor}}`, `{{port.http}}`, `{{slot.index}}`, …
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default, with = "Vec<Scalar>", length(min = 1))]
    pub(super) command: Vec<String>,
    /// Steps that run to their end, one after the other, before each start on a node. One that fails is a failed start.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default, length(max = MOST_STEPS))]
    pub(super) before: Vec<Step>,
    /// The image of a container, as in `docker.io/library/nginx:1.27`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "String")]
    pub(super) image: Option<String>,
    /// Environment variables. Numbers and booleans are taken as written; values may contain templates.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(default, schema_with = "environment")]
    pub(super) env: BTreeMap<String, String>,
    /// Secrets of the project, by name: as a variable, or as a file in the directory `$HOLM_SECRETS`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(default, schema_with = "named::<Secret>")]
    pub(super) secrets: BTreeMap<Name, Secret>,
    /// Plain files of the project, by name, in the directory `$HOLM_FILES`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(default, schema_with = "named::<File>")]
    pub(super) files: BTreeMap<Name, File>,
    /// What happens when one of them changes: `restart` (the default), `nothing` or `{ signal: HUP }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "OnChange")]
    pub(super) on_change: Option<OnChange>,
    /// The secret of the project with which the image is pulled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Name")]
    pub(super) registry: Option<Name>,
    /// Whether an instance may ask for a short-lived certificate or token of its own, at the socket
    /// `$HOLM_IDENTITY_SOCKET`.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(default)]
    pub(super) identity: bool,
    /// The working directory, an absolute path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "String", regex(pattern = "^/"))]
    pub(super) workdir: Option<String>,
    /// A user's name or number. Without it an agent that runs as root uses one of the project's own; a user of the
    /// machine needs its owner's word (`holm node consent users`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Scalar")]
    pub(super) user: Option<String>,
    /// Directories of the node, or named volumes, inside the instance. On a node, all replicas of all services of
    /// an application share a named volume; it stays when the application is deleted, until somebody
    /// removes it with the engine's own `docker volume rm holm-<application id>-<name>`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub(super) volumes: Vec<Volume>,
    /// What kind of work it is: `service` (the default) runs until it is stopped, `job` to its end, `{ cron: … }` to its
    /// end at each of its times.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Kind")]
    pub(super) kind: Option<Kind>,
    /// How many: a number, `per-node` for one on each matching node, or a number that is shared out among clusters.
    /// Default 1.
    #[schemars(default = "one")]
    pub(super) replicas: Replicas,
    /// How many there are by themselves, by what their instances use or tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Scale")]
    pub(super) scale: Option<Scale>,
    /// The ports it listens on, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(default, schema_with = "named::<Port>")]
    pub(super) ports: BTreeMap<Name, Port>,
    /// What each instance reserves, and may use at most where the runtime can enforce it.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(default)]
    pub(super) resources: Resources,
    /// Where it may run; all conditions hold at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Placement")]
    pub(super) placement: Option<Placement>,
    /// What happens after an instance ended without being told to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Restart")]
    pub(super) restart: Option<Restart>,
    /// What is less important leaves a node first whose disk stays full; default `normal`.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(default)]
    pub(super) priority: Priority,
    /// How an instance is asked whether it works. Whoever fails is started again by `restart`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Health")]
    pub(super) health: Option<Health>,
    /// How an instance is asked whether it takes work. Whoever fails gets none, and runs on. Without it, whoever
    /// is healthy is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Health")]
    pub(super) ready: Option<Health>,
    /// How an instance is stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Stop")]
    pub(super) stop: Option<Stop>,
    /// Which of its ports are reached at an orchestrator, balanced over the ready instances; a number alone is for
    /// the only port.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(default, with = "health::Exposed")]
    pub(super) expose: BTreeMap<Name, Expose>,
    /// Services of this application whose addresses an instance is given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub(super) connects: Vec<Connect>,
    /// How instances of another specification are replaced by those of this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Update")]
    pub(super) update: Option<Update>,
    /// When its node, or the cluster of its node, is silent: `wait-for-return`, or `{ replace-after: 30s }`. Without it,
    /// an instance is replaced after the orchestrator's own deadline, 60 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "OnNodeLoss")]
    pub(super) on_node_loss: Option<OnNodeLoss>,
    /// Which copy stays when a lost node returns after a replacement was made; default `keep-replacement`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "ReconcileWord")]
    pub(super) reconcile: Option<Reconcile>,
    /// Whether no slot may ever run twice, whatever is lost: an instance ends at the end of its lease, even when its
    /// agent cannot, and is replaced only after that. Needs `runtime: process`.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(default)]
    pub(super) exclusive: bool,
}

/// `{ env: VARIABLE }` or `{ file: true }`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Secret {
    Env(SecretEnv),
    File(SecretFile),
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub(super) struct SecretEnv {
    /// The variable.
    #[schemars(regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub(super) env: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub(super) struct SecretFile {
    /// As a file of the secret's name.
    #[schemars(extend("const" = true))]
    pub(super) file: bool,
}

/// A plain file of the project.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct File {
    /// Where a container finds it, an absolute path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "String", regex(pattern = "^/[^:]*$"))]
    pub(super) path: Option<String>,
    /// Permissions, octal; default `"0444"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Mode")]
    pub(super) mode: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(inline, untagged)]
#[expect(dead_code, reason = "describes a mode for the schema")]
enum Mode {
    Text(#[schemars(regex(pattern = "^0?[0-7]{3}$"))] String),
    /// Unquoted: YAML takes the digits for a number.
    Number(u16),
}

/// `restart`, `nothing` or `{ signal: HUP }`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum OnChange {
    Word(ChangeWord),
    Signal(SignalForm),
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(super) enum ChangeWord {
    Restart,
    Nothing,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub(super) struct SignalForm {
    /// Sent to the program after its files were replaced.
    #[schemars(with = "SignalWord")]
    pub(super) signal: service::Signal,
}

#[derive(JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
#[expect(dead_code, reason = "describes `Signal` for the schema, which its own derives do not")]
enum SignalWord {
    Hup,
    Int,
    Quit,
    Term,
    Usr1,
    Usr2,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Replicas {
    Number(#[schemars(range(max = MOST_REPLICAS))] u32),
    PerNode(PerNode),
    Shared(Shared),
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(deny_unknown_fields, inline)]
pub(super) struct Shared {
    /// How many in all; default 1, or `scale.min`.
    #[schemars(default = "first", range(max = MOST_REPLICAS))]
    pub(super) total: u32,
    /// How many of them each cluster has. The root's own nodes count as one cluster.
    pub(super) per_cluster: PerCluster,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline, extend("minProperties" = 1))]
pub(super) struct PerCluster {
    /// No cluster gets more than so many before all that can take the service have so many; default 0.
    #[schemars(default, range(max = MOST_REPLICAS))]
    pub(super) min: u32,
    /// No cluster gets more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "u32", range(min = 1, max = MOST_REPLICAS))]
    pub(super) max: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(super) enum PerNode {
    PerNode,
}

/// `source:target`, `source:target:ro`, or the same as a mapping.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Volume {
    Short(#[schemars(regex(pattern = "^[^:]+:/[^:]*(:ro)?$"))] String),
    Full(FullVolume),
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(deny_unknown_fields, inline)]
pub(super) struct FullVolume {
    /// An absolute path of the node, or the name of a volume that the runtime keeps.
    pub(super) source: String,
    /// An absolute path inside the instance.
    #[schemars(regex(pattern = "^/"))]
    pub(super) target: String,
    /// Whether the instance may only read.
    #[schemars(default)]
    pub(super) read_only: bool,
}

/// A TCP port: `auto` (the node picks a free one), a number, or a mapping.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Port {
    Host(Host),
    Full(FullPort),
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub(super) struct FullPort {
    /// The port of the node; default `auto`.
    #[schemars(default = "auto")]
    pub(super) host: Host,
    /// The port inside the container; without it the same number as on the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "u16", range(min = 1))]
    pub(super) container: Option<u16>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum Host {
    Auto(Auto),
    Number(#[schemars(range(min = 1))] u16),
}

/// The node picks a free port.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(super) enum Auto {
    Auto,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Restart {
    /// When it is started again; default `on-failure`. With `never`, nobody but people starts again what
    /// has ended, here or elsewhere; what had not ended when its node was lost or removed is started once
    /// more on another one.
    #[schemars(default = "policy", with = "Policy")]
    pub(super) policy: RestartPolicy,
    /// Attempts on one node before another node is tried once; default 5.
    #[schemars(default = "attempts", range(max = MOST_ATTEMPTS))]
    pub(super) attempts: u32,
    /// First and longest wait between attempts, as in `1s..60s` (the default); it doubles in between.
    #[schemars(default = "backoff", regex(pattern = r"^[0-9dhms]+\.\.[0-9dhms]+$"))]
    pub(super) backoff: String,
}

#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
#[expect(dead_code, reason = "describes `RestartPolicy` for the schema, which its own derives do not")]
enum Policy {
    Never,
    OnFailure,
    Always,
}

/// `wait-for-return` or `{ replace-after: 30s }`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum OnNodeLoss {
    Word(LossWord),
    After(ReplaceAfter),
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(super) enum LossWord {
    WaitForReturn,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(deny_unknown_fields, inline)]
pub(super) struct ReplaceAfter {
    /// From `10s` to `30d`.
    pub(super) replace_after: Span,
}

#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
#[expect(dead_code, reason = "describes `Reconcile` for the schema, which its own derives do not")]
enum ReconcileWord {
    KeepOriginal,
    KeepReplacement,
    BestScore,
    LongestRunning,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 1))]
pub(super) struct Stop {
    /// How long a graceful stop may take before the instance is killed; at most `1h`, default `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Span")]
    pub(super) grace: Option<Span>,
    /// How long a stop waits first for open connections through orchestrators; at most `1h`, default `10s` for what
    /// is exposed and `0s` otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Span")]
    pub(super) drain: Option<Span>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Connect {
    /// A service of this application.
    pub(super) service: Name,
    /// One of its ports.
    pub(super) port: Name,
    /// How long a round trip to its nearest instance may take, by estimate: `1ms` to `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Span")]
    pub(super) latency: Option<Span>,
    /// How much that is preferred; without this it is required.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "u32", range(min = 1, max = crate::placement::MOST_WEIGHT))]
    pub(super) preferred: Option<u32>,
}

/// Any scalar: a text is wanted and taken as it was written.
pub(super) struct Scalar;

// === schema ===

/// The JSON Schema (2020-12) of a manifest, for editors. What no schema can say (that a port exists, that
/// a process has a command) only [`parse`](super::parse) refuses.
#[must_use]
pub fn schema() -> serde_json::Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Manifest>().to_value()
}

impl JsonSchema for Scalar {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// A mapping from names to `T`.
fn named<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "propertyNames": { "pattern": NAME_PATTERN },
        "additionalProperties": generator.subschema_for::<T>(),
    })
}

fn environment(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" },
        "additionalProperties": generator.subschema_for::<Scalar>(),
    })
}

const fn first() -> u32 {
    1
}

fn one() -> Replicas {
    Replicas::Number(1)
}

fn auto() -> Host {
    Host::Auto(Auto::Auto)
}

fn policy() -> RestartPolicy {
    service::Restart::default().policy
}

fn attempts() -> u32 {
    service::Restart::default().attempts
}

fn backoff() -> String {
    Restart::from(service::Restart::default()).backoff
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
