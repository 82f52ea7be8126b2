//! Images from uploaded files.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use holm_core::orchestrator::command::{Command, RegistryChange};
use holm_model::access::{Scope, Verb};
use holm_model::image::OURS;
use holm_model::view::build::BuildView;
use holm_registry::{Name, Reference, Registry, StoreError, Tag};
use serde::Deserialize;
use tokio::sync::Semaphore;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::builds::{Asked, BuildError, Form, FormError, blocking, build};
use crate::extract::Path;
use crate::peer::Principal;
use crate::problem::{Common, Fault, Kind, OfThing, OfWrite};
use crate::state::Api;

pub(super) const ROUTES: super::Routes = &[|| routes!(build_image)];

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct ProjectPath {
    project: String,
}

/// Builds at once: they take a processor each.
static TURNS: Semaphore = Semaphore::const_new(2);

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
/// What the file is, is seen by its content. No container engine is needed, and the same input makes the same image.
#[utoipa::path(post, path = "/projects/{project}/builds", tag = "images", params(ProjectPath),
    request_body(content = BuildForm, content_type = "multipart/form-data"),
    responses((status = 201, body = BuildView), Common, OfThing, OfWrite))]
async fn build_image(
    State(api): State<Api>,
    principal: Principal,
    Path(ProjectPath { project }): Path<ProjectPath>,
    request: Request,
) -> Result<(StatusCode, Json<BuildView>), Fault> {
    let begun = Instant::now();
    let registry = registry(&api)?;
    let (parts, body) = request.into_parts();
    let known = holm_model::name::Name::new(&project).map_err(|_| Fault::no_such("project", &project))?;
    if !api.query(move |machine| machine.has_project(&known)).await? {
        return Err(Fault::no_such("project", &project));
    }
    // A body that comes slowly keeps a place of its sender's, no more.
    let _stay = api.stream(&principal)?;
    let form = read(&registry, &parts.headers, body).await?;
    let asked = asked(&principal, &project, form)?;
    let repository = asked.repository.clone();
    let store = Arc::clone(registry.store());
    let _turn = TURNS.acquire().await;
    let built = blocking(move || build(&store, asked)).await.map_err(|error| refused(&error))?;
    let image = format!("image {repository}@{}", built.digest);
    let change = RegistryChange::Built;
    api.command(principal.actor, Command::Registry { change, image }).await?;
    let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok((StatusCode::CREATED, Json(BuildView { milliseconds, ..built })))
}

fn registry(api: &Api) -> Result<Registry, Fault> {
    let registry = api.registry().filter(|registry| !registry.is_cache()).cloned();
    registry
        .ok_or_else(|| Fault::new(Kind::Invalid, "images are built at the root, which keeps them; ask there"))
}

async fn read(registry: &Registry, headers: &axum::http::HeaderMap, body: Body) -> Result<Form, Fault> {
    let read = Form::read(headers, body, registry.store(), None).await;
    read.map_err(|error| match error {
        FormError::Kind => Fault::new(Kind::MediaType, error),
        FormError::Store(error) => stored(&error),
        FormError::Read(_) => Fault::new(Kind::BadRequest, error),
        _ => Fault::new(Kind::Invalid, error),
    })
}

fn asked(principal: &Principal, project: &str, form: Form) -> Result<Asked, Fault> {
    let invalid = |error: &dyn std::fmt::Display| Fault::new(Kind::Invalid, error.to_string());
    let name = form.name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| invalid(&"the file's name is none for an image; say one with `name`"))?;
    if name.contains('/') {
        return Err(invalid(&"`name` is one word: the image is called PROJECT/NAME"));
    }
    let repository = Name::parse(&format!("{project}/{name}")).map_err(|error| invalid(&error))?;
    let tag = Tag::parse(form.tag.as_deref().unwrap_or("latest")).map_err(|error| invalid(&error))?;
    let base = form.base.as_deref().map(|base| of_base(principal, base)).transpose()?;
    Ok(Asked { repository, tag, name, base, run: form.run, files: form.files, quota: None })
}

/// A base is an image that whoever builds may pull.
fn of_base(principal: &Principal, base: &str) -> Result<(Name, Reference), Fault> {
    let invalid = |error: &dyn std::fmt::Display| Fault::new(Kind::Invalid, format!("`base`: {error}"));
    let path = base.strip_prefix(OURS).and_then(|rest| rest.strip_prefix('/')).unwrap_or(base);
    let (name, reference) = match (path.split_once('@'), path.rsplit_once(':')) {
        (Some((name, digest)), _) => (name, digest),
        (None, Some((name, tag))) => (name, tag),
        (None, None) => (path, "latest"),
    };
    let name = Name::parse(name).map_err(|error| invalid(&error))?;
    principal.require(Verb::Read, Scope::Project(name.project().as_str()))?;
    Ok((name, Reference::parse(reference).map_err(|error| invalid(&error))?))
}

fn refused(error: &BuildError) -> Fault {
    match error {
        BuildError::Store(error) => stored(error),
        other => Fault::new(Kind::Invalid, other),
    }
}

fn stored(error: &StoreError) -> Fault {
    match error {
        StoreError::Quota { .. } => Fault::new(Kind::TooLarge, error),
        StoreError::Full { .. } => Fault::new(Kind::ReadOnly, error),
        StoreError::Disk { .. } => Fault::new(Kind::Internal, error),
        _ => Fault::new(Kind::Invalid, error),
    }
}
