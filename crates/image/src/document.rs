//! Configuration, manifest and index of an image, as the OCI image specification 1.1 writes them. No times: the same input
//! makes the same bytes.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::layer::DiffId;
use crate::plan::Run;
use crate::platform::Platform;

/// `Content-Type` of manifests.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// `Content-Type` of indexes.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Of configurations.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Of layers that were made here.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Content, as manifests name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// `sha256:…`
    pub digest: String,
    /// Bytes.
    pub size: u64,
}

/// The image that another one is built on.
#[derive(Clone, Debug, PartialEq)]
pub struct Base {
    /// Its configuration.
    pub config: Value,
    /// Its layers.
    pub layers: Vec<Descriptor>,
}

/// Why a base cannot be built on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the base's configuration is no image configuration: {0}")]
pub struct BaseError(&'static str);

// === impl Base ===

impl Base {
    /// For which machines it is.
    #[must_use]
    pub fn platform(&self) -> Platform {
        let text = |key: &str| self.config[key].as_str().map(str::to_owned);
        Platform {
            os: text("os").unwrap_or_else(|| "linux".to_owned()),
            architecture: text("architecture").unwrap_or_default(),
            variant: text("variant"),
        }
    }
}

/// The configuration of an image: the base's, with one layer more and what is run.
///
/// # Errors
/// When the base's is none.
pub fn config(
    base: Option<&Base>,
    platform: &Platform,
    layers: &[DiffId],
    run: &Run,
    labels: &BTreeMap<String, String>,
) -> Result<Vec<u8>, BaseError> {
    let none = json!({});
    let of = base.map_or(&none, |base| &base.config);
    let mut made = of.as_object().cloned().ok_or(BaseError("it is no object"))?;
    // Its times are not this image's.
    made.remove("created");
    let mut diffs: Vec<Value> = match &of["rootfs"]["diff_ids"] {
        Value::Array(all) => all.clone(),
        Value::Null => Vec::new(),
        _ => return Err(BaseError("its layers are no list")),
    };
    if base.is_some_and(|base| base.layers.len() != diffs.len()) {
        return Err(BaseError("it counts other layers than the manifest"));
    }
    made.insert("history".into(), history(&of["history"], diffs.len(), layers.len()));
    diffs.extend(layers.iter().map(|id| json!(id)));
    let mut config = of["config"].as_object().cloned().unwrap_or_default();
    fill(&mut config, run, labels);
    made.insert("os".into(), json!(platform.os));
    made.insert("architecture".into(), json!(platform.architecture));
    match &platform.variant {
        Some(variant) => made.insert("variant".into(), json!(variant)),
        None => made.remove("variant"),
    };
    made.insert("rootfs".into(), json!({ "type": "layers", "diff_ids": diffs }));
    made.insert("config".into(), Value::Object(config));
    Ok(Value::Object(made).to_string().into_bytes())
}

/// How the layers were made, one entry for each: Buildah builds on no image whose history has another number of them.
fn history(base: &Value, before: usize, added: usize) -> Value {
    let mut all = base.as_array().cloned().unwrap_or_default();
    for entry in all.iter_mut().filter_map(Value::as_object_mut) {
        entry.remove("created");
    }
    if all.iter().filter(|entry| entry["empty_layer"] != json!(true)).count() != before {
        all = vec![json!({ "created_by": "unknown" }); before];
    }
    all.extend(vec![json!({ "created_by": "holm build" }); added]);
    Value::Array(all)
}

fn fill(config: &mut Map<String, Value>, run: &Run, labels: &BTreeMap<String, String>) {
    if !run.entrypoint.is_empty() {
        config.insert("Entrypoint".into(), json!(run.entrypoint));
        // What the base would run is nothing for this program.
        config.remove("Cmd");
    }
    if !run.command.is_empty() {
        config.insert("Cmd".into(), json!(run.command));
    }
    if let Some(dir) = &run.workdir {
        config.insert("WorkingDir".into(), json!(dir));
    }
    if let Some(user) = &run.user {
        config.insert("User".into(), json!(user));
    }
    let mut env: Vec<String> = match config.get("Env") {
        Some(Value::Array(all)) => all.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    };
    env.retain(|one| !one.split_once('=').is_some_and(|(key, _)| run.env.contains_key(key)));
    env.extend(run.env.iter().map(|(key, value)| format!("{key}={value}")));
    if !env.is_empty() {
        config.insert("Env".into(), json!(env));
    }
    merge(config, "ExposedPorts", run.ports.iter().map(|port| (format!("{port}/tcp"), json!({}))));
    merge(config, "Labels", labels.iter().map(|(key, value)| (key.clone(), json!(value))));
}

fn merge(config: &mut Map<String, Value>, key: &str, more: impl Iterator<Item = (String, Value)>) {
    let mut all = config.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
    all.extend(more);
    if !all.is_empty() {
        config.insert(key.to_owned(), Value::Object(all));
    }
}

/// The manifest of an image.
#[must_use]
pub fn manifest(
    config: &Descriptor,
    layers: &[Descriptor],
    annotations: &BTreeMap<String, String>,
) -> Vec<u8> {
    let mut made = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
    if !annotations.is_empty() {
        made["annotations"] = json!(annotations);
    }
    made.to_string().into_bytes()
}

/// Several images as one, each for its platform.
#[must_use]
pub fn index(images: &[(Descriptor, Platform)], annotations: &BTreeMap<String, String>) -> Vec<u8> {
    let entry = |(descriptor, platform): &(Descriptor, Platform)| {
        let mut entry = json!(descriptor);
        entry["platform"] = json!({ "os": platform.os, "architecture": platform.architecture });
        if let Some(variant) = &platform.variant {
            entry["platform"]["variant"] = json!(variant);
        }
        entry
    };
    let manifests: Vec<_> = images.iter().map(entry).collect();
    let mut made = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
    if !annotations.is_empty() {
        made["annotations"] = json!(annotations);
    }
    made.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_keeps_what_the_program_does_not_say() {
        let base = Base {
            config: json!({
                "architecture": "arm64", "os": "linux", "created": "2026-01-01T00:00:00Z",
                "history": [{ "created": "2026-01-01T00:00:00Z", "created_by": "COPY" }, { "empty_layer": true }],
                "config": { "Env": ["PATH=/bin", "A=1"], "Cmd": ["sh"], "User": "7", "Labels": { "x": "y" } },
                "rootfs": { "type": "layers", "diff_ids": ["sha256:base"] },
            }),
            layers: vec![Descriptor { media_type: LAYER.into(), digest: "sha256:b".into(), size: 1 }],
        };
        let run = Run {
            entrypoint: vec!["/app/x".into()],
            env: BTreeMap::from([("A".into(), "2".into())]),
            ports: vec![80],
            ..Run::default()
        };
        let labels = BTreeMap::from([("l".to_owned(), "m".to_owned())]);
        let made = config(Some(&base), &base.platform(), &["sha256:own".into()], &run, &labels).unwrap();
        let made: Value = serde_json::from_slice(&made).unwrap();
        assert_eq!(made["rootfs"]["diff_ids"], json!(["sha256:base", "sha256:own"]));
        assert_eq!(made["config"]["Env"], json!(["PATH=/bin", "A=2"]));
        assert_eq!((&made["config"]["Cmd"], &made["config"]["User"]), (&Value::Null, &json!("7")));
        assert_eq!(made["config"]["Labels"], json!({ "x": "y", "l": "m" }));
        assert_eq!(made.get("created"), None);
        let told = json!([{ "created_by": "COPY" }, { "empty_layer": true }, { "created_by": "holm build" }]);
        assert_eq!(made["history"], told);
        let mut base = base;
        base.config["history"] = json!([{}, {}]);
        let made = config(Some(&base), &base.platform(), &["sha256:own".into()], &run, &labels).unwrap();
        let made: Value = serde_json::from_slice(&made).unwrap();
        assert_eq!(made["history"], json!([{ "created_by": "unknown" }, { "created_by": "holm build" }]));
        let other = Base { layers: Vec::new(), ..base };
        assert!(config(Some(&other), &other.platform(), &[], &run, &labels).is_err());
    }
}
