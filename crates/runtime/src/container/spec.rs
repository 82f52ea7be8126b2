//! From a launch to what the engine is told; pure.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, PortBinding, RestartPolicy, RestartPolicyNameEnum,
};
use holm_model::id::AssignmentId;
use holm_model::name::Name;
use holm_model::service::Volume;

use super::ContainerConfig;
use crate::error::RunError;
use crate::given::Access;
use crate::launch::{Launch, PortMap};
use crate::volume;

/// Where an instance finds [`Launch::files`].
pub(super) const FILES: &str = "/run/holm";

/// Where it finds secrets and files that the node keeps in memory.
pub(super) const ACCESS: Access = Access::Mounted { secrets: "/run/secrets", files: "/run/holm-files" };

pub(super) const NODE: &str = "holm.node";
const INSTANCE: &str = "holm.instance";
const INCARNATION: &str = "holm.incarnation";
const PORTS: &str = "holm.ports";
const SLOT: &str = "holm.slot";
const STEP: &str = "holm.step";

/// What the labels of a container of ours say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Labels {
    pub(super) id: AssignmentId,
    pub(super) incarnation: u32,
    /// See [`Launch::step`].
    pub(super) step: Option<u32>,
    pub(super) ports: BTreeMap<Name, PortMap>,
}

pub(super) fn name(id: AssignmentId) -> String {
    format!("holm-{id}")
}

/// The name of the incarnation before: kept, ended, for what it has logged.
pub(super) fn previous(id: AssignmentId) -> String {
    format!("{}-previous", name(id))
}

/// The name of the one before that, which goes.
pub(super) fn leaving(id: AssignmentId) -> String {
    format!("{}-leaving", name(id))
}

/// The name of a step that has ended, while something behind it has the instance's name: kept for what it has logged.
pub(super) fn step(id: AssignmentId, number: u32) -> String {
    format!("{}-step-{number}", name(id))
}

/// What all steps of an instance have, and nothing else.
pub(super) fn step_labels(node: &str, id: AssignmentId) -> Vec<String> {
    vec![format!("{NODE}={node}"), format!("{INSTANCE}={id}"), STEP.to_owned()]
}

/// # Errors
/// When the service names no image.
pub(super) fn body(launch: &Launch, config: &ContainerConfig) -> Result<ContainerCreateBody, RunError> {
    let spec = &launch.spec;
    let image = spec.image.clone().ok_or(RunError::NoImage)?;
    let exposed = launch.ports.values().map(inside).collect();
    let command = (!spec.command.is_empty()).then(|| spec.command.clone());
    // A step names its program; what the image would start is the service's.
    let (entrypoint, cmd) = if launch.step.is_some() { (command, None) } else { (None, command) };
    Ok(ContainerCreateBody {
        image: Some(super::own::known_as(&image).into_owned()),
        entrypoint,
        cmd,
        env: Some({
            let given = launch.env.iter().chain(&launch.given.env);
            let given = given.map(|(key, value)| format!("{key}={value}"));
            volume_variables(launch).chain(given).collect()
        }),
        user: spec.user.clone(),
        working_dir: spec.workdir.clone(),
        exposed_ports: Some(exposed),
        labels: Some(labels(launch, &config.node)),
        host_config: Some(host(launch, config)),
        ..ContainerCreateBody::default()
    })
}

fn host(launch: &Launch, config: &ContainerConfig) -> HostConfig {
    let asked = &launch.spec.resources;
    let limit = |amount: u64| (amount > 0).then(|| i64::try_from(amount).unwrap_or(i64::MAX));
    let bind = |port: &PortMap| {
        let binding = PortBinding { host_ip: None, host_port: Some(port.host.to_string()) };
        (inside(port), Some(vec![binding]))
    };
    let log = [("max-size", (config.log_bytes / 2).to_string()), ("max-file", "2".into())];
    HostConfig {
        nano_cpus: limit(asked.cpu.0.saturating_mul(1_000_000)),
        memory: limit(asked.memory.0),
        // The same amount again: no swap beyond it.
        memory_swap: limit(asked.memory.0),
        binds: Some(binds(launch)),
        port_bindings: Some(launch.ports.values().map(bind).collect()),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".into()),
            config: Some(log.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        }),
        // Restarting is the node's decision.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        ..HostConfig::default()
    }
}

fn binds(launch: &Launch) -> Vec<String> {
    let volumes = launch.spec.volumes.iter().map(|volume| {
        let source = named(launch, volume).unwrap_or_else(|| volume.source.clone());
        format!("{source}:{}{}", volume.target, if volume.read_only { ":ro" } else { "" })
    });
    let files = launch.files.iter().map(|files| format!("{}:{FILES}:ro", files.display()));
    let mounts = &launch.given.mounts;
    let given = mounts.iter().map(|mount| format!("{}:{}:ro", mount.source.display(), mount.target));
    volumes.chain(files).chain(given).collect()
}

/// Where named volumes are, as processes are told it, too.
fn volume_variables(launch: &Launch) -> impl Iterator<Item = String> {
    let named = launch.spec.volumes.iter().filter(|volume| volume::is_named(volume));
    named.map(|volume| format!("{}={}", volume::variable(&volume.source), volume.target))
}

