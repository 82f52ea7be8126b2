//! Capabilities, labels and taints of nodes, as operators say them.
//!
//! They are kept by the node itself, however deep it is, and come back with its facts: a node without a link
//! cannot be told anything.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use holm_core::orchestrator::command::{Actor, Command};
use holm_model::amendment::Amendment;
use holm_model::capability::Capability;
use holm_model::tunnel::Purpose;
use holm_model::view::NodeView;
use holm_model::view::amendment::{
    CapabilityView, LabelValue, LabelView, TaintView, UnitsQuery, capabilities, labels, taints,
};
use utoipa_axum::routes;

use super::members::{find_node, member};
use crate::extract::{self, Path, Query};
use crate::peer::Caller;
use crate::problem::{Common, Fault, Kind, OfThing, OfWrite};
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[
    || routes!(list_capabilities),
    || routes!(add_capability, remove_capability),
    || routes!(list_labels),
    || routes!(set_label, remove_label),
    || routes!(list_taints),
    || routes!(add_taint, remove_taint),
];

/// What a node can do, and what it could if nobody had said otherwise.
#[utoipa::path(get, path = "/nodes/{id}/capabilities", tag = "nodes", params(("id" = String, Path)),
    responses((status = 200, body = Vec<CapabilityView>), Common, OfThing))]
async fn list_capabilities(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<Vec<CapabilityView>>, Fault> {
    Ok(Json(capabilities(&find_node(&api, &id).await?)))
}

/// Say that a node can do something, and perhaps how many units of that it has. What it finds by itself needs not be
/// said.
#[utoipa::path(put, path = "/nodes/{id}/capabilities/{kind}/{name}", tag = "nodes",
    params(("id" = String, Path), ("kind" = String, Path, description = "As `hardware` in `hardware/zigbee`"),
        ("name" = String, Path, description = "As `zigbee` in `hardware/zigbee`"), UnitsQuery),
    responses((status = 204), Common, OfThing, OfWrite))]
async fn add_capability(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path((id, kind, name)): Path<(String, String, String)>,
    Query(UnitsQuery { units }): Query<UnitsQuery>,
) -> Result<StatusCode, Fault> {
    let (node, capability) = (find_node(&api, &id).await?, capability(&kind, &name)?);
    let said = match units {
        Some(units) => Amendment::Units { capability, units },
        None => Amendment::Capability { capability, has: true },
    };
    amend(&api, actor, &node, said).await
}

/// Say that a node cannot do something, even if it finds it by itself.
#[utoipa::path(delete, path = "/nodes/{id}/capabilities/{kind}/{name}", tag = "nodes",
    params(("id" = String, Path), ("kind" = String, Path), ("name" = String, Path)),
    responses((status = 204), Common, OfThing, OfWrite))]
async fn remove_capability(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path((id, kind, name)): Path<(String, String, String)>,
) -> Result<StatusCode, Fault> {
    let (node, capability) = (find_node(&api, &id).await?, capability(&kind, &name)?);
    amend(&api, actor, &node, Amendment::Capability { capability, has: false }).await
}

/// Labels of a node.
#[utoipa::path(get, path = "/nodes/{id}/labels", tag = "nodes", params(("id" = String, Path)),
    responses((status = 200, body = Vec<LabelView>), Common, OfThing))]
async fn list_labels(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Vec<LabelView>>, Fault> {
    Ok(Json(labels(&find_node(&api, &id).await?)))
}

/// Give a label to a node. What a path cannot hold is encoded: `example.org%2Fzone`.
#[utoipa::path(put, path = "/nodes/{id}/labels/{name}", tag = "nodes",
    params(("id" = String, Path), ("name" = String, Path)), request_body = LabelValue,
    responses((status = 204), Common, OfThing, OfWrite))]
async fn set_label(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path((id, key)): Path<(String, String)>,
    extract::Json(LabelValue { value }): extract::Json<LabelValue>,
) -> Result<StatusCode, Fault> {
    let node = find_node(&api, &id).await?;
    amend(&api, actor, &node, Amendment::Label { key, value: Some(value) }).await
}

/// Take a label from a node, even if it was started with it.
#[utoipa::path(delete, path = "/nodes/{id}/labels/{name}", tag = "nodes",
    params(("id" = String, Path), ("name" = String, Path)),
    responses((status = 204), Common, OfThing, OfWrite))]
async fn remove_label(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path((id, key)): Path<(String, String)>,
) -> Result<StatusCode, Fault> {
    let node = find_node(&api, &id).await?;
    amend(&api, actor, &node, Amendment::Label { key, value: None }).await
}

/// What keeps new work away from a node.
#[utoipa::path(get, path = "/nodes/{id}/taints", tag = "nodes", params(("id" = String, Path)),
    responses((status = 200, body = Vec<TaintView>), Common, OfThing))]
async fn list_taints(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Vec<TaintView>>, Fault> {
    Ok(Json(taints(&find_node(&api, &id).await?)))
}

/// Keep new work away from a node, except for services that tolerate this. What is there stays.
#[utoipa::path(put, path = "/nodes/{id}/taints/{name}", tag = "nodes",
    params(("id" = String, Path), ("name" = String, Path)), request_body = LabelValue,
    responses((status = 204), Common, OfThing, OfWrite))]
async fn add_taint(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path((id, key)): Path<(String, String)>,
    extract::Json(LabelValue { value }): extract::Json<LabelValue>,
) -> Result<StatusCode, Fault> {
    let node = find_node(&api, &id).await?;
    amend(&api, actor, &node, Amendment::Taint { key, value: Some(value) }).await
}

/// Let work come to a node in spite of this again.
#[utoipa::path(delete, path = "/nodes/{id}/taints/{name}", tag = "nodes",
    params(("id" = String, Path), ("name" = String, Path)),
    responses((status = 204), Common, OfThing, OfWrite))]
async fn remove_taint(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path((id, key)): Path<(String, String)>,
) -> Result<StatusCode, Fault> {
    let node = find_node(&api, &id).await?;
    amend(&api, actor, &node, Amendment::Taint { key, value: None }).await
}

fn capability(kind: &str, name: &str) -> Result<Capability, Fault> {
    format!("{kind}/{name}").parse().map_err(|error| Fault::new(Kind::Invalid, error))
}

/// What cannot be written down is not done; what could not be done is written down, too.
async fn amend(api: &Api, actor: Actor, node: &NodeView, amendment: Amendment) -> Result<StatusCode, Fault> {
    let member = member("node", &node.id)?;
    let said = Command::Amend { node: node.name.clone(), amendment: amendment.clone() };
    api.command(actor.clone(), said).await?;
    match api.node_tunnel(member, Purpose::Amend(amendment)).await {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(fault) => {
            let (verb, subject) = ("node.amend".to_owned(), format!("node {}", node.name));
            let reason = fault.detail().to_owned();
            // It is refused, as always.
            let _ = api.command(actor, Command::Denied { verb, subject, reason }).await;
            Err(fault)
        }
    }
}
