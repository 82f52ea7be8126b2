//! Having an image.

use std::collections::BTreeMap;

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::TryStreamExt as _;
use holm_model::content::RegistryLogin;

use super::engine::status;
use super::ledger::{Ledger, Thing};
use crate::error::{RunError, Step};
use crate::launch::Progress;
use crate::runtime::OnProgress;

/// Pulls `image` unless the engine has it.
///
/// # Errors
/// The registry's answer.
pub(super) async fn ensure(
    client: &Docker,
    image: &str,
    login: Option<&RegistryLogin>,
    ledger: &Ledger,
    progress: OnProgress<'_>,
) -> Result<(), RunError> {
    match client.inspect_image(image).await {
        Ok(_) => return Ok(()),
        Err(error) if status(Some(&error)) == Some(404) => {}
        Err(error) => return Err(missing(image, &error)),
    }
    let noted = ledger.note(Thing::Image, image);
    noted.map_err(|source| RunError::System { step: Step::Prepare, source })?;
    let (repository, tag) = split(image);
    let options = CreateImageOptionsBuilder::new().from_image(repository).tag(tag).build();
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

fn credentials(login: &RegistryLogin) -> DockerCredentials {
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
fn split(image: &str) -> (&str, &str) {
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
