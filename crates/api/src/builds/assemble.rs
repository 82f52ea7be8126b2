//! From drafts to images of the registry, without an engine. All of it blocks.

use std::collections::BTreeMap;
use std::io::{BufReader, Seek as _};

use holm_image::archive::{self, Limits, Place};
use holm_image::dockerfile;
use holm_image::document::{self, Base, Descriptor};
use holm_image::layer::{DiffId, Layer};
use holm_image::plan::{Assembly, Content, Options, plan};
use holm_image::platform::Platform;
use holm_image::recognize::Thing;
use holm_model::image::OURS;
use holm_model::view::build::BuiltPart;
use holm_registry::{Digest, Draft, Found, Name, Reference, Store};
use serde_json::Value;

use super::asked::{Asked, BaseImage};
use super::error::BuildError;

/// An image of one platform, and what is told of it.
pub(crate) struct Part {
    pub(crate) manifest: Vec<u8>,
    pub(crate) found: Found,
    pub(crate) platform: Platform,
    pub(crate) view: BuiltPart,
}

/// An image of one platform, as the registry has it.
pub(crate) struct Image {
    pub(crate) found: Found,
    pub(crate) base: Base,
}

/// The label that names what an image was made from.
pub(crate) const INPUT: &str = "io.holm.build.input";

/// A layer that the registry keeps.
struct Kept {
    descriptor: Descriptor,
    diff: DiffId,
}

/// One image for each file (or, on a base for several platforms, for each of these); and the Dockerfiles that say the same.
pub(crate) fn assemble(
    store: &Store,
    asked: &Asked,
    files: &[(Draft, Thing)],
) -> Result<(Vec<Part>, String), BuildError> {
    let mut parts: Vec<Part> = Vec::new();
    let mut dockerfiles = Vec::new();
    for (draft, thing) in files {
        let (made, dockerfile) = of_file(store, asked, draft, thing)?;
        for part in made {
            if parts.iter().any(|other| other.platform == part.platform) {
                return Err(BuildError::Twice(part.platform));
            }
            parts.push(part);
        }
        dockerfiles.push(dockerfile);
    }
    for platform in &asked.platforms {
        if !parts.iter().any(|part| part.platform == *platform) {
            let there: Vec<_> = parts.iter().map(|part| part.platform.to_string()).collect();
            return Err(BuildError::Missing { asked: platform.clone(), there: there.join(", ") });
        }
    }
    if !asked.platforms.is_empty() {
        parts.retain(|part| asked.platforms.contains(&part.platform));
    }
    Ok((parts, dockerfiles.join("\n")))
}

fn of_file(
    store: &Store,
    asked: &Asked,
    draft: &Draft,
    thing: &Thing,
) -> Result<(Vec<Part>, String), BuildError> {
    let options =
        Options { name: asked.name.clone(), has_base: asked.base.is_some(), run: asked.run.clone() };
    let assembly = plan(thing, &options)?;
    let layer = layer(store, asked, draft, &assembly)?;
    let bases = match &asked.base {
        None => vec![None],
        Some(BaseImage { ours: Some((name, reference)), .. }) => bases(store, name, reference, &assembly)?
            .into_iter()
            .map(|base| Some((name.clone(), base)))
            .collect(),
        Some(BaseImage { written, ours: None }) => return Err(BuildError::Foreign(written.clone())),
    };
    let input = draft.digest().to_string();
    let told = (thing.to_string(), input, draft.length());
    let base = asked.base.as_ref().map(|base| base.written.as_str());
    let dockerfile = dockerfile::of_assembly(&assembly, base, &asked.name);
    let parts: Result<Vec<_>, _> =
        bases.into_iter().map(|base| part(store, asked, base.as_ref(), (&assembly, &layer), &told)).collect();
    Ok((parts?, dockerfile))
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
            archive::copy(
                &mut file,
                *packing,
                Place { to: holm_image::plan::DIR, of: None },
                limits,
                &mut layer,
            )?;
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
    let labels = BTreeMap::from([(INPUT.to_owned(), input.clone())]);
    let config = document::config(of, &platform, std::slice::from_ref(&layer.diff), &assembly.run, &labels)?;
    let view = BuiltPart {
        platform: platform.to_string(),
        recognized: recognized.clone(),
        input: input.clone(),
        bytes: *bytes,
        layer: layer.descriptor.size,
        entrypoint: assembly.run.entrypoint.clone(),
        builder: None,
        emulated: false,
        cached: false,
    };
    put(store, asked, &config, &layers, &platform, view)
}

