//! The endpoints of the specification, OCI Distribution 1.1.

mod answer;
mod blobs;
mod lists;
mod manifests;
mod uploads;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::any;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Request, StatusCode};

use crate::cache::Cache;
use crate::gate::{Access, Action, Gate};
use crate::names::Name;
use crate::path::Target;
use crate::store::{Collected, Limits, Store, StoreError};
use crate::uploads::Uploads;
use crate::upstream::Upstream;
use answer::{Problem, Result, json};

/// A registry that serves.
#[derive(Clone)]
pub struct Registry {
    pub(crate) store: Arc<Store>,
    pub(crate) uploads: Arc<Uploads>,
    pub(crate) gate: Arc<dyn Gate>,
    /// What it is a cache of.
    pub(crate) cache: Option<Arc<Cache>>,
}

// === impl Registry ===

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Registry {
    /// Reads what is in `dir`, and makes what is missing. Blocks.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open(dir: &Path, limits: Limits, gate: Arc<dyn Gate>) -> std::result::Result<Self, StoreError> {
        let store = Store::open(dir, limits)?;
        let uploads = Uploads::open(dir).map_err(|error| store.failed(error))?;
        Ok(Self { store: Arc::new(store), uploads: Arc::new(uploads), gate, cache: None })
    }

    /// It is a cache of another one from now on: what it has not comes from there, and nothing is pushed here. Blocks.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn over(self, dir: &Path, upstream: Arc<dyn Upstream>) -> std::result::Result<Self, StoreError> {
        let cache = Cache::open(dir, Arc::clone(&self.store), upstream);
        let cache = cache.map_err(|error| self.store.failed(error))?;
        Ok(Self { cache: Some(Arc::new(cache)), ..self })
    }

    /// Whether it is a cache of another one.
    #[must_use]
    pub fn is_cache(&self) -> bool {
        self.cache.is_some()
    }

    /// What it keeps.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// `/v2/` and everything below it.
    pub fn router(self) -> Router {
        let serve = any(|State(registry): State<Self>, request: Request<Body>| async move {
            registry.serve(request).await
        });
        Router::new()
            .route("/v2", serve.clone())
            .route("/v2/", serve.clone())
            .route("/v2/{*rest}", serve)
            .with_state(self)
    }

    /// Answers one request below `/v2/`.
    pub async fn serve(&self, request: Request<Body>) -> Response {
        let (parts, body) = request.into_parts();
        self.answer(parts, body).await.unwrap_or_else(Problem::into_response)
    }

    /// Drops uploads that nobody goes on with, and what nobody needs; to be called now and then.
    ///
    /// # Errors
    /// When the disk refuses; the next time goes on.
    pub async fn clean(&self, now: Instant) -> std::result::Result<Collected, StoreError> {
        let before = now.checked_sub(self.store.limits().idle);
        for (id, upload) in before.map(|before| self.uploads.idle(before)).unwrap_or_default() {
            let turn = upload.take().await;
            let uploads = Arc::clone(&self.uploads);
            blocking(move || uploads.end(id, turn)).await;
        }
        if let Some(cache) = self.cache.clone() {
            let idle = self.store.limits().idle;
            blocking(move || cache.clean(idle)).await.map_err(|error| self.store.failed(error))?;
        }
        let (store, gate) = (Arc::clone(&self.store), Arc::clone(&self.gate));
        blocking(move || store.collect(now, &|name, digest| gate.uses(name, digest))).await
    }

    async fn answer(&self, parts: Parts, body: Body) -> Result<Response> {
        let target = Target::parse(parts.uri.path());
        let repository = match &target {
            Ok(Target::Root) | Err(_) => None,
            Ok(
                Target::Blob(name, _)
                | Target::Uploads(name)
                | Target::Upload(name, _)
                | Target::Manifest(name, _)
                | Target::Tags(name)
                | Target::Referrers(name, _),
            ) => Some(name.clone()),
        };
        let action = action(&parts.method, target.as_ref().ok());
        let access = repository.map(|repository| Access { repository, action });
        let admitted = self.gate.admit(&parts, access.as_ref()).await;
        admitted.map_err(|refusal| Problem::refused(refusal, access.as_ref()))?;
        if self.cache.is_some() && action != Action::Pull {
            return Err(Problem::cache());
        }
        match (target?, &parts.method) {
            (Target::Root, &Method::GET | &Method::HEAD) => Ok(json(StatusCode::OK, &serde_json::json!({}))),
            (Target::Blob(name, digest), &Method::GET) => blobs::get(self, &parts, &name, &digest).await,
            (Target::Blob(name, digest), &Method::HEAD) => blobs::head(self, &name, &digest).await,
            (Target::Blob(name, digest), &Method::DELETE) => blobs::delete(self, &parts, name, digest).await,
            (Target::Uploads(name), &Method::POST) => uploads::begin(self, parts, body, name).await,
            (Target::Upload(name, id), method) => {
                let open = uploads::find(self, &name, id)?;
                match *method {
                    Method::GET | Method::HEAD => Ok(uploads::status(&name, &open)),
                    Method::PATCH => uploads::append(self, parts, body, name, open).await,
                    Method::PUT => uploads::finish(self, parts, body, name, open).await,
                    Method::DELETE => uploads::cancel(self, open).await,
                    _ => Err(Problem::method()),
                }
            }
            (Target::Manifest(name, reference), &Method::PUT) => {
                let reference = reference.map_err(Problem::reference)?;
                manifests::put(self, &parts, body, name, reference).await
            }
            (Target::Manifest(name, reference), method) => {
                let reference = reference.map_err(|_| Problem::manifest_unknown())?;
                match *method {
                    Method::GET => manifests::get(self, &name, &reference).await,
                    Method::HEAD => manifests::head(self, &name, &reference).await,
                    Method::DELETE => manifests::delete(self, &parts, name, reference).await,
                    _ => Err(Problem::method()),
                }
            }
            (Target::Tags(name), &Method::GET) => lists::tags(self, &parts, &name),
            (Target::Referrers(name, subject), &Method::GET) => {
                lists::referrers(self, &parts, &name, subject)
            }
            _ => Err(Problem::method()),
        }
    }
}

fn action(method: &Method, target: Option<&Target>) -> Action {
    match (method, target) {
        // Giving up an upload is part of pushing.
        (&Method::DELETE, Some(Target::Upload(..))) => Action::Push,
        (&Method::DELETE, _) => Action::Delete,
        (&Method::GET | &Method::HEAD, Some(Target::Upload(..))) => Action::Push,
        (&Method::GET | &Method::HEAD, _) => Action::Pull,
        _ => Action::Push,
    }
}

/// The path of something in a repository, as `Location` has it.
fn place(name: &Name, rest: &str) -> String {
    format!("/v2/{name}/{rest}")
}

/// A header that is there once and is text.
fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Runs what blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    joined(tokio::task::spawn_blocking(work)).await
}

/// What the task made. Nobody aborts it: it ends otherwise by a panic, which goes on here, or with the whole program.
async fn joined<T>(task: tokio::task::JoinHandle<T>) -> T {
    match task.await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_)) => std::future::pending().await,
    }
}
