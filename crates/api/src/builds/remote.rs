//! An image of one platform, built by the engine of a node.
//!
//! ```text
//! choose a node ──► a tunnel: the context down, what the builder says up ──► the node's engine pushes to a tag of this build
//!                                                                       ──► the same layers under the name that was asked for
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use holm_image::dockerfile::Dockerfile;
use holm_image::document;
use holm_image::platform::Platform;
use holm_link::cbor;
use holm_model::build::BuildWant;
use holm_model::image::OURS;
use holm_model::tunnel::{ExecIn, ExecOut, Purpose};
use holm_model::view::NodeView;
use holm_model::view::build::BuiltPart;
use holm_registry::{Draft, Name, NameError, Reference, Store, Tag};
use ring::digest::{Context as Hasher, SHA256};
use tokio::sync::mpsc;

use super::asked::{Asked, BaseImage};
use super::assemble::{self, Part};
use super::blocking;
use super::builders::{Builder, choose};
use super::context::Context;
use super::error::BuildError;
use super::grants::Grant;
use super::say::Say;
use crate::routes::members::member;
use crate::routes::sockets::{MAX_FRAME, frames};
use crate::state::Api;

/// Bytes of the context that are sent at once.
const PIECE: usize = 256 * 1024;
/// Of all of one build.
const LONGEST: Duration = Duration::from_secs(2 * 3600);
/// Bytes of what was said that are kept for the error.
const KEPT: usize = 4096;
/// Lines of it that the error shows.
const SHOWN: usize = 5;
/// The label that says from what an image was made: whoever asks for the same gets it without a build.
pub(crate) const KEY: &str = "io.holm.build.key";

/// An image of this registry that a Dockerfile stands on: as it is written there, and where it is.
type Standing = (String, (Name, Reference));

/// A tree that is built on nodes, once for each platform.
pub(crate) struct Remote<'a> {
    pub(crate) api: &'a Api,
    pub(crate) store: &'a Arc<Store>,
    pub(crate) asked: &'a Asked,
    pub(crate) context: &'a Context,
    /// What the file is, in words; its digest, its bytes.
    pub(crate) told: (String, String, u64),
    pub(crate) nodes: Vec<NodeView>,
    pub(crate) say: Say,
}

