//! The orchestrator itself.

use axum::Json;
use axum::extract::State;
use holm_model::view::StatusView;
use utoipa_axum::routes;

use crate::problem::Common;
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[|| routes!(status), || routes!(openapi)];

/// Until the web UI is there. For everybody: it tells nothing but that this is Holm.
pub(super) async fn index() -> &'static str {
    "Holm\n\nThe API is at /api/v1; /api/v1/openapi.json describes it to whoever shows a token.\n"
}

/// Who answers, and whether it takes changes.
#[utoipa::path(get, path = "/status", tag = "orchestrator",
    responses((status = 200, body = StatusView), Common))]
async fn status(State(api): State<Api>) -> Json<StatusView> {
    Json(api.status())
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "orchestrator",
    responses((status = 200, body = Object, description = "OpenAPI 3.1"), Common))]
async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(super::document())
}
