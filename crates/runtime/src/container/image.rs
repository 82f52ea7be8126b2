//! Having an image.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::TryStreamExt as _;
use holm_model::content::RegistryLogin;
use holm_model::name::Name;

use super::engine::status;
use super::ledger::{Ledger, Shelf, Thing};
use super::own::BuildPass;
use super::{Shared, own};
use crate::error::{RunError, Step};
use crate::launch::Progress;
use crate::runtime::OnProgress;

/// Who wants an image, and how they prove their right to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<'a> {
    pub(super) project: &'a Name,
    /// At registries of others.
    pub(super) login: Option<&'a RegistryLogin>,
    pub(super) at_ours: AtOurs<'a>,
    /// `linux/arm64`; `None`: whatever the engine has, or takes.
    pub(super) platform: Option<&'a str>,
}

/// What of the platform's own registry somebody may have.
#[derive(Clone, Copy, Debug)]
pub(super) enum AtOurs<'a> {
    /// Images of their project.
    Own,
    /// What the registry gives for this, asked each time: it says more than a name does.
    By(&'a BuildPass),
}

/// Pulls `image` unless the engine has it, and `claim` has a right to what it has.
///
/// An image that was once pulled with a login is not everybody's because it lies here: another project asks the
/// registry itself, once. What nobody pulled with a login needs no registry.
///
/// # Errors
/// The registry's answer, or that it is no name which every engine reads in the same way.
pub(super) async fn ensure(
    shared: &Shared,
    image: &str,
    claim: Claim<'_>,
    progress: OnProgress<'_>,
) -> Result<(), RunError> {
    if let Err(why) = holm_model::image::check(image) {
        return Err(RunError::ImageMissing { image: image.to_owned(), answer: why.to_string() });
    }
    let (client, ledger) = (shared.engine.client(Step::Prepare).await?, &shared.ledger);
    let source = source(shared, image, claim)?;
    let known = &*own::known_as(image);
    let login = source.login();
    let (is_named, there) = match look(client, known).await? {
        None => (false, None),
        Some(found) => (true, Some(found).filter(|found| found.is_for(claim.platform)).map(|found| found.id)),
    };
    let is_asked_always = matches!((&source, claim.at_ours), (Source::Ours { .. }, AtOurs::By(_)));
    if let Some(there) = there.as_ref().filter(|_| !is_asked_always) {
        let private = ledger.has(Shelf::Private, known) || ledger.has(Shelf::Private, there);
        if !private || ledger.has(Shelf::Right, &right(there, claim.project)) {
            return Ok(());
        }
        if known.contains('@') && is_given(client, known, login).await.map_err(unproved)? {
            return note(ledger, Shelf::Right, &right(there, claim.project));
        }
    } else if !is_named {
        note(ledger, Thing::Image, known)?;
    }
    let under_way = ledger.pull();
    // Before the pull: a crash in between leaves no image that everybody may use.
    let was_private = ledger.has(Shelf::Private, known);
    if login.is_some() {
        note(ledger, Shelf::Private, known)?;
    }
    let pulled = match &source {
        Source::Theirs(login) => pull(client, image, *login, claim.platform, progress).await,
        Source::Ours { path, address, login } => {
            own::pull(&shared.engine, (image, path), *address, login, claim.platform, progress).await
        }
    };
    if pulled.is_err() && login.is_some() && !was_private {
        ledger.forget(Shelf::Private, known);
    }
    pulled.map_err(|error| if there.is_some() { unproved(error) } else { error })?;
    let Some(there) = id(client, known).await? else { return Ok(()) };
    if login.is_some() {
        keep_for(ledger, &there, claim.project)?;
    } else {
        // Its registry gives this name to anybody. Whether the registry of another name does is not known by that:
        // an engine takes layers that it has without asking for them.
        ledger.forget(Shelf::Private, known);
        if ledger.has(Shelf::Private, &there) {
            note(ledger, Shelf::Right, &right(&there, claim.project))?;
        }
    }
    drop(under_way);
    forget_gone(client, ledger).await;
    Ok(())
}

