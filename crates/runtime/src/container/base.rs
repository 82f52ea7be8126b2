//! Images that others are built on. An engine builds on whatever it has, whosesoever that is, and does what an image says
//! that is to be done in builds on it (`ONBUILD`): so what it has by each name is looked at before.

use std::io::{self, Read};

use bollard::Docker;
use bollard::query_parameters::TagImageOptionsBuilder;
use futures::TryStreamExt as _;
use holm_model::image::BUILT;
use serde_json::Value;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::image::{self, Claim, Found, split};
use super::ledger::{Shelf, Thing};
use super::{Shared, own};
use crate::error::{RunError, Step};

/// Bytes of what an image says of itself.
const CONFIG: u64 = 4 << 20;

/// What is built on.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) id: String,
    known: String,
    architecture: String,
    /// What the name meant before, for machines of another architecture.
    aside: Option<String>,
}

/// Has what whoever claims it may have by this name, and nothing else.
///
/// # Errors
/// The registry's answer, or that a build on it might read other images.
pub(super) async fn provide(shared: &Shared, base: &str, claim: Claim<'_>) -> Result<Base, RunError> {
    let (engine, missing) = (&shared.engine, |answer: String| missing(base, answer));
    let client = engine.client(Step::Build).await?;
    let known = own::known_as(base).into_owned();
    let before = image::look(client, &known).await?;
    image::ensure(shared, base, claim, &|_| {}).await?;
    let found = image::look(client, &known).await?;
    let Found { id, architecture, on_build } = found.ok_or_else(|| missing("it is gone again".to_owned()))?;
    let aside = before.filter(|before| before.architecture != architecture).map(|before| before.id);
    let provided = Base { id: id.clone(), known, architecture, aside };
    let triggers = match own::found_by_podman(engine, base).await? {
        Some(other) if id.trim_start_matches("sha256:") != other => {
            let answer = "the engine has another image whose name ends like this; name its registry, too, as in \
                          `docker.io/library/NAME:TAG`";
            return Err(missing(answer.to_owned()));
        }
        Some(_) if shared.ledger.has(Shelf::Plain, &id) => Vec::new(),
        Some(_) => exported(client, &id).await.map_err(|error| missing(error.to_string()))?,
        None => on_build,
    };
    if let Some(trigger) = triggers.iter().find(|trigger| !is_plain(trigger)) {
        let trigger: String = trigger.chars().take(80).collect();
        return Err(missing(format!(
            "its `ONBUILD {trigger}` may read other images, which builders here do not let it"
        )));
    }
    shared.ledger.note(Shelf::Plain, &id).map_err(|source| RunError::System { step: Step::Build, source })?;
    Ok(provided)
}

/// Names mean again what they meant before a build for other machines: instances are made of them, too. What was built on keeps
/// a name of its own, so that it is cleaned up like others.
///
/// # Errors
/// When the engine or the disk does not take it.
pub(super) async fn put_back(shared: &Shared, bases: &[Base]) -> Result<(), RunError> {
    let client = shared.engine.client(Step::Build).await?;
    let tag = async |image: &str, name: &str| {
        let (repository, tag) = split(name);
        let options = TagImageOptionsBuilder::new().repo(repository).tag(tag).build();
        client.tag_image(image, Some(options)).await.map_err(|error| shared.engine.failed(Step::Build, error))
    };
    for Base { id, known, architecture, aside } in bases {
        // A digest is no name that can be given.
        let Some(aside) = aside.as_ref().filter(|_| !known.contains('@')) else { continue };
        let (repository, version) = split(known);
        let other = format!("{BUILT}/{architecture}/{}:{version}", repository.replace(':', "-"));
        let noted = shared.ledger.note(Thing::Image, &other);
        noted.map_err(|source| RunError::System { step: Step::Build, source })?;
        tag(id, &other).await?;
        tag(aside, known).await?;
    }
    Ok(())
}

fn missing(image: &str, answer: String) -> RunError {
    RunError::ImageMissing { image: image.to_owned(), answer }
}

