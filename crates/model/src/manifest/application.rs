//! The top of a manifest, and the rules between services.

use std::collections::{BTreeMap, BTreeSet};

use super::keys;
use super::read::At;
use super::service;
use super::tree::{Node, Value};
use crate::name::Name;
use crate::service::{Application, ApplicationService, Connect};

/// The format that this module reads.
pub(super) const FORMAT: &str = "v1";

/// Most services of one application.
const MOST_SERVICES: usize = 1_000;

/// Services and their ports as they are written, right or wrong: so that a fault in one service is
/// not reported again by those that connect to it.
#[derive(Debug)]
pub(super) struct Outline<'a>(BTreeMap<&'a str, BTreeSet<&'a str>>);

pub(super) fn read(at: &At<'_>) -> Option<Application> {
    let fields = at.fields("a mapping with `holm`, `application` and `services`", &keys::TOP)?;
    let format = fields.required("holm", "write `holm: v1`, the version of the format").and_then(format);
    let name = fields.required("application", "the name of the application").and_then(At::name);
    let services = fields.required("services", "what the application is made of").and_then(services);
    format?;
    Some(Application { name: name?, services: services? })
}

fn format(at: &At<'_>) -> Option<()> {
    at.one_of(&[(FORMAT, ())])
}

fn services(at: &At<'_>) -> Option<BTreeMap<Name, ApplicationService>> {
    let entries = at.entries("a mapping of services", |key| Name::new(key).map_err(|e| e.to_string()))?;
    // Not `entries`: those with a wrong name were noted already.
    if matches!(&at.node().value, Value::Map(all) if all.is_empty()) {
        return at.refuse("expected at least one service");
    }
    if entries.len() > MOST_SERVICES {
        return at.refuse(format_args!("at most {MOST_SERVICES} services, found {}", entries.len()));
    }
    let outline = Outline::new(at.node());
    let read = |(name, at): (Name, At<'_>)| {
        let service = service::read(&at, &name, &outline)?;
        Some((name, service))
    };
    let services: BTreeMap<_, _> = entries.into_iter().filter_map(read).collect();
    if let Some(circle) = waits_for_itself(&services) {
        return at.refuse(format_args!(
            "`placement.with` goes in a circle, so that none of them could be placed first: {}; make one of them \
             `preferred`",
            listed(circle.iter().map(Name::as_str))
        ));
    }
    Some(services)
}

/// Services that must each be where the next one is already.
fn waits_for_itself(services: &BTreeMap<Name, ApplicationService>) -> Option<Vec<Name>> {
    let next = |name: &Name| -> Vec<Name> {
        let with = services.get(name).into_iter().flat_map(|service| &service.spec.placement.with);
        let required = with.filter(|company| company.weight.is_none() && company.service != *name);
        required.map(|company| company.service.clone()).collect()
    };
    // What waits for nobody that is left can be placed; who remains goes in a circle, or waits for one.
    let mut left: Vec<Name> = services.keys().cloned().collect();
    loop {
        let before = left.len();
        let stuck = left.clone();
        left.retain(|name| next(name).iter().any(|other| stuck.contains(other)));
        if left.is_empty() {
            return None;
        }
        if left.len() == before {
            return Some(left);
        }
    }
}

// === impl Outline ===

impl<'a> Outline<'a> {
    fn new(services: &'a Node) -> Self {
        let ports = |service: &'a Node| {
            service
                .child("ports")
                .map(|ports| ports.pairs().map(|(name, _)| name).collect())
                .unwrap_or_default()
        };
        Self(services.pairs().map(|(name, service)| (name, ports(service))).collect())
    }

    /// Notes when there is no such service.
    pub(super) fn check_service(&self, service: &Name, at: &At<'_>) -> Option<()> {
        if self.0.contains_key(service.as_str()) {
            return Some(());
        }
        let there = listed(self.0.keys().copied());
        at.refuse(format_args!("there is no service `{service}`; there are: {there}"))
    }

    /// Notes when the service or its port does not exist.
    pub(super) fn check(&self, connect: &Connect, service: &At<'_>, port: &At<'_>) -> Option<()> {
        self.check_service(&connect.service, service)?;
        let ports = self.0.get(connect.service.as_str())?;
        if ports.contains(connect.port.as_str()) {
            return Some(());
        }
        let (service, name) = (&connect.service, &connect.port);
        if ports.is_empty() {
            return port
                .refuse(format_args!("service `{service}` has no ports; add `{name}` to its `ports`"));
        }
        let there = listed(ports.iter().copied());
        port.refuse(format_args!("service `{service}` has no port `{name}`; it has: {there}"))
    }
}

/// The first few names.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const MOST: usize = 8;
    let names: Vec<&str> = names.collect();
    let more = if names.len() > MOST { ", …" } else { "" };
    let first: Vec<String> = names.iter().take(MOST).map(|name| crate::name::shorten(name)).collect();
    format!("{}{more}", first.join(", "))
}
