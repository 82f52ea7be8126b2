//! What nodes and clusters have, and what of it is free.
//!
//! An orchestrator tells of its own nodes one by one, and of each cluster below as a whole: who scrapes all tiers
//! adds nothing up twice.

use holm_core::orchestrator::Figures;
use holm_core::orchestrator::figures::MemberFigures;
use holm_metrics::{Bounded, Family};
use holm_model::member::Role;
use holm_model::resources::Resources;
use holm_model::state::MemberState;

use super::MOST_MEMBERS;

/// The same six of nodes and of clusters.
struct Room {
    cpu: [Family; 3],
    memory: [Family; 3],
    instances: Family,
}

pub(super) fn families(orchestrator: &str, figures: &Figures) -> Vec<Family> {
    let (mut nodes, mut clusters) = (Room::of_nodes(), Room::of_clusters());
    let mut disk = [
        Family::gauge("holm_node_disk_size_bytes", "The file system of the node's data directory."),
        Family::gauge("holm_node_disk_free_bytes", "Of it, what is free."),
    ];
    let mut names = Bounded::new(MOST_MEMBERS);
    for member in &figures.members {
        let [name] = names.admit([&member.name]);
        match member.role {
            Role::Node => {
                let labels = [("cluster", orchestrator), ("node", &*name)];
                nodes.add(&labels, member);
                if let Some((size, free)) = member.disk {
                    disk[0].add(&labels, size);
                    disk[1].add(&labels, free);
                }
            }
            Role::Cluster => clusters.add(&[("cluster", &*name)], member),
        }
    }
    nodes.families().chain(disk).chain(clusters.families()).collect()
}

// === impl Room ===

impl Room {
    fn of_nodes() -> Self {
        Self {
            cpu: [
                Family::gauge("holm_node_cpu_allocatable_cores", "What instances may take in all."),
                Family::gauge("holm_node_cpu_free_cores", "Not reserved; of nodes that are online."),
                Family::gauge("holm_node_cpu_used_cores", "In use, by whomever; of nodes that are online."),
            ],
            memory: [
                Family::gauge("holm_node_memory_allocatable_bytes", "What instances may take in all."),
                Family::gauge("holm_node_memory_free_bytes", "Not reserved; of nodes that are online."),
                Family::gauge(
                    "holm_node_memory_used_bytes",
                    "In use, by whomever; of nodes that are online.",
                ),
            ],
            instances: Family::gauge("holm_node_instances", "Live copies on the node."),
        }
    }

    fn of_clusters() -> Self {
        Self {
            cpu: [
                Family::gauge("holm_cluster_cpu_allocatable_cores", "Of its nodes that are online."),
                Family::gauge("holm_cluster_cpu_free_cores", "Not reserved there."),
                Family::gauge("holm_cluster_cpu_used_cores", "In use on its nodes, by whomever."),
            ],
            memory: [
                Family::gauge("holm_cluster_memory_allocatable_bytes", "Of its nodes that are online."),
                Family::gauge("holm_cluster_memory_free_bytes", "Not reserved there."),
                Family::gauge("holm_cluster_memory_used_bytes", "In use on its nodes, by whomever."),
            ],
            instances: Family::gauge("holm_cluster_instances", "Live copies on its nodes, as it told."),
        }
    }

    fn add(&mut self, labels: &[(&'static str, &str)], member: &MemberFigures) {
        let Resources { cpu, memory } = member.allocatable;
        self.cpu[0].add(labels, cores(cpu.0));
        self.memory[0].add(labels, memory.0);
        self.instances.add(labels, member.instances);
        // Of others nobody knows it now.
        if member.state == MemberState::Online {
            self.cpu[1].add(labels, cores(member.free.cpu.0));
            self.memory[1].add(labels, member.free.memory.0);
            self.cpu[2].add(labels, cores(member.usage.cpu_millis));
            self.memory[2].add(labels, member.usage.memory);
        }
    }

    fn families(self) -> impl Iterator<Item = Family> {
        self.cpu.into_iter().chain(self.memory).chain([self.instances])
    }
}

/// From thousandths.
pub(super) fn cores(millis: u64) -> f64 {
    millis as f64 / 1000.0
}
