//! Applications: wishes as people write them.

use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use holm_core::orchestrator::command::{Command, Expected, Reply};
use holm_model::name::Name;
use holm_model::service::Application;
use holm_model::view::explain::ExplainView;
use holm_model::view::query::PageQuery;
use holm_model::view::{ApplicationView, ApplyView, Page, ProblemPlace, ServicePatch};
use holm_model::wish::AppKey;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::list::{Listing, link};
use super::straight::{self, Course};
use crate::extract::{self, Body, Path, Query, media_type};
use crate::page::page;
use crate::peer::{Caller, Principal};
use crate::precondition::{etag, expected};
use crate::problem::{Common, Conditional, Fault, Kind, OfThing, OfWrite};
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[
    || routes!(list),
    || routes!(list_of_project),
    || routes!(get, apply, delete, patch),
    || routes!(patch_service),
    || routes!(explain),
    || routes!(confirm),
];

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ApplyQuery {
    /// Show what would be done, and do nothing.
    #[serde(default)]
    pub(super) plan: bool,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ApplyInQuery {
    /// Show what would be done, and do nothing.
    #[serde(default)]
    plan: bool,
    /// The cluster of ours that all services go to, as if each named it in `placement.cluster`.
    cluster: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ExplainQuery {
    /// As in `web/0`.
    slot: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct AppPath {
    pub(super) project: String,
    pub(super) application: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct ServicePath {
    project: String,
    application: String,
    service: String,
}

/// Applications of all projects that one may see.
#[utoipa::path(get, path = "/applications",
    operation_id = "list_applications", tag = "applications", params(PageQuery),
    responses((status = 200, body = Page<ApplicationView>), Common))]
async fn list(
    State(api): State<Api>,
    principal: Principal,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<PageQuery>,
) -> Result<Listing<ApplicationView>, Fault> {
    let mut applications = api.query(|machine| machine.applications()).await?;
    applications.retain(|app| principal.reads_application(&app.project, &app.name));
    listing(uri, applications, &query)
}

/// Applications of one project.
#[utoipa::path(get, path = "/projects/{project}/applications",
    operation_id = "list_applications_of_project", tag = "applications",
    params(("project" = String, Path), PageQuery),
    responses((status = 200, body = Page<ApplicationView>), Common))]
async fn list_of_project(
    State(api): State<Api>,
    OriginalUri(uri): OriginalUri,
    Path(project): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Listing<ApplicationView>, Fault> {
    let mut applications = api.query(|machine| machine.applications()).await?;
    applications.retain(|app| app.project == project);
    listing(uri, applications, &query)
}

/// One application, with its generation as `ETag`.
#[utoipa::path(get, path = "/projects/{project}/applications/{application}",
    operation_id = "get_application", tag = "applications",
    params(AppPath, ("If-None-Match" = Option<String>, Header, description = "A generation that is known")),
    responses((status = 200, body = ApplicationView), (status = 304), Common, OfThing))]
async fn get(
    State(api): State<Api>,
    OriginalUri(uri): OriginalUri,
    Path(path): Path<AppPath>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let app = api.application(&path.project, &path.application).await?;
    let app = app.ok_or_else(|| Fault::no_such("application", &path.application))?;
    let mut answer = HeaderMap::from_iter([(header::ETAG, etag(app.generation))]);
    let condition = expected(&headers)?;
    if matches!(condition, Expected::NoneOf(_)) && !condition.holds(Some(app.generation)) {
        return Ok((StatusCode::NOT_MODIFIED, answer).into_response());
    }
    link(&mut answer, uri.path(), "self");
    let instances = format!("/api/v1/instances?project={}&application={}", app.project, app.name);
    link(&mut answer, &instances, "instances");
    Ok((answer, Json(app)).into_response())
}