impl Remote<'_> {
    /// # Errors
    /// When nobody can build it, or it does not build.
    pub(crate) async fn build(&self, platform: &Platform) -> Result<Part, BuildError> {
        let bases = bases(&self.context.dockerfile)?;
        let key = self.key(platform, &bases)?;
        if !self.asked.fresh
            && let Some(part) = self.known(platform, &key).await?
        {
            self.say.phase(format!("{platform}: nothing has changed since it was built")).await;
            return Ok(part);
        }
        let builder = choose(&self.nodes, platform, self.asked.repository.as_str())?;
        let how = if builder.emulated { " in an emulator, which takes longer" } else { "" };
        self.say.phase(format!("{platform}: building on {}{how}", builder.name)).await;
        let tag = self.temporary()?;
        let pull = bases.iter().map(|(_, (name, _))| name.clone()).collect();
        let grant = Grant { push: self.asked.repository.clone(), pull };
        let no_random = |_| BuildError::NoImage("the system has no random numbers".to_owned());
        let granted = self.api.builds().grant(grant).map_err(no_random)?;
        let want = BuildWant {
            image: format!("{}:{tag}", self.asked.repository),
            platform: platform.to_string(),
            dockerfile: self.context.path.clone(),
            bases: self.context.dockerfile.images().iter().cloned().collect(),
            fresh: self.asked.fresh,
            token: granted.token.clone(),
        };
        let ran = tokio::time::timeout(LONGEST, self.run(&builder, want)).await;
        let ran = ran.unwrap_or_else(|_| {
            let why = format!("it took longer than {} hours", LONGEST.as_secs() / 3600);
            Err(BuildError::Failed { node: builder.name.clone(), why })
        });
        drop(granted);
        let temporary = Reference::Tag(tag);
        let part = match ran {
            Ok(()) => self.finish(&temporary, platform, key, &builder).await,
            Err(error) => Err(error),
        };
        let (store, name) = (Arc::clone(self.store), self.asked.repository.clone());
        // It may never have come so far; what nothing names is removed by and by.
        let _ = blocking(move || store.delete_manifest(&name, &temporary)).await;
        part
    }

    /// Of all that makes the image what it is, as far as it is known here: what other registries say is not.
    fn key(&self, platform: &Platform, bases: &[Standing]) -> Result<String, BuildError> {
        let mut hasher = Hasher::new(&SHA256);
        let mut add = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        add(&self.context.content);
        add(&self.context.path);
        add(&self.context.text);
        add(&platform.to_string());
        add(&format!("{:?}", self.asked.run));
        for (written, (name, reference)) in bases {
            let no_base = |error: holm_registry::StoreError| BuildError::NoBase {
                image: written.clone(),
                why: error.to_string(),
            };
            add(written);
            add(&self.store.manifest(name, reference).map_err(no_base)?.digest.to_string());
        }
        Ok(data_encoding::HEXLOWER.encode(hasher.finish().as_ref()))
    }

    /// The image of before, if it was made of the same.
    async fn known(&self, platform: &Platform, key: &str) -> Result<Option<Part>, BuildError> {
        let (store, name) = (Arc::clone(self.store), self.asked.repository.clone());
        let (tag, key) = (Reference::Tag(self.asked.tag.clone()), key.to_owned());
        let (platform, told) = (platform.clone(), self.told.clone());
        let find = move || {
            let Ok(bases) = assemble::images(&store, &name, &tag) else { return None };
            let same = |image: &assemble::Image| {
                image.base.platform() == platform
                    && image.base.config["config"]["Labels"][KEY].as_str() == Some(key.as_str())
            };
            let image = bases.into_iter().find(same)?;
            let manifest = store.manifest_bytes(&image.found.digest).ok()?;
            let layer = image.base.layers.iter().map(|layer| layer.size).sum();
            let entrypoint = assemble::starts(&image.base.config);
            let view = BuiltPart {
                platform: platform.to_string(),
                recognized: told.0,
                input: told.1,
                bytes: told.2,
                layer,
                entrypoint,
                builder: None,
                emulated: false,
                cached: true,
            };
            Some(Part { manifest, found: image.found, platform, view })
        };
        Ok(blocking(find).await)
    }

    fn temporary(&self) -> Result<Tag, BuildError> {
        let mut random = [0; 8];
        let filled = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random);
        filled.map_err(|_| BuildError::NoImage("the system has no random numbers".to_owned()))?;
        let text = format!("build-{}", data_encoding::HEXLOWER.encode(&random));
        Tag::parse(&text).map_err(|error| BuildError::NoImage(error.to_string()))
    }

    async fn run(&self, builder: &Builder, want: BuildWant) -> Result<(), BuildError> {
        let failed = |why: String| BuildError::Failed { node: builder.name.clone(), why };
        let node = member("node", &builder.id).map_err(BuildError::Fault)?;
        let purpose = Purpose::Build(Box::new(want));
        let tunnel = self.api.node_tunnel(node, purpose).await.map_err(BuildError::Fault)?;
        let (mut down, mut up) = frames(tunnel).split();
        let mut pieces = pieces(self.store, &self.context.packed)?;
        let send = async {
            while let Some(piece) = pieces.recv().await {
                let piece = piece.map_err(|error| BuildError::Store(self.store.refused(error)))?;
                let frame = cbor::encode(&ExecIn::Stdin(piece)).map_err(|error| failed(error.to_string()))?;
                // Whoever ended the build says why in the other direction.
                if down.send(Bytes::from(frame)).await.is_err() {
                    break;
                }
            }
            let end = cbor::encode(&ExecIn::StdinEnd).map_err(|error| failed(error.to_string()))?;
            let _ = down.send(Bytes::from(end)).await;
            Ok::<_, BuildError>(())
        };
        let hear = async {
            let (mut said, mut why) = (Said::default(), String::new());
            while let Some(frame) = up.next().await {
                let frame = frame.map_err(|error| failed(error.to_string()))?;
                let out: ExecOut =
                    cbor::decode(&frame, MAX_FRAME).map_err(|error| failed(error.to_string()))?;
                match out {
                    ExecOut::Stdout(bytes) => {
                        let text = String::from_utf8_lossy(&bytes).into_owned();
                        said.hear(&text);
                        self.say.log(text).await;
                    }
                    ExecOut::Stderr(bytes) => why = String::from_utf8_lossy(&bytes).into_owned(),
                    ExecOut::Exit(0) => return Ok(()),
                    ExecOut::Exit(_) => return Err(failed(said.explain(&why, self.context))),
                }
            }
            Err(failed("the connection to it broke; try again".to_owned()))
        };
        // Both at once: whoever builds speaks while it is sent to.
        let (sent, heard) = tokio::join!(send, hear);
        heard.and(sent)
    }

    /// The same layers with what was asked for, and without the times of the engine.
    async fn finish(
        &self,
        temporary: &Reference,
        platform: &Platform,
        key: String,
        builder: &Builder,
    ) -> Result<Part, BuildError> {
        let image = assemble::images(self.store, &self.asked.repository, temporary)?;
        let fits =
            image.into_iter().find(|image| image.base.platform().architecture == platform.architecture);
        let mut base = fits.ok_or_else(|| BuildError::NoImage(format!("none for {platform}")))?.base;
        for layer in &mut base.layers {
            // The same bytes by the names of the OCI.
            if layer.media_type == "application/vnd.docker.image.rootfs.diff.tar.gzip" {
                layer.media_type = document::LAYER.to_owned();
            }
        }
        let (recognized, input, bytes) = self.told.clone();
        let labels = BTreeMap::from([(assemble::INPUT.to_owned(), input.clone()), (KEY.to_owned(), key)]);
        let config = document::config(Some(&base), platform, &[], &self.asked.run, &labels)?;
        let entrypoint = assemble::starts(&serde_json::from_slice(&config).unwrap_or_default());
        let view = BuiltPart {
            platform: platform.to_string(),
            recognized,
            input,
            bytes,
            layer: base.layers.iter().map(|layer| layer.size).sum(),
            entrypoint,
            builder: Some(builder.name.clone()),
            emulated: builder.emulated,
            cached: false,
        };
        assemble::put(self.store, self.asked, &config, &base.layers, platform, view)
    }
}

