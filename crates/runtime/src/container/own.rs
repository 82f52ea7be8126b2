//! Images of the platform's own registry, `registry.holm/PROJECT/NAME[:TAG][@DIGEST]`: an engine reaches that through its
//! node, at an address of loopback that is another one after each start. So it knows them by a name of ours.

use std::borrow::Cow;
use std::fmt::Debug;
use std::net::SocketAddr;

use bollard::Docker;
use bollard::query_parameters::{RemoveImageOptions, TagImageOptionsBuilder};
use data_encoding::BASE64URL;
use holm_model::content::RegistryLogin;
use holm_model::image::OURS;
use holm_model::name::Name;
use holm_model::transfer::Secret;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper::{Request, StatusCode, http::request};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use tokio::net::UnixStream;
use tokio_util::sync::DropGuard;
use tokio_util::task::AbortOnDropHandle;

use super::engine::{Engine, PATIENCE};
use super::image::{self, split};
use crate::error::{RunError, Step};
use crate::runtime::OnProgress;

/// The platform's registry, as an engine of this machine reaches it.
pub trait OwnRegistry: Debug + Send + Sync {
    /// Plain HTTP, on loopback.
    fn address(&self) -> SocketAddr;
    /// To pull images of this project, and of no other.
    fn login(&self, project: &Name) -> RegistryLogin;
    /// To do what the registry allows by this token.
    fn admit_build(&self, token: &Secret) -> BuildPass;
}

/// How an engine reaches the registry for one build.
#[derive(Debug)]
pub struct BuildPass {
    /// Plain HTTP, on loopback.
    pub address: SocketAddr,
    /// Good as long as this lives.
    pub login: RegistryLogin,
    /// Ends it.
    pub end: DropGuard,
}

/// What an image of ours is called behind the address: `PROJECT/NAME…`; `None`: it is of another registry.
pub(super) fn path(image: &str) -> Option<&str> {
    image.strip_prefix(OURS)?.strip_prefix('/')
}

/// As the engine knows the image. What is named by its digest is known by a tag that says so: engines know digests of
/// the address only that they were pulled from.
pub(super) fn known_as(image: &str) -> Cow<'_, str> {
    match path(image).and_then(|_| image.split_once('@')) {
        Some((name, digest)) => {
            let name = split(name).0;
            format!("{name}:{}", digest.replace(':', "-")).into()
        }
        None => image.into(),
    }
}

/// Pulls the image and gives it the name that it is known by.
///
/// # Errors
/// The registry's answer.
pub(super) async fn pull(
    engine: &Engine,
    (image, path): (&str, &str),
    address: SocketAddr,
    login: &RegistryLogin,
    platform: Option<&str>,
    progress: OnProgress<'_>,
) -> Result<(), RunError> {
    let client = engine.client(Step::Prepare).await?;
    let from = format!("{address}/{path}");
    let renamed = |error| match error {
        RunError::ImageMissing { answer, .. } => {
            let answer = answer.replace(&address.to_string(), OURS);
            RunError::ImageMissing { image: image.to_owned(), answer }
        }
        other => other,
    };
    // Podman takes plain HTTP for wrong, but for what is asked for in its own words.
    if !pull_by_podman(engine, &from, login, platform).await.map_err(renamed)? {
        image::pull(client, &from, Some(login), platform, progress).await.map_err(renamed)?;
    }
    let known = known_as(image);
    let (repository, tag) = split(&known);
    let options = TagImageOptionsBuilder::new().repo(repository).tag(tag).build();
    client.tag_image(&from, Some(options)).await.map_err(|error| image::missing(image, &error))?;
    forget(client, &from).await;
    Ok(())
}

/// The name with the address is of no use to anybody; that it stays is no failure.
pub(super) async fn forget(client: &Docker, name: &str) {
    if let Err(error) = client.remove_image(name, None::<RemoveImageOptions>, None).await {
        tracing::debug!(name, %error, "The engine keeps a name of an image.");
    }
}

#[derive(Deserialize)]
struct Line {
    error: Option<String>,
    cause: Option<String>,
}

#[derive(Deserialize)]
struct Found {
    #[serde(rename = "Id")]
    id: String,
}

/// Podman's own way of pulling. False: the engine is none.
async fn pull_by_podman(
    engine: &Engine,
    from: &str,
    login: &RegistryLogin,
    platform: Option<&str>,
) -> Result<bool, RunError> {
    let parts = ["OS", "Arch", "Variant"].into_iter().zip(platform.unwrap_or_default().split('/'));
    let named = parts.filter(|(_, value)| !value.is_empty());
    let of: String = named.map(|(name, value)| format!("&{name}={value}")).collect();
    let asked =
        transfer_by_podman(engine, &format!("pull?reference={from}&tlsVerify=false{of}"), login).await;
    asked.map_err(|answer| RunError::ImageMissing { image: from.to_owned(), answer })
}