/// Why a slot is where it is, and what the scheduler thinks of every member now.
///
/// An orchestrator explains its own decisions: about clusters at the root, about its nodes at a cluster.
#[utoipa::path(get, path = "/projects/{project}/applications/{application}/explain",
    operation_id = "explain_slot", tag = "applications", params(AppPath, ExplainQuery),
    responses((status = 200, body = ExplainView), Common, OfThing))]
async fn explain(
    State(api): State<Api>,
    Path(path): Path<AppPath>,
    Query(ExplainQuery { slot }): Query<ExplainQuery>,
) -> Result<Json<ExplainView>, Fault> {
    // What cannot be a name is no application's.
    let app = key(&path).map_err(|_| Fault::no_such("application", &path.application))?;
    let wanted = slot.clone();
    let found = api.query(move |machine| machine.explain(&app, &wanted)).await?;
    found.map(Json).ok_or_else(|| Fault::no_such("instance", &format!("{}/{slot}", path.application)))
}

/// Make a manifest the wish for an application; new ones are created.
#[utoipa::path(put, path = "/projects/{project}/applications/{application}",
    operation_id = "apply_application", tag = "applications",
    params(AppPath, ApplyInQuery,
        ("If-Match" = Option<String>, Header, description = "Only if it is in this generation"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if it is not there"),
        ("Prefer" = Option<String>, Header,
            description = "`redirect`: with `cluster`, be sent to that cluster's own API")),
    request_body(content((String = "application/yaml"), (serde_json::Value = "application/json"))),
    responses((status = 200, body = ApplyView), (status = 201, body = ApplyView),
        (status = 307, description = "Nothing is done here: the same request is for the cluster's own API",
            headers(("Location" = String, description = "There; it proves that it is of the same sea"))),
        Conditional, Common, OfThing, OfWrite))]
async fn apply(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(path): Path<AppPath>,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<ApplyInQuery>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Fault> {
    let key = key(&path)?;
    let mut application = manifest(&headers, &body, &key.application)?;
    let expected = expected(&headers)?;
    if let Some(cluster) = &query.cluster {
        let asked = (uri.path(), query.plan);
        application = match straight::course(&api, cluster, &headers, asked, application).await? {
            Course::There(response) => return Ok(response),
            Course::Here(bound) => bound,
        };
    }
    if query.plan {
        let plan = api.plan(key.project, application, expected).await?;
        return Ok(Json(plan).into_response());
    }
    let command = Command::Apply { project: key.project, application, expected };
    let Reply::Applied(view) = api.command(actor, command).await? else {
        return Err(Fault::new(Kind::Internal, "an apply was answered with something else (a bug)"));
    };
    let created = !view.changes.is_empty() && view.changes.iter().all(|change| change.action == "create");
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let headers = [(header::ETAG, etag(view.generation))];
    Ok((status, headers, Json(view)).into_response())
}

/// Delete an application; its instances are ended.
#[utoipa::path(delete, path = "/projects/{project}/applications/{application}",
    operation_id = "delete_application", tag = "applications",
    params(AppPath, ("If-Match" = Option<String>, Header, description = "Only if it is in this generation")),
    responses((status = 204), Conditional, Common, OfThing, OfWrite))]
async fn delete(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(path): Path<AppPath>,
    headers: HeaderMap,
) -> Result<StatusCode, Fault> {
    let app = key(&path)?;
    let expected = expected(&headers)?;
    api.command(actor, Command::Delete { app, expected }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Scale, stop, pause or restart all services of an application.
#[utoipa::path(patch, path = "/projects/{project}/applications/{application}",
    operation_id = "patch_application", tag = "applications",
    params(AppPath, ("If-Match" = Option<String>, Header, description = "Only if it is in this generation")),
    request_body = ServicePatch,
    responses((status = 204), Conditional, Common, OfThing, OfWrite))]
