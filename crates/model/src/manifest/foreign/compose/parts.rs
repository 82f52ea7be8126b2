//! Environment, ports, volumes, health checks, secrets and files, and who reaches whom.

use std::collections::BTreeMap;

use super::super::build::{self, Map, scalar};
use super::super::{Turn, words};
use super::File;
use super::service::span;
use crate::manifest::Place;
use crate::manifest::read::At;
use crate::name::shorten;

// === environment ===

/// What is said later, and beside files, counts.
pub(super) struct Variables {
    place: Place,
    files: BTreeMap<String, (Place, String)>,
    said: BTreeMap<String, (Place, String)>,
}

impl Variables {
    pub(super) const fn new(place: Place) -> Self {
        Self { place, files: BTreeMap::new(), said: BTreeMap::new() }
    }

    /// A mapping, or a list of `NAME=value`.
    pub(super) fn environment(&mut self, at: &At<'_>, turn: Turn<'_>) {
        if let Some(items) = at.items_or_none() {
            for item in items {
                let text = item.text("`NAME=value`").unwrap_or_default();
                match text.split_once('=') {
                    Some((name, value)) => self.say(&item, name, value),
                    None => self.inherit(&item, text, turn),
                }
            }
            return;
        }
        for (name, at) in at.entries("variables", |key| Ok(key.to_owned())).unwrap_or_default() {
            match at.scalar() {
                Some(value) => self.say(&at, &name, value),
                None if at.is_map() || at.is_list() => {
                    at.refuse::<()>("expected a text").unwrap_or_default();
                }
                None => self.inherit(&at, &name, turn),
            }
        }
    }

    fn say(&mut self, at: &At<'_>, name: &str, value: &str) {
        self.said.insert(name.to_owned(), (at.node().place, value.to_owned()));
    }

    /// As it is set for whoever calls; not at all if it is not.
    fn inherit(&mut self, at: &At<'_>, name: &str, turn: Turn<'_>) {
        match (turn.around.variables)(name) {
            Some(value) => self.say(at, name, &value),
            None => turn.warn(at, format_args!("the variable `{}` is not set, and left out", shorten(name))),
        }
    }

    /// One file, or several.
    pub(super) fn files(&mut self, at: &At<'_>, turn: Turn<'_>) {
        for item in at.items_or_none().unwrap_or_else(|| vec![at.clone()]) {
            let path = item.child("path").unwrap_or_else(|| item.clone());
            let needed = item.child("required").is_none_or(|at| at.scalar() != Some("false"));
            let Some(name) = path.text("a path") else { continue };
            match (turn.around.files)(name) {
                Ok(text) => self.file(&path, &text),
                Err(_) if !needed => {}
                Err(why) => path.refuse::<()>(why).unwrap_or_default(),
            }
        }
    }

    fn file(&mut self, at: &At<'_>, text: &str) {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let line = line.strip_prefix("export ").unwrap_or(line);
            let Some((name, value)) = line.split_once('=') else { continue };
            let value = value.trim();
            let quoted = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
            let value = quoted.unwrap_or_else(|| value.split(" #").next().unwrap_or(value).trim_end());
            self.files.insert(name.trim().to_owned(), (at.node().place, value.to_owned()));
        }
    }

    pub(super) fn done(mut self) -> Map {
        let mut env = Map::new(self.place);
        self.files.append(&mut self.said);
        for (name, (place, value)) in self.files {
            env.say(&name, place, value);
        }
        env
    }
}

// === ports ===

/// Most ports of one range.
const MOST_PORTS: u16 = 100;

/// Ports of the service's containers, for those who connect to it.
pub(super) fn targets(service: &At<'_>) -> Vec<String> {
    let of = |key| service.child(key).and_then(|at| at.items_or_none()).unwrap_or_default();
    let published = of("ports").into_iter().filter_map(|at| {
        let text = at.child("target").unwrap_or_else(|| at.clone());
        Some(text.scalar()?.rsplit(':').next()?.trim_end_matches("/tcp").to_owned())
    });
    let internal =
        of("expose").into_iter().filter_map(|at| Some(at.scalar()?.trim_end_matches("/tcp").to_owned()));
    let mut all: Vec<String> = published.chain(internal).filter(|port| port.parse::<u16>().is_ok()).collect();
    all.sort();
    all.dedup();
    all
}