/// Podman's own way of pushing. False: the engine is none.
pub(super) async fn push_by_podman(
    engine: &Engine,
    to: &str,
    login: &RegistryLogin,
) -> Result<bool, RunError> {
    let asked =
        transfer_by_podman(engine, &format!("{to}/push?destination={to}&tlsVerify=false"), login).await;
    asked.map_err(|answer| RunError::NotBuilt { answer })
}

/// The id of the image that Podman builds on when a Dockerfile has this name: a short one is, to it, the end of any longer
/// one that it has. `None`: the engine is no Podman.
pub(super) async fn found_by_podman(engine: &Engine, name: &str) -> Result<Option<String>, RunError> {
    let missing = |answer: String| RunError::ImageMissing { image: name.to_owned(), answer };
    let asked = Request::get(format!("{PODMAN}/{name}/json"));
    let Some((status, text)) = ask_podman(engine, asked, INSPECTED).await.map_err(missing)? else {
        return Ok(None);
    };
    match serde_json::from_str::<Found>(&text) {
        Ok(found) => Ok(Some(found.id)),
        Err(_) => Err(missing(format!("the engine answers {status} when asked what it has by this name"))),
    }
}

/// Its answer, or the last `most` bytes of that. `None`: the engine does not know Podman's own words.
async fn ask_podman(
    engine: &Engine,
    asked: request::Builder,
    most: usize,
) -> Result<Option<(StatusCode, String)>, String> {
    let broken = |error: &dyn std::error::Error| error.to_string();
    let stream = UnixStream::connect(engine.socket()).await.map_err(|error| broken(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    let driver = AbortOnDropHandle::new(tokio::spawn(connection));
    let asked = asked.header(HOST, "engine").body(Empty::<Bytes>::new()).map_err(|error| broken(&error))?;
    let done = tokio::time::timeout(PATIENCE, async {
        let answer = sender.send_request(asked).await.map_err(|error| broken(&error))?;
        let status = answer.status();
        let mut body = answer.into_body();
        let mut last = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| broken(&error))?;
            if let Some(data) = frame.data_ref() {
                last.extend_from_slice(data);
                last.drain(..last.len().saturating_sub(most));
            }
        }
        Ok::<_, String>((status, last))
    });
    let done = done.await.unwrap_or_else(|_| Err("it took too long".to_owned()));
    drop(driver);
    let (status, said) = done?;
    let text = String::from_utf8_lossy(&said).into_owned();
    // Docker's words for a path that it does not have; Podman says as much of an image.
    let is_podman = status != StatusCode::NOT_FOUND || !text.contains("page not found");
    Ok(is_podman.then_some((status, text)))
}

/// Pulls or pushes. False: the engine does not know Podman's own words.
async fn transfer_by_podman(engine: &Engine, what: &str, login: &RegistryLogin) -> Result<bool, String> {
    let auth = json!({
        "username": login.user, "password": login.password, "serveraddress": login.server,
    });
    let asked = Request::post(format!("{PODMAN}/{what}"))
        .header("X-Registry-Auth", BASE64URL.encode(auth.to_string().as_bytes()));
    let Some((status, text)) = ask_podman(engine, asked, LAST).await? else { return Ok(false) };
    // Each line says a little; only what is wrong matters, and comes last.
    let mut errors = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let error = errors.rfind(|line| line.error.is_some() || line.cause.is_some());
    match error.and_then(|line| line.error.or(line.cause)) {
        Some(error) => Err(error),
        None if status.is_success() => Ok(true),
        None => Err(format!("the engine answers {status}")),
    }
}

/// Where Podman's own words for images begin.
const PODMAN: &str = "/v4.0.0/libpod/images";
/// Bytes of what Podman says at last that are looked at.
const LAST: usize = 16 * 1024;
/// Of what it says of an image; histories can be long.
const INSPECTED: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_has_a_name_that_engines_keep() {
        assert_eq!(path("registry.holm/red/web:1"), Some("red/web:1"));
        assert_eq!(path("registry.holmes/red/web:1"), None);
        assert_eq!(path("nginx:1"), None);
        assert_eq!(known_as("registry.holm/red/web:1"), "registry.holm/red/web:1");
        assert_eq!(known_as("registry.holm/red/web@sha256:ab"), "registry.holm/red/web:sha256-ab");
        assert_eq!(known_as("registry.holm/red/web:1@sha256:ab"), "registry.holm/red/web:sha256-ab");
        assert_eq!(known_as("nginx@sha256:ab"), "nginx@sha256:ab");
    }
}
