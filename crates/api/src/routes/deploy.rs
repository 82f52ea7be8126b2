//! From an uploaded file to running instances, in one request.

use std::time::Instant;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use holm_image::platform::Platform;
use holm_model::access::{Scope, Verb};
use holm_model::view::build::{BuildEvent, BuildView, DeployView};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::applications::name;
use super::builds::{asked, known, make, read, registry, told, unless_stopped, wants_events};
use crate::builds::{Fields, Say};
use crate::deploys::{Deploy, devices, fit, platforms};
use crate::extract::Query;
use crate::peer::Principal;
use crate::problem::{Common, Fault, OfThing, OfWrite};
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[|| routes!(deploy)];

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct DeployQuery {
    /// Without it, `default`.
    project: Option<String>,
}

/// Those of a build, and where it runs.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the document; the form is read as it comes")]
struct DeployForm {
    /// As for a build.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// Of the application, its service and its image; without one, the file's.
    name: Option<String>,
    /// A node that runs it; may come several times. Without one: once, wherever there is room, or where it ran before.
    device: Option<String>,
    /// Answer when it runs, or after this time, as in `5m`.
    wait: Option<String>,
    /// As for a build, as are all of its other fields.
    base: Option<String>,
}

/// Make an image of an uploaded file, and run it.
///
/// The first time this makes an application of one service; afterwards, the new file is enough: all else stays as it is. With
/// `Accept: application/x-ndjson`, what happens is told meanwhile.
#[utoipa::path(post, path = "/deploy", tag = "applications", params(DeployQuery),
    request_body(content = DeployForm, content_type = "multipart/form-data"),
    responses((status = 200, body = DeployView), Common, OfThing, OfWrite))]
async fn deploy(
    State(api): State<Api>,
    principal: Principal,
    Query(query): Query<DeployQuery>,
    request: Request,
) -> Result<Response, Fault> {
    let begun = Instant::now();
    let project = query.project.unwrap_or_else(|| "default".to_owned());
    // Of which application is known when the form was read; strangers send no files.
    principal.require_within(Verb::Apply, &project)?;
    let registry = registry(&api)?;
    known(&api, &project).await?;
    let (parts, body) = request.into_parts();
    let stay = api.stream(&principal)?;
    let mut form = read(&registry, &parts.headers, body, Fields::Deploy).await?;
    // Images may be called more than applications.
    let called = form.name.take().unwrap_or_default().replace(['.', '_'], "-");
    let deploy = Deploy {
        project: name("project", &project)?,
        name: name("application", &called)?,
        devices: std::mem::take(&mut form.devices),
        ports: form.run.ports.clone(),
    };
    principal.require(Verb::Apply, Scope::Application(&project, deploy.name.as_str()))?;
    form.name = Some(called);
    let wait = form.wait;
    let mut asked = asked(&principal, &project, form)?;
    let nodes = api.query(|machine| machine.nodes()).await?;
    let named = devices(&nodes, &deploy.devices)?;
    // Sources are built for the machines that they are to run on.
    asked.wanted = platforms(&named);
    let actor = principal.actor.clone();
    let of = api.clone();
    let work = async move |say: Say| {
        let built = make(&of, &principal, &registry, asked, say.clone(), begun).await?;
        let named = devices(&nodes, &deploy.devices)?;
        fit(&named, &programs(&built))?;
        say.event(BuildEvent::Built(built.clone())).await;
        deploy.run(&of, actor, &built, wait).await
    };
    if wants_events(&parts.headers) {
        return Ok(told(stay, async move |say| work(say).await.map(BuildEvent::Deployed)));
    }
    Ok(Json(unless_stopped(&api, work(Say::nobody())).await?).into_response())
}

/// The machines that the image is for; WebAssembly is no machine's own.
fn programs(built: &BuildView) -> Vec<Platform> {
    built.parts.iter().filter_map(|part| Platform::parse(&part.platform).ok()).collect()
}
