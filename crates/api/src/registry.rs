//! The registry of images, below `/v2/`: who may do what there.
//!
//! Whoever may see a project's applications pulls its images, whoever may change them pushes and deletes; a member
//! pulls what it runs, through its link, and does what a build that it works for may. A cluster hands the requests of builds on
//! as they are: only the root knows their tokens.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, HOST};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use holm_core::orchestrator::command::{Command, RegistryChange};
use holm_model::access::{Scope, Verb};
use holm_model::id::MemberId;
use holm_orchestrator::handle::Handle;
use holm_registry::{Access, Action, Challenge, Change, Digest, Gate, Name, Project, Refusal};
use hyper_util::rt::TokioIo;

use crate::authentication::{bearer, engine, peer};
use crate::builds::Grant;
use crate::limits::visits::Asking;
use crate::peer::{Peer, Principal};
use crate::problem::{Fault, Kind};
use crate::state::Api;

/// Where it is served.
pub(crate) const PREFIX: &str = "/v2";

/// Lets people, programs and members into the registry.
#[derive(Debug)]
pub struct Doorman {
    handle: Handle,
    /// Manifests that services name by digest, as they were known last.
    used: Mutex<BTreeSet<(String, Digest)>>,
}

/// Who sends a request to the registry.
#[derive(Clone, Debug)]
enum Caller {
    Known(Arc<Principal>),
    Member(MemberId),
    Build(Arc<Grant>),
    Stranger(Refusal),
}

pub(crate) fn router() -> Router<Api> {
    let all = any(serve);
    Router::new()
        .route(PREFIX, all.clone())
        .route(&format!("{PREFIX}/"), all.clone())
        .route(&format!("{PREFIX}/{{*rest}}"), all)
}

async fn serve(State(api): State<Api>, request: Request) -> Response {
    let Some(registry) = api.registry().cloned() else {
        return Fault::new(Kind::NoRoute, "this orchestrator keeps no images").into_response();
    };
    let is_builds =
        matches!(peer(request.extensions()), Ok(Peer::Member(_))) && is_of_build(request.headers());
    if is_builds && registry.is_cache() {
        return pass_up(&api, request).await.unwrap_or_else(Fault::into_response);
    }
    let (mut parts, body) = request.into_parts();
    let caller = match caller(&api, &parts).await {
        Ok(caller) => caller,
        Err(fault) => return fault.into_response(),
    };
    parts.extensions.insert(caller);
    let request = Request::from_parts(parts, body);
    let stopped = api.stopped();
    tokio::select! {
        answer = registry.serve(request) => answer,
        () = stopped => Fault::new(Kind::Stopping, "try again when it is back").into_response(),
    }
}

async fn caller(api: &Api, request: &Parts) -> Result<Caller, Fault> {
    let peer = peer(&request.extensions)?;
    let principal = match peer {
        Peer::Member(member) => {
            prove(request);
            return Ok(match bearer(&request.headers) {
                None => Caller::Member(member),
                Some(token) => {
                    api.builds().find(token).map_or_else(|| Caller::Stranger(challenge()), Caller::Build)
                }
            });
        }
        Peer::Unix => Principal::owner(),
        Peer::Tls(_) | Peer::Plain(_) => match engine(api, &request.headers, peer).await {
            Ok(Some(principal)) => principal,
            // How clients learn that they have to log in.
            Ok(None) => {
                api.accounts().stranger(peer)?;
                return Ok(Caller::Stranger(challenge()));
            }
            Err(fault) => {
                api.accounts().stranger(peer)?;
                api.unknown(peer, &fault).await;
                return Ok(Caller::Stranger(refusal(&fault)));
            }
        },
    };
    prove(request);
    api.accounts().request(&principal)?;
    Ok(Caller::Known(Arc::new(principal)))
}

fn is_of_build(headers: &HeaderMap) -> bool {
    bearer(headers).is_some()
}

/// To the registry of the root, whose answer comes back as it is.
async fn pass_up(api: &Api, request: Request) -> Result<Response, Fault> {
    let away = |error: &dyn std::fmt::Display| {
        Fault::new(Kind::Unreachable, format_args!("the root's registry cannot be reached: {error}"))
    };
    let tunnel = api.handle().open_registry_above().await.map_err(|error| away(&error))?;
    let made = hyper::client::conn::http1::handshake(TokioIo::new(tunnel)).await;
    let (mut sender, connection) = made.map_err(|error| away(&error))?;
    api.connections().spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "A way to the root's registry broke.");
        }
    });
    let (mut parts, body) = request.into_parts();
    parts.headers.insert(HOST, HeaderValue::from_static(holm_model::image::OURS));
    parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let answer = sender.send_request(Request::from_parts(parts, body)).await.map_err(|error| away(&error))?;
    Ok(answer.map(Body::new))
}

fn prove(request: &Parts) {
    if let Some(asking) = request.extensions.get::<Asking>() {
        asking.prove();
    }
}

fn challenge() -> Refusal {
    Refusal::Unauthorized(Challenge::Basic { realm: "holm".to_owned() })
}

/// In the words that engines show.
fn refusal(fault: &Fault) -> Refusal {
    match fault.kind() {
        Kind::TooMany | Kind::TooFast => Refusal::TooMany(fault.detail().to_owned()),
        Kind::Unauthenticated => challenge(),
        _ => Refusal::Denied(fault.detail().to_owned()),
    }
}

