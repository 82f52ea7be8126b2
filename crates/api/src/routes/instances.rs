//! Instances: what runs, and slots that nothing fills.

use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, StatusCode};
use holm_core::orchestrator::InstanceFilter;
use holm_core::orchestrator::command::Command;
use holm_model::id::AssignmentId;
use holm_model::tunnel::Purpose;
use holm_model::view::query::{INSTANCE_STATES, InstanceQuery};
use holm_model::view::{InstanceView, Page};
use holm_model::wish::AppKey;
use utoipa_axum::routes;

use super::applications::name;
use super::list::{Listing, link};
use crate::extract::{Path, Query, one_of};
use crate::page::page;
use crate::peer::{Caller, Principal};
use crate::problem::{Common, Fault, OfThing, OfWrite};
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[|| routes!(list), || routes!(get), || routes!(restart)];

/// The id of an instance in a path.
pub(crate) fn parse_id(text: &str) -> Result<AssignmentId, Fault> {
    text.parse().map_err(|_| Fault::no_such("instance", text))
}

/// A row for each live copy, and one with `id: null` for each slot that nothing fills.
#[utoipa::path(get, path = "/instances",
    operation_id = "list_instances", tag = "instances", params(InstanceQuery),
    responses((status = 200, body = Page<InstanceView>), Common))]
async fn list(
    State(api): State<Api>,
    principal: Principal,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<InstanceQuery>,
) -> Result<Listing<InstanceView>, Fault> {
    let InstanceQuery { project, application, service, node, cluster, state, limit, cursor } = query;
    one_of("state", state.as_deref(), &INSTANCE_STATES)?;
    let filter = InstanceFilter { project, application, service, cluster, node, state };
    let mut instances = api.query(move |machine| machine.instances(&filter)).await?;
    instances.retain(|instance| principal.reads_application(&instance.project, &instance.application));
    Ok(Listing::new(uri, page(instances, sort_key, limit, cursor.as_deref())?))
}

/// One instance.
#[utoipa::path(get, path = "/instances/{id}",
    operation_id = "get_instance", tag = "instances", params(("id" = String, Path)),
    responses((status = 200, body = InstanceView), Common, OfThing))]
async fn get(
    State(api): State<Api>,
    OriginalUri(uri): OriginalUri,
    Path(id): Path<String>,
) -> Result<(HeaderMap, Json<InstanceView>), Fault> {
    let wanted = parse_id(&id)?;
    let instance = api.query(move |machine| machine.instance(wanted)).await?;
    let instance = instance.ok_or_else(|| Fault::no_such("instance", &id))?;
    let mut headers = HeaderMap::new();
    link(&mut headers, uri.path(), "self");
    link(&mut headers, &format!("{}/logs", uri.path()), "logs");
    let (project, application) = (&instance.project, &instance.application);
    link(&mut headers, &format!("/api/v1/projects/{project}/applications/{application}"), "application");
    if let Some(node) = &instance.node_id {
        link(&mut headers, &format!("/api/v1/nodes/{node}"), "node");
    }
    Ok((headers, Json(instance)))
}

/// Restart one instance; the others of its service go on.
///
/// Its node must be reached: nothing is kept for later.
#[utoipa::path(post, path = "/instances/{id}/restart",
    operation_id = "restart_instance", tag = "instances", params(("id" = String, Path)),
    responses((status = 204), Common, OfThing, OfWrite))]
async fn restart(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Fault> {
    let wanted = parse_id(&id)?;
    let instance = api.query(move |machine| machine.instance(wanted)).await?;
    let instance = instance.ok_or_else(|| Fault::no_such("instance", &id))?;
    let (project, application) =
        (name("project", &instance.project)?, name("application", &instance.application)?);
    let app = AppKey { project, application };
    // What cannot be written down is not done.
    api.command(actor.clone(), Command::Restart { app, slot: instance.slot.clone() }).await?;
    match api.tunnel(wanted, Purpose::Restart { instance: wanted }).await {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(fault) => {
            let subject =
                format!("application {}/{}/{}", instance.project, instance.application, instance.slot);
            let (verb, reason) = ("restart".to_owned(), fault.detail().to_owned());
            // It is refused, as always.
            let _ = api.command(actor, Command::Denied { verb, subject, reason }).await;
            Err(fault)
        }
    }
}

/// By application, service and slot, `web/2` before `web/10`.
fn sort_key(view: &InstanceView) -> String {
    let (id, slot) = (view.id.as_deref().unwrap_or(""), natural(&view.slot));
    format!("{}/{}/{}/{slot} {id}", view.project, view.application, view.service)
}

/// `text` with its numbers filled up to one length, so that they sort by value.
fn natural(text: &str) -> String {
    let mut key = String::new();
    for part in text.split_inclusive(|c: char| !c.is_ascii_digit()) {
        let digits = part.trim_end_matches(|c: char| !c.is_ascii_digit());
        key.push_str(&format!("{digits:0>20}"));
        key.push_str(&part[digits.len()..]);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_sort_by_value() {
        let mut slots = ["web/10", "web/2", "api/1", "web/2/fl-10", "web/2/fl-9"];
        slots.sort_by_key(|slot| natural(slot));
        assert_eq!(slots, ["api/1", "web/2", "web/2/fl-9", "web/2/fl-10", "web/10"]);
    }
}
