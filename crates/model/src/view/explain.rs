//! Why a slot is where it is, and what the scheduler thinks of each member.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::member::Role;
use crate::time::Time;

/// Of one slot: `GET /projects/{project}/applications/{application}/explain?slot=web/0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainView {
    pub project: String,
    pub application: String,
    /// As in `web/0`.
    pub slot: String,
    /// Who decides: the name of this orchestrator. A cluster decides about its nodes, and explains that itself.
    pub by: String,
    /// As in `best-fit`.
    pub strategy: String,
    /// The member that has it; `null`: nobody.
    pub member: Option<String>,
    /// Why that member was taken, when it was; `null` when nobody has it.
    pub then: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Time>,
    /// As it would be decided now: of those that fit the best 100, the best first; then 100 of the others.
    pub members: Vec<OpinionView>,
    /// Members beside those.
    #[serde(default)]
    pub more: u32,
}

/// What an apply would have the scheduler say of a service's next instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ForecastView {
    pub service: String,
    pub strategy: String,
    /// Of those that fit the best 8, the best first; then 8 of the others.
    pub members: Vec<OpinionView>,
    /// Members beside those.
    #[serde(default)]
    pub more: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpinionView {
    pub member: String,
    pub role: Role,
    /// From 1 among those that fit; `null`: it does not.
    pub place: Option<u32>,
    /// Its score or its refusal, in words.
    pub reason: String,
}
