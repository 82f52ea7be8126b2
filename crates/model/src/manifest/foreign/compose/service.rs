//! The keys of a service.

use super::super::build::{self, Map, scalar};
use super::super::{Turn, words};
use super::{File, deploy, parts};
use crate::manifest::read::At;
use crate::manifest::tree::Node;

/// Keys that change nothing of what runs here, and why.
const COSMETIC: [(&str, &str); 13] = [
    ("annotations", "is not used: labels are those of nodes here"),
    ("attach", "is not used: `holm logs` shows what instances say"),
    ("container_name", "is not used: instances have names of their own"),
    ("domainname", "is not used"),
    ("hostname", "is not used: an instance finds its node's name in `HOLM_NODE`"),
    ("init", "is not used: the node's supervisor takes care of what is left behind"),
    ("labels", "is not used: labels are those of nodes here"),
    ("logging", "is not used: the node keeps logs, `holm logs` shows them"),
    ("networks", "is not used: services reach what they `connects` to, wherever that runs"),
    ("pids_limit", "is not used: every instance has a limit of its node"),
    ("pull_policy", "is not used: an image is pulled where it is missing"),
    ("stdin_open", "is not used: `holm exec -it` opens a terminal"),
    ("tty", "is not used: `holm exec -it` opens a terminal"),
];
/// Keys that Holm cannot honour, and what to do instead.
const CANNOT: [(&str, &str); 33] = [
    ("blkio_config", "Holm does not limit disks"),
    ("build", "Holm does not build yet: build and push it, and name it with `image`"),
    ("cap_add", "Holm gives containers no capabilities; an image that needs them cannot run"),
    ("cap_drop", "Holm does not change capabilities of containers"),
    ("cgroup_parent", "the node sets control groups"),
    ("credential_spec", "Holm has no such accounts"),
    ("device_cgroup_rules", "Holm hands out no devices of its own"),
    ("devices", "Holm hands devices to no container yet; nodes that have one are chosen by `require`"),
    ("dns", "the node sets name servers"),
    ("dns_opt", "the node sets name servers"),
    ("dns_search", "the node sets name servers"),
    ("entrypoint", "Holm keeps the image's own; an image with this entrypoint can be run"),
    ("extends", "Holm does not read other files; write it out here"),
    ("external_links", "Holm connects services of one application"),
    ("extra_hosts", "Holm does not write into `/etc/hosts`"),
    ("gpus", "say `require: [hardware/gpu=1]` in a manifest"),
    ("group_add", "Holm does not change groups of containers"),
    ("ipc", "Holm shares no memory among containers"),
    ("isolation", "Holm runs on Linux"),
    ("network_mode", "Holm runs containers in the engine's default network"),
    ("oom_score_adj", "Holm does not set it; say `priority` in a manifest"),
    ("pid", "Holm shares no processes among containers"),
    ("post_start", "Holm has steps before a start (`before` in a manifest), not after it"),
    ("pre_stop", "Holm sends a signal, and waits"),
    ("privileged", "Holm runs nothing privileged"),
    ("read_only", "Holm does not make file systems of containers read-only"),
    ("runtime", "Holm has no such runtime"),
    ("security_opt", "Holm does not change it"),
    ("shm_size", "Holm does not change it"),
    ("sysctls", "Holm does not change it"),
    ("tmpfs", "Holm mounts no file systems in memory but for secrets"),
    ("ulimits", "Holm does not change it"),
    ("volumes_from", "name the volume in both services"),
];

