//! Instances, slots and restarts of each service.

use holm_core::orchestrator::Figures;
use holm_core::orchestrator::tally::ServiceId;
use holm_metrics::{Bounded, Family, OTHER};

use super::MOST_SERVICES;
use super::capacity::cores;

/// Of a service.
struct Names(Bounded<3>);

pub(super) fn families(figures: &Figures) -> Vec<Family> {
    let mut slots = Family::gauge("holm_slots", "Slots of the service that are wanted here and below.");
    let mut running = Family::gauge("holm_slots_running", "Instances that run and are not held.");
    let mut instances = Family::gauge("holm_instances", "Live copies here and below, by state.");
    let mut cpu = Family::gauge("holm_instances_cpu_used_cores", "In use by the service's instances.");
    let mut memory = Family::gauge("holm_instances_memory_used_bytes", "In use by the service's instances.");
    let mut restarts =
        Family::counter("holm_instance_restarts_total", "Starts after the first, heard of since the start.");
    let mut names = Names(Bounded::new(MOST_SERVICES));
    for (id, service) in &figures.services {
        let [project, application, name] = names.of(id);
        let labels = [("project", &*project), ("application", &*application), ("service", &*name)];
        slots.add(&labels, service.slots);
        running.add(&labels, service.running);
        for (state, number) in &service.instances {
            let [project, application, service] = labels;
            instances.add(&[project, application, service, ("state", state.word())], *number);
        }
        cpu.add(&labels, cores(service.usage.cpu_millis));
        memory.add(&labels, service.usage.memory);
        restarts.add(&labels, figures.tally.restarts.get(id).copied().unwrap_or(0));
    }
    // A counter must not go down when its service goes.
    for (id, number) in figures.tally.restarts.iter().filter(|(id, _)| !figures.services.contains_key(id)) {
        let [project, application, service] = names.of(id);
        let labels = [("project", &*project), ("application", &*application), ("service", &*service)];
        restarts.add(&labels, *number);
    }
    if figures.tally.other_restarts > 0 {
        let labels = [("project", OTHER), ("application", OTHER), ("service", OTHER)];
        restarts.add(&labels, figures.tally.other_restarts);
    }
    vec![slots, running, instances, cpu, memory, restarts]
}

// === impl Names ===

impl Names {
    fn of(&mut self, id: &ServiceId) -> [String; 3] {
        self.0.admit([id.app.project.as_str(), id.app.application.as_str(), id.service.as_str()])
    }
}
