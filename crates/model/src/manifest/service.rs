//! One service: its keys, and the rules that follow from its runtime.

use std::collections::{BTreeMap, BTreeSet};

use super::application::Outline;
use super::before;
use super::contents;
use super::expose;
use super::healing;
use super::health::{self, About};
use super::keys;
use super::kinds;
use super::parts;
use super::placing;
use super::read::{At, Fields};
use super::scaling;
use super::updating;
use crate::name::{Name, shorten};
use crate::priority::Priority;
use crate::service::{ApplicationService, Connect, PerCluster, Port, Replicas, ServiceSpec};
use crate::template::{self, Variable};

/// Most slots of a numbered service.
pub(super) const MOST_REPLICAS: u32 = 10_000;

const NO_COMMAND: &str = "a process needs program and arguments, as in `command: [sleep, \"60\"]`";

/// Runtimes that the manifest has rules for; a plug-in decides about its keys itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rules {
    Process,
    Container,
    Open,
}

pub(super) fn read(at: &At<'_>, name: &Name, outline: &Outline<'_>) -> Option<ApplicationService> {
    let fields = at.fields("a mapping with `runtime` and what to run", &keys::SERVICE)?;
    let runtime = fields.required("runtime", "`process`, `container` or the name of a plug-in");
    let runtime = runtime.and_then(At::name);
    let rules = runtime.as_ref().map_or(Rules::Open, Rules::of);
    check_runtime(&fields, rules);
    let ports = fields.or_default("ports", |at| parts::ports(at, rules == Rules::Process));
    let command = fields.or_default("command", command);
    let before = fields.or_default("before", before::steps);
    let env = fields.or_default("env", env);
    let secrets = fields.or_default("secrets", contents::secrets);
    let files = fields.or_default("files", |at| contents::files(at, rules == Rules::Process));
    let on_change = fields.or_default("on-change", contents::on_change);
    let registry = fields.optional("registry", At::name);
    let identity = fields.or_default("identity", At::switch);
    let image = fields.optional("image", image);
    let workdir = fields.optional("workdir", |at| parts::path(at.text("a path")?, at));
    let user = fields.optional("user", user);
    let volumes = fields.or_default("volumes", parts::volumes);
    let ports = ports?;
    let scale = fields.optional("scale", |at| scaling::scale(at, &ports));
    let first = scale.as_ref().and_then(Option::as_ref).map_or(1, |scale| scale.min);
    let replicas =
        fields.get("replicas").map_or(Some((Replicas::Number(first), None)), |at| replicas(at, first));
    let per_cluster = replicas.and_then(|(_, per_cluster)| per_cluster);
    let replicas = replicas.map(|(replicas, _)| replicas);
    if let (Some(_), Some(replicas), Some(place)) =
        (per_cluster, fields.get("replicas"), fields.get("placement"))
    {
        check_per_cluster(replicas, place);
    }
    let resources = fields.or_default("resources", parts::resources);
    let placement = fields.or_default("placement", |at| placing::placement(at, outline));
    let restart = fields.or_default("restart", parts::restart);
    let stop = fields.or_default("stop", parts::stop);
    let connects = fields.or_default("connects", |at| connects(at, outline));
    let update = fields.or_default("update", |at| updating::update(at, replicas));
    let priorities =
        [Priority::Low, Priority::Normal, Priority::High].map(|priority| (priority.word(), priority));
    let priority = fields.or_default("priority", |at| at.one_of(&priorities));
    let healing = healing::healing(&fields, rules == Rules::Process, replicas);
    let kind = fields.or_default("kind", kinds::kind)?;
    kinds::check(&fields, &kind, name.as_str(), restart.as_ref(), replicas);
    if let (Some(Replicas::PerNode), Some(place)) = (&replicas, fields.get("placement")) {
        placing::check_per_node(place);
    }
    if let (Some(Replicas::PerNode), Some(connects)) = (&replicas, fields.get("connects")) {
        placing::check_bounds_per_node(connects);
    }
    if let (Some(Some(scale)), Some(resources), Some(replicas)) = (&scale, &resources, replicas) {
        scaling::check(&fields, scale, resources, &kind, replicas);
    }
    let health = fields.optional("health", |at| health::check(at, About::Health, &ports));
    let ready = fields.optional("ready", |at| health::check(at, About::Readiness, &ports));
    let expose = fields.or_default("expose", |at| expose::expose(at, &ports));
    check_templates(&fields, &ports);
    let (grace, drain) = stop?;
    let (secrets, on_change) = (secrets?, on_change?);
    contents::check(&fields, &secrets, on_change);
    let spec = ServiceSpec {
        runtime: runtime?,
        command: command?,
        before: before?,
        image: image?,
        env: env?,
        secrets,
        files: files?,
        on_change,
        registry: registry?,
        identity: identity?,
        workdir: workdir?,
        user: user?,
        volumes: volumes?,
        ports,
        resources: resources?,
        placement: placement?,
        restart: restart?,
        health: health?,
        ready: ready?,
        grace: grace.unwrap_or(ServiceSpec::GRACE),
        drain,
        expose: expose?,
        connects: connects?,
        update: update?,
        kind,
        healing: healing?,
        scale: scale?,
        per_cluster,
        priority: priority?,
    };
    healing::check_ending(&fields, &spec);
    if let (Some(Replicas::Number(_)), Some(place)) = (replicas, fields.get("placement")) {
        placing::check_violated(place, &spec);
    }
    Some(ApplicationService { spec, replicas: replicas? })
}

