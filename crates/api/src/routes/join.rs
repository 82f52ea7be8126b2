//! A machine becomes a member. The token in the body is the proof: no other is asked for.

use std::net::SocketAddr;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use holm_link::join::{JoinAnswer, JoinRequest};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::Json;
use crate::peer::Peer;
use crate::problem::{Common, Fault, OfWrite};
use crate::state::Api;

pub(super) fn routes() -> super::Routes {
    OpenApiRouter::new().routes(routes!(join))
}

/// Become a member by a join token.
#[utoipa::path(post, path = "/join", tag = "members", request_body = serde_json::Value,
    responses((status = 201, body = serde_json::Value), Common, OfWrite))]
async fn join(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    Json(request): Json<JoinRequest>,
) -> Result<(StatusCode, axum::Json<JoinAnswer>), Fault> {
    let from = match peer {
        Peer::Tls(address) | Peer::Plain(address) => address,
        // The socket lies on this machine.
        Peer::Unix => SocketAddr::from(([127, 0, 0, 1], 0)),
    };
    let refused = |_: &Fault| api.attempts().refused(peer, "a join was refused");
    let answer = api.join(from, request).await.inspect_err(refused)?;
    Ok((StatusCode::CREATED, axum::Json(answer)))
}
