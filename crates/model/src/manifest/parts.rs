//! The parts of a service that have a form of their own: ports, volumes, resources, restart, stop.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::keys;
use super::read::At;
use crate::duration::Span;
use crate::name::Name;
use crate::resources::Resources;
use crate::service::{Port, Restart, RestartPolicy, Volume};

/// Longest grace period, and longest wait between two attempts.
const HOUR: Duration = Duration::from_secs(3600);
/// Shortest first wait: less is a crash loop that burns the node.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);
pub(super) const MOST_ATTEMPTS: u32 = 1_000;

const BACKOFF: &str = "shortest and longest wait between attempts, as in `1s..60s`";
const VOLUME: &str = "`source:target`, `source:target:ro` or a mapping with `source` and `target`";

// === ports ===

/// `bare`: instances share the node's network, so there is no container port.
pub(super) fn ports(at: &At<'_>, bare: bool) -> Option<BTreeMap<Name, Port>> {
    let entries = at.entries("a mapping of ports, as in `http: auto`", |key| {
        Name::new(key).map_err(|error| error.to_string())
    })?;
    let mut taken: BTreeMap<u16, Name> = BTreeMap::new();
    let mut ports = BTreeMap::new();
    for (name, at) in entries {
        let Some(port) = port(&at, bare) else { continue };
        if let Some(other) = port.host.and_then(|host| taken.insert(host, name.clone())) {
            at.refuse::<()>(format_args!("the node's port {} is already that of `{other}`", port.host?));
        }
        ports.insert(name, port);
    }
    Some(ports)
}

fn port(at: &At<'_>, bare: bool) -> Option<Port> {
    if !at.is_map() {
        return Some(Port { host: host(at)?, container: None });
    }
    let fields = at.fields("a port", &keys::PORT)?;
    let host = fields.or_default("host", host)?;
    let container = fields.optional("container", |at| {
        if bare {
            return at.refuse_key("a process listens on the node's own ports; use `host` alone");
        }
        number(at, "")
    })?;
    // One spelling: `None` says the same as the node's number.
    Some(Port { host, container: container.filter(|_| container != host) })
}

fn host(at: &At<'_>) -> Option<Option<u16>> {
    if at.scalar() == Some("auto") { Some(None) } else { number(at, " or `auto`").map(Some) }
}

fn number(at: &At<'_>, or: &str) -> Option<u16> {
    at.number(1..=u32::from(u16::MAX), or).and_then(|number| u16::try_from(number).ok())
}

// === volumes ===

pub(super) fn volumes(at: &At<'_>) -> Option<Vec<Volume>> {
    let mut targets = BTreeSet::new();
    let mut volumes = Vec::new();
    for item in at.items("a list of volumes, as in `[data:/var/lib/app]`")? {
        let Some(volume) = volume(&item) else { continue };
        if !targets.insert(volume.target.clone()) {
            item.refuse::<()>(format_args!("`{}` is already the target of another volume", volume.target));
        }
        volumes.push(volume);
    }
    Some(volumes)
}

fn volume(at: &At<'_>) -> Option<Volume> {
    if at.is_map() {
        let fields = at.fields(VOLUME, &keys::VOLUME)?;
        let from = fields.required("source", "an absolute path of the node or a volume's name");
        let to = fields.required("target", "an absolute path inside the instance");
        let from = from.and_then(|at| source(at.text("a path or a name")?, at));
        let to = to.and_then(|at| path(at.text("a path")?, at));
        let read_only = fields.or_default("read-only", At::switch);
        return Some(Volume { source: from?, target: to?, read_only: read_only? });
    }
    let parts: Vec<&str> = at.text(VOLUME)?.split(':').collect();
    let (from, to, read_only) = match *parts.as_slice() {
        [from, to] => (from, to, false),
        [from, to, "ro"] => (from, to, true),
        _ => return at.refuse(format_args!("expected {VOLUME}, found {}", at.found())),
    };
    Some(Volume { source: source(from, at)?, target: path(to, at)?, read_only })
}