// === impl Doorman ===

impl Doorman {
    /// `handle`: of the orchestrator whose projects own the images.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        Self { handle, used: Mutex::default() }
    }

    /// Learns anew which manifests services name by digest: to be called before what nobody uses is removed. False when
    /// that is not known now.
    pub async fn learn(&self) -> bool {
        let Some(images) = self.handle.query(|machine| machine.images_in_use()).await else { return false };
        let read = |image: &String| {
            let rest = image.strip_prefix(holm_model::image::OURS)?.strip_prefix('/')?;
            let (name, digest) = rest.rsplit_once('@')?;
            let name = name.rsplit_once(':').map_or(name, |(name, _)| name);
            Some((name.to_owned(), Digest::parse(digest).ok()?))
        };
        let used = images.iter().filter_map(read).collect();
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = used;
        true
    }

    async fn allow(&self, caller: &Caller, access: Option<&Access>) -> Result<(), Refusal> {
        match caller {
            Caller::Stranger(refusal) => Err(refusal.clone()),
            Caller::Build(grant) => match access {
                Some(access) if !grant.allows(access) => {
                    let (words, name) = (words(access.action), &access.repository);
                    Err(Refusal::Denied(format!("this build may not {words} images of {name}")))
                }
                _ => Ok(()),
            },
            Caller::Member(member) => match access {
                None => Ok(()),
                Some(access) if access.action == Action::Pull => self.allow_member(*member, access).await,
                Some(_) => Err(Refusal::Denied("members pull, no more".to_owned())),
            },
            Caller::Known(principal) if principal.must_change() => {
                Err(Refusal::Denied("the password must be changed first: `holm login`".to_owned()))
            }
            Caller::Known(principal) => match access {
                None => Ok(()),
                Some(access) => self.allow_person(principal, access).await,
            },
        }
    }

    async fn allow_member(&self, member: MemberId, access: &Access) -> Result<(), Refusal> {
        let project = access.repository.project();
        let asked = project.clone();
        let runs = self.handle.query(move |machine| machine.runs_for(member, asked.as_str())).await;
        match runs {
            Some(true) => Ok(()),
            Some(false) => Err(Refusal::Denied(format!("it runs nothing of the project {project}"))),
            None => Err(stopping()),
        }
    }

    async fn allow_person(&self, principal: &Principal, access: &Access) -> Result<(), Refusal> {
        let project = access.repository.project();
        let verb = if access.action == Action::Pull { Verb::Read } else { Verb::Apply };
        if !principal.allows(verb, Scope::Application(project.as_str(), access.repository.within())) {
            let detail = format!("you may not {} images of the project {project}", words(access.action));
            return Err(Refusal::Denied(detail));
        }
        let asked = holm_model::name::Name::new(project.as_str());
        let known = self.handle.query(move |machine| asked.is_ok_and(|name| machine.has_project(&name)));
        match known.await {
            Some(true) => Ok(()),
            Some(false) => Err(Refusal::Denied(format!(
                "there is no project {project}: images are named PROJECT/NAME, and an administrator makes projects with \
                 `holm project create`"
            ))),
            None => Err(stopping()),
        }
    }
}

fn words(action: Action) -> &'static str {
    match action {
        Action::Pull => "pull",
        Action::Push => "push",
        Action::Delete => "delete",
    }
}

fn stopping() -> Refusal {
    Refusal::Unavailable("the orchestrator is stopping; try again when it is back".to_owned())
}

impl Gate for Doorman {
    fn admit<'a>(
        &'a self,
        request: &'a Parts,
        access: Option<&'a Access>,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        async move {
            match request.extensions.get::<Caller>() {
                Some(caller) => self.allow(caller, access).await,
                None => Err(challenge()),
            }
        }
        .boxed()
    }

    fn quota<'a>(&'a self, project: &'a Project) -> BoxFuture<'a, Option<u64>> {
        let _ = project;
        async move { None }.boxed()
    }

    fn uses(&self, repository: &Name, digest: &Digest) -> bool {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.contains(&(repository.as_str().to_owned(), *digest))
    }

    fn changed(&self, request: &Parts, change: &Change) {
        let Some(Caller::Known(principal)) = request.extensions.get::<Caller>() else { return };
        let (change, image) = match change {
            Change::Pushed { repository, digest, tags } => {
                let tags: Vec<_> = tags.iter().map(|tag| format!(":{tag}")).collect();
                (RegistryChange::Pushed, format!("image {repository}{}@{digest}", tags.concat()))
            }
            Change::Deleted { repository, reference: holm_registry::Reference::Tag(tag) } => {
                (RegistryChange::Deleted, format!("image {repository}:{tag}"))
            }
            Change::Deleted { repository, reference: holm_registry::Reference::Digest(digest) }
            | Change::DeletedBlob { repository, digest } => {
                (RegistryChange::Deleted, format!("image {repository}@{digest}"))
            }
        };
        let (handle, actor) = (self.handle.clone(), principal.actor.clone());
        tokio::spawn(async move {
            if let Err(refusal) = handle.command(actor, Command::Registry { change, image }).await {
                tracing::warn!(%refusal, "A change of the registry could not be written to the audit log.");
            }
        });
    }
}
