//! Images of one or several platforms under one name, and who made them from what. All of it blocks.

use std::collections::BTreeMap;

use holm_image::document::{self, Descriptor};
use holm_model::image::OURS;
use holm_model::time::Time;
use holm_model::view::build::BuildView;
use holm_registry::{Digest, Reference, Store};
use serde_json::json;

use super::asked::Asked;
use super::assemble::{self, Part};
use super::error::BuildError;

/// in-toto's name of its statements; what lists of referrers are filtered by.
const STATEMENT: &str = "application/vnd.in-toto+json";

/// When it was built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) begun: Time,
    pub(crate) ended: Time,
}

/// Gives the images their tag.
///
/// # Errors
/// Those of the store.
pub(crate) fn publish(
    store: &Store,
    asked: &Asked,
    parts: Vec<Part>,
    dockerfile: String,
    times: Times,
) -> Result<BuildView, BuildError> {
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
    attest(store, asked, &parts, digest, &dockerfile, times)?;
    Ok(BuildView {
        image: format!("{OURS}/{}@{digest}", asked.repository),
        tag: format!("{OURS}/{}:{}", asked.repository, asked.tag),
        digest: digest.to_string(),
        parts: parts.into_iter().map(|part| part.view).collect(),
        milliseconds: 0,
        dockerfile,
    })
}

/// Attaches who built the image from what: an in-toto statement (v1) with the provenance of SLSA (v1), as a referrer of the
/// image (OCI Distribution 1.1). The first one stays: the same input makes the same image, whoever sends it again.
fn attest(
    store: &Store,
    asked: &Asked,
    parts: &[Part],
    digest: Digest,
    dockerfile: &str,
    times: Times,
) -> Result<(), BuildError> {
    let tag = Reference::Digest(digest);
    let subject = store.manifest(&asked.repository, &tag)?;
    let there = store.referrers(&asked.repository, &digest, Some(STATEMENT), None, 1).index;
    if there["manifests"].as_array().is_some_and(|all| !all.is_empty()) {
        return Ok(());
    }
    let text = digest.to_string();
    let hex = text.split_once(':').map_or(text.as_str(), |(_, hex)| hex);
    let sha256 = |digest: &str| json!({ "sha256": digest.strip_prefix("sha256:").unwrap_or(digest) });
    let inputs = parts.iter().map(|part| {
        json!({ "name": part.view.recognized, "digest": sha256(&part.view.input),
            "annotations": { "platform": part.view.platform, "bytes": part.view.bytes } })
    });
    let base = asked.base.iter().map(|base| json!({ "uri": format!("oci:{}", base.written) }));
    let builders: Vec<_> = parts.iter().map(|part| part.view.builder.as_deref().unwrap_or("root")).collect();
    // No values of the environment: they may be nobody's business.
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": format!("{OURS}/{}", asked.repository), "digest": { "sha256": hex } }],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:holm:build:1",
                "externalParameters": { "name": asked.name, "tag": asked.tag.to_string(), "dockerfile": dockerfile_of(asked, dockerfile) },
                "internalParameters": { "who": asked.who },
                "resolvedDependencies": inputs.chain(base).collect::<Vec<_>>(),
            },
            "runDetails": {
                "builder": { "id": format!("urn:holm:builder:{}", builders.join(",")), "version": { "holm": env!("CARGO_PKG_VERSION") } },
                "metadata": { "startedOn": times.begun.to_string(), "finishedOn": times.ended.to_string() },
            },
        },
    });
    let layer = assemble::keep_bytes(store, asked, statement.to_string().as_bytes(), STATEMENT)?;
    let empty = assemble::keep_bytes(store, asked, b"{}", "application/vnd.oci.empty.v1+json")?;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": document::MANIFEST, "artifactType": STATEMENT, "config": empty, "layers": [layer],
        "subject": { "mediaType": subject.manifest.media_type.as_str(), "digest": text, "size": subject.size },
        "annotations": { "in-toto.io/predicate-type": "https://slsa.dev/provenance/v1" },
    });
    let bytes = manifest.to_string().into_bytes();
    let reference = Reference::Digest(Digest::of(&bytes));
    store.add_manifest(&asked.repository, &bytes, Some(document::MANIFEST), &reference, asked.quota)?;
    Ok(())
}

/// What says values of the environment is left out.
fn dockerfile_of(asked: &Asked, dockerfile: &str) -> String {
    let is_env = |line: &&str| !asked.run.env.is_empty() && line.starts_with("ENV ");
    dockerfile.lines().filter(|line| !is_env(line)).map(|line| format!("{line}\n")).collect()
}
