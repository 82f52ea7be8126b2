//! Images that nodes have, asked of the nodes themselves.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use holm_core::orchestrator::command::{Actor, Command};
use holm_link::session::Tunnel;
use holm_model::image::{ImageQuery, ImageView, ImagesPrune, ImagesPruned, ImagesWant};
use holm_model::tunnel::Purpose;
use holm_model::view::NodeView;
use utoipa_axum::routes;

use super::members::{find_node, member};
use super::usage::read;
use crate::extract::{self, Path, Query};
use crate::peer::Caller;
use crate::problem::{Common, Fault, Kind, OfStream, OfWrite};
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[|| routes!(list, remove), || routes!(prune)];

/// The longest name that is handed on.
const LONGEST: usize = 512;

/// Images that a node has, the largest first, and which instances use them.
#[utoipa::path(get, path = "/nodes/{id}/images", operation_id = "node_images", tag = "nodes",
    params(("id" = String, Path)), responses((status = 200, body = Vec<ImageView>), Common, OfStream))]
async fn list(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Vec<ImageView>>, Fault> {
    let node = member("node", &find_node(&api, &id).await?.id)?;
    read(api.node_tunnel(node, Purpose::Images(ImagesWant::List)).await?).await
}

/// Take a name from an image of a node; with its last name, the image goes. One that is used stays.
#[utoipa::path(delete, path = "/nodes/{id}/images", operation_id = "remove_node_image", tag = "nodes",
    params(("id" = String, Path), ImageQuery), responses((status = 204), Common, OfStream, OfWrite))]
async fn remove(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(id): Path<String>,
    Query(ImageQuery { image }): Query<ImageQuery>,
) -> Result<StatusCode, Fault> {
    if image.is_empty() || image.len() > LONGEST || image.chars().any(char::is_control) {
        return Err(Fault::new(Kind::Invalid, "`image` is no name of an image"));
    }
    let node = find_node(&api, &id).await?;
    ask(&api, actor, &node, Some(image.clone()), ImagesWant::Remove(image)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Remove images that a node has pulled and that nothing uses, but for the newest of each repository.
#[utoipa::path(post, path = "/nodes/{id}/images/prune", operation_id = "prune_node_images", tag = "nodes",
    params(("id" = String, Path)), request_body = ImagesPrune,
    responses((status = 200, body = ImagesPruned), Common, OfStream, OfWrite))]
async fn prune(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(id): Path<String>,
    extract::Json(how): extract::Json<ImagesPrune>,
) -> Result<Json<ImagesPruned>, Fault> {
    let node = find_node(&api, &id).await?;
    read(ask(&api, actor, &node, None, ImagesWant::Prune(how)).await?).await
}

/// What cannot be written down is not done; what could not be done is written down, too.
async fn ask(
    api: &Api,
    actor: Actor,
    node: &NodeView,
    image: Option<String>,
    want: ImagesWant,
) -> Result<Tunnel, Fault> {
    let member = member("node", &node.id)?;
    let said = Command::RemoveImages { node: node.name.clone(), image };
    api.command(actor.clone(), said).await?;
    match api.node_tunnel(member, Purpose::Images(want)).await {
        Ok(tunnel) => Ok(tunnel),
        Err(fault) => {
            let (verb, subject) = ("image.remove".to_owned(), format!("node {}", node.name));
            let reason = fault.detail().to_owned();
            // It is refused, as always.
            let _ = api.command(actor, Command::Denied { verb, subject, reason }).await;
            Err(fault)
        }
    }
}
