//! Which clusters, nodes and services the demo has. Pure.

use holm_model::name::Name;
use holm_model::resources::{Cpu, Memory, Resources};
use holm_model::service::{Application, ApplicationService, Replicas, Restart, RestartPolicy, ServiceSpec};

use super::engine::Lent;
use crate::commands::manifest;
use crate::failure::Failure;

/// A node of the demo.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) name: &'static str,
    pub(super) cluster: &'static str,
    pub(super) labels: &'static [&'static str],
}

pub(super) const CLUSTERS: [&str; 2] = ["vienna", "munich"];

pub(super) const NODES: [Node; 4] = [
    Node { name: "fl-1", cluster: "vienna", labels: &["floor=1", "zone=indoor"] },
    Node { name: "fl-2", cluster: "vienna", labels: &["floor=2", "zone=indoor"] },
    Node { name: "fl-3", cluster: "munich", labels: &["floor=3", "zone=indoor"] },
    Node { name: "web-1", cluster: "munich", labels: &["zone=server-room"] },
];

/// The hidden command of [`crate::programs::logger`].
pub(crate) const LOGGER: &str = "__load-logger";

/// What must be read at the end.
pub(super) const FLOORS: [&str; 3] = ["1", "2", "3"];

const MANIFEST: &str = include_str!("../../../../examples/building-management/app.yaml");

/// The example, and with an engine one service more.
pub(super) fn application(lent: Option<&Lent>) -> Result<Application, Failure> {
    let manifest = manifest::parse(MANIFEST.to_owned(), "examples/building-management/app.yaml")?;
    let mut application = manifest.application;
    if let Some(lent) = lent {
        let logger = Name::new("load-logger").map_err(Failure::new)?;
        application.services.insert(logger, container(lent).map_err(Failure::new)?);
    }
    Ok(application)
}

/// Writes the load into its log.
fn container(lent: &Lent) -> Result<ApplicationService, holm_model::name::NameError> {
    let command = [&lent.program[..], &[LOGGER.to_owned()]].concat();
    let mut spec = ServiceSpec::new(Name::new("container")?, command);
    spec.image = Some(lent.image.clone());
    spec.resources = Resources::new(Cpu(50), Memory(32 << 20));
    spec.placement.labels.insert("zone".to_owned(), "server-room".to_owned());
    spec.restart = Restart { policy: RestartPolicy::Always, ..Restart::default() };
    spec.grace = std::time::Duration::from_secs(2);
    Ok(ApplicationService { spec, replicas: Replicas::Number(1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_are_manifests() {
        assert_eq!(application(None).unwrap().services.len(), 2);
        let text = include_str!("../../../../examples/nginx-redis/app.yaml").to_owned();
        let shop = manifest::parse(text, "app.yaml").unwrap().application;
        assert_eq!(shop.services.len(), 2);
    }

    #[test]
    fn an_engine_brings_one_service_more() {
        let lent = Lent { image: "holm-demo:1".to_owned(), program: vec!["/holm".to_owned()] };
        let with = application(Some(&lent)).unwrap();
        assert_eq!(with.services.len(), 3);
        let text = holm_model::manifest::show(&with);
        assert_eq!(manifest::parse(text, "shown").unwrap().application, with);
    }

    #[test]
    fn every_node_has_its_cluster_and_every_floor_its_node() {
        assert!(NODES.iter().all(|node| CLUSTERS.contains(&node.cluster)));
        for floor in FLOORS {
            let label = format!("floor={floor}");
            assert_eq!(NODES.iter().filter(|node| node.labels.contains(&label.as_str())).count(), 1);
        }
    }
}
