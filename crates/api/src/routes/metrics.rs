//! What Prometheus is told.

use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;
use holm_metrics::{Family, text};
use utoipa_axum::routes;

use crate::problem::{Common, Fault};
use crate::state::Api;

/// Where Prometheus looks if nobody says otherwise: below nothing else.
pub(crate) const PATH: &str = "/metrics";

pub(super) const ROUTES: super::Routes = &[|| routes!(metrics)];

/// This orchestrator in numbers, in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "orchestrator",
    responses((status = 200, body = String, content_type = "text/plain"), Common))]
async fn metrics(State(api): State<Api>) -> Result<([(HeaderName, &'static str); 1], String), Fault> {
    let mut families = api.metrics().await?;
    families.push(
        Family::counter("holm_api_refused_attempts_total", "Requests that proved no right to be answered.")
            .with(&[], api.refused_attempts()),
    );
    Ok(([(CONTENT_TYPE, holm_metrics::CONTENT_TYPE)], text(&families)))
}
