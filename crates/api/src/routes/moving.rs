//! Members that are emptied, and slots that are moved.

use axum::extract::State;
use axum::http::StatusCode;
use holm_core::orchestrator::command::{Command, Reply};
use holm_core::orchestrator::moving::Migration;
use holm_model::view::drain::{DecommissionRequest, DecommissionView, DrainRequest, MigrateRequest};
use holm_model::wish::AppKey;
use utoipa_axum::routes;

use super::applications::name;
use super::members::{find_cluster, find_node, member};
use crate::extract::{Json, Path};
use crate::peer::Caller;
use crate::problem::{Common, Fault, OfThing, OfWrite};
use crate::state::Api;

pub(super) const ROUTES: super::Routes =
    &[|| routes!(drain_node), || routes!(drain_cluster), || routes!(decommission_node), || routes!(migrate)];

/// Empty a node: all that can move moves, nothing new comes, until it is uncordoned.
///
/// The node's `draining` tells what is still there, and why.
#[utoipa::path(post, path = "/nodes/{id}/drain", tag = "members", params(("id" = String, Path)),
    request_body = DrainRequest, responses((status = 204), Common, OfThing, OfWrite))]
async fn drain_node(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(id): Path<String>,
    Json(DrainRequest { lose_volumes }): Json<DrainRequest>,
) -> Result<StatusCode, Fault> {
    let member = member("node", &find_node(&api, &id).await?.id)?;
    api.command(actor, Command::Drain { member, lose_volumes }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Empty a cluster, as a node.
#[utoipa::path(post, path = "/clusters/{id}/drain", tag = "members", params(("id" = String, Path)),
    request_body = DrainRequest, responses((status = 204), Common, OfThing, OfWrite))]
async fn drain_cluster(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(id): Path<String>,
    Json(DrainRequest { lose_volumes }): Json<DrainRequest>,
) -> Result<StatusCode, Fault> {
    let member = member("cluster", &find_cluster(&api, &id).await?.id)?;
    api.command(actor, Command::Drain { member, lose_volumes }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take a node out of service: it is emptied, wipes itself, tells what it wiped, and is forgotten.
///
/// What it wiped is in the audit log as `node.wiped`. Until it is told to wipe itself, uncordoning takes this back.
#[utoipa::path(post, path = "/nodes/{id}/decommission", tag = "members", params(("id" = String, Path)),
    request_body = DecommissionRequest,
    responses((status = 200, body = DecommissionView), Common, OfThing, OfWrite))]
async fn decommission_node(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(id): Path<String>,
    Json(DecommissionRequest { force }): Json<DecommissionRequest>,
) -> Result<axum::Json<DecommissionView>, Fault> {
    let member = member("node", &find_node(&api, &id).await?.id)?;
    match api.command(actor, Command::Decommission { member, force }).await? {
        Reply::Decommission(view) => Ok(axum::Json(view)),
        // Nothing else answers this command.
        _ => Ok(axum::Json(DecommissionView { forgotten: false })),
    }
}

/// Move one slot to another member: the new copy runs before the old one goes.
///
/// What an event says that is `moved` tells how long that took, and how long nothing ran. An exclusive service ends
/// first. A node of a cluster is named at that cluster's orchestrator.
#[utoipa::path(post, path = "/projects/{project}/applications/{application}/migrate", tag = "applications",
    params(("project" = String, Path), ("application" = String, Path)),
    request_body = MigrateRequest, responses((status = 204), Common, OfThing, OfWrite))]
async fn migrate(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path((project, application)): Path<(String, String)>,
    Json(MigrateRequest { slot, to, lose_volume }): Json<MigrateRequest>,
) -> Result<StatusCode, Fault> {
    let app = AppKey { project: name("project", &project)?, application: name("application", &application)? };
    api.command(actor, Command::Migrate(Migration { app, slot, to, lose_volume })).await?;
    Ok(StatusCode::NO_CONTENT)
}
