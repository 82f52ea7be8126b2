//! What the API shows and takes: the JSON of `/api/v1`, used by server, client, CLI and page alike.

pub mod amendment;
pub mod build;
pub mod content;
pub mod drain;
pub mod explain;
pub mod expose;
pub mod generation;
pub mod held;
pub mod identity;
pub mod people;
pub mod query;
pub mod scheduler;
pub mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::{Grants, Verb};
use crate::amendment::Amendments;
use crate::coordinate::Coordinate;
use crate::member::{Role, RuntimeFacts, Usage};
use crate::name::Name;
use crate::state::{MemberState, RunState, ServiceState};
use crate::time::Time;

use self::drain::DrainView;

/// A live copy of a slot; or, with `id: null`, a slot that nothing fills.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstanceView {
    pub id: Option<String>,
    pub project: String,
    pub application: String,
    /// Of this creation of the application. Names are unique for one owner only.
    pub application_id: String,
    /// The cluster that the application is an own one of, unknown to the root; `null`: the root's.
    pub owner: Option<String>,
    pub service: String,
    /// `web/2`, or `collector/vienna/fl-1` for per-node services.
    pub slot: String,
    /// A word of the instance's states, or of the slot's while nothing fills it.
    pub state: String,
    /// Why, in words; empty when there is nothing to say.
    pub reason: String,
    pub cluster: Option<String>,
    pub node: Option<String>,
    pub node_id: Option<String>,
    pub runtime: String,
    pub generation: u64,
    #[schema(value_type = String, format = DateTime)]
    pub since: Time,
    pub restarts: u32,
    pub incarnation: u32,
    /// Replaced, waiting to be given up; gets no traffic.
    pub held: bool,
    /// Ports on the node, by name.
    pub ports: BTreeMap<String, u16>,
    pub usage: Option<Usage>,
    /// It runs and takes work, as far as its checks tell.
    #[serde(default)]
    pub ready: bool,
    /// What its check said last; empty: it has none.
    #[serde(default)]
    pub answer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeView {
    pub id: String,
    pub name: String,
    /// `null` for a node of the root itself.
    pub cluster: Option<String>,
    pub state: MemberState,
    pub arch: String,
    pub os: String,
    /// Cores, as in `4` or `1500m`.
    pub cpu: String,
    pub memory: String,
    /// Not reserved by placed instances; of a cluster's node, as it was when the cluster told of it last. `null`:
    /// its cluster is of a version that does not tell.
    pub cpu_free: Option<String>,
    pub memory_free: Option<String>,
    /// Names of the runtimes that are ready.
    pub runtimes: Vec<String>,
    pub capabilities: Vec<String>,
    pub labels: BTreeMap<String, String>,
    /// Of capabilities that it counts: how many units it has.
    #[serde(default)]
    pub units: BTreeMap<String, u32>,
    /// What keeps new work away from it; values may be empty.
    #[serde(default)]
    pub taints: BTreeMap<String, String>,
    /// Latitude and longitude in degrees, as in `48.2082,16.3738`; `null`: unknown.
    #[serde(default)]
    pub location: Option<String>,
    /// Where it is in the network; `null`: it does not know yet.
    #[serde(default)]
    pub coordinate: Option<Coordinate>,
    pub instances: u32,
    pub usage: Usage,
    /// It takes nothing until people decide: its orchestrator is behind what it obeyed, or does not know whether it
    /// still belongs here. See `holm adopt`.
    pub frozen: bool,
    /// Its orchestrator's store came out of a backup, or knows it by its certificate alone: it is told nothing.
    #[serde(default)]
    pub unconfirmed: bool,
    /// It is removed as soon as it has ended what it owes.
    #[serde(default)]
    pub leaving: bool,
    /// Its cluster is silent: it says itself what runs there, and is reached without it.
    #[serde(default)]
    pub by_itself: bool,
    /// `vienna/fl-2`: its machine is this node of a cluster that was silent, and is a node here meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_of: Option<String>,
    /// People keep new work away from it.
    #[serde(default)]
    pub cordoned: bool,
    /// People empty it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining: Option<DrainView>,
    /// By its own orchestrator; a cluster tells it with whatever else has changed of its node.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_heard: Option<Time>,
    pub facts: NodeFactsView,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeFactsView {
    pub hostname: String,
    pub addresses: Vec<String>,
    pub os_version: String,
    pub kernel: String,
    pub cpu_model: String,
    pub disk_total: u64,
    pub disk_free: u64,
    pub gpus: Vec<String>,
    pub devices: Vec<String>,
    pub runtimes: Vec<RuntimeFacts>,
    pub version: String,
    /// What an operator said about it: `capabilities` and `labels` of the node are so already.
    #[serde(default)]
    pub amendments: Amendments,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClusterView {
    pub id: String,
    pub name: String,
    pub state: MemberState,
    /// Number of nodes.
    pub nodes: u32,
    pub online: u32,
    pub cpu: String,
    pub memory: String,
    pub cpu_free: String,
    pub memory_free: String,
    pub instances: u32,
    /// As of a node.
    pub frozen: bool,
    /// As of a node.
    #[serde(default)]
    pub unconfirmed: bool,
    /// Names of its nodes that wait for `holm adopt` or `holm discard` there.
    #[serde(default)]
    pub frozen_nodes: Vec<String>,
    /// It is removed as soon as it has ended what it owes.
    #[serde(default)]
    pub leaving: bool,
    /// People keep new work away from it.
    #[serde(default)]
    pub cordoned: bool,
    /// People empty it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining: Option<DrainView>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_heard: Option<Time>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApplicationView {
    pub id: String,
    pub project: String,
    pub name: String,
    pub state: ServiceState,
    pub generation: u64,
    pub unconfirmed: bool,
    #[schema(value_type = String, format = DateTime)]
    pub created: Time,
    #[schema(value_type = String, format = DateTime)]
    pub changed: Time,
    /// How its newest generation goes.
    #[serde(default)]
    pub rollout: Option<generation::RolloutView>,
    pub services: Vec<ServiceView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceView {
    pub name: String,
    pub state: ServiceState,
    pub runtime: String,
    /// A number or `per-node`.
    pub replicas: String,
    pub running: u32,
    pub slots: u32,
    pub run: RunState,
    pub generation: u64,
    /// When a `cron` is due next.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next: Option<Time>,
    /// The `cron` that it is a run of.
    #[serde(default)]
    pub run_of: Option<String>,
    /// The specification in force, in the words of a manifest.
    #[schema(value_type = Object)]
    pub spec: serde_json::Value,
}

/// What an `apply` did, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApplyView {
    pub application: String,
    pub project: String,
    pub id: Option<String>,
    pub generation: u64,
    pub changes: Vec<PlannedChange>,
    /// It is taken as it is, and will probably not run: why, and at which key.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Of a plan, for at most 50 services that it changes: who would take the next instance, and why the others
    /// would not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forecast: Vec<explain::ForecastView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedChange {
    /// `create`, `change`, `keep`, `remove`.
    pub action: String,
    pub service: String,
    /// Field by field: `image: a:1 → a:2`.
    pub details: Vec<String>,
}

/// `PATCH` of a service, or of all services of an application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServicePatch {
    #[serde(default)]
    pub replicas: Option<u32>,
    #[serde(default)]
    pub run: Option<RunState>,
    /// `true`: restart every instance once.
    #[serde(default)]
    pub restart: bool,
}

/// `POST /tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    pub role: TokenRole,
    /// Seconds that it is valid; 1 hour for join tokens and 30 days for API tokens if absent.
    #[serde(default)]
    pub ttl_seconds: Option<u64>,
    /// How many members may join with it; 1 if absent.
    #[serde(default)]
    pub uses: Option<u32>,
    /// Where an API token's role holds; the whole sea if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub projects: Option<Vec<Name>>,
    /// The role holds for the application of this name only, in each of `projects`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub application: Option<Name>,
    /// Only these of the role's verbs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verbs: Option<BTreeSet<Verb>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenRole {
    /// For joining a node.
    Node,
    /// For joining a cluster.
    Cluster,
    /// For people and programs: the API, to see.
    Viewer,
    /// The API, to run applications, too.
    Operator,
    /// The API as administrator.
    Admin,
}

