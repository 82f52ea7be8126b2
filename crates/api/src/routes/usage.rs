//! What nodes and instances used in the last hour, asked of the nodes themselves.

use axum::Json;
use axum::extract::State;
use futures::StreamExt as _;
use holm_link::session::Tunnel;
use holm_model::tunnel::Purpose;
use holm_model::usage::UsageHistory;
use serde::de::DeserializeOwned;
use utoipa_axum::routes;

use super::instances::parse_id;
use super::members::{find_node, member};
use super::sockets::{MAX_FRAME, frames};
use crate::extract::Path;
use crate::problem::{Common, Fault, Kind, OfStream};
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[|| routes!(of_node), || routes!(of_instance)];

/// What a node used in the last hour. It is in the node's memory: a new start of its agent begins anew.
#[utoipa::path(get, path = "/nodes/{id}/usage",
    operation_id = "node_usage", tag = "nodes", params(("id" = String, Path)),
    responses((status = 200, body = UsageHistory), Common, OfStream))]
async fn of_node(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<UsageHistory>, Fault> {
    let node = member("node", &find_node(&api, &id).await?.id)?;
    read(api.node_tunnel(node, Purpose::Usage { instance: None }).await?).await
}

/// What an instance used in the last hour.
#[utoipa::path(get, path = "/instances/{id}/usage",
    operation_id = "instance_usage", tag = "instances", params(("id" = String, Path)),
    responses((status = 200, body = UsageHistory), Common, OfStream))]
async fn of_instance(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<UsageHistory>, Fault> {
    let instance = parse_id(&id)?;
    read(api.tunnel(instance, Purpose::Usage { instance: Some(instance) }).await?).await
}

/// The one frame that a node answers with.
pub(super) async fn read<T: DeserializeOwned>(tunnel: Tunnel) -> Result<Json<T>, Fault> {
    let broken =
        |why: String| Fault::new(Kind::Unreachable, format_args!("the node's answer broke off: {why}"));
    let frame = frames(tunnel).next().await.ok_or_else(|| broken("it said nothing".to_owned()))?;
    let frame = frame.map_err(|error| broken(error.to_string()))?;
    holm_link::cbor::decode(&frame, MAX_FRAME).map(Json).map_err(|error| broken(error.to_string()))
}
