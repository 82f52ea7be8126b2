//! Health checks and exposed ports in the native form.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::Scalar;
use crate::duration::Span;
use crate::manifest::health::MOST_FAILURES;
use crate::name::Name;

/// One of `http`, `tcp` and `exec`, and how often.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 1))]
pub(in crate::manifest) struct Health {
    /// A path; `GET` of it answers 200 to 299 when the instance works. Redirects are not followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "String", regex(pattern = "^/"))]
    pub(in crate::manifest) http: Option<String>,
    /// A port that takes a connection when the instance works.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Name")]
    pub(in crate::manifest) tcp: Option<Name>,
    /// Program and arguments, run inside the instance; exit code 0 when it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Vec<Scalar>", length(min = 1))]
    pub(in crate::manifest) exec: Option<Vec<String>>,
    /// The port for `http`; without it the only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Name")]
    pub(in crate::manifest) port: Option<Name>,
    /// How long after one answer it is asked again, `100ms` to `1h`; default `5s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Span")]
    pub(in crate::manifest) every: Option<Span>,
    /// Whoever has not answered after this has failed, `100ms` to `1m`; default `2s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Span")]
    pub(in crate::manifest) timeout: Option<Span>,
    /// So many failures in a row count; default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "u32", range(min = 1, max = MOST_FAILURES))]
    pub(in crate::manifest) failures: Option<u32>,
    /// How long failures do not count after a start, unless it has worked before; at most `1h`, default
    /// `30s`. Not for `ready`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Span")]
    pub(in crate::manifest) start: Option<Span>,
}

/// A port of the orchestrator.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::manifest) enum Expose {
    Port(#[schemars(range(min = 1))] u16),
    Full(ExposeFull),
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub(in crate::manifest) struct ExposeFull {
    /// One of those that the orchestrator's administrator granted.
    #[schemars(range(min = 1))]
    pub(in crate::manifest) port: u16,
    /// Which orchestrators open it: `cluster` (each whose own nodes run the service; the default), `root`.
    #[schemars(default, length(min = 1))]
    pub(in crate::manifest) at: Vec<At>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(in crate::manifest) enum At {
    Cluster,
    Root,
}

/// A port of the orchestrator for the only port of the service, or one for each that is named.
#[derive(JsonSchema)]
#[schemars(inline, untagged)]
#[expect(dead_code, reason = "describes both forms for the schema; one is written")]
pub(super) enum Exposed {
    Port(#[schemars(range(min = 1))] u16),
    Ports(BTreeMap<String, Expose>),
}