fn add(ports: &mut Map, place: Place, host: &str, container: &str) {
    let name = format!("p{container}");
    if ports.has(&name) {
        return;
    }
    let mut port = Map::new(place);
    port.say("host", place, host);
    port.say("container", place, container);
    ports.put(&name, port.done());
}

/// `80`, `8080:80`, `127.0.0.1:8080:80`, `9090-9091:8080-8081`, `80/tcp`, or a mapping.
pub(super) fn published(at: &At<'_>, ports: &mut Map, turn: Turn<'_>) {
    for item in at.items("a list of ports").unwrap_or_default() {
        if item.is_map() {
            long_port(&item, ports, turn);
            continue;
        }
        let text = item.text("a port").unwrap_or_default();
        let (text, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        if protocol != "tcp" {
            item.refuse::<()>("Holm carries TCP only").unwrap_or_default();
            continue;
        }
        let (left, container) = text.rsplit_once(':').unwrap_or(("", text));
        let (address, host) = left.rsplit_once(':').unwrap_or(("", left));
        if !address.is_empty() {
            turn.warn(&item, "its address is not used: a port is opened at all addresses of the node");
        }
        match (range(host), range(container)) {
            (Some(host), Some(container)) if host.is_empty() => {
                container.iter().for_each(|port| add(ports, item.node().place, "auto", &port.to_string()));
            }
            (Some(host), Some(container)) if host.len() == container.len() => {
                for (host, container) in host.iter().zip(&container) {
                    add(ports, item.node().place, &host.to_string(), &container.to_string());
                }
            }
            _ => {
                let found = item.found();
                item.refuse::<()>(format_args!("expected a port, as in `8080:80`, found {found}"))
                    .unwrap_or_default();
            }
        }
    }
}

/// Nothing for an empty text. `None`: it is no port, and no range that is short enough.
fn range(text: &str) -> Option<Vec<u16>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
    (0 < first && first <= last && last - first < MOST_PORTS).then(|| (first..=last).collect())
}

fn long_port(at: &At<'_>, ports: &mut Map, turn: Turn<'_>) {
    let said = |key| at.child(key).and_then(|at| at.scalar().map(str::to_owned));
    if said("protocol").is_some_and(|protocol| protocol != "tcp") {
        at.refuse::<()>("Holm carries TCP only").unwrap_or_default();
        return;
    }
    for key in ["host_ip", "mode", "app_protocol", "name"] {
        if let Some(at) = at.child(key) {
            turn.warn(&at, "is not used: a port is opened at all addresses of the node");
        }
    }
    let Some(target) = said("target") else {
        at.refuse::<()>("`target` is missing: the port inside the container").unwrap_or_default();
        return;
    };
    add(ports, at.node().place, said("published").as_deref().unwrap_or("auto"), &target);
}

/// Ports for the other services of the file.
pub(super) fn internal(at: &At<'_>, ports: &mut Map) {
    for item in at.items("a list of ports").unwrap_or_default() {
        match range(item.text("a port").unwrap_or_default().trim_end_matches("/tcp")) {
            Some(all) if !all.is_empty() => {
                all.iter().for_each(|port| add(ports, item.node().place, "auto", &port.to_string()));
            }
            _ => {
                item.refuse::<()>(format_args!("expected a port, found {}", item.found())).unwrap_or_default()
            }
        }
    }
}

// === who reaches whom ===

/// Services that this one waits for, in a list or a mapping, and those that it has links to.
pub(super) fn depends(service: &At<'_>) -> Vec<String> {
    let Some(at) = service.child("depends_on") else { return Vec::new() };
    match at.items_or_none() {
        Some(items) => items.iter().filter_map(|at| at.scalar().map(str::to_owned)).collect(),
        None => at.node().pairs().map(|(name, _)| name.to_owned()).collect(),
    }
}