/// What is to be done in builds on an image, as it says itself: Podman does it, and tells nobody but with the whole
/// image. That is read once.
async fn exported(client: &Docker, id: &str) -> io::Result<Vec<String>> {
    let archive = Box::pin(client.export_image(id).map_err(io::Error::other));
    let archive = SyncIoBridge::new(StreamReader::new(archive));
    let read = tokio::task::spawn_blocking(move || triggers(archive)).await;
    read.map_err(io::Error::other)?
}

/// Of an archive as `docker save` makes it.
fn triggers(archive: impl Read) -> io::Result<Vec<String>> {
    let mut all = None;
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries()? {
        let entry = entry?;
        let is_config = entry.size() <= CONFIG && entry.path()?.extension().is_some_and(|end| end == "json");
        if !is_config {
            continue;
        }
        // What every configuration of an image has; other files are none.
        let said: Value = serde_json::from_reader(entry.take(CONFIG)).unwrap_or_default();
        if said.get("rootfs").is_some() {
            let lists = fields(&said, "config").flat_map(|config| fields(config, "onbuild"));
            let found = lists.filter_map(Value::as_array).flatten().filter_map(Value::as_str);
            all.get_or_insert_with(Vec::new).extend(found.map(str::to_owned));
        }
    }
    all.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "the engine does not say how the image is made")
    })
}

/// By this name in small or capital letters, which is all one to engines (Go's `encoding/json`).
fn fields<'a>(value: &'a Value, name: &'a str) -> impl Iterator<Item = &'a Value> {
    let fields = value.as_object().into_iter().flatten();
    fields.filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Whether what is to be done reads no other image. What an instruction has of flags says so, and builders differ in how they
/// read quotes and blanks.
fn is_plain(trigger: &str) -> bool {
    let is_odd =
        |letter: char| letter != ' ' && letter != '\t' && (letter.is_whitespace() || letter.is_control());
    let is_known = |flag: &str| {
        let known = ["--chown=", "--chmod="].iter().any(|known| flag.starts_with(known));
        known && !flag.contains(['"', '\'', '\\'])
    };
    let mut flags = trigger.split_whitespace().skip(1).take_while(|word| word.starts_with("--"));
    flags.all(is_known) && !trigger.contains(is_odd) && !trigger.contains("<<")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_are_found_where_an_engine_saves_them() {
        let saved = |files: &[(&str, &str)]| {
            let mut archive = tar::Builder::new(Vec::new());
            for (name, text) in files {
                let mut header = tar::Header::new_gnu();
                header.set_size(text.len() as u64);
                header.set_mode(0o644);
                archive.append_data(&mut header, name, text.as_bytes()).unwrap();
            }
            triggers(archive.into_inner().unwrap().as_slice())
        };
        let config = r#"{"rootfs":{},"config":{"OnBuild":["COPY --from=blue / /"]}}"#;
        let none = r#"{"rootfs":{},"config":{"OnBuild":null}}"#;
        let manifest = ("manifest.json", r#"[{"Config":"ab.json"}]"#);
        let layer = ("cd.tar", "{");
        assert_eq!(saved(&[layer, ("ab.json", config), manifest]).unwrap(), ["COPY --from=blue / /"]);
        let other = config.replace("OnBuild", "onBUILD").replace("config", "Config");
        assert_eq!(saved(&[layer, ("ab.json", &other), manifest]).unwrap(), ["COPY --from=blue / /"]);
        assert_eq!(saved(&[layer, ("ab.json", none), manifest]).unwrap(), [""; 0]);
        assert_eq!(saved(&[("ab.json", r#"{"rootfs":{}}"#)]).unwrap(), [""; 0]);
        assert!(saved(&[layer, manifest]).is_err(), "nothing says it");
    }

    #[test]
    fn triggers_that_may_read_other_images_are_none_to_build_on() {
        for good in ["RUN make --from=x", "COPY --chown=1:1 . /app", "COPY . /app", "ENV A=\"b c\""] {
            assert!(is_plain(good), "{good}");
        }
        for bad in [
            "COPY --from=blue / /",
            "copy --chown=1 --from=blue / /",
            "COPY --\"from=blue\" / /",
            "RUN --mount=type=bind,from=blue x",
            "COPY --chown=1\u{2003}--from=blue / /",
            "RUN cat <<E",
            "RUN a\nCOPY --from=blue / /",
        ] {
            assert!(!is_plain(bad), "{bad}");
        }
    }
}
