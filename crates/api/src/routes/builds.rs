//! Images from uploaded files.

use std::io;
use std::time::Instant;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures::stream;
use holm_core::orchestrator::command::{Command, RegistryChange};
use holm_model::access::{Scope, Verb};
use holm_model::view::build::{BuildEvent, BuildView};
use holm_registry::{Name, Registry, Tag};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::builds::{Asked, BaseImage, Fields, Form, FormError, Say, build, stored};
use crate::extract::Path;
use crate::peer::Principal;
use crate::problem::{Common, Fault, Kind, OfThing, OfWrite};
use crate::state::Api;
use crate::stay::Stay;

pub(super) const ROUTES: super::Routes = &[|| routes!(build_image)];

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct ProjectPath {
    project: String,
}

/// The fields of the form; `entrypoint`, `run`, `port` and `env` may come several times, once for each word.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the document; the form is read as it comes")]
struct BuildForm {
    /// A program for Linux, a script, a JAR, a WebAssembly module or an archive; several for several platforms.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// Of the image; without one, the file's.
    name: Option<String>,
    /// Default `latest`.
    tag: Option<String>,
    /// An image of this registry that it is built on: `PROJECT/NAME:TAG`.
    base: Option<String>,
    /// A command that builds a tree without a Dockerfile, in `base`; without one, what is usual for its kind.
    build: Option<String>,
    /// As in `amd64,arm64`; without one, what the file is for, or what the builders are.
    platform: Option<String>,
    /// Nothing is taken from builds before.
    fresh: Option<bool>,
    /// What is started; without one, what the file is.
    entrypoint: Option<String>,
    /// Words behind it, which a service may replace.
    run: Option<String>,
    /// On which it listens.
    port: Option<u16>,
    /// `NAME=value`
    env: Option<String>,
    workdir: Option<String>,
    /// Default: the base's, or nobody.
    user: Option<String>,
}

/// Make an image of an uploaded file, and keep it in the registry.
///
/// What the file is, is seen by its content. A program, a script, a JAR, a WebAssembly module or an archive needs no container
/// engine; a source tree or a Dockerfile is built on a node with a capability `build/…`. The same input makes the same image.
/// With `Accept: application/x-ndjson`, what happens is told meanwhile: one `BuildEvent` in each line, status 200, of which the last one
/// says how it ended.
#[utoipa::path(post, path = "/projects/{project}/builds", tag = "images", params(ProjectPath),
    request_body(content = BuildForm, content_type = "multipart/form-data"),
    responses((status = 201, body = BuildView),
        (status = 200, body = BuildEvent, content_type = "application/x-ndjson"), Common, OfThing, OfWrite))]
async fn build_image(
    State(api): State<Api>,
    principal: Principal,
    Path(ProjectPath { project }): Path<ProjectPath>,
    request: Request,
) -> Result<Response, Fault> {
    let begun = Instant::now();
    // Of which image is known when the form was read; strangers send no files.
    principal.require_within(Verb::Apply, &project)?;
    let registry = registry(&api)?;
    let (parts, body) = request.into_parts();
    known(&api, &project).await?;
    // A body that comes slowly keeps a place of its sender's, no more.
    let stay = api.stream(&principal)?;
    let form = read(&registry, &parts.headers, body, Fields::Build).await?;
    let asked = asked(&principal, &project, form)?;
    if !wants_events(&parts.headers) {
        let making = make(&api, &principal, &registry, asked, Say::nobody(), begun);
        let built = unless_stopped(&api, making).await?;
        return Ok((StatusCode::CREATED, Json(built)).into_response());
    }
    let work = async move |say: Say| {
        make(&api, &principal, &registry, asked, say, begun).await.map(BuildEvent::Built)
    };
    Ok(told(stay, work))
}

/// What takes long ends when the orchestrator stops.
pub(super) async fn unless_stopped<T>(
    api: &Api,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    tokio::select! {
        done = work => done,
        () = api.stopped() => Err(Fault::new(Kind::Stopping, "try again when it is back")),
    }
}

/// Builds and writes down that it was built.
pub(super) async fn make(
    api: &Api,
    principal: &Principal,
    registry: &Registry,
    asked: Asked,
    say: Say,
    begun: Instant,
) -> Result<BuildView, Fault> {
    let repository = asked.repository.clone();
    let built = build(api, principal, registry.store(), asked, say).await?;
    let image = format!("image {repository}@{}", built.digest);
    let change = RegistryChange::Built;
    api.command(principal.actor.clone(), Command::Registry { change, image }).await?;
    let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(BuildView { milliseconds, ..built })
}

