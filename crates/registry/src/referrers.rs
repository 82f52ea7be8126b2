//! The list of what is attached to a manifest, as the specification wants it. Pure.

use serde_json::{Value, json};

use crate::digest::Digest;
use crate::manifests::{Manifest, MediaType};

/// The answer to one question for referrers.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// An image index: the body.
    pub index: Value,
    /// The last of this page when there are more: the next page begins after it.
    pub next: Option<Digest>,
}

/// At most `most` (one at least) of the manifests in order of their digests, beginning after `last`; of those with
/// `artifact_type` only, if there is one. `attached` is in order of digests: digest, bytes, manifest.
pub fn page<'a>(
    attached: impl Iterator<Item = (Digest, u64, &'a Manifest)>,
    artifact_type: Option<&str>,
    last: Option<Digest>,
    most: usize,
) -> Page {
    let mut found =
        attached.filter(|(digest, ..)| last.is_none_or(|last| *digest > last)).filter(|(.., manifest)| {
            artifact_type.is_none_or(|kind| manifest.artifact_type.as_deref() == Some(kind))
        });
    let page: Vec<_> = found.by_ref().take(most.max(1)).collect();
    let next = found.next().and(page.last().map(|(digest, ..)| *digest));
    let manifests: Vec<_> =
        page.iter().map(|(digest, size, manifest)| descriptor(*digest, *size, manifest)).collect();
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciIndex.as_str(),
        "manifests": manifests,
    });
    Page { index, next }
}

fn descriptor(digest: Digest, size: u64, manifest: &Manifest) -> Value {
    let mut made = json!({
        "mediaType": manifest.media_type.as_str(),
        "digest": digest.to_string(),
        "size": size,
    });
    if let Some(kind) = &manifest.artifact_type {
        made["artifactType"] = json!(kind);
    }
    if !manifest.annotations.is_empty() {
        made["annotations"] = json!(manifest.annotations);
    }
    made
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn attached(kinds: &[Option<&str>]) -> BTreeMap<Digest, Manifest> {
        let manifest = |kind: &Option<&str>| Manifest {
            media_type: MediaType::OciManifest,
            blobs: BTreeMap::new(),
            children: BTreeMap::new(),
            subject: None,
            artifact_type: kind.map(str::to_owned),
            annotations: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        };
        kinds.iter().enumerate().map(|(n, kind)| (Digest::of(&[n as u8]), manifest(kind))).collect()
    }

    fn ask(all: &BTreeMap<Digest, Manifest>, kind: Option<&str>, last: Option<Digest>, most: usize) -> Page {
        page(all.iter().map(|(digest, manifest)| (*digest, 7, manifest)), kind, last, most)
    }

    #[test]
    fn pages_name_everything_once() {
        let all = attached(&[Some("x"), None, Some("y"), Some("x"), Some("x")]);
        let (mut last, mut seen) = (None, Vec::new());
        loop {
            let page = ask(&all, None, last, 2);
            seen.extend(page.index["manifests"].as_array().unwrap().iter().map(|one| one["digest"].clone()));
            last = page.next;
            if last.is_none() {
                break;
            }
        }
        assert_eq!(seen, all.keys().map(|digest| json!(digest.to_string())).collect::<Vec<_>>());
        assert_eq!(ask(&all, None, None, 5).next, None, "a page that is just full is the last");
    }

    #[test]
    fn a_filter_leaves_only_its_type_and_nothing_is_an_empty_list() {
        let all = attached(&[Some("x"), None, Some("y")]);
        let page = ask(&all, Some("y"), None, 10);
        let expected = json!({
            "mediaType": MediaType::OciManifest.as_str(), "digest": Digest::of(&[2]).to_string(), "size": 7,
            "artifactType": "y", "annotations": {"a": "b"},
        });
        assert_eq!(page.index["manifests"], json!([expected]));
        assert_eq!(ask(&all, Some("z"), None, 10).index["manifests"], json!([]));
        let without = ask(&attached(&[None]), None, None, 10).index;
        assert_eq!(without["manifests"][0].get("artifactType"), None);
    }
}
