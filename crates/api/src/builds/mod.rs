//! Images made of uploaded files, in the registry of the root.
//!
//! ```text
//! multipart ──► drafts ──► what is it? ──┬─► layer ──► configuration ──► manifest: no engine, no copy elsewhere ──┬─► name, provenance
//!  [`form`]                 holm-image   │                                                        [`assemble`]    │   [`publish`]
//!                                        └─► Dockerfile, context ──► the engine of a node, which pushes ──────────┘
//!                                             [`context`]             [`builders`], [`remote`], [`grants`]
//! ```

mod asked;
mod assemble;
mod builders;
mod context;
mod error;
mod form;
mod grants;
mod publish;
mod remote;
mod say;

use std::io::BufReader;
use std::sync::Arc;

use holm_image::recognize::{Thing, recognize};
use holm_model::access::Verb;
use holm_model::time::Time;
use holm_model::view::build::BuildView;
use holm_orchestrator::clock::wall;
use holm_registry::{Draft, Store};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

pub(crate) use asked::{Asked, BaseImage};
pub(crate) use error::{BuildError, stored};
pub(crate) use form::{Fields, Form, FormError};
pub(crate) use grants::{Grant, Grants};
pub(crate) use say::Say;

use self::context::Context;
use self::publish::Times;
use self::remote::Remote;
use crate::peer::Principal;
use crate::state::Api;

/// Images that are put together here at once: they take a processor each.
static TURNS: Semaphore = Semaphore::const_new(2);

/// Builds the image, here or on a node.
///
/// # Errors
/// See [`BuildError`].
pub(crate) async fn build(
    api: &Api,
    principal: &Principal,
    store: &Arc<Store>,
    mut asked: Asked,
    say: Say,
) -> Result<BuildView, BuildError> {
    let begun = wall();
    let drafts = std::mem::take(&mut asked.files);
    let of = Arc::clone(store);
    let files =
        blocking(move || drafts.into_iter().map(|draft| known(&of, draft)).collect::<Result<Vec<_>, _>>());
    let files = files.await?;
    let is_tree = |thing: &Thing| matches!(thing, Thing::Source { .. } | Thing::Dockerfile);
    if asked.build.is_none() && !files.iter().any(|(_, thing)| is_tree(thing)) {
        let _turn = TURNS.acquire().await;
        let of = Arc::clone(store);
        return blocking(move || {
            let (parts, dockerfile) = assemble::assemble(&of, &asked, &files)?;
            publish::publish(&of, &asked, parts, dockerfile, Times { begun, ended: wall() })
        })
        .await;
    }
    let [file] = <[_; 1]>::try_from(files).map_err(|_| BuildError::Mixed)?;
    on_nodes(api, principal, store, (asked, file), say, begun).await
}

async fn on_nodes(
    api: &Api,
    principal: &Principal,
    store: &Arc<Store>,
    (asked, (draft, thing)): (Asked, (Draft, Thing)),
    say: Say,
    begun: Time,
) -> Result<BuildView, BuildError> {
    let told = (thing.to_string(), draft.digest().to_string(), draft.length());
    let of = Arc::clone(store);
    let (asked, context) = blocking(move || {
        let context = Context::new(&of, &asked, &draft, &thing)?;
        Ok::<_, BuildError>((asked, context))
    })
    .await?;
    if context.is_own && asked.base.is_some() {
        return Err(BuildError::Said("`base`"));
    }
    if context.is_own && asked.build.is_some() {
        return Err(BuildError::Said("`build`"));
    }
    // Whoever changes one application of a project can have it run any image of that: so they may build on each, too.
    for project in remote::projects(&context)? {
        principal.require_within(Verb::Read, &project).map_err(BuildError::Fault)?;
    }
    let nodes = api.query(|machine| machine.nodes()).await.map_err(BuildError::Fault)?;
    let platforms = match (asked.platforms.as_slice(), asked.wanted.as_slice()) {
        ([], []) => vec![builders::usual(&nodes, asked.repository.as_str())],
        ([], some) | (some, _) => some.to_vec(),
    };
    let (of, dockerfile) = (Arc::clone(store), context.text.clone());
    let remote = Remote { api, store, asked: &asked, context: &context, told, nodes, say };
    let mut parts = Vec::new();
    for platform in &platforms {
        parts.push(remote.build(platform).await?);
    }
    blocking(move || publish::publish(&of, &asked, parts, dockerfile, Times { begun, ended: wall() })).await
}

fn known(store: &Store, draft: Draft) -> Result<(Draft, Thing), BuildError> {
    let mut file = BufReader::new(draft.reader().map_err(|error| store.refused(error))?);
    let thing = recognize(&mut file)?;
    Ok((draft, thing))
}

/// Runs what blocks where it may. It ends otherwise by a panic, which goes on here, or with the whole program.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await.map_err(JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_)) => std::future::pending().await,
    }
}