/// Keeps the image of one platform.
pub(crate) fn put(
    store: &Store,
    asked: &Asked,
    config: &[u8],
    layers: &[Descriptor],
    platform: &Platform,
    view: BuiltPart,
) -> Result<Part, BuildError> {
    let config = keep_bytes(store, asked, config, document::CONFIG)?;
    let manifest = document::manifest(&config, layers, &BTreeMap::new());
    let by_digest = Reference::Digest(Digest::of(&manifest));
    let kind = Some(document::MANIFEST);
    let found = store.add_manifest(&asked.repository, &manifest, kind, &by_digest, asked.quota)?;
    Ok(Part { manifest, found, platform: platform.clone(), view })
}

/// What an image starts, by its configuration.
pub(crate) fn starts(config: &Value) -> Vec<String> {
    let words = |key: &str| {
        let all = config["config"][key].as_array().cloned().unwrap_or_default();
        all.into_iter().filter_map(|word| word.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    [words("Entrypoint"), words("Cmd")].concat()
}

/// The images that a base has for this: one, or all of an index if the file runs on any machine.
fn bases(
    store: &Store,
    name: &Name,
    reference: &Reference,
    assembly: &Assembly,
) -> Result<Vec<Base>, BuildError> {
    let mut bases = Vec::new();
    let mut others = Vec::new();
    for Image { base, .. } in images(store, name, reference)? {
        let platform = base.platform();
        match &assembly.platform {
            Some(own) if *own != platform => others.push(platform.to_string()),
            _ if platform.architecture.is_empty() || platform.architecture == "unknown" => {}
            _ => bases.push(base),
        }
    }
    match (&assembly.platform, bases.is_empty()) {
        (Some(own), true) if !others.is_empty() => {
            Err(BuildError::Platform { own: own.clone(), base: others.join(", ") })
        }
        (_, true) => {
            Err(BuildError::NoBase { image: format!("{OURS}/{name}"), why: "it has no image".to_owned() })
        }
        _ => Ok(bases),
    }
}

/// All images under this name: of an index, one for each platform.
pub(crate) fn images(store: &Store, name: &Name, reference: &Reference) -> Result<Vec<Image>, BuildError> {
    let no_base = |why: &dyn std::fmt::Display| BuildError::NoBase {
        image: format!("{OURS}/{name}"),
        why: why.to_string(),
    };
    let found = store.manifest(name, reference).map_err(|error| no_base(&error))?;
    let mut all = Vec::new();
    if found.manifest.children.is_empty() {
        all.push(found);
    } else {
        for child in found.manifest.children.keys() {
            all.extend(store.manifest(name, &Reference::Digest(*child)).ok());
        }
    }
    let mut images = Vec::new();
    for found in all {
        let text: Value = read(store, &found.digest)?;
        // Attestations lie beside images in an index, and have no layers of an image.
        let config = text["config"]["digest"].as_str().map(digest).transpose()?;
        let Some(config) = config else { continue };
        let layers: Result<Vec<Descriptor>, _> =
            text["layers"].as_array().into_iter().flatten().map(descriptor).collect();
        let base = Base { config: read(store, &config)?, layers: layers.map_err(|why| no_base(&why))? };
        images.push(Image { found, base });
    }
    Ok(images)
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

pub(crate) fn keep_bytes(
    store: &Store,
    asked: &Asked,
    bytes: &[u8],
    kind: &str,
) -> Result<Descriptor, BuildError> {
    let mut draft = store.draft()?;
    draft.append(bytes).map_err(|error| store.refused(error))?;
    keep(store, asked, draft, kind)
}

fn keep(store: &Store, asked: &Asked, draft: Draft, kind: &str) -> Result<Descriptor, BuildError> {
    let (digest, size) = (draft.digest(), draft.length());
    store.keep(&asked.repository, draft, &digest, asked.quota)?;
    Ok(Descriptor { media_type: kind.to_owned(), digest: digest.to_string(), size })
}