/// The last that a builder said, and at which step it was.
#[derive(Debug, Default)]
struct Said {
    step: String,
    last: String,
}

impl Said {
    fn hear(&mut self, text: &str) {
        for line in text.lines() {
            // `Step 2/3 : RUN make` of Docker, `STEP 2/3: RUN make` or `[1/2] STEP 2/3: RUN make` of Podman.
            let lower = line.to_ascii_lowercase();
            if let Some(at) = lower.find("step ")
                && let Some((_, instruction)) = line[at..].split_once(':')
                && (at == 0 || lower.starts_with('['))
            {
                self.step = instruction.trim().to_owned();
                self.last.clear();
            } else {
                self.last.push_str(line);
                self.last.push('\n');
            }
        }
        let too_much = self.last.len().saturating_sub(KEPT);
        let cut = (too_much..=self.last.len()).find(|at| self.last.is_char_boundary(*at)).unwrap_or(0);
        self.last.drain(..cut);
    }

    fn explain(&self, why: &str, context: &Context) -> String {
        let why = why.trim();
        let place = match context.dockerfile.line_of(&self.step) {
            Some(line) if context.is_own => format!("Dockerfile:{line}: {}: ", self.step),
            _ if self.step.is_empty() => String::new(),
            _ => format!("{}: ", self.step),
        };
        let lines: Vec<&str> = self.last.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(SHOWN)..];
        last.iter().fold(format!("{place}{why}"), |text, line| format!("{text}\n  | {line}"))
    }
}

/// The draft's bytes, read where it may block, no faster than they are taken.
fn pieces(store: &Store, draft: &Draft) -> Result<mpsc::Receiver<std::io::Result<Vec<u8>>>, BuildError> {
    let mut file = draft.reader().map_err(|error| store.refused(error))?;
    let (tell, told) = mpsc::channel(2);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            let read = file.by_ref().take(PIECE as u64).read_to_end(&mut piece);
            let is_last = matches!(read, Ok(0));
            let failed = read.is_err();
            if is_last || tell.blocking_send(read.map(|_| piece)).is_err() || failed {
                break;
            }
        }
    });
    Ok(told)
}

/// Projects whose images a Dockerfile stands on.
///
/// # Errors
/// When it names one of this registry as none can be called.
pub(crate) fn projects(context: &Context) -> Result<BTreeSet<String>, BuildError> {
    let projects = bases(&context.dockerfile)?.into_iter().map(|(_, (name, _))| name.project().to_string());
    Ok(projects.collect())
}

/// Images of this registry that the Dockerfile stands on.
fn bases(dockerfile: &Dockerfile) -> Result<Vec<Standing>, BuildError> {
    let mut bases = Vec::new();
    // Without the registry before it, `PROJECT/NAME` is one of Docker's in a Dockerfile.
    for image in dockerfile.images().iter().filter(|image| image.starts_with(&format!("{OURS}/"))) {
        let no_base = |error: NameError| BuildError::NoBase { image: image.clone(), why: error.to_string() };
        match BaseImage::parse(image).map_err(no_base)? {
            BaseImage { ours: Some((_, Reference::Digest(_))), .. } => {
                return Err(BuildError::ByDigest(image.clone()));
            }
            BaseImage { written, ours: Some(ours) } => bases.push((written, ours)),
            BaseImage { ours: None, .. } => {}
        }
    }
    Ok(bases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_that_failed_is_the_last_one_that_was_said() {
        let mut said = Said::default();
        said.hear("Step 1/2 : FROM scratch\n ---> \nStep 2/2 : RUN false\n");
        assert_eq!(said.step, "RUN false");
        let mut said = Said::default();
        said.hear("[1/2] STEP 2/3: RUN make  all\nthe next step : is no step\n");
        assert_eq!(said.step, "RUN make  all");
        said.hear(&"ä".repeat(KEPT));
        assert!(said.last.len() <= KEPT);
    }
}
