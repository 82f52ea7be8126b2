//! Oakestra's service level agreement, version 2.0 (JSON, which is YAML, too).

use super::build::{self, Map, scalar};
use super::edgeio::named;
use super::{Turn, words};
use crate::manifest::read::At;
use crate::manifest::tree::Node;
use crate::name::shorten;

/// Keys of a microservice that mean nothing where they are empty or zero, and why they cannot be honoured else.
const WITHOUT: [(&str, &str); 6] = [
    ("vtpus", "Holm counts no TPUs by this word; say `require: [hardware/tpu=1]` in a manifest"),
    ("bandwidth_in", "Holm reserves no bandwidth"),
    ("bandwidth_out", "Holm reserves no bandwidth"),
    ("storage", "Holm reserves no storage"),
    ("privileged", "Holm runs nothing privileged"),
    ("added_files", "files are set once with `holm file set`, and named in a manifest"),
];

/// One tree for each application.
pub(super) fn translate(at: &At<'_>, turn: Turn<'_>) -> Vec<Option<Node>> {
    let mut all = Vec::new();
    for (key, at) in at.entries("an SLA", |key| Ok(key.to_owned())).unwrap_or_default() {
        match key.as_str() {
            "applications" => {
                let items = at.items("a list of applications").unwrap_or_default();
                if items.is_empty() {
                    at.refuse::<()>("expected at least one application").unwrap_or_default();
                }
                all.extend(items.iter().map(|item| application(item, turn)));
            }
            "sla_version" => {
                let known = at.text("a version").is_some_and(|text| matches!(text, "v2.0" | "2.0" | "v2"));
                if !known {
                    at.refuse::<()>(format_args!("expected `v2.0`, found {}", at.found()))
                        .unwrap_or_default();
                }
            }
            "customerID" | "customer_id" | "args" => turn.warn(&at, "is not used: who applies owns it"),
            _ => at.refuse_key::<()>("an SLA has no such key").unwrap_or_default(),
        }
    }
    all
}

fn application(at: &At<'_>, turn: Turn<'_>) -> Option<Node> {
    let place = at.node().place;
    let (mut called, mut services) = (None, Map::new(place));
    for (key, at) in at.entries("an application", |key| Ok(key.to_owned()))? {
        match key.as_str() {
            "application_name" => called = named(&at, turn),
            "microservices" => {
                let items = at.items("a list of microservices")?;
                let by_id: Vec<(String, String)> = items.iter().filter_map(id_and_name).collect();
                for item in items {
                    if let Some((name, service)) = microservice(&item, &by_id, turn) {
                        services.put(&name, service);
                    }
                }
            }
            "application_namespace" if at.scalar() == Some("default") => {}
            "application_namespace" => turn.warn(&at, "is not used: say `--project`"),
            "application_desc" | "applicationID" => {}
            _ => at.refuse_key::<()>("an application of an SLA has no such key").unwrap_or_default(),
        }
    }
    let Some(name) = called else { return at.refuse("`application_name` is missing") };
    Some(build::application(place, name, services))
}

fn id_and_name(at: &At<'_>) -> Option<(String, String)> {
    let name = words::name(at.child("microservice_name")?.scalar()?)?;
    let id = at.child("microserviceID").and_then(|id| id.scalar().map(str::to_owned));
    Some((id.unwrap_or_else(|| name.clone()), name))
}

fn microservice(at: &At<'_>, by_id: &[(String, String)], turn: Turn<'_>) -> Option<(String, Node)> {
    let place = at.node().place;
    let (mut service, mut where_, mut resources) = (Map::new(place), Map::new(place), Map::new(place));
    let mut name = None;
    let mut near = Vec::new();
    for (key, at) in at.entries("a microservice", |key| Ok(key.to_owned()))? {
        let here = at.node().place;
        let empty = at.scalar().is_some_and(|text| matches!(text, "" | "0" | "false"))
            || at.items_or_none().is_some_and(|items| items.is_empty());
        match key.as_str() {
            "microservice_name" => name = named(&at, turn),
            "microservice_namespace" | "microserviceID" | "job_name" => {}
            "virtualization" => match at.scalar() {
                Some("container" | "docker") => service.say("runtime", here, "container"),
                _ => at
                    .refuse::<()>(format_args!("Holm runs `container` here, not {}", at.found()))
                    .unwrap_or_default(),
            },
            "code" => service.say("image", here, at.text("an image")?),
            "cmd" => {
                let words = at.items("a list of words")?;
                let words: Option<Vec<String>> =
                    words.iter().map(|word| word.text("a text").map(str::to_owned)).collect();
                service.put_list(
                    "command",
                    here,
                    words?.into_iter().map(|word| scalar(here, word)).collect(),
                );
            }
            _ if empty => {}
            "memory" => resources.say("memory", here, format!("{}Mi", at.text("megabytes")?)),
            "vcpus" => resources.say("cpu", here, at.text("cores")?),
            "vgpus" => {
                let gpus = at.text("a number")?;
                where_.put("require", build::list(here, [format!("hardware/gpu={gpus}")]));
            }
            "port" => ports(&at, &mut service),
            "one_shot" => service.say("kind", here, "job"),
            "volumes" | "state" | "sla_violation_strategy" | "target_node" | "args" | "environment" => {
                at.refuse_key::<()>("has no counterpart that is sure; write it in a manifest")
                    .unwrap_or_default();
            }
            "constraints" => at.items("a list").unwrap_or_default().iter().for_each(|at| {
                constraint(at, &mut where_, turn);
            }),
            "connectivity" => near = at.items("a list").unwrap_or_default(),
            key => match WITHOUT.iter().find(|(word, _)| *word == key) {
                Some((_, why)) => at.refuse_key::<()>(why).unwrap_or_default(),
                None => at.refuse_key::<()>("a microservice of an SLA has no such key").unwrap_or_default(),
            },
        }
    }
    if !service.has("runtime") {
        service.say("runtime", place, "container");
    }
    let together: Vec<Node> = near.iter().filter_map(|at| connectivity(at, by_id, turn)).collect();
    where_.put_list("with", place, together);
    service.put_map("resources", resources);
    service.put_map("placement", where_);
    let Some(name) = name else { return at.refuse("`microservice_name` is missing") };
    let crate::manifest::tree::Value::Scalar { text, .. } = &name.value else { return None };
    Some((text.clone(), service.done()))
}

