//! What applications said before, and back to it.

use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use holm_core::orchestrator::command::{Command, Reply};
use holm_model::view::generation::{GenerationView, RollbackRequest};
use holm_model::view::query::PageQuery;
use holm_model::view::{ApplyView, Page};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::applications::{AppPath, ApplyQuery, key};
use super::list::Listing;
use crate::extract::{self, Path, Query};
use crate::page::page;
use crate::peer::Caller;
use crate::precondition::{etag, expected};
use crate::problem::{Common, Conditional, Fault, Kind, OfThing, OfVersions, OfWrite};
use crate::state::Api;

pub(super) const ROUTES: super::Routes =
    &[|| routes!(list), || routes!(get), || routes!(roll_back), || routes!(promote)];

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct GenerationPath {
    project: String,
    application: String,
    generation: u64,
}

/// The kept generations of an application, the newest first.
#[utoipa::path(get, path = "/projects/{project}/applications/{application}/history",
    operation_id = "list_generations", tag = "applications", params(AppPath, PageQuery),
    responses((status = 200, body = Page<GenerationView>), Common, OfThing))]
async fn list(
    State(api): State<Api>,
    OriginalUri(uri): OriginalUri,
    Path(path): Path<AppPath>,
    Query(query): Query<PageQuery>,
) -> Result<Listing<GenerationView>, Fault> {
    let missing = || Fault::no_such("application", &path.application);
    // What cannot be a name is no application's.
    let app = key(&path).map_err(|_| missing())?;
    let found = api.query(move |machine| machine.generations(&app)).await?;
    let newest_first = |view: &GenerationView| format!("{:020}", u64::MAX - view.generation);
    let items = found.ok_or_else(missing)?;
    Ok(Listing::new(uri, page(items, newest_first, query.limit, query.cursor.as_deref())?))
}

/// One generation of an application, with its manifest.
#[utoipa::path(get, path = "/projects/{project}/applications/{application}/generations/{generation}",
    operation_id = "get_generation", tag = "applications", params(GenerationPath),
    responses((status = 200, body = GenerationView), Common, OfThing, OfVersions))]
async fn get(
    State(api): State<Api>,
    Path(GenerationPath { project, application, generation }): Path<GenerationPath>,
) -> Result<Json<GenerationView>, Fault> {
    let path = AppPath { project, application };
    let app = key(&path).map_err(|_| Fault::no_such("application", &path.application))?;
    Ok(Json(api.query(move |machine| machine.generation(&app, generation)).await??))
}

/// Make what a kept generation said the wish again, as a new generation.
#[utoipa::path(post, path = "/projects/{project}/applications/{application}/rollback",
    operation_id = "roll_application_back", tag = "applications",
    params(AppPath, ApplyQuery,
        ("If-Match" = Option<String>, Header, description = "Only if it is in this generation")),
    request_body = RollbackRequest,
    responses((status = 200, body = ApplyView), Conditional, Common, OfThing, OfWrite))]
async fn roll_back(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(path): Path<AppPath>,
    Query(query): Query<ApplyQuery>,
    headers: HeaderMap,
    extract::Json(request): extract::Json<RollbackRequest>,
) -> Result<Response, Fault> {
    let (app, to, expected) = (key(&path)?, request.generation, expected(&headers)?);
    if query.plan {
        let plan = api.query(move |machine| machine.plan_rollback(&app, to, &expected)).await??;
        return Ok(Json(plan).into_response());
    }
    let Reply::Applied(view) = api.command(actor, Command::Rollback { app, to, expected }).await? else {
        return Err(Fault::new(Kind::Internal, "a rollback was answered with something else (a bug)"));
    };
    Ok(([(header::ETAG, etag(view.generation))], Json(view)).into_response())
}

/// Give all slots the specification that a canary has shown to be good.
#[utoipa::path(post, path = "/projects/{project}/applications/{application}/promote",
    operation_id = "promote_application", tag = "applications",
    params(AppPath, ("If-Match" = Option<String>, Header, description = "Only if it is in this generation")),
    responses((status = 204), Conditional, Common, OfThing, OfWrite))]
async fn promote(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(path): Path<AppPath>,
    headers: HeaderMap,
) -> Result<StatusCode, Fault> {
    let (app, expected) = (key(&path)?, expected(&headers)?);
    api.command(actor, Command::Promote { app, expected }).await?;
    Ok(StatusCode::NO_CONTENT)
}
