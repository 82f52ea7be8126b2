//! The node in the words of Prometheus, for whoever may open its socket; its orchestrator tells the world. Pure.

use holm_metrics::{Bounded, Family, Process};
use holm_model::state::InstanceState;
use holm_model::usage::UsagePoint;

use crate::facts::Disk;
use crate::launch::NodeSelf;
use crate::link::LinkStatus;

/// What is known at one moment.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) node: NodeSelf,
    pub(crate) link: LinkStatus,
    pub(crate) frozen: bool,
    /// Of the list that is obeyed.
    pub(crate) revision: u64,
    pub(crate) instances: Vec<Counted>,
    /// None before the first measurement.
    pub(crate) usage: Option<UsagePoint>,
    pub(crate) disk: Disk,
    pub(crate) process: Process,
}

/// An instance, as far as it is counted.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) project: String,
    pub(crate) application: String,
    pub(crate) service: String,
    pub(crate) state: InstanceState,
    pub(crate) restarts: u32,
}

/// Services with series of their own.
const MOST: usize = 200;

pub(crate) fn families(known: &Known) -> Vec<Family> {
    let mut all = about(known);
    all.extend(instances(&known.instances));
    all.extend(room(known));
    all.extend(known.process.families());
    all
}

fn about(known: &Known) -> Vec<Family> {
    let NodeSelf { name, cluster, .. } = &known.node;
    let labels =
        [("version", env!("CARGO_PKG_VERSION")), ("role", "node"), ("name", name), ("cluster", cluster)];
    let expiry = Family::gauge(
        "holm_certificate_expiry_timestamp_seconds",
        "When the certificate for calling the orchestrator ends, in seconds since 1970.",
    );
    vec![
        Family::gauge("holm_build_info", "Always 1; the labels say which program answers, and where.")
            .with(&labels, true),
        Family::gauge("holm_parent_connected", "Whether the link to the orchestrator is open.")
            .with(&[], known.link.up),
        Family::gauge("holm_frozen", "Whether it takes nothing until people decide.").with(&[], known.frozen),
        Family::gauge("holm_list_revision", "The revision of the list that is obeyed.")
            .with(&[], known.revision),
        expiry.with(&[("certificate", "member")], known.link.certificate_expires.0 as f64 / 1000.0),
    ]
}

fn instances(counted: &[Counted]) -> [Family; 2] {
    let mut instances = Family::gauge("holm_instances", "Instances here, by state.");
    let mut restarts =
        Family::gauge("holm_instance_restarts", "Starts after the first, of those that are here.");
    let mut names = Bounded::new(MOST);
    for instance in counted {
        let [project, application, service] =
            names.admit([&instance.project, &instance.application, &instance.service]);
        let [project, application, service] =
            [("project", &*project), ("application", &*application), ("service", &*service)];
        instances.add(&[project, application, service, ("state", instance.state.word())], true);
        restarts.add(&[project, application, service], instance.restarts);
    }
    [instances, restarts]
}

fn room(known: &Known) -> Vec<Family> {
    let labels = [("cluster", &*known.node.cluster), ("node", &*known.node.name)];
    let mut all = vec![
        Family::gauge("holm_node_disk_size_bytes", "The file system of the data directory.")
            .with(&labels, known.disk.total.0),
        Family::gauge("holm_node_disk_free_bytes", "Of it, what is free.").with(&labels, known.disk.free.0),
    ];
    if let Some(usage) = &known.usage {
        let (cpu, memory) = (usage.cpu_millis as f64 / 1000.0, usage.memory);
        all.push(Family::gauge("holm_node_cpu_used_cores", "In use, by whomever.").with(&labels, cpu));
        all.push(Family::gauge("holm_node_memory_used_bytes", "In use, by whomever.").with(&labels, memory));
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use holm_metrics::text;
    use holm_model::resources::Memory;
    use holm_model::time::Time;

    use super::*;

    #[test]
    fn a_node_tells_of_itself() {
        let counted = |state| Counted {
            project: "default".to_owned(),
            application: "shop".to_owned(),
            service: "web".to_owned(),
            state,
            restarts: 2,
        };
        let known = Known {
            node: NodeSelf {
                name: "fl-1".to_owned(),
                id: String::new(),
                cluster: "vienna".to_owned(),
                arch: String::new(),
                labels: BTreeMap::new(),
            },
            link: LinkStatus {
                orchestrator: String::new(),
                proxy: None,
                up: true,
                since: Time(0),
                reason: String::new(),
                certificate_expires: Time(5000),
            },
            frozen: false,
            revision: 9,
            instances: vec![counted(InstanceState::Running), counted(InstanceState::Running)],
            usage: Some(UsagePoint { cpu_millis: 1500, memory: 64, ..UsagePoint::default() }),
            disk: Disk { total: Memory(100), free: Memory(40) },
            process: Process::default(),
        };
        let text = text(&families(&known));
        for line in [
            "holm_instances{project=\"default\",application=\"shop\",service=\"web\",state=\"RUNNING\"} 2",
            "holm_instance_restarts{project=\"default\",application=\"shop\",service=\"web\"} 4",
            "holm_node_cpu_used_cores{cluster=\"vienna\",node=\"fl-1\"} 1.5",
            "holm_certificate_expiry_timestamp_seconds{certificate=\"member\"} 5",
            "holm_parent_connected 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
