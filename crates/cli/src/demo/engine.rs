//! Whether a container engine answers, and which of its images has a shell. Nothing is ever pulled.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use holm_runtime::container::ContainerConfig;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
}

const LIMIT: Duration = Duration::from_secs(2);
/// More images than anybody has.
const BYTES: u64 = 16 << 20;
/// Small images that are known to have a shell, the smallest first.
const SHELLS: [&str; 4] = ["busybox", "alpine", "debian", "ubuntu"];

/// A local image with a shell; none without an engine.
pub(super) fn image() -> Option<String> {
    let answer = images(&ContainerConfig::usual_socket()?).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.").then(|| choose(body))?
}

fn choose(json: &str) -> Option<String> {
    let images: Vec<Image> = serde_json::from_str(json).ok()?;
    let tags: Vec<_> = images.into_iter().filter_map(|image| image.repo_tags).flatten().collect();
    let repository =
        |tag: &str| -> Option<String> { Some(tag.rsplit_once(':')?.0.rsplit('/').next()?.to_owned()) };
    SHELLS.iter().find_map(|shell| tags.iter().find(|tag| repository(tag).as_deref() == Some(shell)).cloned())
}

/// By HTTP/1.0: the answer ends with the connection.
fn images(socket: &Path) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.write_all(b"GET /images/json HTTP/1.0\r\nhost: engine\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(BYTES).read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_with_a_shell_is_chosen() {
        let json = r#"[{"RepoTags":["postgres:16"]},{"RepoTags":null},{"Other":1},
                       {"RepoTags":["registry:5000/library/alpine:3","docker.io/library/busybox:1.36"]}]"#;
        assert_eq!(choose(json).as_deref(), Some("docker.io/library/busybox:1.36"));
        assert_eq!(choose("[]"), None);
        assert_eq!(choose("nonsense"), None);
    }
}
