//! Health checks of a service: how its instances are asked whether they work, and whether they are ready.

use std::collections::BTreeMap;
use std::time::Duration;

use super::keys;
use super::read::{At, Fields};
use crate::duration::Span;
use crate::health::{Check, Probe};
use crate::name::Name;
use crate::service::Port;

/// Shortest wait between two probes, and shortest time for an answer: less would be a load of its own.
const SHORTEST: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
pub(super) const MOST_FAILURES: u32 = 1_000;
/// Bytes of a path.
const MOST_PATH: usize = 1024;

const CHECK: &str = "a mapping with `http`, `tcp` or `exec`, as in `{ http: /healthz }`";

/// What a check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// Whoever fails is started again.
    Health,
    /// Whoever fails gets no work.
    Readiness,
}

pub(super) fn check(at: &At<'_>, about: About, ports: &BTreeMap<Name, Port>) -> Option<Check> {
    let fields = at.fields(CHECK, &keys::HEALTH)?;
    let probe = probe(at, &fields, ports);
    let every = span(&fields, "every", Check::EVERY, SHORTEST, HOUR);
    let timeout = span(&fields, "timeout", Check::TIMEOUT, SHORTEST, MINUTE);
    let failures =
        fields.get("failures").map_or(Some(Check::FAILURES), |at| at.number(1..=MOST_FAILURES, ""));
    let start = match (fields.get("start"), about) {
        (Some(at), About::Readiness) => at.refuse_key(
            "an instance is not ready before its first good answer, so there is nothing to wait for; remove it",
        ),
        _ => span(&fields, "start", Check::START, Duration::ZERO, HOUR),
    };
    Some(Check { probe: probe?, every: every?, timeout: timeout?, failures: failures?, start: start? })
}

fn probe(at: &At<'_>, fields: &Fields<'_>, ports: &BTreeMap<Name, Port>) -> Option<Probe> {
    let port = fields.get("port");
    match (fields.get("http"), fields.get("tcp"), fields.get("exec")) {
        (Some(http), None, None) => {
            let path = path(http);
            let port = match port {
                Some(at) => named(at, ports),
                None => only(http, ports),
            };
            Some(Probe::Http { port: port?, path: path? })
        }
        (None, Some(tcp), None) => {
            refuse_port(port, "`tcp` names the port itself; remove it")?;
            Some(Probe::Tcp { port: named(tcp, ports)? })
        }
        (None, None, Some(exec)) => {
            refuse_port(port, "a command needs no port; remove it")?;
            Some(Probe::Exec(command(exec)?))
        }
        (None, None, None) => at.refuse(format_args!("expected {CHECK}, found none of these")),
        _ => at.refuse("expected one of `http`, `tcp` and `exec`, found more"),
    }
}

fn refuse_port(port: Option<&At<'_>>, why: &str) -> Option<()> {
    port.map_or(Some(()), |at| at.refuse_key(why))
}

/// A port of the service.
pub(super) fn named(at: &At<'_>, ports: &BTreeMap<Name, Port>) -> Option<Name> {
    let name = at.name()?;
    if ports.contains_key(&name) {
        return Some(name);
    }
    if ports.is_empty() {
        return at.refuse(format_args!("the service has no ports; add `{name}` to its `ports`"));
    }
    let there = ports.keys().map(Name::as_str).collect::<Vec<_>>().join(", ");
    at.refuse(format_args!("the service has no port `{name}`; it has: {there}"))
}

/// The port of a service that has one only.
pub(super) fn only(at: &At<'_>, ports: &BTreeMap<Name, Port>) -> Option<Name> {
    let mut names = ports.keys();
    match (names.next(), names.next()) {
        (Some(name), None) => Some(name.clone()),
        (None, _) => at.refuse("the service has no ports; add the one that it listens on to its `ports`"),
        (Some(_), Some(_)) => {
            let there = ports.keys().map(Name::as_str).collect::<Vec<_>>().join(", ");
            at.refuse(format_args!("the service has several ports; name one of: {there}"))
        }
    }
}

pub(super) fn path(at: &At<'_>) -> Option<String> {
    let text = at.text("a path, as in `/healthz`")?;
    let visible = text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if text.starts_with('/') && visible && text.len() <= MOST_PATH {
        return Some(text.to_owned());
    }
    at.refuse(format_args!(
        "expected a path as in `/healthz`, of visible ASCII without `#` and at most {MOST_PATH} characters, found {}",
        at.found()
    ))
}

fn command(at: &At<'_>) -> Option<Vec<String>> {
    let words = super::service::command(at)?;
    match words.iter().find(|word| word.contains("{{")) {
        Some(word) => at.refuse(format_args!(
            "a check's command has no templates, found `{}`; the instance's environment tells it the same",
            crate::name::shorten(word)
        )),
        None => Some(words),
    }
}

fn span(
    fields: &Fields<'_>,
    key: &str,
    usual: Duration,
    least: Duration,
    most: Duration,
) -> Option<Duration> {
    let Some(at) = fields.get(key) else { return Some(usual) };
    let Span(span) = at.parsed("a duration, as in `5s`")?;
    if (least..=most).contains(&span) {
        return Some(span);
    }
    at.refuse(format_args!("expected {} to {}, found {}", Span(least), Span(most), at.found()))
}