fn source(text: &str, at: &At<'_>) -> Option<String> {
    if text.starts_with('/') {
        return path(text, at);
    }
    Name::new(text).map_or_else(
        |error| at.refuse(format_args!("expected an absolute path or a volume's name: {error}")),
        |name| Some(name.to_string()),
    )
}

/// An absolute path that stays where it says.
pub(super) fn path(text: &str, at: &At<'_>) -> Option<String> {
    let fine = text.starts_with('/') && text.len() <= 4096 && text.split('/').all(|part| part != "..");
    if fine {
        return Some(text.to_owned());
    }
    at.refuse(format_args!("expected an absolute path without `..`, found `{}`", crate::name::shorten(text)))
}

// === resources ===

pub(super) fn resources(at: &At<'_>) -> Option<Resources> {
    let fields = at.fields("a mapping with `cpu` and `memory`", &keys::RESOURCES)?;
    let cpu = fields.or_default("cpu", |at| at.parsed("an amount of CPU, as in `1.5` or `100m`"));
    let memory = fields.or_default("memory", |at| at.parsed("an amount of memory, as in `32Mi`"));
    Some(Resources::new(cpu?, memory?))
}

// === restart, stop ===

pub(super) fn restart(at: &At<'_>) -> Option<Restart> {
    let fields = at.fields("a mapping with `policy`, `attempts` or `backoff`", &keys::RESTART)?;
    let default = Restart::default();
    let policies = [
        ("never", RestartPolicy::Never),
        ("on-failure", RestartPolicy::OnFailure),
        ("always", RestartPolicy::Always),
    ];
    let policy = fields.get("policy").map_or(Some(default.policy), |at| at.one_of(&policies));
    let attempts =
        fields.get("attempts").map_or(Some(default.attempts), |at| at.number(0..=MOST_ATTEMPTS, ""));
    let backoff = fields.get("backoff").map_or(Some(default.backoff), backoff);
    Some(Restart { policy: policy?, attempts: attempts?, backoff: backoff? })
}

fn backoff(at: &At<'_>) -> Option<(Duration, Duration)> {
    let text = at.text(BACKOFF)?;
    let Some((first, longest)) = text.split_once("..") else {
        return at.refuse(format_args!("expected {BACKOFF}, found {}", at.found()));
    };
    let (first, longest) = match (first.trim().parse::<Span>(), longest.trim().parse::<Span>()) {
        (Ok(first), Ok(longest)) => (first.0, longest.0),
        (Err(error), _) | (_, Err(error)) => return at.refuse(error),
    };
    if SHORTEST_WAIT <= first && first <= longest && longest <= HOUR {
        return Some((first, longest));
    }
    at.refuse(format_args!("expected {BACKOFF}, from 10ms to 1h and the longest last, found {}", at.found()))
}

/// How long a stop may take until it is forced, and waits for connections before it begins.
pub(super) type Stop = (Option<Duration>, Option<Duration>);

pub(super) fn stop(at: &At<'_>) -> Option<Stop> {
    let fields = at.fields("a mapping with `grace` or `drain`", &keys::STOP)?;
    if fields.get("grace").or(fields.get("drain")).is_none() {
        return at.refuse_key(
            "nothing is said: write how long a graceful stop may take, as in `grace: 10s`, or how long it waits for \
             connections, as in `drain: 10s`",
        );
    }
    let grace = fields.optional("grace", up_to_an_hour);
    let drain = fields.optional("drain", up_to_an_hour);
    Some((grace?, drain?))
}

fn up_to_an_hour(at: &At<'_>) -> Option<Duration> {
    let Span(span) = at.parsed("a duration, as in `10s`")?;
    if span > HOUR {
        return at.refuse(format_args!("expected at most 1h, found {}", at.found()));
    }
    Some(span)
}
