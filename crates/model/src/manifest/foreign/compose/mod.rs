//! The Compose Specification: several containers, as they are written for one machine.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`service`] | the keys of a service |
//! | [`parts`] | ports, volumes, environment, health checks, secrets and files |
//! | [`deploy`] | how many, how much, where, and how they change |

mod deploy;
mod parts;
mod service;

use std::collections::{BTreeMap, BTreeSet};

use super::build::{self, Map, scalar};
use super::edgeio::named;
use super::{Turn, words};
use crate::manifest::read::At;
use crate::manifest::tree::Node;

/// What is said of the file beside its services.
pub(super) struct File<'a> {
    /// Top-level `secrets` and `configs`: whether somebody else keeps them.
    secrets: BTreeMap<String, At<'a>>,
    configs: BTreeMap<String, At<'a>>,
    volumes: BTreeSet<String>,
    /// Names of services, and the ports that others reach.
    ports: BTreeMap<String, Vec<String>>,
}

pub(super) fn translate(at: &At<'_>, turn: Turn<'_>) -> Option<Node> {
    let place = at.node().place;
    let mut file = File {
        secrets: BTreeMap::new(),
        configs: BTreeMap::new(),
        volumes: BTreeSet::new(),
        ports: BTreeMap::new(),
    };
    let (mut called, mut services) = (None, None);
    for (key, at) in at.entries("a Compose file", |key| Ok(key.to_owned()))? {
        match key.as_str() {
            "name" => called = named(&at, turn),
            "services" => services = Some(at),
            "secrets" => file.secrets = things(&at, turn, "secret"),
            "configs" => file.configs = things(&at, turn, "file"),
            "volumes" => file.volumes = volumes(&at, turn),
            "networks" => {
                turn.warn(&at, "is not used: services reach what they `connects` to, wherever that runs")
            }
            "version" => {}
            "include" | "models" => {
                at.refuse_key::<()>("is not read by Holm; put it into this file").unwrap_or_default();
            }
            key if key.starts_with("x-") => {}
            _ => at.refuse_key::<()>("a Compose file has no such key").unwrap_or_default(),
        }
    }
    let Some(services) = services else { return at.refuse("`services` is missing") };
    let all = services.entries("a mapping of services", |key| Ok(key.to_owned()))?;
    file.ports = all.iter().map(|(name, at)| (name.clone(), parts::targets(at))).collect();
    circles(&all);
    let mut native = Map::new(place);
    for (name, at) in &all {
        if is_left_out(at, turn) {
            continue;
        }
        let Some(own) = words::name(name) else {
            at.refuse_key::<()>("expected a name with letters or digits").unwrap_or_default();
            continue;
        };
        if own != *name {
            turn.warn(at, format_args!("is called `{own}` here: names are lower case, with dashes"));
        }
        native.put(&own, service::translate(&own, at, &file, turn));
    }
    let called = called.or_else(|| words::name(turn.around.name).map(|name| scalar(place, name)));
    let Some(name) = called else { return at.refuse("`name` is missing: the name of the application") };
    Some(build::application(place, name, native))
}

/// Secrets and files of the project, which have to be set there once.
fn things<'a>(at: &At<'a>, turn: Turn<'_>, word: &str) -> BTreeMap<String, At<'a>> {
    let all = at.entries("a mapping", |key| Ok(key.to_owned())).unwrap_or_default();
    for (name, at) in &all {
        let own = words::name(name).unwrap_or_default();
        let from = at.child("file").and_then(|file| file.scalar().map(str::to_owned));
        let how = match (from, word) {
            _ if at.child("external").is_some_and(|said| said.scalar() == Some("true")) => continue,
            (Some(file), "secret") => format!("`holm secret set {own} --from-file {file}`"),
            (Some(file), _) => format!("`holm file set {own} {file}`"),
            (None, _) => format!("`holm {word} set {own}`"),
        };
        turn.warn(at, format_args!("is not set by this: {how} does, once for the project"));
    }
    all.into_iter().collect()
}

fn volumes(at: &At<'_>, turn: Turn<'_>) -> BTreeSet<String> {
    let all = at.entries("a mapping of volumes", |key| Ok(key.to_owned())).unwrap_or_default();
    for (_, at) in &all {
        for key in ["driver", "driver_opts", "external", "name", "labels"] {
            if let Some(at) = at.child(key) {
                turn.warn(&at, "is not used: the node's engine keeps a volume of the application");
            }
        }
    }
    all.into_iter().map(|(name, _)| name).collect()
}

fn is_left_out(at: &At<'_>, turn: Turn<'_>) -> bool {
    let profiles = at.child("profiles").and_then(|at| at.items_or_none()).unwrap_or_default();
    let names: Vec<&str> = profiles.iter().filter_map(At::scalar).collect();
    !names.is_empty() && !names.iter().any(|name| turn.around.profiles.contains(*name))
}

/// Services that each wait for the next one.
fn circles(all: &[(String, At<'_>)]) {
    let waits: BTreeMap<&str, Vec<String>> =
        all.iter().map(|(name, at)| (name.as_str(), parts::depends(at))).collect();
    let mut left: Vec<&str> = waits.keys().copied().collect();
    loop {
        let before = left.clone();
        left.retain(|name| waits[name].iter().any(|other| before.contains(&other.as_str())));
        if left.is_empty() {
            return;
        }
        if left.len() == before.len() {
            let of = all.iter().find(|(name, _)| *name == left[0]).map(|(_, at)| at);
            if let Some(at) = of.and_then(|at| at.child("depends_on")) {
                let names = left.iter().take(8).copied().collect::<Vec<_>>().join(", ");
                at.refuse::<()>(format_args!("`depends_on` goes in a circle: {names}")).unwrap_or_default();
            }
            return;
        }
    }
}
