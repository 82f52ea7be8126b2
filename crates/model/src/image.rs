//! Images that a node has, as it tells them to whoever asks.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::time::Time;

/// What stands before the images of the platform's own registry, in place of a host: `registry.holm/PROJECT/NAME`.
pub const OURS: &str = "registry.holm";
/// What stands before the names by which an engine keeps what it has built: nobody else may use them.
pub const BUILT: &str = "built.holm";

/// Why a text is no name of an image, `[HOST[:PORT]/]PATH[:TAG][@ALGORITHM:HEX]` in small letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageNameError {
    /// Something else is in it.
    #[error("it is no name of an image, as in `docker.io/library/nginx:1.27`")]
    Shape,
    /// Engines take it for the id of any image that they have.
    #[error("an engine may take it for the id of an image; add its tag, as in `cafe:latest`")]
    Id,
    /// Podman takes it for a place where images lie.
    #[error(
        "an engine may take `{0}` for a place; name the registry, too, as in `docker.io/library/docker:27`"
    )]
    Transport(&'static str),
    /// By the name that a builder keeps it under.
    #[error(
        "`built.holm/…` is how a builder calls what it has built; its name in the registry is `registry.holm/…`"
    )]
    Built,
}

/// Before a colon, what Podman reads as the way to an image (containers-transports(5)).
const TRANSPORTS: [&str; 12] = [
    "atomic",
    "containers-storage",
    "dir",
    "docker",
    "docker-archive",
    "docker-daemon",
    "oci",
    "oci-archive",
    "ostree",
    "sif",
    "sha256",
    "tarball",
];

/// Whether every engine reads the same name in it, and one that people may use.
///
/// # Errors
/// Why not.
pub fn check(image: &str) -> Result<(), ImageNameError> {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let (path, tag) = match name.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (name, None),
    };
    if let (Some(_), Some(transport)) = (tag, TRANSPORTS.into_iter().find(|one| *one == path)) {
        return Err(ImageNameError::Transport(transport));
    }
    let (host, rest) = match path.split_once('/') {
        Some((host, rest)) => (Some(host), rest),
        None => (None, path),
    };
    let is_part = |part: &str| {
        let alone = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        part.bytes().all(|byte| alone(byte) || b"._-".contains(&byte))
            && part.bytes().next().is_some_and(alone)
            && part.bytes().last().is_some_and(alone)
    };
    let is_host = |host: &str| match host.split_once(':') {
        Some((host, port)) => is_part(host) && port.parse::<u16>().is_ok(),
        None => is_part(host),
    };
    let is_tag = |tag: &str| {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        tag.len() <= 128
            && tag.bytes().next().is_some_and(word)
            && tag.bytes().all(|byte| word(byte) || b".-".contains(&byte))
    };
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let is_digest = |digest: &str| match digest.split_once(':') {
        Some((algorithm, hex)) => is_part(algorithm) && hex.len() >= 32 && is_hex(hex),
        None => false,
    };
    let is_name = host.is_none_or(is_host)
        && rest.split('/').all(is_part)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest);
    match (is_name, host) {
        (false, _) => Err(ImageNameError::Shape),
        (true, Some(BUILT)) => Err(ImageNameError::Built),
        (true, None) if tag.is_none() && digest.is_none() && is_hex(rest) => Err(ImageNameError::Id),
        (true, _) => Ok(()),
    }
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImageView {
    /// As the engine calls it: `sha256:…`
    pub id: String,
    /// With tags or digests, as in `nginx:1.27`; an image may have none.
    pub names: Vec<String>,
    /// Bytes, those of layers that it shares with others included.
    pub size: u64,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created: Option<Time>,
    /// Ids of instances of this node that have a container of it, whether or not that runs.
    pub instances: Vec<String>,
    /// Containers of it that are none of ours.
    pub others: u32,
    /// This node has pulled it; of these, those go that nothing uses.
    pub pulled: bool,
}

/// What is wanted of a node's images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImagesWant {
    /// Granted: one frame, all of them as [`ImageView`]s.
    List,
    /// Granted: its name is gone, and with its last name the image. No bytes follow.
    Remove(String),
    /// Granted: one frame, an [`ImagesPruned`].
    Prune(ImagesPrune),
}

/// Removes images that this node has pulled and nothing uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImagesPrune {
    /// So many of each repository stay, the newest ones.
    #[serde(default)]
    #[schema(maximum = 1000)]
    pub keep: u32,
}

/// What is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImagesPruned {
    /// Names.
    pub removed: Vec<String>,
}

/// Which image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImageQuery {
    /// A name or an id.
    #[param(min_length = 1, max_length = 512)]
    pub image: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_every_engine_takes_for_the_same_one() {
        let digest = format!("nginx@sha256:{}", "ab".repeat(32));
        for good in [
            "nginx",
            "holm-test:1",
            "docker.io/library/nginx:1.27-alpine_x.y",
            "localhost:5000/a/b-c:V2",
            "registry.holm/red/web:latest",
            "cafe:1",
            "a/cafe",
            "docker.io/library/docker:27",
            digest.as_str(),
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            ":1",
            "a:",
            "a b",
            "$X",
            "A",
            "a/B:1",
            "-a",
            "a@sha256:1",
            "a//b",
            "/a",
            "a/",
            "a:1:2/b",
            "h:x/a",
            "a\\b",
            "ä",
        ] {
            assert_eq!(check(bad), Err(ImageNameError::Shape), "{bad}");
        }
        let id = "0123456789ab";
        assert_eq!(check(id), Err(ImageNameError::Id));
        assert_eq!(check(&format!("sha256:{id}")), Err(ImageNameError::Transport("sha256")));
        assert_eq!(check("oci:x"), Err(ImageNameError::Transport("oci")));
        assert_eq!(check("docker-archive:/etc/passwd"), Err(ImageNameError::Shape));
        assert_eq!(check("built.holm/red/web:latest"), Err(ImageNameError::Built));
    }
}
