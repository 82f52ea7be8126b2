//! The orchestrator itself.

use axum::Json;
use axum::extract::State;
use holm_model::view::StatusView;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::problem::Common;
use crate::state::Api;

pub(super) fn routes() -> super::Routes {
    OpenApiRouter::new().routes(routes!(status))
}

/// Until the web UI is there.
pub(super) async fn index() -> &'static str {
    concat!(
        "Holm ",
        env!("CARGO_PKG_VERSION"),
        "\n\nThe API is at /api/v1, described by /api/v1/openapi.json.\n"
    )
}

/// Who answers, and whether it takes changes.
#[utoipa::path(get, path = "/status", tag = "orchestrator",
    responses((status = 200, body = StatusView), Common))]
async fn status(State(api): State<Api>) -> Json<StatusView> {
    Json(api.status())
}
