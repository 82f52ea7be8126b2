//! Projects: what belongs together, and how much it may have.

use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, StatusCode};
use holm_core::orchestrator::command::{Command, ProjectCommand};
use holm_model::name::Name;
use holm_model::view::Page;
use holm_model::view::people::{ProjectRequest, ProjectView, Quota};
use holm_model::view::query::PageQuery;
use utoipa_axum::routes;

use super::list::{Listing, link};
use crate::extract::{Json, Path, Query};
use crate::page::page;
use crate::peer::{Caller, Principal};
use crate::problem::{Common, Fault, OfThing, OfWrite};
use crate::state::Api;

pub(super) const ROUTES: super::Routes =
    &[|| routes!(list, create), || routes!(get, delete), || routes!(set_quota)];

/// Projects that one may see, with what they use.
#[utoipa::path(get, path = "/projects", operation_id = "list_projects", tag = "projects", params(PageQuery),
    responses((status = 200, body = Page<ProjectView>), Common))]
async fn list(
    State(api): State<Api>,
    principal: Principal,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<PageQuery>,
) -> Result<Listing<ProjectView>, Fault> {
    let mut projects = api.query(|machine| machine.projects()).await?;
    projects.retain(|project| principal.reads(&project.name));
    let page = page(projects, |project| project.name.clone(), query.limit, query.cursor.as_deref())?;
    Ok(Listing::new(uri, page))
}

/// Make a project.
#[utoipa::path(post, path = "/projects",
    operation_id = "create_project", tag = "projects", request_body = ProjectRequest,
    responses((status = 201, body = ProjectView), Common, OfWrite))]
async fn create(
    State(api): State<Api>,
    Caller(actor): Caller,
    Json(ProjectRequest { name, quota }): Json<ProjectRequest>,
) -> Result<(StatusCode, HeaderMap, axum::Json<ProjectView>), Fault> {
    let command = ProjectCommand::Create { name: name.clone(), quota };
    api.command(actor, Command::Project(command)).await?;
    let mut headers = HeaderMap::new();
    link(&mut headers, &format!("{}/projects/{name}", super::PREFIX), "self");
    Ok((StatusCode::CREATED, headers, axum::Json(find(&api, name.as_str()).await?)))
}

/// One project.
#[utoipa::path(get, path = "/projects/{project}",
    operation_id = "get_project", tag = "projects", params(("project" = String, Path)),
    responses((status = 200, body = ProjectView), Common, OfThing))]
async fn get(
    State(api): State<Api>,
    OriginalUri(uri): OriginalUri,
    Path(project): Path<String>,
) -> Result<(HeaderMap, axum::Json<ProjectView>), Fault> {
    let view = find(&api, &project).await?;
    let mut headers = HeaderMap::new();
    link(&mut headers, uri.path(), "self");
    link(&mut headers, &format!("{}/applications", uri.path()), "applications");
    Ok((headers, axum::Json(view)))
}

/// Delete a project that has no applications any more.
#[utoipa::path(delete, path = "/projects/{project}",
    operation_id = "delete_project", tag = "projects", params(("project" = String, Path)),
    responses((status = 204), Common, OfThing, OfWrite))]
async fn delete(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(project): Path<String>,
) -> Result<StatusCode, Fault> {
    let name = name(&project)?;
    api.command(actor, Command::Project(ProjectCommand::Delete { name })).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Say how much a project may have.
///
/// What is above it already goes on; nothing may be added.
#[utoipa::path(put, path = "/projects/{project}/quota",
    operation_id = "set_quota", tag = "projects", params(("project" = String, Path)),
    request_body = Quota, responses((status = 204), Common, OfThing, OfWrite))]
async fn set_quota(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(project): Path<String>,
    Json(quota): Json<Quota>,
) -> Result<StatusCode, Fault> {
    let name = name(&project)?;
    api.command(actor, Command::Project(ProjectCommand::SetQuota { name, quota })).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn find(api: &Api, name: &str) -> Result<ProjectView, Fault> {
    let projects = api.query(|machine| machine.projects()).await?;
    projects.into_iter().find(|project| project.name == name).ok_or_else(|| Fault::no_such("project", name))
}

/// What is no name has no project either.
fn name(text: &str) -> Result<Name, Fault> {
    Name::new(text).map_err(|_| Fault::no_such("project", text))
}
