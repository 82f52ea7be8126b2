//! What a manifest says, as far as a registry needs to know it. Pure.
//!
//! The bytes are kept as they came; this is read from them when they come and when the store starts.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::digest::Digest;

/// Kinds of manifests that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// An OCI image or artifact.
    OciManifest,
    /// Several OCI manifests.
    OciIndex,
    /// Docker's image, version 2, schema 2.
    DockerManifest,
    /// Several of those.
    DockerList,
}

/// What a manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// What the header or the document says it is.
    pub media_type: MediaType,
    /// Configuration and layers that must be here, and their bytes.
    pub blobs: BTreeMap<Digest, u64>,
    /// Manifests (or, in caches of builders, blobs) of an index, and their bytes.
    pub children: BTreeMap<Digest, u64>,
    /// The manifest that it is attached to, which need not be here.
    pub subject: Option<Digest>,
    /// As lists of referrers show it: of an image without one, the type of its configuration.
    pub artifact_type: Option<String>,
    /// As lists of referrers show them.
    pub annotations: BTreeMap<String, String>,
}

/// Why bytes are no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The header names no kind that is kept, or is missing and the document names none either.
    #[error(
        "manifests of the type {0:?} are not kept here; push an OCI image manifest or index, or Docker's version 2, schema 2"
    )]
    MediaType(String),
    /// Header and document contradict each other.
    #[error("the header Content-Type says {header}, the field mediaType {field}")]
    Contradiction {
        /// The header's word.
        header: String,
        /// The document's.
        field: String,
    },
    /// Not JSON, or not of this shape.
    #[error("it cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// It could be read as an image and as an index.
    #[error("it has {0}, which a manifest of this type cannot have")]
    Ambiguous(&'static str),
    /// A field that must be there.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// Two descriptors of one content disagree.
    #[error("it gives {digest} two sizes, {one} and {other} bytes")]
    Sizes {
        /// Of what.
        digest: Digest,
        /// The first.
        one: u64,
        /// The second.
        other: u64,
    },
    /// A number that must be 2.
    #[error("its schemaVersion is {0}, not 2")]
    Version(u32),
    /// A digest that is none.
    #[error("it names {text:?}: {source}")]
    Digest {
        /// As it stands there.
        text: String,
        /// What is wrong with it.
        source: crate::digest::DigestError,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<u32>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    annotations: Option<BTreeMap<String, String>>,
    #[serde(rename = "fsLayers")]
    fs_layers: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
}

const KINDS: [(MediaType, &str); 4] = [
    (MediaType::OciManifest, "application/vnd.oci.image.manifest.v1+json"),
    (MediaType::OciIndex, "application/vnd.oci.image.index.v1+json"),
    (MediaType::DockerManifest, "application/vnd.docker.distribution.manifest.v2+json"),
    (MediaType::DockerList, "application/vnd.docker.distribution.manifest.list.v2+json"),
];

// === impl MediaType ===

impl MediaType {
    /// As headers have it; parameters are ignored.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.split(';').next().unwrap_or_default().trim();
        KINDS.iter().find(|(_, name)| *name == plain).map(|(kind, _)| *kind)
    }

    /// As headers have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        // Each kind is in the table, which a test counts.
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    fn is_index(self) -> bool {
        matches!(self, Self::OciIndex | Self::DockerList)
    }
}

// === impl Manifest ===

impl Manifest {
    /// `header` is the `Content-Type`, if there is one.
    ///
    /// # Errors
    /// When it is no manifest of a kind that is kept, or could be read in two ways.
    pub fn parse(header: Option<&str>, bytes: &[u8]) -> Result<Self, ManifestError> {
        let document: Document = serde_json::from_slice(bytes)?;
        let media_type = kind(header, document.media_type.as_deref())?;
        if let Some(version) = document.schema_version.filter(|version| *version != 2) {
            return Err(ManifestError::Version(version));
        }
        document.schema_version.ok_or(ManifestError::Missing("schemaVersion"))?;
        let mut made = Self {
            media_type,
            blobs: BTreeMap::new(),
            children: BTreeMap::new(),
            subject: document.subject.as_ref().map(Descriptor::digest).transpose()?,
            artifact_type: document.artifact_type.filter(|text| !text.is_empty()),
            annotations: document.annotations.unwrap_or_default(),
        };
        if document.fs_layers.is_some() {
            return Err(ManifestError::Ambiguous("fsLayers"));
        }
        if media_type.is_index() {
            if document.layers.is_some() || document.config.is_some() {
                return Err(ManifestError::Ambiguous("config or layers"));
            }
            for child in document.manifests.ok_or(ManifestError::Missing("manifests"))? {
                insert(&mut made.children, &child)?;
            }
        } else {
            if document.manifests.is_some() {
                return Err(ManifestError::Ambiguous("manifests"));
            }
            let config = document.config.ok_or(ManifestError::Missing("config"))?;
            insert(&mut made.blobs, &config)?;
            for layer in document.layers.ok_or(ManifestError::Missing("layers"))? {
                if !is_elsewhere(&layer.media_type) {
                    insert(&mut made.blobs, &layer)?;
                }
            }
            if made.artifact_type.is_none() && !config.media_type.is_empty() {
                made.artifact_type = Some(config.media_type);
            }
        }
        Ok(made)
    }