/// Lines of JSON for as long as the work goes on; it ends when whoever reads them goes.
pub(super) fn told<W, F>(stay: Stay, work: W) -> Response
where
    W: FnOnce(Say) -> F + Send + 'static,
    F: Future<Output = Result<BuildEvent, Fault>> + Send + 'static,
{
    let (tell, told) = mpsc::channel(EVENTS);
    let say = Say::to(tell);
    let working = AbortOnDropHandle::new(tokio::spawn(async move {
        let last = work(say.clone()).await;
        say.event(last.unwrap_or_else(|fault| BuildEvent::Failed(Box::new(fault.problem())))).await;
    }));
    let lines = stream::unfold((told, working), |(mut told, working)| async move {
        let event: BuildEvent = told.recv().await?;
        let line = serde_json::to_vec(&event).map(|mut line| {
            line.push(b'\n');
            Bytes::from(line)
        });
        Some((line.map_err(io::Error::from), (told, working)))
    });
    ([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(stay.over(lines))).into_response()
}

pub(super) fn wants_events(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepts
        .flat_map(|text| text.split(','))
        .any(|kind| kind.split(';').next().unwrap_or_default().trim() == NDJSON)
}

/// Events that nobody has read yet.
const EVENTS: usize = 64;
const NDJSON: &str = "application/x-ndjson";

/// Errs when there is no such project.
pub(super) async fn known(api: &Api, project: &str) -> Result<(), Fault> {
    let name = holm_model::name::Name::new(project).map_err(|_| Fault::no_such("project", project))?;
    if api.query(move |machine| machine.has_project(&name)).await? {
        return Ok(());
    }
    Err(Fault::no_such("project", project))
}

pub(super) fn registry(api: &Api) -> Result<Registry, Fault> {
    let registry = api.registry().filter(|registry| !registry.is_cache()).cloned();
    registry
        .ok_or_else(|| Fault::new(Kind::Invalid, "images are built at the root, which keeps them; ask there"))
}

pub(super) async fn read(
    registry: &Registry,
    headers: &HeaderMap,
    body: Body,
    fields: Fields,
) -> Result<Form, Fault> {
    let read = Form::read(headers, body, registry.store(), fields, None).await;
    read.map_err(|error| match error {
        FormError::Kind => Fault::new(Kind::MediaType, error),
        FormError::Store(error) => stored(&error),
        FormError::Read(_) => Fault::new(Kind::BadRequest, error),
        _ => Fault::new(Kind::Invalid, error),
    })
}

pub(super) fn asked(principal: &Principal, project: &str, form: Form) -> Result<Asked, Fault> {
    let invalid = |error: &dyn std::fmt::Display| Fault::new(Kind::Invalid, error.to_string());
    let name = form.name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| invalid(&"the file's name is none for an image; say one with `name`"))?;
    if name.contains('/') {
        return Err(invalid(&"`name` is one word: the image is called PROJECT/NAME"));
    }
    let repository = Name::parse(&format!("{project}/{name}")).map_err(|error| invalid(&error))?;
    principal.require(Verb::Apply, Scope::Application(project, &name))?;
    let tag = Tag::parse(form.tag.as_deref().unwrap_or("latest")).map_err(|error| invalid(&error))?;
    let base = form.base.as_deref().map(|base| of_base(principal, base)).transpose()?;
    Ok(Asked {
        repository,
        tag,
        name,
        base,
        run: form.run,
        build: form.build,
        platforms: form.platforms,
        wanted: Vec::new(),
        fresh: form.fresh,
        files: form.files,
        quota: None,
        who: principal.actor.who.clone(),
    })
}

/// A base is an image that whoever builds may pull.
fn of_base(principal: &Principal, base: &str) -> Result<BaseImage, Fault> {
    let invalid = |error: &dyn std::fmt::Display| Fault::new(Kind::Invalid, format!("`base`: {error}"));
    if base.is_empty() || base.len() > 512 || base.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(invalid(&"no name of an image"));
    }
    let base = BaseImage::parse(base).map_err(|error| invalid(&error))?;
    if let Some((name, _)) = &base.ours {
        principal.require_within(Verb::Read, name.project().as_str())?;
    }
    Ok(base)
}