/// `80:8080;443`: of the node, of the container.
fn ports(at: &At<'_>, service: &mut Map) {
    let place = at.node().place;
    let mut ports = Map::new(place);
    for pair in at.text("ports").unwrap_or_default().split(';').filter(|pair| !pair.is_empty()) {
        let (host, container) = pair.split_once(':').unwrap_or((pair, pair));
        let container = container.trim_end_matches("/tcp");
        let mut port = Map::new(place);
        port.say("host", place, host);
        port.say("container", place, container);
        ports.put(&format!("p{container}"), port.done());
    }
    service.put_map("ports", ports);
}

fn constraint(at: &At<'_>, where_: &mut Map, turn: Turn<'_>) {
    let place = at.node().place;
    let kind = at.child("type").and_then(|kind| kind.scalar().map(str::to_owned)).unwrap_or_default();
    match kind.as_str() {
        "direct" => {
            for key in ["node", "cluster"] {
                if let Some(name) = at.child(key).filter(|at| at.scalar() != Some("")) {
                    where_.say(key, name.node().place, name.scalar().unwrap_or_default());
                }
            }
        }
        "geo" => {
            let said = |key| at.child(key).and_then(|at| at.scalar().map(str::to_owned));
            let (location, threshold) = (said("location").unwrap_or_default(), said("threshold"));
            let Some((lat, lon)) = location.split_once(',') else {
                at.refuse::<()>("expected `location` as `latitude,longitude`").unwrap_or_default();
                return;
            };
            let mut near = Map::new(place);
            near.say("lat", place, lat.trim());
            near.say("lon", place, lon.trim());
            if let Some(threshold) = threshold {
                near.say("within", place, format!("{threshold}km"));
            }
            where_.put("location", near.done());
            unlike(at, turn);
        }
        "clusters" => {
            let allowed = at.child("allowed").and_then(|at| at.items_or_none()).unwrap_or_default();
            let names: Option<Vec<String>> =
                allowed.iter().map(|at| at.name().map(|name| format!("\"{name}\""))).collect();
            match names.as_deref() {
                None | Some([]) => at.refuse::<()>("expected `allowed`, a list of clusters").unwrap_or_default(),
                Some(names) => where_.say("where", place, format!("cluster in [{}]", names.join(", "))),
            }
        }
        kind => at
            .refuse::<()>(format_args!(
                "the constraint `{}` has no counterpart that is sure; see `near`, `location` and `require` in a manifest",
                shorten(kind)
            ))
            .unwrap_or_default(),
    }
}

/// To be where its target is: the nearest that Holm has to a bound of latency without a port.
fn connectivity(at: &At<'_>, by_id: &[(String, String)], turn: Turn<'_>) -> Option<Node> {
    let target = at.child("target_microservice_id")?;
    let id = target.text("the id of a microservice")?;
    let known = by_id.iter().find(|(of, name)| of == id || words::name(id).as_ref() == Some(name));
    let Some((_, name)) = known else {
        return target.refuse("there is no such microservice in this application");
    };
    turn.warn(at, format_args!("is taken as: preferably in the cluster of `{name}`; bounds are said with `connects` in a manifest"));
    let place = at.node().place;
    let mut company = Map::new(place);
    company.say("service", place, name.as_str());
    company.say("on", place, "cluster");
    company.say("preferred", place, "50");
    Some(company.done())
}

fn unlike(at: &At<'_>, turn: Turn<'_>) {
    for key in ["rigidness", "convergence_time"] {
        if let Some(at) = at.child(key) {
            turn.warn(&at, "is not used: a limit in `within` always holds");
        }
    }
}