impl TokenRole {
    /// As `holm token create --role` takes it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Cluster => "cluster",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// The answer to [`TokenRequest`]: the only time that the secret is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenCreated {
    pub id: String,
    pub token: String,
    pub role: TokenRole,
    #[schema(value_type = String, format = DateTime)]
    pub expires: Time,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    pub id: String,
    pub role: TokenRole,
    #[schema(value_type = String, format = DateTime)]
    pub expires: Time,
    /// Members that may still join with it; `null` for API tokens.
    pub uses_left: Option<u32>,
    pub revoked: bool,
    /// Who made it; empty for tokens of before there were people.
    #[serde(default)]
    pub who: String,
    /// What an API token allows; `null` for join tokens.
    #[serde(default)]
    pub grants: Option<Grants>,
}

/// A change of something's state, from the history or live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Cursor: `?after=` continues behind it; valid while the orchestrator runs.
    pub cursor: u64,
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    pub kind: String,
    /// The id of an instance, `project/application`, or the name of a node or cluster.
    pub subject: String,
    pub application: String,
    /// What an instance fills: `web/2`; empty for others.
    #[serde(default)]
    pub slot: String,
    pub from: String,
    pub to: String,
    pub cause: String,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditView {
    pub sequence: u64,
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    pub who: String,
    pub from: String,
    pub verb: String,
    pub subject: String,
    pub outcome: String,
}