/// Where an image comes from.
enum Source<'a> {
    Theirs(Option<&'a RegistryLogin>),
    Ours { path: &'a str, address: SocketAddr, login: RegistryLogin },
}

fn source<'a>(shared: &Shared, image: &'a str, claim: Claim<'a>) -> Result<Source<'a>, RunError> {
    let Some(path) = own::path(image) else { return Ok(Source::Theirs(claim.login)) };
    if let AtOurs::By(pass) = claim.at_ours {
        return Ok(Source::Ours { path, address: pass.address, login: pass.login.clone() });
    }
    let missing = |answer: String| RunError::ImageMissing { image: image.to_owned(), answer };
    // Not left to the registry alone: an engine takes what it has without asking.
    let project = path.split('/').next().unwrap_or_default();
    if project != claim.project.as_str() {
        let answer = format!("it belongs to the project {project}; this application to {}", claim.project);
        return Err(missing(answer));
    }
    let Some(own) = &shared.config.own else {
        return Err(missing("this node has no way to the platform's registry".to_owned()));
    };
    Ok(Source::Ours { path, address: own.address(), login: own.login(claim.project) })
}

// === impl Source ===

impl Source<'_> {
    fn login(&self) -> Option<&RegistryLogin> {
        match self {
            Self::Theirs(login) => *login,
            Self::Ours { login, .. } => Some(login),
        }
    }
}

/// Forgets who has a right to images that the engine has no more. What cannot be found out stays noted.
pub(super) async fn forget_gone(client: &Docker, ledger: &Ledger) {
    let Some(quiet) = ledger.quiet() else { return };
    let shelves = [Shelf::Private, Shelf::Right, Shelf::Plain];
    let [names, rights, plain] = shelves.map(|shelf| ledger.all(shelf).unwrap_or_default());
    let ids = rights.iter().filter_map(|right| right.split(' ').next()).map(str::to_owned);
    let mut gone = BTreeSet::new();
    for name in names.into_iter().chain(ids).chain(plain).collect::<BTreeSet<_>>() {
        if matches!(id(client, &name).await, Ok(None)) {
            gone.insert(name);
        }
    }
    for right in rights.iter().filter(|right| right.split(' ').next().is_some_and(|id| gone.contains(id))) {
        ledger.forget_absent(quiet, Shelf::Right, right);
    }
    for name in &gone {
        ledger.forget_absent(quiet, Shelf::Private, name);
        ledger.forget_absent(quiet, Shelf::Plain, name);
    }
}

/// Whether the registry gives it: an engine that has a digest pulls it without asking. `false`: this engine does not
/// tell, and asks whenever it pulls, as Podman does.
async fn is_given(client: &Docker, image: &str, login: Option<&RegistryLogin>) -> Result<bool, RunError> {
    match client.inspect_registry_image(image, login.map(credentials)).await {
        Ok(_) => Ok(true),
        Err(Error::DockerResponseServerError { status_code: 404, message })
            if message.contains("is not supported") =>
        {
            Ok(false)
        }
        Err(error) => Err(missing(image, &error)),
    }
}

/// The node has the image, and could not find out whether this project may have it.
fn unproved(error: RunError) -> RunError {
    let RunError::ImageMissing { image, answer } = error else { return error };
    let answer = format!(
        "{answer} (it is here already, pulled with a login of another project; name one of yours with `registry:`)"
    );
    RunError::ImageMissing { image, answer }
}

/// Notes that the image with this id is of this project, and of those only that prove their right to it.
///
/// # Errors
/// When the disk takes no writes.
pub(super) fn keep_for(ledger: &Ledger, id: &str, project: &Name) -> Result<(), RunError> {
    note(ledger, Shelf::Right, &right(id, project))?;
    note(ledger, Shelf::Private, id)
}

fn right(image: &str, project: &Name) -> String {
    format!("{image} {project}")
}

fn note(ledger: &Ledger, shelf: impl Into<Shelf>, name: &str) -> Result<(), RunError> {
    let noted = ledger.note(shelf, name);
    noted.map_err(|source| RunError::System { step: Step::Prepare, source })
}