    /// Whatever lives as long as this does.
    #[must_use]
    pub fn needs(&self) -> BTreeSet<Digest> {
        self.blobs.keys().chain(self.children.keys()).copied().collect()
    }
}

impl Descriptor {
    fn digest(&self) -> Result<Digest, ManifestError> {
        Digest::parse(&self.digest)
            .map_err(|source| ManifestError::Digest { text: self.digest.chars().take(100).collect(), source })
    }
}

fn insert(into: &mut BTreeMap<Digest, u64>, descriptor: &Descriptor) -> Result<(), ManifestError> {
    let digest = descriptor.digest()?;
    match into.insert(digest, descriptor.size) {
        Some(one) if one != descriptor.size => {
            Err(ManifestError::Sizes { digest, one, other: descriptor.size })
        }
        _ => Ok(()),
    }
}

/// Layers that may not be handed on, and are fetched from where they come from.
fn is_elsewhere(media_type: &str) -> bool {
    media_type.contains(".nondistributable.") || media_type.contains(".foreign.")
}

fn kind(header: Option<&str>, field: Option<&str>) -> Result<MediaType, ManifestError> {
    let read = |text: &str| {
        MediaType::parse(text).ok_or_else(|| ManifestError::MediaType(text.chars().take(100).collect()))
    };
    match (header.map(read).transpose()?, field.map(read).transpose()?) {
        (Some(header), Some(field)) if header != field => {
            Err(ManifestError::Contradiction { header: header.as_str().into(), field: field.as_str().into() })
        }
        (Some(kind), _) | (None, Some(kind)) => Ok(kind),
        (None, None) => Err(ManifestError::MediaType(String::new())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";

    fn descriptor(text: &[u8], kind: &str) -> String {
        format!(r#"{{"mediaType":"{kind}","digest":"{}","size":{}}}"#, Digest::of(text), text.len())
    }

    fn image(more: &str) -> String {
        let config = descriptor(b"{}", "application/vnd.x.config");
        let layer = descriptor(b"layer", "application/vnd.oci.image.layer.v1.tar");
        format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer},{layer}]{more}}}"#)
    }

    #[test]
    fn an_image_needs_its_configuration_and_layers() {
        let subject = descriptor(b"s", OCI);
        let text = image(&format!(r#","subject":{subject},"annotations":{{"a":"b"}},"future":[1]"#));
        let made = Manifest::parse(Some(&format!("{OCI}; charset=utf-8")), text.as_bytes()).unwrap();
        assert_eq!(made.needs(), BTreeSet::from([Digest::of(b"{}"), Digest::of(b"layer")]));
        assert_eq!(made.subject, Some(Digest::of(b"s")));
        assert_eq!(made.artifact_type.as_deref(), Some("application/vnd.x.config"));
        assert_eq!(made.annotations["a"], "b");
        assert_eq!(MediaType::parse(made.media_type.as_str()), Some(MediaType::OciManifest));
    }

    #[test]
    fn an_index_needs_its_manifests_and_has_no_type_by_itself() {
        let child = descriptor(b"child", OCI);
        let text = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{child}]}}"#);
        let made = Manifest::parse(None, text.as_bytes()).unwrap();
        assert_eq!((made.needs(), made.artifact_type), (BTreeSet::from([Digest::of(b"child")]), None));
    }

    #[test]
    fn layers_that_may_not_be_handed_on_are_not_asked_for() {
        let config = descriptor(b"{}", "c");
        let foreign = descriptor(b"windows", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
        let text = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{foreign}]}}"#);
        let made = Manifest::parse(Some(OCI), text.as_bytes()).unwrap();
        assert_eq!(made.needs(), BTreeSet::from([Digest::of(b"{}")]));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let refused = |header: &str, text: &str| {
            Manifest::parse(Some(header), text.as_bytes()).unwrap_err().to_string()
        };
        assert!(refused(OCI, &image(r#","manifests":[]"#)).contains("manifests"));
        assert!(refused(INDEX, &image(r#","manifests":[]"#)).contains("config or layers"));
        assert!(refused(OCI, &image(&format!(r#","mediaType":"{INDEX}""#))).contains("Content-Type"));
        assert!(refused(OCI, &image(r#","layers":[]"#)).contains("duplicate"));
        assert!(refused("text/plain", &image("")).contains("not kept"));
        assert!(refused(OCI, &image("").replace(":2,", ":1,")).contains("schemaVersion"));
        assert!(refused(OCI, &image("").replacen("\"size\":2", "\"size\":-2", 1)).contains("cannot be read"));
        assert!(refused(OCI, &image("").replacen("\"size\":5", "\"size\":6", 1)).contains("two sizes"));
        assert!(refused(OCI, "{").contains("cannot be read"));
        assert!(refused(OCI, &"[".repeat(100_000)).contains("cannot be read"));
        assert!(refused(OCI, &image("").replace("sha256:", "../")).contains("../"));
        assert!(refused(OCI, r#"{"schemaVersion":2}"#).contains("config"));
    }
}