/// Whether the audit log is whole: `GET /audit/verify`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditProofView {
    /// Records that were looked at, from the first on.
    pub checked: u64,
    /// The hash of the last record: whoever writes it down elsewhere sees later that nothing before was changed.
    pub head: String,
    /// Where the chain is broken, and how; `null` when it is whole.
    pub fault: Option<String>,
}

/// Who answers: `GET /api/v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusView {
    pub version: String,
    /// `root` or `cluster`.
    pub role: String,
    pub name: String,
    pub sea: String,
    pub epoch: String,
    pub revision: u64,
    /// A commit failed: nothing is accepted until the disk takes writes again.
    pub read_only: Option<String>,
    /// The link to the parent: `none` (a root), `connected`, `disconnected`, `behind`.
    pub parent: String,
    /// The address of the parent, `host:port`; absent at a root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_address: Option<String>,
    /// The proxy by which the parent is called, `host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    pub fingerprint: String,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Give it as `?cursor=` to continue; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An error as RFC 9457 `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Stable: `/problems/not-found`, …
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// What happened here and what to do.
    pub detail: String,
    /// Places in a manifest, when it was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ProblemPlace>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemPlace {
    pub line: u64,
    pub column: u64,
    pub path: String,
    pub message: String,
}

/// A line of a log: NDJSON of `GET /instances/{id}/logs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogView {
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    pub stream: crate::tunnel::LogStream,
    /// Not UTF-8: replaced.
    pub text: String,
}

/// A member that may join or has joined, for `get members`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberView {
    pub id: String,
    pub name: String,
    pub role: Role,
    pub state: MemberState,
    pub frozen: bool,
    pub unconfirmed: bool,
    /// A cluster's nodes that wait for `holm adopt` or `holm discard` there.
    #[serde(default)]
    pub frozen_nodes: Vec<String>,
    /// It is removed as soon as it has ended what it owes.
    #[serde(default)]
    pub leaving: bool,
    /// Its certificates are void: it comes back only by joining anew.
    #[serde(default)]
    pub revoked: bool,
}

/// What removing a node or a cluster leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RemovalView {
    /// `true`: it was told to end `instances`, and is cut off as soon as it has. `false`: it was cut off
    /// at once, and whatever of `instances` may still run there is ended by nobody.
    pub leaving: bool,
    pub instances: Vec<InstanceView>,
}

/// The first part of [`Problem::kind`]; what follows is stable.
pub const PROBLEMS: &str = "/problems/";

// === impl TokenRequest ===

impl TokenRequest {
    /// With everything else as usual.
    #[must_use]
    pub const fn new(role: TokenRole) -> Self {
        Self { role, ttl_seconds: None, uses: None, projects: None, application: None, verbs: None }
    }
}

// === impl Problem ===

impl Problem {
    /// The stable word of [`Problem::kind`]: `not-found`, `conflict`, …
    #[must_use]
    pub fn word(&self) -> &str {
        self.kind.strip_prefix(PROBLEMS).unwrap_or(&self.kind)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.detail.is_empty() { &self.title } else { &self.detail })?;
        self.errors.iter().try_for_each(|place| write!(f, "\n  {place}"))
    }
}

// === impl ProblemPlace ===

impl fmt::Display for ProblemPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, path, message } = self;
        write!(f, "{line}:{column}: ")?;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        f.write_str(message)
    }
}
