//! Ports at orchestrators through which a service is reached.

use std::collections::{BTreeMap, BTreeSet};

use super::health::only;
use super::keys;
use super::read::At;
use crate::expose::{Expose, ExposedAt};
use crate::name::Name;
use crate::service::Port;

const EXPOSE: &str =
    "a port of the orchestrator, or a mapping from the service's ports to such, as in `{ http: 8080 }`";
const TIERS: [(&str, ExposedAt); 2] = [("cluster", ExposedAt::Cluster), ("root", ExposedAt::Root)];

pub(super) fn expose(at: &At<'_>, ports: &BTreeMap<Name, Port>) -> Option<BTreeMap<Name, Expose>> {
    if at.scalar().is_some() {
        let (name, expose) = (only(at, ports), number(at).map(Expose::new));
        return Some(BTreeMap::from([(name?, expose?)]));
    }
    let mut taken: BTreeMap<u16, Name> = BTreeMap::new();
    let mut exposed = BTreeMap::new();
    for (name, at) in at.entries(EXPOSE, |key| Name::new(key).map_err(|error| error.to_string()))? {
        let (known, expose) = (is_known(&name, &at, ports), one(&at));
        let (Some(()), Some(expose)) = (known, expose) else { continue };
        if let Some(other) = taken.insert(expose.port, name.clone()) {
            at.refuse::<()>(format_args!("port {} already leads to `{other}`", expose.port));
        }
        exposed.insert(name, expose);
    }
    Some(exposed)
}

fn is_known(name: &Name, at: &At<'_>, ports: &BTreeMap<Name, Port>) -> Option<()> {
    if ports.contains_key(name) {
        return Some(());
    }
    at.refuse_key(format_args!("the service has no port `{name}`; add it to its `ports`"))
}

fn one(at: &At<'_>) -> Option<Expose> {
    if !at.is_map() {
        return number(at).map(Expose::new);
    }
    let fields = at.fields("a mapping with `port` and `at`", &keys::EXPOSE)?;
    let port = fields.required("port", "the port at the orchestrator, as in `port: 8080`").and_then(number);
    let tiers = fields.get("at").map_or_else(|| Some(BTreeSet::from([ExposedAt::Cluster])), tiers);
    Some(Expose { port: port?, at: tiers? })
}

fn number(at: &At<'_>) -> Option<u16> {
    at.number(1..=u32::from(u16::MAX), "").and_then(|number| u16::try_from(number).ok())
}

fn tiers(at: &At<'_>) -> Option<BTreeSet<ExposedAt>> {
    let items = at.items("a list of `cluster` and `root`")?;
    if items.is_empty() {
        return at.refuse("expected `cluster`, `root` or both, found an empty list");
    }
    items.iter().map(|item| item.one_of(&TIERS)).collect()
}