async fn patch(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(path): Path<AppPath>,
    headers: HeaderMap,
    extract::Json(patch): extract::Json<ServicePatch>,
) -> Result<StatusCode, Fault> {
    let command = change(key(&path)?, None, &patch, expected(&headers)?)?;
    api.command(actor, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Scale, stop, pause or restart one service.
#[utoipa::path(patch, path = "/projects/{project}/applications/{application}/services/{service}",
    tag = "applications",
    params(ServicePath, ("If-Match" = Option<String>, Header, description = "Only if it is in this generation")),
    request_body = ServicePatch,
    responses((status = 204), Conditional, Common, OfThing, OfWrite))]
async fn patch_service(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(ServicePath { project, application, service }): Path<ServicePath>,
    headers: HeaderMap,
    extract::Json(patch): extract::Json<ServicePatch>,
) -> Result<StatusCode, Fault> {
    let path = AppPath { project, application };
    let service = name("service", &service)?;
    let command = change(key(&path)?, Some(service), &patch, expected(&headers)?)?;
    api.command(actor, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Want an application again that was found in a restored store.
#[utoipa::path(post, path = "/projects/{project}/applications/{application}/confirm",
    operation_id = "confirm_application", tag = "applications",
    params(AppPath), responses((status = 204), Common, OfThing, OfWrite))]
async fn confirm(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(path): Path<AppPath>,
) -> Result<StatusCode, Fault> {
    let app = key(&path)?;
    api.command(actor, Command::Confirm { app }).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn listing(
    uri: Uri,
    applications: Vec<ApplicationView>,
    query: &PageQuery,
) -> Result<Listing<ApplicationView>, Fault> {
    let key = |app: &ApplicationView| format!("{}/{}", app.project, app.name);
    Ok(Listing::new(uri, page(applications, key, query.limit, query.cursor.as_deref())?))
}

pub(super) fn key(path: &AppPath) -> Result<AppKey, Fault> {
    let (project, application) = (name("project", &path.project)?, name("application", &path.application)?);
    Ok(AppKey { project, application })
}

pub(super) fn name(thing: &str, text: &str) -> Result<Name, Fault> {
    Name::new(text).map_err(|error| Fault::new(Kind::Invalid, format_args!("the {thing}'s name: {error}")))
}

fn change(
    app: AppKey,
    service: Option<Name>,
    patch: &ServicePatch,
    expected: Expected,
) -> Result<Command, Fault> {
    let ServicePatch { replicas, run, restart } = *patch;
    if replicas.is_none() && run.is_none() && !restart {
        let detail = "nothing is to be changed: give `replicas`, `run` or `restart`";
        return Err(Fault::new(Kind::Invalid, detail));
    }
    Ok(Command::Patch { app, service, replicas, run, restart, expected })
}

/// The application that the body describes; JSON is read as the YAML that it is.
fn manifest(headers: &HeaderMap, body: &[u8], wanted: &Name) -> Result<Application, Fault> {
    let media = media_type(headers);
    if !matches!(media, Some("application/yaml" | "application/x-yaml" | "text/yaml" | "application/json")) {
        let detail = "a manifest is `Content-Type: application/yaml` or `application/json`";
        return Err(Fault::new(Kind::MediaType, detail));
    }
    let text = std::str::from_utf8(body)
        .map_err(|e| Fault::new(Kind::BadRequest, format_args!("the manifest is no UTF-8: {e}")))?;
    let application = holm_model::manifest::parse(text, "manifest").map_err(|errors| {
        let places = errors.errors.iter().map(|error| ProblemPlace {
            line: error.line,
            column: error.column,
            path: error.path.clone(),
            message: error.message.clone(),
        });
        let count = errors.errors.len() + errors.more;
        let detail = format!("the manifest has {count} fault{}", if count == 1 { "" } else { "s" });
        Fault::new(Kind::Manifest, detail).with_places(places.collect())
    })?;
    if application.name != *wanted {
        let found = &application.name;
        let detail =
            format!("the manifest is of `{found}`, the request for `{wanted}`; they must be the same");
        return Err(Fault::new(Kind::Invalid, detail));
    }
    Ok(application)
}