/// What it depends on, it connects to, as far as that has ports.
pub(super) fn connects(service: &At<'_>, file: &File<'_>, native: &mut Map, turn: Turn<'_>) {
    let links = service.child("links").and_then(|at| at.items_or_none()).unwrap_or_default();
    let links =
        links.iter().filter_map(At::scalar).map(|link| link.split(':').next().unwrap_or(link).to_owned());
    let mut all: Vec<String> = depends(service).into_iter().chain(links).collect();
    all.sort();
    all.dedup();
    let at = service.child("depends_on").or_else(|| service.child("links"));
    let Some(at) = at.filter(|_| !all.is_empty()) else { return };
    let place = at.node().place;
    let mut list = Vec::new();
    let mut reached = Vec::new();
    for other in all {
        let Some(ports) = file.ports.get(&other) else {
            at.refuse::<()>(format_args!("there is no service `{}`", shorten(&other))).unwrap_or_default();
            continue;
        };
        let own = words::name(&other).unwrap_or_default();
        for port in ports {
            let mut connect = Map::new(place);
            connect.say("service", place, own.as_str());
            connect.say("port", place, format!("p{port}"));
            list.push(connect.done());
            let variable = format!("{own}_p{port}").to_uppercase().replace('-', "_");
            reached.push(format!("`{other}:{port}` is at `$HOLM_CONNECT_{variable}`"));
        }
    }
    let at_what = match reached.is_empty() {
        true => String::new(),
        false => {
            format!("; {} if it ran before, and always in the file `$HOLM_CONNECTS`", reached.join(", "))
        }
    };
    turn.warn(
        &at,
        format_args!(
            "is not an order here: all start at once, and are started again until they work{at_what}"
        ),
    );
    native.put_list("connects", place, list);
}

// === volumes ===

pub(super) fn volumes(own: &str, at: &At<'_>, file: &File<'_>, native: &mut Map, turn: Turn<'_>) {
    let mut all = Vec::new();
    for (number, item) in at.items("a list of volumes").unwrap_or_default().iter().enumerate() {
        let place = item.node().place;
        let Some((source, target, read_only)) = volume(item, turn) else { continue };
        let source = if source.is_empty() {
            turn.warn(item, "has no name, and gets one: it stays with the application");
            format!("{own}-{number}")
        } else if source.starts_with('/') {
            turn.warn(
                item,
                "is a path of the node: its owner has to allow it there (`holm node consent paths`)",
            );
            source
        } else if source.starts_with(['.', '~']) {
            item.refuse::<()>(
                "a path of this machine is none of the node's: use a named volume, or `configs` for a file",
            )
            .unwrap_or_default();
            continue;
        } else if file.volumes.contains(&source) {
            words::name(&source).unwrap_or_default()
        } else {
            item.refuse::<()>(format_args!("there is no volume `{}` in `volumes`", shorten(&source)))
                .unwrap_or_default();
            continue;
        };
        let end = if read_only { ":ro" } else { "" };
        all.push(scalar(place, format!("{source}:{target}{end}")));
    }
    native.put_list("volumes", at.node().place, all);
}

/// Source, target, read-only.
fn volume(at: &At<'_>, turn: Turn<'_>) -> Option<(String, String, bool)> {
    if at.is_map() {
        let said = |key| at.child(key).and_then(|at| at.scalar().map(str::to_owned));
        match said("type").as_deref() {
            Some("volume" | "bind") | None => {}
            Some(other) => {
                return at.refuse(format_args!("Holm has no volumes of type `{}`", shorten(other)));
            }
        }
        for key in ["bind", "volume", "consistency"] {
            if let Some(at) = at.child(key) {
                turn.warn(&at, "is not used");
            }
        }
        let Some(target) = said("target") else { return at.refuse("`target` is missing") };
        return Some((
            said("source").unwrap_or_default(),
            target,
            said("read_only").as_deref() == Some("true"),
        ));
    }
    let text = at.text("a volume")?;
    let parts: Vec<&str> = text.split(':').collect();
    match *parts.as_slice() {
        [target] => Some((String::new(), target.to_owned(), false)),
        [source, target] => Some((source.to_owned(), target.to_owned(), false)),
        [source, target, modes] => {
            let read_only = modes.split(',').any(|mode| mode == "ro");
            if modes.split(',').any(|mode| !matches!(mode, "ro" | "rw")) {
                turn.warn(at, "modes but `ro` and `rw` are not used");
            }
            Some((source.to_owned(), target.to_owned(), read_only))
        }
        _ => at.refuse(format_args!("expected a volume, as in `data:/var/lib/app`, found {}", at.found())),
    }
}

// === health ===

