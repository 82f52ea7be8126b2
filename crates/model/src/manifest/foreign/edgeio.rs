//! The deployment file of edgeIO (listing 3.1 of its thesis).

use super::build::{self, Map, scalar};
use super::{Turn, words};
use crate::manifest::read::At;
use crate::manifest::tree::Node;
use crate::name::shorten;

const KEYS: [&str; 7] =
    ["api_version", "job_name", "image", "image_runtime", "requirements", "cluster_location", "worker_node"];

pub(super) fn translate(at: &At<'_>, turn: Turn<'_>) -> Option<Node> {
    let place = at.node().place;
    let mut service = Map::new(place);
    let mut called = None;
    let mut where_ = Map::new(place);
    let mut image = None;
    let mut runtime = None;
    for (key, at) in at.entries("a deployment file", |key| Ok(key.to_owned()))? {
        let place = at.node().place;
        match key.as_str() {
            "api_version" => {
                at.one_of(&[("v0.1", ())]);
            }
            "job_name" => called = named(&at, turn),
            "image" => image = at.text("an image").map(|text| (at, text.to_owned())),
            "image_runtime" => {
                runtime = at.text("`docker`, `native` or `mirage`").map(|text| (at, text.to_owned()))
            }
            "requirements" => service.put_map("resources", requirements(&at, turn)),
            "cluster_location" => where_.put("cluster", named(&at, turn)?),
            "worker_node" => where_.put("node", scalar(place, at.text("a host name")?.to_ascii_lowercase())),
            _ => {
                let known = KEYS.join(", ");
                at.refuse_key::<()>(format_args!("edgeIO's file has no such key (it has: {known})"));
            }
        }
    }
    let Some((image_at, image)) = image else {
        return at.refuse("`image` is missing: what shall run");
    };
    match runtime.as_ref().map_or("docker", |(_, word)| word.as_str()) {
        "docker" => {
            service.say("runtime", place, "container");
            service.say("image", image_at.node().place, image);
        }
        "native" => {
            let Some(words) = words::split(&image) else { return image_at.refuse("a quote is not closed") };
            service.say("runtime", place, "process");
            service.put("command", build::list(image_at.node().place, words));
        }
        other => {
            let (at, _) = runtime.as_ref()?;
            return at.refuse(format_args!(
                "Holm has no runtime `{}` yet; it runs `docker` and `native`",
                shorten(other)
            ));
        }
    }
    service.put_map("placement", where_);
    let Some(name) = called else { return at.refuse("`job_name` is missing: the name of the application") };
    let mut services = Map::new(place);
    services.put("main", service.done());
    Some(build::application(place, name, services))
}

/// Cores and megabytes.
fn requirements(at: &At<'_>, turn: Turn<'_>) -> Map {
    let mut resources = Map::new(at.node().place);
    for (key, at) in
        at.entries("a mapping with `cpu` and `memory`", |key| Ok(key.to_owned())).unwrap_or_default()
    {
        let place = at.node().place;
        match (key.as_str(), at.text("a number")) {
            (_, None) => {}
            ("cpu", Some(cores)) => resources.say("cpu", place, cores),
            ("memory", Some(megabytes)) => match megabytes.parse::<u32>() {
                Ok(megabytes) => resources.say("memory", place, format!("{megabytes}Mi")),
                Err(_) => at.refuse::<()>("expected megabytes, a whole number").unwrap_or_default(),
            },
            _ => turn.warn(&at, "no requirement that Holm knows; it is left out"),
        }
    }
    resources
}

/// A name in Holm's letters.
pub(super) fn named(at: &At<'_>, turn: Turn<'_>) -> Option<Node> {
    let text = at.text("a name")?;
    let Some(name) = words::name(text) else { return at.refuse("expected a name with letters or digits") };
    if name != text {
        turn.warn(at, format_args!("is called `{name}` here: names are lower case, with dashes"));
    }
    Some(scalar(at.node().place, name))
}