/// What the engine calls a named volume; `None`: it is a path of the node.
fn named(launch: &Launch, volume: &Volume) -> Option<String> {
    volume::is_named(volume).then(|| volume::key(launch.wish, &volume.source))
}

/// Those that the engine makes if it has none of the name.
pub(super) fn named_volumes(launch: &Launch) -> impl Iterator<Item = String> {
    launch.spec.volumes.iter().filter_map(|volume| named(launch, volume))
}

fn inside(port: &PortMap) -> String {
    format!("{}/tcp", port.container.unwrap_or(port.host))
}

fn labels(launch: &Launch, node: &str) -> HashMap<String, String> {
    // A map of names and numbers always has a text.
    let ports = serde_json::to_string(&launch.ports).unwrap_or_default();
    let step = launch.step.map(|number| (STEP, number.to_string()));
    let labels = [
        (NODE, node.to_owned()),
        (INSTANCE, launch.id.to_string()),
        (INCARNATION, launch.incarnation.to_string()),
        (PORTS, ports),
        (SLOT, launch.name.clone()),
    ];
    labels.into_iter().chain(step).map(|(key, value)| (key.to_owned(), value)).collect()
}

/// `None` when they are not ours.
pub(super) fn read_labels(labels: &HashMap<String, String>) -> Option<Labels> {
    Some(Labels {
        id: labels.get(INSTANCE)?.parse().ok()?,
        incarnation: labels.get(INCARNATION)?.parse().ok()?,
        step: labels.get(STEP).and_then(|number| number.parse().ok()),
        ports: labels.get(PORTS).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::{Given, Mount};
    use holm_model::id::{Epoch, Uid, WishId};
    use holm_model::resources::{Cpu, Memory, Resources};
    use holm_model::service::ServiceSpec;

    fn launch() -> Launch {
        let mut spec = ServiceSpec::new(Name::new("container").unwrap(), Vec::new());
        spec.image = Some("nginx:1".into());
        spec.resources = Resources::new(Cpu(250), Memory(32 << 20));
        for (source, read_only) in [("data", false), ("/srv", true)] {
            spec.volumes.push(Volume { source: source.into(), target: format!("/{read_only}"), read_only });
        }
        let port = PortMap { host: 8080, container: Some(80) };
        Launch {
            id: AssignmentId(Uid { epoch: Epoch::new(1, 2), counter: 3 }),
            incarnation: 4,
            project: Name::new("default").unwrap(),
            name: "building/web/2".into(),
            wish: WishId(Uid { epoch: Epoch::new(1, 2), counter: 9 }),
            spec,
            env: BTreeMap::from([("A".into(), "1=2".into())]),
            ports: BTreeMap::from([(Name::new("http").unwrap(), port)]),
            files: Some("/data/files".into()),
            lease: None,
            given: Given {
                env: BTreeMap::from([("PASSWORD".into(), "hunter2".into())]),
                mounts: vec![Mount { source: "/run/h/secrets".into(), target: "/run/secrets".into() }],
                registry: None,
            },
            step: None,
            after_steps: false,
        }
    }

    #[test]
    fn everything_reaches_the_engine() {
        let launch = launch();
        let body = body(&launch, &ContainerConfig::new("/s".into(), "n1".into())).unwrap();
        assert_eq!(body.env.unwrap(), ["HOLM_VOLUME_DATA=/false", "A=1=2", "PASSWORD=hunter2"]);
        assert_eq!(body.cmd, None, "the image's own");
        let host = body.host_config.unwrap();
        assert_eq!((host.nano_cpus, host.memory), (Some(250_000_000), Some(32 << 20)));
        let binds = [
            "holm-1-000000000002-9-data:/false",
            "/srv:/true:ro",
            "/data/files:/run/holm:ro",
            "/run/h/secrets:/run/secrets:ro",
        ];
        assert_eq!(host.binds.unwrap(), binds);
        let bindings = host.port_bindings.unwrap();
        assert_eq!(bindings["80/tcp"].as_ref().unwrap()[0].host_port.as_deref(), Some("8080"));
        let read = read_labels(&body.labels.unwrap()).unwrap();
        assert_eq!((read.id, read.incarnation, read.ports), (launch.id, 4, launch.ports));
        assert_eq!((read.step, body.entrypoint), (None, None));
    }

    #[test]
    fn a_step_is_known_as_one_and_names_its_program() {
        let mut launch = launch();
        launch.step = Some(2);
        launch.spec.command = vec!["./migrate".into(), "up".into()];
        let body = body(&launch, &ContainerConfig::new("/s".into(), "n1".into())).unwrap();
        assert_eq!((body.entrypoint, body.cmd), (Some(launch.spec.command.clone()), None));
        let labels = body.labels.unwrap();
        assert_eq!(read_labels(&labels).unwrap().step, Some(2));
        for wanted in step_labels("n1", launch.id) {
            let (key, value) = wanted.split_once('=').unwrap_or((&wanted, "2"));
            assert_eq!(labels[key], value);
        }
    }
}
