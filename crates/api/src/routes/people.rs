//! People and their roles.

use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, StatusCode};
use holm_core::orchestrator::command::{Command, PeopleCommand};
use holm_model::access::{Scope, Verb};
use holm_model::name::Name;
use holm_model::view::Page;
use holm_model::view::people::{PasswordRequest, PersonRequest, PersonView, Roles};
use holm_model::view::query::PageQuery;
use utoipa_axum::routes;

use super::list::{Listing, link};
use super::sessions::refused;
use crate::extract::{Json, Path, Query};
use crate::page::page;
use crate::peer::{Principal, address};
use crate::problem::{Common, Fault, Kind, OfThing, OfWrite};
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[
    || routes!(list, create),
    || routes!(get, delete),
    || routes!(set_roles),
    || routes!(set_password),
    || routes!(log_out),
];

/// Everybody.
#[utoipa::path(get, path = "/people", operation_id = "list_people", tag = "people", params(PageQuery),
    responses((status = 200, body = Page<PersonView>), Common))]
async fn list(
    State(api): State<Api>,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<PageQuery>,
) -> Result<Listing<PersonView>, Fault> {
    let people = api.query(|machine| machine.people()).await?;
    let page = page(people, |person| person.name.clone(), query.limit, query.cursor.as_deref())?;
    Ok(Listing::new(uri, page))
}

/// Make somebody, whose password is to be changed at the first log-in.
#[utoipa::path(post, path = "/people",
    operation_id = "create_person", tag = "people", request_body = PersonRequest,
    responses((status = 201, body = PersonView), Common, OfWrite))]
async fn create(
    State(api): State<Api>,
    principal: Principal,
    Json(request): Json<PersonRequest>,
) -> Result<(StatusCode, HeaderMap, axum::Json<PersonView>), Fault> {
    may_give(&principal, &request.roles)?;
    let name = request.name.clone();
    api.handle().create_person(principal.actor, request).await.map_err(refused)?;
    let mut headers = HeaderMap::new();
    link(&mut headers, &format!("{}/people/{name}", super::PREFIX), "self");
    Ok((StatusCode::CREATED, headers, axum::Json(find(&api, name.as_str()).await?)))
}

/// One person.
#[utoipa::path(get, path = "/people/{name}", operation_id = "get_person", tag = "people",
    params(("name" = String, Path)),
    responses((status = 200, body = PersonView), Common, OfThing))]
async fn get(
    State(api): State<Api>,
    OriginalUri(uri): OriginalUri,
    Path(name): Path<String>,
) -> Result<(HeaderMap, axum::Json<PersonView>), Fault> {
    let view = find(&api, &name).await?;
    let mut headers = HeaderMap::new();
    link(&mut headers, uri.path(), "self");
    Ok((headers, axum::Json(view)))
}

/// Delete somebody. What they had made stays; their tokens are void.
#[utoipa::path(delete, path = "/people/{name}", operation_id = "delete_person", tag = "people",
    params(("name" = String, Path)),
    responses((status = 204), Common, OfThing, OfWrite))]
async fn delete(
    State(api): State<Api>,
    principal: Principal,
    Path(name): Path<String>,
) -> Result<StatusCode, Fault> {
    let person = find(&api, &name).await?;
    may_give(&principal, &person.roles)?;
    let command = PeopleCommand::Delete { name: parse(&name)? };
    api.command(principal.actor, Command::People(command)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give somebody other roles. Where they lose rights, their tokens are void.
#[utoipa::path(put, path = "/people/{name}/roles", operation_id = "set_roles", tag = "people",
    params(("name" = String, Path)), request_body = Roles,
    responses((status = 204), Common, OfThing, OfWrite))]
async fn set_roles(
    State(api): State<Api>,
    principal: Principal,
    Path(name): Path<String>,
    Json(roles): Json<Roles>,
) -> Result<StatusCode, Fault> {
    let person = find(&api, &name).await?;
    may_give(&principal, &roles)?;
    may_give(&principal, &person.roles)?;
    let command = PeopleCommand::SetRoles { name: parse(&name)?, roles };
    api.command(principal.actor, Command::People(command)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Change a password: one's own with the old one, or somebody's who has forgotten it.
///
/// All tokens of that person are void then.
#[utoipa::path(put, path = "/people/{name}/password", operation_id = "set_password", tag = "people",
    params(("name" = String, Path)), request_body = PasswordRequest,
    responses((status = 204), Common, OfThing, OfWrite))]
async fn set_password(
    State(api): State<Api>,
    principal: Principal,
    Path(name): Path<String>,
    Json(request): Json<PasswordRequest>,
) -> Result<StatusCode, Fault> {
    let own = principal.claims().is_some() && principal.person() == name;
    if own && !principal.is_person() {
        return Err(Fault::new(Kind::Forbidden, "a password is changed by a person, not with an API token"));
    }
    if !own {
        of_another(&api, &principal, &name).await?;
    }
    let (place, person) = (address(principal.peer), parse(&name)?);
    let done = api.handle().set_password(principal.actor, person, own, request, place).await;
    done.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Make all tokens void that somebody has or made.
#[utoipa::path(delete, path = "/people/{name}/sessions", operation_id = "log_out_everywhere", tag = "people",
    params(("name" = String, Path)),
    responses((status = 204), Common, OfThing, OfWrite))]
async fn log_out(
    State(api): State<Api>,
    principal: Principal,
    Path(name): Path<String>,
) -> Result<StatusCode, Fault> {
    if principal.person() != name {
        of_another(&api, &principal, &name).await?;
    }
    let command = PeopleCommand::LogOut { name: parse(&name)? };
    api.command(principal.actor, Command::People(command)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who may not know people learns nothing of who there is.
async fn of_another(api: &Api, principal: &Principal, name: &str) -> Result<(), Fault> {
    principal.require(Verb::People, Scope::Sea)?;
    may_give(principal, &find(api, name).await?.roles)
}

/// Nobody gives, takes or takes over what they do not have.
fn may_give(principal: &Principal, roles: &Roles) -> Result<(), Fault> {
    if roles.grants().is_within(&principal.grants) {
        return Ok(());
    }
    Err(Fault::new(Kind::Forbidden, "these roles allow more than yours; `holm whoami` shows what you have"))
}

async fn find(api: &Api, name: &str) -> Result<PersonView, Fault> {
    let people = api.query(|machine| machine.people()).await?;
    people.into_iter().find(|person| person.name == name).ok_or_else(|| Fault::no_such("person", name))
}

fn parse(text: &str) -> Result<Name, Fault> {
    Name::new(text).map_err(|_| Fault::no_such("person", text))
}
