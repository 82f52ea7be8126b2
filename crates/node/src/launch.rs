//! From an assignment to what a runtime is told: ports, templates, environment. No I/O.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use holm_core::node::Launch;
use holm_model::id::AssignmentId;
use holm_model::item::Part;
use holm_model::name::Name;
use holm_model::service::ServiceSpec;
use holm_model::slot::SlotIndex;
use holm_model::template::{self, Context, TemplateError};
use holm_model::tunnel::PeersFile;
use holm_runtime::PortMap;

use crate::place::Place;

/// What instances are told of the node they run on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeSelf {
    pub(crate) name: String,
    pub(crate) id: String,
    /// Name of the cluster; empty for a node of the root itself, or before the first welcome.
    pub(crate) cluster: String,
    pub(crate) arch: String,
    pub(crate) labels: BTreeMap<String, String>,
}

/// Where an instance finds its peers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeersAt<'a> {
    pub(crate) peers: &'a PeersFile,
    /// The directory with the file, on the node.
    pub(crate) dir: &'a Path,
    /// The file, as the instance sees it.
    pub(crate) file: &'a Path,
}

/// The instance cannot be launched on this node as it is described.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ComposeError {
    #[error("argument {index} of `command`: {source}")]
    Command { index: usize, source: TemplateError },
    #[error("argument {index} of `before[{step}].command`: {source}")]
    Step { step: usize, index: usize, source: TemplateError },
    #[error("environment variable `{name}`: {source}")]
    Env { name: String, source: TemplateError },
}

/// The name of the driver for native programs, which listen on the node's own ports.
const PROCESS: &str = "process";

// === impl NodeSelf ===

impl NodeSelf {
    /// As the orchestrator told it.
    pub(crate) fn at(self, place: &Place) -> Self {
        let (name, id, cluster) = (place.name.to_string(), place.member.to_string(), place.cluster());
        Self { name, id, cluster, ..self }
    }
}

// === compose ===

/// Everything that a runtime needs for this incarnation, with `ports` of the node already assigned.
///
/// # Errors
/// When a template names what this node does not have.
pub(crate) fn compose(
    launch: Launch,
    node: &NodeSelf,
    ports: &BTreeMap<Name, u16>,
    peers: Option<PeersAt<'_>>,
) -> Result<holm_runtime::Launch, ComposeError> {
    let Launch { id, incarnation, part, slot, mut spec, lease, .. } = launch;
    let ports = port_maps(&spec, ports);
    let listen: BTreeMap<Name, u16> =
        ports.iter().map(|(name, map)| (name.clone(), map.container.unwrap_or(map.host))).collect();
    let about = About::new(id, &part, &slot, node);
    let context = about.context(&listen);
    for (index, argument) in spec.command.iter_mut().enumerate() {
        *argument =
            template::expand(argument, &context).map_err(|source| ComposeError::Command { index, source })?;
    }
    for (step, before) in spec.before.iter_mut().enumerate() {
        for (index, argument) in before.command.iter_mut().enumerate() {
            *argument = template::expand(argument, &context).map_err(|source| ComposeError::Step {
                step,
                index,
                source,
            })?;
        }
    }
    let mut env = about.environment(&listen);
    if let Some(peers) = peers {
        env.extend(peer_environment(peers));
    }
    // Last: what people wrote counts.
    for (name, value) in &spec.env {
        let value = template::expand(value, &context)
            .map_err(|source| ComposeError::Env { name: name.clone(), source })?;
        env.insert(name.clone(), value);
    }
    let name = format!("{}/{}", about.application, about.slot_name);
    let files = peers.map(|peers| PathBuf::from(peers.dir));
    let given = holm_runtime::Given::default();
    let (project, wish) = (part.app.project, part.wish);
    let (step, after_steps) = (None, false);
    Ok(holm_runtime::Launch {
        id,
        incarnation,
        project,
        name,
        wish,
        spec,
        env,
        ports,
        files,
        lease,
        given,
        step,
        after_steps,
    })
}

/// The assigned ports with their numbers inside a container; a native program has none of its own.
fn port_maps(spec: &ServiceSpec, ports: &BTreeMap<Name, u16>) -> BTreeMap<Name, PortMap> {
    let native = spec.runtime == *PROCESS;
    let container = |name: &Name| spec.ports.get(name)?.container.filter(|_| !native);
    ports
        .iter()
        .map(|(name, host)| (name.clone(), PortMap { host: *host, container: container(name) }))
        .collect()
}

/// Texts that templates and environment share.
struct About<'a> {
    id: String,
    application: &'a str,
    service: &'a str,
    slot_index: String,
    slot_name: String,
    node: &'a NodeSelf,
}

impl<'a> About<'a> {
    fn new(id: AssignmentId, part: &'a Part, slot: &SlotIndex, node: &'a NodeSelf) -> Self {
        Self {
            id: id.to_string(),
            application: part.app.application.as_str(),
            service: part.service.as_str(),
            slot_index: slot.to_string(),
            slot_name: format!("{}/{slot}", part.service),
            node,
        }
    }

    fn context<'b>(&'b self, ports: &'b BTreeMap<Name, u16>) -> Context<'b> {
        Context {
            node_name: &self.node.name,
            node_id: &self.node.id,
            node_cluster: &self.node.cluster,
            node_arch: &self.node.arch,
            node_labels: &self.node.labels,
            ports,
            instance_id: &self.id,
            slot_index: &self.slot_index,
            slot_name: &self.slot_name,
            application: self.application,
            service: self.service,
        }
    }

    fn environment(&self, ports: &BTreeMap<Name, u16>) -> BTreeMap<String, String> {
        let fixed = [
            ("HOLM_INSTANCE", self.id.as_str()),
            ("HOLM_SLOT", &self.slot_name),
            ("HOLM_APPLICATION", self.application),
            ("HOLM_SERVICE", self.service),
            ("HOLM_NODE", &self.node.name),
            ("HOLM_CLUSTER", &self.node.cluster),
        ];
        let fixed = fixed.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let ports =
            ports.iter().map(|(name, port)| (format!("HOLM_PORT_{}", variable(name)), port.to_string()));
        fixed.into_iter().chain(ports).collect()
    }
}

/// The file that is kept up to date, and the addresses as they are at the start.
fn peer_environment(at: PeersAt<'_>) -> impl Iterator<Item = (String, String)> {
    let file = ("HOLM_CONNECTS".to_owned(), at.file.to_string_lossy().into_owned());
    let ports = at.peers.services.iter().flat_map(|(service, ports)| {
        ports.iter().map(move |(port, peers)| {
            let addresses: Vec<&str> = peers.iter().map(|peer| peer.address.as_str()).collect();
            (format!("HOLM_CONNECT_{}_{}", variable(service), variable(port)), addresses.join(","))
        })
    });
    std::iter::once(file).chain(ports)
}

/// A name as a part of a variable's: `web-1` becomes `WEB_1`.
fn variable(name: &Name) -> String {
    name.as_str().to_ascii_uppercase().replace('-', "_")
}

#[cfg(test)]
mod tests;