// === impl Rules ===

impl Rules {
    fn of(runtime: &Name) -> Self {
        match runtime.as_str() {
            "process" => Self::Process,
            "container" => Self::Container,
            _ => Self::Open,
        }
    }
}

fn check_runtime(fields: &Fields<'_>, rules: Rules) {
    match rules {
        Rules::Process => {
            fields.required("command", NO_COMMAND);
            if let Some(image) = fields.get("image") {
                image.refuse_key::<()>("a process has no image; use `runtime: container`, or remove it");
            }
            if let Some(registry) = fields.get("registry") {
                registry
                    .refuse_key::<()>("a process has no image, so nothing is asked of a registry; remove it");
            }
        }
        Rules::Container => {
            fields.required("image", "a container needs one, as in `image: docker.io/library/nginx:1.27`");
        }
        Rules::Open => {}
    }
}

pub(super) fn command(at: &At<'_>) -> Option<Vec<String>> {
    if let Some(line) = at.scalar() {
        let words: Vec<String> = line.split_whitespace().take(6).map(shorten).collect();
        let words = if words.is_empty() { "program, argument".to_owned() } else { words.join(", ") };
        return at.refuse(format_args!(
            "expected a list of program and arguments, found {}; write `[{words}]`, or `[sh, -c, \"…\"]` for a \
             shell",
            at.found()
        ));
    }
    let items = at.items("a list of program and arguments")?;
    if items.is_empty() {
        return at.refuse("expected at least the program, found an empty list");
    }
    let words: Option<Vec<String>> =
        items.iter().map(|item| item.text("a text").map(str::to_owned)).collect();
    let words = words?;
    if words[0].is_empty() { items[0].refuse("expected a program, found an empty text") } else { Some(words) }
}

fn env(at: &At<'_>) -> Option<BTreeMap<String, String>> {
    let entries = at.entries("a mapping of variables, as in `LOG: debug`", contents::variable)?;
    entries.into_iter().map(|(key, at)| Some((key, at.text("a text")?.to_owned()))).collect()
}

fn image(at: &At<'_>) -> Option<String> {
    let text = at.text("an image, as in `docker.io/library/nginx:1.27`")?;
    if text.is_empty() || text.len() > 512 || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return at.refuse(format_args!(
            "expected an image, as in `docker.io/library/nginx:1.27`, found {}",
            at.found()
        ));
    }
    Some(text.to_owned())
}

fn user(at: &At<'_>) -> Option<String> {
    const WHAT: &str = "a user's name or number";
    let text = at.text(WHAT)?;
    let fine = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    if text.len() > 64 || !text.splitn(2, ':').all(fine) || text.starts_with('-') {
        return at.refuse(format_args!("expected {WHAT}, found {}", at.found()));
    }
    Some(text.to_owned())
}