/// What the engine has under a name.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) id: String,
    /// `amd64`, `arm64`, …; empty: it does not say.
    pub(super) architecture: String,
    /// What is to be done in builds on it.
    pub(super) on_build: Vec<String>,
}

/// The image that the engine has under this name.
pub(super) async fn look(client: &Docker, image: &str) -> Result<Option<Found>, RunError> {
    match client.inspect_image(image).await {
        Ok(found) => Ok(Some(Found {
            id: found.id.unwrap_or_else(|| image.to_owned()),
            architecture: found.architecture.unwrap_or_default(),
            on_build: found.config.and_then(|config| config.on_build).unwrap_or_default(),
        })),
        Err(error) if status(Some(&error)) == Some(404) => Ok(None),
        Err(error) => Err(missing(image, &error)),
    }
}

/// Of the image that the engine has under this name.
pub(super) async fn id(client: &Docker, image: &str) -> Result<Option<String>, RunError> {
    Ok(look(client, image).await?.map(|found| found.id))
}

// === impl Found ===

impl Found {
    fn is_for(&self, platform: Option<&str>) -> bool {
        let architecture = platform.and_then(|platform| platform.split('/').nth(1));
        architecture.is_none_or(|wanted| self.architecture.is_empty() || self.architecture == wanted)
    }
}

pub(super) async fn pull(
    client: &Docker,
    image: &str,
    login: Option<&RegistryLogin>,
    platform: Option<&str>,
    progress: OnProgress<'_>,
) -> Result<(), RunError> {
    let (repository, tag) = split(image);
    let options = CreateImageOptionsBuilder::new().from_image(repository).tag(tag);
    let options = platform.into_iter().fold(options, CreateImageOptionsBuilder::platform).build();
    let mut pull = client.create_image(Some(options), None, login.map(credentials));
    let mut layers: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    while let Some(step) = pull.try_next().await.map_err(|error| missing(image, &error))? {
        if let Some(answer) = step.error_detail.and_then(|detail| detail.message) {
            return Err(RunError::ImageMissing { image: image.to_owned(), answer });
        }
        let (Some(layer), Some(detail)) = (step.id, step.progress_detail) else { continue };
        let bytes = |count: Option<i64>| count.and_then(|count| u64::try_from(count).ok());
        if let (Some(done), Some(total)) = (bytes(detail.current), bytes(detail.total)) {
            layers.insert(layer, (done, total));
            let (done, total) = layers.values().fold((0, 0), |sum, layer| (sum.0 + layer.0, sum.1 + layer.1));
            progress(Progress { what: format!("pulling {image}"), done, total });
        }
    }
    Ok(())
}

pub(super) fn credentials(login: &RegistryLogin) -> DockerCredentials {
    let RegistryLogin { server, user, password } = login.clone();
    let (username, password) = (Some(user), Some(password));
    DockerCredentials { username, password, serveraddress: server, ..DockerCredentials::default() }
}

pub(super) fn missing(image: &str, error: &Error) -> RunError {
    let answer = match error {
        Error::DockerResponseServerError { message, .. } => message.clone(),
        Error::DockerStreamError { error } => error.clone(),
        Error::RequestTimeoutError => "the container engine does not answer".to_owned(),
        error => error.to_string(),
    };
    RunError::ImageMissing { image: image.to_owned(), answer }
}

/// Repository and tag; without a tag the engine would pull all of them.
pub(super) fn split(image: &str) -> (&str, &str) {
    if image.contains('@') {
        return (image, "");
    }
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (image, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_tag() {
        assert_eq!(split("nginx"), ("nginx", "latest"));
        assert_eq!(split("nginx:1.27"), ("nginx", "1.27"));
        assert_eq!(split("registry.local:5000/web"), ("registry.local:5000/web", "latest"));
        assert_eq!(split("registry.local:5000/web:2"), ("registry.local:5000/web", "2"));
        assert_eq!(split("nginx@sha256:ab"), ("nginx@sha256:ab", ""));
    }
}