pub(super) fn health(at: &At<'_>, native: &mut Map, turn: Turn<'_>) {
    let mut health = Map::new(at.node().place);
    for (key, at) in at.entries("a health check", |key| Ok(key.to_owned())).unwrap_or_default() {
        match key.as_str() {
            "disable" if at.scalar() == Some("true") => return,
            "disable" => {}
            "test" => match test(&at) {
                Some(words) if words.is_empty() => return,
                Some(words) => health.put("exec", build::list(at.node().place, words)),
                None => {}
            },
            "interval" => span(&at, "every", &mut health),
            "timeout" => span(&at, "timeout", &mut health),
            "retries" => health.say("failures", at.node().place, at.text("a number").unwrap_or_default()),
            "start_period" => span(&at, "start", &mut health),
            "start_interval" => turn.warn(&at, "is not used: `interval` counts from the start on"),
            _ => at.refuse_key::<()>("a health check has no such key").unwrap_or_default(),
        }
    }
    native.put_map("health", health);
}

/// Nothing: there is no check.
fn test(at: &At<'_>) -> Option<Vec<String>> {
    let shell = |line: &str| vec!["/bin/sh".to_owned(), "-c".to_owned(), line.to_owned()];
    if let Some(line) = at.scalar() {
        return Some(shell(line));
    }
    let items = at.items("a list that begins with `CMD`, `CMD-SHELL` or `NONE`")?;
    let words: Option<Vec<&str>> = items.iter().map(|at| at.text("a text")).collect();
    match *words?.as_slice() {
        ["NONE", ..] => Some(Vec::new()),
        ["CMD", ref words @ ..] if !words.is_empty() => {
            Some(words.iter().map(|word| (*word).to_owned()).collect())
        }
        ["CMD-SHELL", line] => Some(shell(line)),
        _ => at.refuse("expected a list that begins with `CMD`, `CMD-SHELL` or `NONE`"),
    }
}

// === secrets and files ===

pub(super) fn secrets(at: &At<'_>, file: &File<'_>, native: &mut Map, turn: Turn<'_>) {
    let mut secrets = Map::new(at.node().place);
    for (own, item) in named(at, &file.secrets) {
        let place = item.node().place;
        for key in ["uid", "gid", "mode"] {
            if let Some(at) = item.child(key) {
                turn.warn(&at, "is not used: it belongs to the instance alone");
            }
        }
        let other =
            |target: &At<'_>| target.scalar().is_some_and(|path| path.rsplit('/').next() != Some(&own));
        if let Some(target) = item.child("target").filter(other) {
            target
                .refuse::<()>(format_args!("a secret is a file of its own name here: `/run/secrets/{own}`"))
                .unwrap_or_default();
        }
        let mut how = Map::new(place);
        how.say("file", place, "true");
        secrets.put(&own, how.done());
    }
    native.put_map("secrets", secrets);
}

pub(super) fn configs(at: &At<'_>, file: &File<'_>, native: &mut Map, turn: Turn<'_>) {
    let mut files = Map::new(at.node().place);
    for (own, item) in named(at, &file.configs) {
        let place = item.node().place;
        for key in ["uid", "gid"] {
            if let Some(at) = item.child(key) {
                turn.warn(&at, "is not used: it belongs to the instance");
            }
        }
        let target = item.child("target").and_then(|at| at.scalar().map(str::to_owned));
        let mut how = Map::new(place);
        how.say("path", place, target.unwrap_or_else(|| format!("/{own}")));
        if let Some(mode) = item.child("mode").and_then(|at| at.scalar().map(str::to_owned)) {
            how.put(
                "mode",
                crate::manifest::tree::Node {
                    place,
                    value: crate::manifest::tree::Value::Scalar { text: mode, quoted: true },
                },
            );
        }
        files.put(&own, how.done());
    }
    native.put_map("files", files);
}

/// Each with its name here; those that the file does not have are noted.
fn named<'a>(at: &At<'a>, known: &BTreeMap<String, At<'_>>) -> Vec<(String, At<'a>)> {
    let mut all = Vec::new();
    for item in at.items("a list").unwrap_or_default() {
        let source = item.child("source").unwrap_or_else(|| item.clone());
        let Some(name) = source.text("a name") else { continue };
        match words::name(name).filter(|_| known.contains_key(name)) {
            Some(own) => all.push((own, item)),
            None => source
                .refuse::<()>(format_args!("there is no `{}` at the top of the file", shorten(name)))
                .unwrap_or_default(),
        }
    }
    all
}
