//! Ports of this orchestrator that lead to services.

use axum::extract::{OriginalUri, State};
use holm_model::view::Page;
use holm_model::view::expose::ExposureView;
use holm_model::view::query::PageQuery;
use utoipa_axum::routes;

use super::list::Listing;
use crate::extract::Query;
use crate::page::page;
use crate::peer::Principal;
use crate::problem::{Common, Fault};
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[|| routes!(list)];

/// Ports of this orchestrator that lead to services. What a cluster opens, it lists itself.
#[utoipa::path(get, path = "/exposures",
    operation_id = "list_exposures", tag = "exposures", params(PageQuery),
    responses((status = 200, body = Page<ExposureView>), Common))]
async fn list(
    State(api): State<Api>,
    principal: Principal,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<PageQuery>,
) -> Result<Listing<ExposureView>, Fault> {
    let mut exposures = api.exposures().await?;
    exposures.retain(|exposure| principal.reads_application(&exposure.project, &exposure.application));
    let key = |view: &ExposureView| {
        format!(
            "{:05}/{}/{}/{}/{}",
            view.port, view.project, view.application, view.service, view.service_port
        )
    };
    Ok(Listing::new(uri, page(exposures, key, query.limit, query.cursor.as_deref())?))
}