pub(super) fn translate(own: &str, at: &At<'_>, file: &File<'_>, turn: Turn<'_>) -> Node {
    let place = at.node().place;
    let (mut native, mut stop, mut resources) = (Map::new(place), Map::new(place), Map::new(place));
    native.say("runtime", place, "container");
    let (mut env, mut ports) = (parts::Variables::new(place), Map::new(place));
    let mut where_ = Map::new(place);
    let entries = at.entries("a service", |key| Ok(key.to_owned())).unwrap_or_default();
    let has_image = entries.iter().any(|(key, _)| key == "image");
    for (key, at) in &entries {
        let here = at.node().place;
        match key.as_str() {
            "image" => native.say("image", here, at.text("an image").unwrap_or_default()),
            "build" if has_image => turn.warn(at, "is not used: the image is taken as it is named"),
            "command" => command(at, &mut native),
            "environment" => env.environment(at, turn),
            "env_file" => env.files(at, turn),
            "ports" => parts::published(at, &mut ports, turn),
            "expose" => parts::internal(at, &mut ports),
            "volumes" => parts::volumes(own, at, file, &mut native, turn),
            "depends_on" | "links" => {}
            "healthcheck" => parts::health(at, &mut native, turn),
            "restart" => restart(at, &mut native),
            "deploy" => deploy::deploy(at, &mut native, &mut where_, &mut resources, turn),
            "scale" => native.say("replicas", here, at.text("a number").unwrap_or_default()),
            "cpus" => deploy::cpu(at, &mut resources),
            "mem_limit" => deploy::memory(at, &mut resources),
            "cpu_count" | "cpu_percent" | "cpu_period" | "cpu_quota" | "cpu_rt_period" | "cpu_rt_runtime"
            | "cpu_shares" | "cpuset" | "mem_reservation" | "mem_swappiness" | "memswap_limit"
            | "oom_kill_disable" => turn.warn(at, "is not used: say `cpus` and `mem_limit`"),
            "working_dir" => native.say("workdir", here, at.text("a path").unwrap_or_default()),
            "user" => native.say("user", here, at.text("a user").unwrap_or_default()),
            "stop_grace_period" => span(at, "grace", &mut stop),
            "stop_signal" if matches!(at.scalar(), Some("SIGTERM" | "TERM" | "15")) => {}
            "stop_signal" => at
                .refuse_key::<()>(
                    "Holm stops with the signal of the image, or SIGTERM; set `STOPSIGNAL` in the image",
                )
                .unwrap_or_default(),
            "platform" => platform(at, &mut where_),
            "secrets" => parts::secrets(at, file, &mut native, turn),
            "configs" => parts::configs(at, file, &mut native, turn),
            "profiles" => {}
            key if key.starts_with("x-") => {}
            key => other(key, at, turn),
        }
    }
    native.put_map("env", env.done());
    native.put_map("ports", ports);
    parts::connects(at, file, &mut native, turn);
    native.put_map("resources", resources);
    native.put_map("placement", where_);
    native.put_map("stop", stop);
    native.done()
}

fn other(key: &str, at: &At<'_>, turn: Turn<'_>) {
    let is = |(word, _): &&(&str, &str)| *word == key;
    if let Some((_, why)) = COSMETIC.iter().find(is) {
        turn.warn(at, why);
        return;
    }
    // Said, and meaning what is so anyway.
    let off = at.scalar().is_some_and(|text| matches!(text, "false" | ""))
        || at.items_or_none().is_some_and(|items| items.is_empty());
    match CANNOT.iter().find(is) {
        Some(_) if off => {}
        Some((_, why)) => at.refuse_key::<()>(why).unwrap_or_default(),
        None => at.refuse_key::<()>("a service of a Compose file has no such key").unwrap_or_default(),
    }
}

fn command(at: &At<'_>, native: &mut Map) {
    let place = at.node().place;
    if let Some(line) = at.scalar() {
        match words::split(line) {
            Some(words) if words.is_empty() => {}
            Some(words) => native.put("command", build::list(place, words)),
            None => at.refuse::<()>("a quote is not closed").unwrap_or_default(),
        }
        return;
    }
    let items = at.items("a list of words").unwrap_or_default();
    let words: Option<Vec<Node>> =
        items.iter().map(|at| at.text("a text").map(|text| scalar(at.node().place, text))).collect();
    native.put_list("command", place, words.unwrap_or_default());
}

fn restart(at: &At<'_>, native: &mut Map) {
    let place = at.node().place;
    let mut restart = Map::new(place);
    let text = at.text("a policy").unwrap_or_default();
    let (policy, attempts) = text.split_once(':').unwrap_or((text, ""));
    match policy {
        "no" => restart.say("policy", place, "never"),
        "always" | "unless-stopped" => restart.say("policy", place, "always"),
        "on-failure" => restart.say("policy", place, "on-failure"),
        _ => {
            let expected = "`no`, `always`, `on-failure` or `unless-stopped`";
            at.refuse::<()>(format_args!("expected {expected}, found {}", at.found())).unwrap_or_default();
        }
    }
    if !attempts.is_empty() {
        restart.say("attempts", place, attempts);
    }
    if !native.has("restart") {
        native.put_map("restart", restart);
    }
}

pub(super) fn span(at: &At<'_>, key: &str, to: &mut Map) {
    match words::span(at.text("a duration").unwrap_or_default()) {
        Some(span) => to.say(key, at.node().place, span.to_string()),
        None => {
            let found = at.found();
            at.refuse::<()>(format_args!("expected a duration, as in `1m30s`, found {found}"))
                .unwrap_or_default();
        }
    }
}

/// `linux/arm64/v8`
fn platform(at: &At<'_>, where_: &mut Map) {
    let mut parts = at.text("a platform").unwrap_or_default().split('/');
    match (parts.next(), parts.next()) {
        (Some("linux"), Some(arch)) => {
            where_.say("where", at.node().place, format!("arch == \"{}\"", arch.replace('"', "")));
        }
        _ => at.refuse::<()>("expected `linux/` and an architecture").unwrap_or_default(),
    }
}
