//! Roles in one project: of people, and of services, whose instances use the API with them.

use axum::extract::State;
use axum::http::StatusCode;
use holm_core::orchestrator::command::{Command, PeopleCommand, ProjectCommand};
use holm_model::access::{Grants, Role};
use holm_model::name::Name;
use holm_model::view::people::{ProjectRolesView, RoleRequest};
use holm_model::wish::AppKey;
use utoipa_axum::routes;

use crate::extract::{Json, Path};
use crate::peer::Principal;
use crate::problem::{Common, Fault, Kind, OfThing, OfWrite};
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[
    || routes!(list),
    || routes!(give_person, take_from_person),
    || routes!(give_service, take_from_service),
];

/// Who has which role in a project. Roles for the whole sea are not told.
#[utoipa::path(get, path = "/projects/{project}/roles", operation_id = "list_project_roles", tag = "projects",
    params(("project" = String, Path)), responses((status = 200, body = ProjectRolesView), Common, OfThing))]
async fn list(
    State(api): State<Api>,
    Path(project): Path<String>,
) -> Result<axum::Json<ProjectRolesView>, Fault> {
    let project = name("project", &project)?;
    Ok(axum::Json(roles(&api, project).await?))
}

/// Give somebody a role in a project, in place of the one that they have there.
///
/// Where they lose rights, their tokens are void.
#[utoipa::path(put, path = "/projects/{project}/roles/people/{name}", operation_id = "set_project_role",
    tag = "projects", params(("project" = String, Path), ("name" = String, Path)), request_body = RoleRequest,
    responses((status = 204), Common, OfThing, OfWrite))]
async fn give_person(
    State(api): State<Api>,
    principal: Principal,
    Path((project, person)): Path<(String, String)>,
    Json(RoleRequest { role }): Json<RoleRequest>,
) -> Result<StatusCode, Fault> {
    set_person(&api, principal, &project, &person, Some(role)).await
}

/// Take somebody's role in a project away. Their tokens are void.
#[utoipa::path(delete, path = "/projects/{project}/roles/people/{name}", operation_id = "delete_project_role",
    tag = "projects", params(("project" = String, Path), ("name" = String, Path)),
    responses((status = 204), Common, OfThing, OfWrite))]
async fn take_from_person(
    State(api): State<Api>,
    principal: Principal,
    Path((project, person)): Path<(String, String)>,
) -> Result<StatusCode, Fault> {
    set_person(&api, principal, &project, &person, None).await
}

/// Let the instances of a service use the API in their project, as a viewer or an operator.
///
/// The role is given to a name, whether or not it is applied yet, and goes with the application.
#[utoipa::path(put, path = "/projects/{project}/roles/services/{application}/{service}",
    operation_id = "set_service_role", tag = "projects",
    params(("project" = String, Path), ("application" = String, Path), ("service" = String, Path)),
    request_body = RoleRequest, responses((status = 204), Common, OfThing, OfWrite))]
async fn give_service(
    State(api): State<Api>,
    principal: Principal,
    Path((project, application, service)): Path<(String, String, String)>,
    Json(RoleRequest { role }): Json<RoleRequest>,
) -> Result<StatusCode, Fault> {
    set_service(&api, principal, [&project, &application, &service], Some(role)).await
}

/// Take the role of a service away: what its instances have opened ends.
#[utoipa::path(delete, path = "/projects/{project}/roles/services/{application}/{service}",
    operation_id = "delete_service_role", tag = "projects",
    params(("project" = String, Path), ("application" = String, Path), ("service" = String, Path)),
    responses((status = 204), Common, OfThing, OfWrite))]
async fn take_from_service(
    State(api): State<Api>,
    principal: Principal,
    Path((project, application, service)): Path<(String, String, String)>,
) -> Result<StatusCode, Fault> {
    set_service(&api, principal, [&project, &application, &service], None).await
}

async fn set_person(
    api: &Api,
    principal: Principal,
    project: &str,
    person: &str,
    role: Option<Role>,
) -> Result<StatusCode, Fault> {
    let (project, name) = (name("project", project)?, name("person", person)?);
    let has = roles(api, project.clone()).await?.people.get(&name).copied();
    may_give(&principal, &project, [role, has])?;
    let command = PeopleCommand::SetProjectRole { name, project, role };
    api.command(principal.actor, Command::People(command)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn set_service(
    api: &Api,
    principal: Principal,
    [project, application, service]: [&str; 3],
    role: Option<Role>,
) -> Result<StatusCode, Fault> {
    let project = name("project", project)?;
    let (application, service) = (name("application", application)?, name("service", service)?);
    let services = roles(api, project.clone()).await?.services;
    let has = services.get(&application).and_then(|services| services.get(&service)).copied();
    may_give(&principal, &project, [role, has])?;
    let app = AppKey { project, application };
    let command = ProjectCommand::SetServiceRole { app, service, role };
    api.command(principal.actor, Command::Project(command)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn roles(api: &Api, project: Name) -> Result<ProjectRolesView, Fault> {
    let text = project.to_string();
    let roles = api.query(move |machine| machine.roles_in(&project)).await?;
    roles.ok_or_else(|| Fault::no_such("project", &text))
}

/// Nobody gives or takes what they do not have.
fn may_give(principal: &Principal, project: &Name, roles: [Option<Role>; 2]) -> Result<(), Fault> {
    let within = |role| Grants::projects(role, [project.clone()]).is_within(&principal.grants);
    if roles.into_iter().flatten().all(within) {
        return Ok(());
    }
    Err(Fault::new(Kind::Forbidden, "this role allows more than yours; `holm whoami` shows what you have"))
}

/// What is no name is nobody's.
fn name(thing: &str, text: &str) -> Result<Name, Fault> {
    Name::new(text).map_err(|_| Fault::no_such(thing, text))
}