/// `first`: as many as there are where the mapping does not say.
fn replicas(at: &At<'_>, first: u32) -> Option<(Replicas, Option<PerCluster>)> {
    if at.scalar() == Some("per-node") {
        return Some((Replicas::PerNode, None));
    }
    if !at.is_map() {
        let number = at.number(0..=MOST_REPLICAS, " or `per-node`");
        return number.map(|number| (Replicas::Number(number), None));
    }
    let fields = at.fields("a mapping with `total` and `per-cluster`", &keys::REPLICAS)?;
    let total = fields.get("total").map_or(Some(first), |at| at.number(0..=MOST_REPLICAS, ""));
    let each =
        fields.required("per-cluster", "how many each cluster has, as in `per-cluster: { min: 1, max: 3 }`");
    let each = each.and_then(per_cluster);
    Some((Replicas::Number(total?), Some(each?)))
}

fn per_cluster(at: &At<'_>) -> Option<PerCluster> {
    let fields = at.fields("a mapping with `min` or `max`", &keys::PER_CLUSTER)?;
    if fields.get("min").or(fields.get("max")).is_none() {
        return at.refuse("expected `min` or `max`, as in `{ min: 1, max: 3 }`");
    }
    let min = fields.get("min").map_or(Some(0), |at| at.number(0..=MOST_REPLICAS, ""));
    let max = fields.get("max").map_or(Some(MOST_REPLICAS), |at| at.number(1..=MOST_REPLICAS, ""));
    let (min, max) = (min?, max?);
    if min > max {
        return at.refuse_key(format_args!("no number is at least `min: {min}` and at most `max: {max}`"));
    }
    Some(PerCluster { min, max })
}

/// Of one cluster, nothing is shared out.
fn check_per_cluster(at: &At<'_>, place: &At<'_>) {
    for key in ["cluster", "node"] {
        if place.child(key).is_some() {
            at.refuse_key::<()>(format_args!(
                "`per-cluster` shares replicas out, and `placement.{key}` names one; remove one of them"
            ));
        }
    }
}

fn connects(at: &At<'_>, outline: &Outline<'_>) -> Option<Vec<Connect>> {
    let mut seen = BTreeSet::new();
    let mut list = Vec::new();
    for item in at.items("a list, as in `[{ service: db, port: sql }]`")? {
        let Some(connect) = connect(&item, outline) else { continue };
        if !seen.insert((connect.service.clone(), connect.port.clone())) {
            item.refuse::<()>(format_args!("`{}` of `{}` is listed twice", connect.port, connect.service));
        }
        list.push(connect);
    }
    Some(list)
}

fn connect(at: &At<'_>, outline: &Outline<'_>) -> Option<Connect> {
    let fields = at.fields("a mapping with `service` and `port`", &keys::CONNECT)?;
    let service = fields.required("service", "the service to connect to");
    let port = fields.required("port", "the name of one of that service's ports");
    let bound = placing::bound(&fields);
    let (service, port) = (service?, port?);
    let connect = Connect { service: service.name()?, port: port.name()?, bound: bound? };
    outline.check(&connect, service, port)?;
    Some(connect)
}

/// Templates may name only what is known, and ports that the service has.
fn check_templates(fields: &Fields<'_>, ports: &BTreeMap<Name, Port>) {
    let command = fields.get("command").filter(|at| at.is_list()).and_then(|at| at.items(""));
    let env = fields.get("env").filter(|at| at.is_map()).and_then(|at| at.values());
    let steps = fields.get("before").filter(|at| at.is_list()).and_then(|at| at.items(""));
    let steps = steps.into_iter().flatten().filter_map(|step| step.child("command"));
    let steps = steps.filter(At::is_list).filter_map(|at| at.items("")).flatten();
    for at in command.into_iter().flatten().chain(steps).chain(env.into_iter().flatten()) {
        let Some(text) = at.scalar() else { continue };
        match template::names(text) {
            Err(error) => drop(at.refuse::<()>(error)),
            Ok(names) => names.iter().for_each(|name| check_port(name, ports, &at)),
        }
    }
}

fn check_port(variable: &Variable, ports: &BTreeMap<Name, Port>, at: &At<'_>) {
    if let Variable::Port(port) = variable
        && !ports.contains_key(port)
    {
        at.refuse::<()>(template::TemplateError::Port(port.clone()));
    }
}
