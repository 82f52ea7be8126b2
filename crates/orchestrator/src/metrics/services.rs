//! Instances, slots and restarts of each service.

use std::collections::BTreeSet;

use holm_core::orchestrator::Figures;
use holm_core::orchestrator::tally::ServiceId;
use holm_metrics::shares::fair;
use holm_metrics::{Family, OTHER};

use super::MOST_SERVICES;
use super::capacity::cores;

/// Services with series of their own.
struct Named<'a>(BTreeSet<&'a ServiceId>);

/// The labels of all others.
const OTHERS: [(&str, &str); 3] = [("project", OTHER), ("application", OTHER), ("service", OTHER)];

pub(super) fn families(figures: &Figures) -> Vec<Family> {
    let mut slots = Family::gauge("holm_slots", "Slots of the service that are wanted here and below.");
    let mut running = Family::gauge("holm_slots_running", "Instances that run and are not held.");
    let mut instances = Family::gauge("holm_instances", "Live copies here and below, by state.");
    let mut cpu = Family::gauge("holm_instances_cpu_used_cores", "In use by the service's instances.");
    let mut memory = Family::gauge("holm_instances_memory_used_bytes", "In use by the service's instances.");
    let mut restarts =
        Family::counter("holm_instance_restarts_total", "Starts after the first, heard of since the start.");
    let named = Named::of(figures);
    for (id, service) in &figures.services {
        let labels = named.labels(id);
        slots.add(&labels, service.slots);
        running.add(&labels, service.running);
        for (state, number) in &service.instances {
            let [project, application, service] = labels;
            instances.add(&[project, application, service, ("state", state.word())], *number);
        }
        cpu.add(&labels, cores(service.usage.cpu_millis));
        memory.add(&labels, service.usage.memory);
    }
    // A counter must not go down: who is counted by itself is so for as long as it is there.
    let counted = &figures.tally.restarts;
    for (id, number) in counted {
        restarts.add(&labels_of(id), *number);
    }
    for id in named.0.iter().filter(|id| !counted.contains_key(id)) {
        restarts.add(&labels_of(id), 0_u64);
    }
    if figures.tally.other_restarts > 0 {
        restarts.add(&OTHERS, figures.tally.other_restarts);
    }
    vec![slots, running, instances, cpu, memory, restarts]
}

// === impl Named ===

impl<'a> Named<'a> {
    /// Each project has its share.
    fn of(figures: &'a Figures) -> Self {
        Self(fair(figures.services.keys().map(|id| (&id.app.project, id)), MOST_SERVICES))
    }

    fn labels<'b>(&self, id: &'b ServiceId) -> [(&'static str, &'b str); 3] {
        if self.0.contains(id) { labels_of(id) } else { OTHERS }
    }
}

fn labels_of(id: &ServiceId) -> [(&'static str, &str); 3] {
    let (project, application) = (id.app.project.as_str(), id.app.application.as_str());
    [("project", project), ("application", application), ("service", id.service.as_str())]
}
