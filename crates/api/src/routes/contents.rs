//! Secrets and plain files of a project. No answer of these routes holds a secret.

use axum::extract::{OriginalUri, State};
use axum::http::StatusCode;
use data_encoding::BASE64;
use holm_core::orchestrator::command::{Command, ContentCommand};
use holm_model::content::{ContentKey, ContentKind};
use holm_model::name::Name;
use holm_model::view::Page;
use holm_model::view::content::{ContentRequest, ContentView, FileContent};
use holm_model::view::query::PageQuery;
use utoipa_axum::routes;

use super::list::Listing;
use crate::extract::{Json, Path, Query};
use crate::page::page;
use crate::peer::Caller;
use crate::problem::{Common, Fault, Kind, OfThing, OfWrite};
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[
    || routes!(list_secrets),
    || routes!(put_secret, delete_secret),
    || routes!(list_files),
    || routes!(get_file, put_file, delete_file),
];

/// The secrets of a project, without their values.
#[utoipa::path(get, path = "/projects/{project}/secrets", operation_id = "list_secrets", tag = "contents",
    params(("project" = String, Path), PageQuery),
    responses((status = 200, body = Page<ContentView>), Common, OfThing))]
async fn list_secrets(
    State(api): State<Api>,
    OriginalUri(uri): OriginalUri,
    Path(project): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Listing<ContentView>, Fault> {
    Ok(Listing::new(uri, list(&api, ContentKind::Secret, &project, &query).await?))
}

/// Set a secret.
///
/// Instances that are given it are restarted, or told, as their services say in `on-change`.
#[utoipa::path(put, path = "/projects/{project}/secrets/{name}", operation_id = "set_secret", tag = "contents",
    params(("project" = String, Path), ("name" = String, Path)),
    request_body = ContentRequest, responses((status = 204), Common, OfThing, OfWrite))]
async fn put_secret(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path((project, name)): Path<(String, String)>,
    Json(request): Json<ContentRequest>,
) -> Result<StatusCode, Fault> {
    let command = set(ContentKind::Secret, &project, &name, request)?;
    api.command(actor, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Delete a secret that no application names any more.
#[utoipa::path(delete, path = "/projects/{project}/secrets/{name}", operation_id = "delete_secret",
    tag = "contents", params(("project" = String, Path), ("name" = String, Path)),
    responses((status = 204), Common, OfThing, OfWrite))]
async fn delete_secret(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path((project, name)): Path<(String, String)>,
) -> Result<StatusCode, Fault> {
    let key = known(ContentKind::Secret, &project, &name)?;
    api.command(actor, Command::Content(ContentCommand::Delete { key })).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The plain files of a project.
#[utoipa::path(get, path = "/projects/{project}/files", operation_id = "list_files", tag = "contents",
    params(("project" = String, Path), PageQuery),
    responses((status = 200, body = Page<ContentView>), Common, OfThing))]
async fn list_files(
    State(api): State<Api>,
    OriginalUri(uri): OriginalUri,
    Path(project): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Listing<ContentView>, Fault> {
    Ok(Listing::new(uri, list(&api, ContentKind::File, &project, &query).await?))
}

/// The content of a plain file.
#[utoipa::path(get, path = "/projects/{project}/files/{name}", operation_id = "get_file", tag = "contents",
    params(("project" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = FileContent), Common, OfThing))]
async fn get_file(
    State(api): State<Api>,
    Path((project, name)): Path<(String, String)>,
) -> Result<axum::Json<FileContent>, Fault> {
    let key = known(ContentKind::File, &project, &name)?;
    let bytes = api.query(move |machine| machine.file(&key.project, &key.name)).await?;
    let bytes = bytes.ok_or_else(|| no_such(ContentKind::File, &project, &name))?;
    Ok(axum::Json(FileContent::of(&bytes)))
}

/// Set a plain file.
///
/// Instances that are given it are restarted, or told, as their services say in `on-change`.
#[utoipa::path(put, path = "/projects/{project}/files/{name}", operation_id = "set_file", tag = "contents",
    params(("project" = String, Path), ("name" = String, Path)),
    request_body = ContentRequest, responses((status = 204), Common, OfThing, OfWrite))]
async fn put_file(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path((project, name)): Path<(String, String)>,
    Json(request): Json<ContentRequest>,
) -> Result<StatusCode, Fault> {
    let command = set(ContentKind::File, &project, &name, request)?;
    api.command(actor, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Delete a plain file that no application names any more.
#[utoipa::path(delete, path = "/projects/{project}/files/{name}", operation_id = "delete_file", tag = "contents",
    params(("project" = String, Path), ("name" = String, Path)),
    responses((status = 204), Common, OfThing, OfWrite))]
async fn delete_file(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path((project, name)): Path<(String, String)>,
) -> Result<StatusCode, Fault> {
    let key = known(ContentKind::File, &project, &name)?;
    api.command(actor, Command::Content(ContentCommand::Delete { key })).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list(
    api: &Api,
    kind: ContentKind,
    project: &str,
    query: &PageQuery,
) -> Result<Page<ContentView>, Fault> {
    let project = Name::new(project).map_err(|_| Fault::no_such("project", project))?;
    let asked = project.clone();
    let found = api
        .query(move |machine| {
            let known = machine.projects().iter().any(|known| asked == *known.name);
            known.then(|| machine.contents(kind, &asked))
        })
        .await?;
    let found = found.ok_or_else(|| Fault::no_such("project", project.as_str()))?;
    page(found, |content| content.name.clone(), query.limit, query.cursor.as_deref())
}

/// The command; errors do not show the value.
fn set(kind: ContentKind, project: &str, name: &str, request: ContentRequest) -> Result<Command, Fault> {
    let project = Name::new(project).map_err(|_| Fault::no_such("project", project))?;
    let name = Name::new(name).map_err(|error| Fault::new(Kind::Invalid, error))?;
    let bytes = match request {
        ContentRequest::Value(text) => text.into_bytes(),
        ContentRequest::Base64(text) => BASE64
            .decode(text.as_bytes())
            .map_err(|_| Fault::new(Kind::Invalid, "`base64` is no Base64 with padding (RFC 4648 §4)"))?,
    };
    Ok(Command::Content(ContentCommand::Set { key: ContentKey { kind, project, name }, bytes }))
}

/// What has no such name is not there either.
fn known(kind: ContentKind, project: &str, name: &str) -> Result<ContentKey, Fault> {
    match (Name::new(project), Name::new(name)) {
        (Ok(project), Ok(name)) => Ok(ContentKey { kind, project, name }),
        _ => Err(no_such(kind, project, name)),
    }
}

fn no_such(kind: ContentKind, project: &str, name: &str) -> Fault {
    let name: String = name.chars().take(100).collect();
    let kind = kind.word();
    let detail = format!("there is no {kind} `{name}` in `{project}`; `holm {kind} ls` lists what there is");
    Fault::new(Kind::NotFound, detail)
}
