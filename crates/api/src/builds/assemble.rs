//! From drafts to an image of the registry. All of it blocks.

use std::collections::BTreeMap;
use std::io::{BufReader, Seek as _};

use holm_image::archive::{self, ArchiveError, Limits};
use holm_image::document::{self, Base, BaseError, Descriptor};
use holm_image::layer::{DiffId, Layer};
use holm_image::plan::{Assembly, Content, Options, PlanError, Run, plan};
use holm_image::platform::Platform;
use holm_image::recognize::{RecognizeError, recognize};
use holm_model::image::OURS;
use holm_model::view::build::{BuildView, BuiltPart};
use holm_registry::{Digest, Draft, Found, Name, Reference, Store, StoreError, Tag};
use serde_json::Value;

/// What is to be built.
pub(crate) struct Asked {
    /// `PROJECT/NAME`
    pub(crate) repository: Name,
    pub(crate) tag: Tag,
    /// What it is called in the image.
    pub(crate) name: String,
    pub(crate) base: Option<(Name, Reference)>,
    pub(crate) run: Run,
    pub(crate) files: Vec<Draft>,
    /// Bytes that the project may keep.
    pub(crate) quota: Option<u64>,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error(transparent)]
    Recognize(#[from] RecognizeError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("{0}")]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Base(#[from] BaseError),
    #[error("the base {image} is no image that can be built on: {why}")]
    NoBase { image: String, why: String },
    #[error("the file is for {own}, and the base for {base}")]
    Platform { own: Platform, base: String },
    #[error("two of the files are for {0}")]
    Twice(Platform),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An image of one platform, and what is told of it.
struct Part {
    manifest: Vec<u8>,
    found: Found,
    platform: Platform,
    view: BuiltPart,
}

/// A layer that the registry keeps.
struct Kept {
    descriptor: Descriptor,
    diff: DiffId,
}

/// Builds it, one image for each file (or, on a base for several platforms, for each of these), under one tag.
pub(crate) fn build(store: &Store, mut asked: Asked) -> Result<BuildView, BuildError> {
    let mut parts: Vec<Part> = Vec::new();
    for draft in std::mem::take(&mut asked.files) {
        for part in of_file(store, &asked, &draft)? {
            if parts.iter().any(|other| other.platform == part.platform) {
                return Err(BuildError::Twice(part.platform));
            }
            parts.push(part);
        }
    }
    let tag = Reference::Tag(asked.tag.clone());
    let none = BTreeMap::new();
    let digest = match parts.as_slice() {
        [one] => {
            let kind = Some(document::MANIFEST);
            store.add_manifest(&asked.repository, &one.manifest, kind, &tag, asked.quota)?.digest
        }
        several => {
            let image = |part: &Part| {
                let media_type = document::MANIFEST.to_owned();
                let (digest, size) = (part.found.digest.to_string(), part.found.size);
                (Descriptor { media_type, digest, size }, part.platform.clone())
            };
            let images: Vec<_> = several.iter().map(image).collect();
            let index = document::index(&images, &none);
            store.add_manifest(&asked.repository, &index, Some(document::INDEX), &tag, asked.quota)?.digest
        }
    };
    Ok(BuildView {
        image: format!("{OURS}/{}@{digest}", asked.repository),
        tag: format!("{OURS}/{}:{}", asked.repository, asked.tag),
        digest: digest.to_string(),
        parts: parts.into_iter().map(|part| part.view).collect(),
        milliseconds: 0,
    })
}

fn of_file(store: &Store, asked: &Asked, draft: &Draft) -> Result<Vec<Part>, BuildError> {
    let mut file = BufReader::new(draft.reader().map_err(|error| store.refused(error))?);
    let thing = recognize(&mut file)?;
    let options =
        Options { name: asked.name.clone(), has_base: asked.base.is_some(), run: asked.run.clone() };
    let assembly = plan(&thing, &options)?;
    let layer = layer(store, asked, draft, &assembly)?;
    let bases = match &asked.base {
        None => vec![None],
        Some((name, reference)) => bases(store, name, reference, &assembly)?.into_iter().map(Some).collect(),
    };
    let input = draft.digest().to_string();
    let told = (thing.to_string(), input, draft.length());
    bases.into_iter().map(|base| part(store, asked, base.as_ref(), (&assembly, &layer), &told)).collect()
}

fn layer(store: &Store, asked: &Asked, draft: &Draft, assembly: &Assembly) -> Result<Kept, BuildError> {
    let refused = |error| store.refused(error);
    let mut file = BufReader::new(draft.reader().map_err(refused)?);
    store.room(draft.length())?;
    let mut layer = Layer::new(store.draft()?);
    match &assembly.content {
        Content::File { path, mode } => {
            layer.file(path, *mode, draft.length(), &mut file).map_err(refused)?;
        }
        Content::Archive(packing) => {
            file.rewind().map_err(refused)?;
            let limits = Limits::of(draft.length());
            archive::copy(&mut file, *packing, holm_image::plan::DIR, limits, &mut layer)?;
        }
    }
    let (written, diff) = layer.finish().map_err(refused)?;
    let descriptor = keep(store, asked, written, document::LAYER)?;
    Ok(Kept { descriptor, diff })
}

fn part(
    store: &Store,
    asked: &Asked,
    base: Option<&(Name, Base)>,
    (assembly, layer): (&Assembly, &Kept),
    (recognized, input, bytes): &(String, String, u64),
) -> Result<Part, BuildError> {
    let of = base.map(|(_, base)| base);
    let platform = assembly
        .platform
        .clone()
        .or_else(|| of.map(Base::platform))
        .unwrap_or_else(|| Platform::linux("amd64"));
    let mut layers = Vec::new();
    if let Some((from, base)) = base {
        for descriptor in &base.layers {
            let digest = digest(&descriptor.digest)?;
            store.mount(&asked.repository, from, &digest, asked.quota)?;
            layers.push(descriptor.clone());
        }
    }
    layers.push(layer.descriptor.clone());
    // The input makes the image: whoever sends it again gets the same.
    let labels = BTreeMap::from([("io.holm.build.input".to_owned(), input.clone())]);
    let config = document::config(of, &platform, std::slice::from_ref(&layer.diff), &assembly.run, &labels)?;
    let config = keep_bytes(store, asked, &config, document::CONFIG)?;
    let manifest = document::manifest(&config, &layers, &BTreeMap::new());
    let by_digest = Reference::Digest(Digest::of(&manifest));
    let found = store.add_manifest(
        &asked.repository,
        &manifest,
        Some(document::MANIFEST),
        &by_digest,
        asked.quota,
    )?;
    let view = BuiltPart {
        platform: platform.to_string(),
        recognized: recognized.clone(),
        input: input.clone(),
        bytes: *bytes,
        layer: layer.descriptor.size,
        entrypoint: assembly.run.entrypoint.clone(),
    };
    Ok(Part { manifest, found, platform, view })
}

/// The images that a base has for this: one, or all of an index if the file runs on any machine.
fn bases(
    store: &Store,
    name: &Name,
    reference: &Reference,
    assembly: &Assembly,
) -> Result<Vec<(Name, Base)>, BuildError> {
    let image = format!("{OURS}/{name}");
    let no_base =
        |why: &dyn std::fmt::Display| BuildError::NoBase { image: image.clone(), why: why.to_string() };
    let found = store.manifest(name, reference).map_err(|error| no_base(&error))?;
    let mut all = Vec::new();
    if found.manifest.children.is_empty() {
        all.push(found);
    } else {
        for child in found.manifest.children.keys() {
            all.extend(store.manifest(name, &Reference::Digest(*child)).ok());
        }
    }
    let mut bases = Vec::new();
    let mut others = Vec::new();
    for found in all {
        let text: Value = read(store, &found.digest)?;
        // Attestations lie beside images in an index, and have no layers of an image.
        let config = text["config"]["digest"].as_str().map(digest).transpose()?;
        let Some(config) = config else { continue };
        let layers: Result<Vec<Descriptor>, _> =
            text["layers"].as_array().into_iter().flatten().map(descriptor).collect();
        let base = Base { config: read(store, &config)?, layers: layers.map_err(|why| no_base(&why))? };
        let platform = base.platform();
        match &assembly.platform {
            Some(own) if *own != platform => others.push(platform.to_string()),
            _ if platform.architecture.is_empty() || platform.architecture == "unknown" => {}
            _ => bases.push((name.clone(), base)),
        }
    }
    match (&assembly.platform, bases.is_empty()) {
        (Some(own), true) if !others.is_empty() => {
            Err(BuildError::Platform { own: own.clone(), base: others.join(", ") })
        }
        (_, true) => Err(no_base(&"it has no image")),
        _ => Ok(bases),
    }
}

fn descriptor(value: &Value) -> Result<Descriptor, &'static str> {
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    let (media_type, digest, size) = (text("mediaType"), text("digest"), value["size"].as_u64());
    match (media_type, digest, size) {
        (Some(media_type), Some(digest), Some(size)) => Ok(Descriptor { media_type, digest, size }),
        _ => Err("a layer is not described"),
    }
}

fn digest(text: &str) -> Result<Digest, BuildError> {
    Digest::parse(text).map_err(|error| BuildError::NoBase { image: text.to_owned(), why: error.to_string() })
}

fn read(store: &Store, digest: &Digest) -> Result<Value, BuildError> {
    let bytes = store.manifest_bytes(digest)?;
    let no_json =
        |error: serde_json::Error| BuildError::NoBase { image: digest.to_string(), why: error.to_string() };
    serde_json::from_slice(&bytes).map_err(no_json)
}

fn keep_bytes(store: &Store, asked: &Asked, bytes: &[u8], kind: &str) -> Result<Descriptor, BuildError> {
    let mut draft = store.draft()?;
    draft.append(bytes).map_err(|error| store.refused(error))?;
    keep(store, asked, draft, kind)
}

fn keep(store: &Store, asked: &Asked, draft: Draft, kind: &str) -> Result<Descriptor, BuildError> {
    let (digest, size) = (draft.digest(), draft.length());
    store.keep(&asked.repository, draft, &digest, asked.quota)?;
    Ok(Descriptor { media_type: kind.to_owned(), digest: digest.to_string(), size })
}
