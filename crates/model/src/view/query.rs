//! What the lists of the API can be asked for. In each of them, what is absent does not matter.

use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::time::Time;

/// Items of a page at most, and of a page whose length nobody said.
pub const MAX_PAGE: u32 = 1_000;

/// Kinds of things whose changes are events.
pub const EVENT_KINDS: [&str; 5] = ["application", "cluster", "exposure", "instance", "node"];

/// States that a row of the list of instances may have.
pub const INSTANCE_STATES: [&str; 14] = [
    "REQUESTED",
    "SCHEDULED_CLUSTER",
    "SCHEDULED_NODE",
    "PREPARING",
    "STARTING",
    "RUNNING",
    "PAUSED",
    "MIGRATING",
    "STOPPING",
    "STOPPED",
    "COMPLETED",
    "FAILED",
    "TERMINATED",
    "DANGLING",
];

/// A list without filters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// Items of the page at most; 1000 if absent or larger.
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// `GET /instances`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct InstanceQuery {
    pub project: Option<String>,
    pub application: Option<String>,
    pub service: Option<String>,
    /// Name or id of a node.
    pub node: Option<String>,
    /// Name of a cluster.
    pub cluster: Option<String>,
    /// A word of the states, as in `RUNNING`.
    pub state: Option<String>,
    /// Items of the page at most; 1000 if absent or larger.
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// `GET /events`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EventQuery {
    /// The `cursor` or the SSE id of the last event that is known; absent: only what comes.
    pub after: Option<String>,
    /// As `project/application`.
    pub application: Option<String>,
    /// `application`, `cluster`, `instance` or `node`.
    pub kind: Option<String>,
}

/// `GET /history`, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    /// As `project/application`.
    pub application: Option<String>,
    /// `application`, `cluster`, `instance` or `node`.
    pub kind: Option<String>,
    /// The id of the thing, or its path where it has none.
    pub subject: Option<String>,
    /// Items of the page at most; 1000 if absent or larger.
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// `GET /audit`, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    pub who: Option<String>,
    pub verb: Option<String>,
    pub subject: Option<String>,
    /// Not before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    pub since: Option<Time>,
    /// Before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    pub until: Option<Time>,
    /// The oldest first, for exports; else the newest.
    #[serde(default)]
    pub oldest_first: bool,
    /// Items of the page at most; 1000 if absent or larger.
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// `GET /audit/verify`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ProofQuery {
    /// The head of an earlier answer, which must still be in the chain.
    pub head: Option<String>,
}

/// `GET /instances/{id}/logs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// Only so many of the last lines.
    pub tail: Option<u64>,
    /// Only lines of this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    pub since: Option<Time>,
    /// Only lines before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub until: Option<Time>,
    /// Only lines that contain this regular expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grep: Option<String>,
    /// Only what the incarnation before the last one said.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub previous: bool,
    /// Go on with the lines that come.
    #[serde(default)]
    pub follow: bool,
}
