//! The node machine in its shell.

use std::collections::BTreeMap;
use std::time::Duration;

use holm_core::node::{DiskLimits, NodeConfig, NodeEffect, NodeEvent, NodeMachine};
use holm_model::fact::Fact;
use holm_model::id::AssignmentId;
use holm_model::member::{NodeFacts, RuntimeFacts};
use holm_model::message::Up;
use holm_model::name::Name;
use holm_model::resources::{Cpu, Memory, Resources};
use holm_model::wipe::WipeReport;

use crate::disk::Disk;
use crate::runtime::Runtimes;
use crate::volumes::Volumes;
use crate::world::{Clock, Happening, NodeAt, Orch, Who, World, trace};

#[derive(Debug)]
pub(crate) struct NodeSite {
    pub(crate) name: Name,
    pub(crate) parent: Orch,
    /// For people: `vienna/fl-1`.
    pub(crate) path: String,
    pub(crate) facts: NodeFacts,
    pub(crate) machine: Option<NodeMachine>,
    pub(crate) disk: Disk,
    pub(crate) runtimes: Runtimes,
    pub(crate) volumes: Volumes,
    pub(crate) clock: Clock,
    pub(crate) paused_until: Duration,
    boots: u32,
    /// Vanished for ever.
    pub(crate) gone: bool,
    /// The newest state that was told of each instance.
    told: BTreeMap<AssignmentId, (u32, u64)>,
}

// === impl NodeSite ===

impl NodeSite {
    pub(crate) fn new(name: Name, parent: Orch, path: String, facts: NodeFacts, now: Duration) -> Self {
        Self {
            name,
            parent,
            path,
            facts,
            machine: None,
            disk: Disk::default(),
            runtimes: Runtimes::default(),
            volumes: Volumes::default(),
            clock: Clock { born: now, skew: 0 },
            paused_until: Duration::ZERO,
            boots: 1,
            gone: false,
            told: BTreeMap::new(),
        }
    }

    pub(crate) fn label(&self) -> String {
        self.path.clone()
    }

    /// A restored store may assign again what was ended long ago: another life of the same id.
    pub(crate) fn forget_order(&mut self) {
        self.told.clear();
    }

    /// (incarnation, sequence) of an instance only rises.
    fn check_order(&mut self, up: &Up) {
        let Up::Facts(facts) = up else { return };
        for fact in &facts.put {
            if let Fact::Instance(report) = fact {
                let new = (report.status.incarnation, report.status.sequence);
                let old = self.told.insert(report.id, new).unwrap_or_default();
                assert!(new >= old, "{}: {} went from {old:?} to {new:?}", self.path, report.id);
            }
        }
    }
}

/// A small machine with the process runtime.
pub(crate) fn facts(memory_mib: u64) -> NodeFacts {
    let size = Resources::new(Cpu(4000), Memory(memory_mib << 20));
    let runtime = RuntimeFacts {
        name: Name::new("process").unwrap(),
        version: "1".to_owned(),
        unavailable: None,
        enforces: Vec::new(),
        leases: true,
        images: None,
        containers: None,
    };
    NodeFacts {
        arch: "amd64".to_owned(),
        os: "linux".to_owned(),
        total: size,
        allocatable: size,
        runtimes: vec![runtime],
        ..NodeFacts::default()
    }
}

// === impl World ===

impl World {
    pub(crate) fn start_node(&mut self, node: NodeAt) {
        let site = &mut self.nodes[node];
        if site.machine.is_some() || site.gone {
            return;
        }
        let boot_id = format!("boot-{}", site.boots);
        let config = NodeConfig {
            name: site.name.clone(),
            version: "sim".to_owned(),
            boot_id,
            disk: DiskLimits::default(),
        };
        site.machine = Some(NodeMachine::load(&mut site.disk.snapshot(), config).unwrap());
        let (facts, survivors) = (site.facts.clone(), site.runtimes.survivors());
        trace!(self, "{} starts with {} survivors", self.nodes[node].path, survivors.len());
        self.node_event(node, NodeEvent::Facts(Box::new(facts)));
        self.node_event(node, NodeEvent::survivors(survivors));
        if let Some(link) = self.dial_of(Who::Node(node)) {
            let after = self.rng.millis(1, 500);
            self.plan(after, Happening::Connect { link });
        }
    }

    pub(crate) fn crash_node(&mut self, node: NodeAt, reboot: bool) {
        let site = &mut self.nodes[node];
        site.machine = None;
        if reboot {
            site.boots += 1;
            site.runtimes.reboot();
        }
    }

    pub(crate) fn node_event(&mut self, node: NodeAt, event: NodeEvent) {
        let fails = self.rng.chance(self.weather.full_disk);
        let site = &mut self.nodes[node];
        let now = site.clock.at(self.now);
        let Some(machine) = &mut site.machine else { return };
        machine.step(now, event);
        let mut effects = machine.take_effects();
        let batch = machine.journal_mut().take_batch();
        if fails && !batch.is_empty() {
            machine.undo().unwrap();
            effects = machine.take_effects();
        } else {
            site.disk.commit(batch);
            machine.committed();
        }
        if let Some(at) = machine.next_deadline() {
            let after = at.saturating_sub(now.boot) + Duration::from_millis(1);
            self.plan(after, Happening::Due(node));
        }
        for effect in effects {
            if self.rng.chance(self.weather.crash) {
                return self.crash(Who::Node(node), false);
            }
            self.carry_out_on(node, effect);
        }
    }

    fn carry_out_on(&mut self, node: NodeAt, effect: NodeEffect) {
        match effect {
            NodeEffect::Send(up) => {
                self.nodes[node].check_order(&up);
                if let Some(link) = self.dial_of(Who::Node(node)) {
                    self.send_up(link, up);
                }
            }
            NodeEffect::ListSurvivors => {
                let survivors = self.nodes[node].runtimes.survivors();
                self.node_event(node, NodeEvent::survivors(survivors));
            }
            NodeEffect::Reconnect => {
                let link = self.dial_of(Who::Node(node));
                if let Some((link, connection)) = link.and_then(|link| Some((link, self.dials[link].open?))) {
                    self.plan(Duration::ZERO, Happening::MemberCloses { link, connection });
                }
            }
            NodeEffect::Wipe => {
                assert_eq!(self.nodes[node].runtimes.processes.len(), 0, "it wipes what runs");
                let report = WipeReport { files: 7, ..WipeReport::default() };
                self.node_event(node, NodeEvent::Wiped(report));
            }
            effect => self.runtime(node, effect),
        }
    }

    pub(crate) fn node_due(&mut self, node: NodeAt) {
        let site = &self.nodes[node];
        let due = site.machine.as_ref().and_then(NodeMachine::next_deadline);
        if due.is_some_and(|at| at <= site.clock.at(self.now).boot) {
            self.node_event(node, NodeEvent::Tick);
        }
    }

    pub(crate) fn node_keep_alive(&mut self, node: NodeAt) {
        let Some(alive) = self.nodes[node].machine.as_ref().map(NodeMachine::keep_alive) else { return };
        if let Some(link) = self.dial_of(Who::Node(node)) {
            self.send_up(link, alive);
        }
    }
}
