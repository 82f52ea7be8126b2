//! Processes on a node: they outlive its agent, and die with its machine.

use std::collections::BTreeMap;
use std::time::Duration;

use holm_core::node::{
    Data, Discard, Launch, NodeEffect, NodeEvent, Outcome, RuntimeEvent, Survivor, SurvivorState,
};
use holm_model::healing::LEASE_WARNING;
use holm_model::id::AssignmentId;
use holm_model::item::Part;
use holm_model::service::ServiceSpec;
use holm_model::slot::SlotIndex;

use crate::world::{Happening, NodeAt, World, trace};

/// What becomes of a process.
#[derive(Clone, Debug)]
pub(crate) struct Stir {
    pub(crate) id: AssignmentId,
    pub(crate) incarnation: u32,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    ComesUp,
    CannotStart,
    Exits(Outcome),
    IsHalted,
    CannotBeHalted,
    IsPaused,
    IsResumed,
    CannotBePaused,
    IsRemoved(Option<Discard>),
    /// Its supervisor ended it: told when the agent can be.
    HasEnded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcessState {
    Launching,
    Running,
    Paused,
    Exited,
}

#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) incarnation: u32,
    pub(crate) part: Part,
    pub(crate) slot: SlotIndex,
    pub(crate) state: ProcessState,
    pub(crate) spec: ServiceSpec,
    outcome: Outcome,
    /// Boot time of the node at which its supervisor ends it.
    lease: Option<Duration>,
    /// It was asked to end, since its lease was not renewed in time.
    over: bool,
    pub(crate) data: Data,
    ports: BTreeMap<holm_model::name::Name, u16>,
}

/// Everything that the runtimes of one node have.
#[derive(Debug, Default)]
pub(crate) struct Runtimes {
    pub(crate) processes: BTreeMap<AssignmentId, Process>,
    /// How often something was launched.
    pub(crate) launches: usize,
    next_port: u16,
}

// === impl Process ===

impl Process {
    /// What `stubborn 90000` takes until it has ended when it is asked to.
    fn takes_to_end(&self) -> Option<Duration> {
        let mut words = self.spec.command.iter();
        words.next().filter(|word| *word == "stubborn")?;
        words.next()?.parse().ok().map(Duration::from_millis)
    }

    /// It executes.
    pub(crate) const fn is_live(&self) -> bool {
        matches!(self.state, ProcessState::Running | ProcessState::Paused | ProcessState::Launching)
    }
}

// === impl Runtimes ===

impl Runtimes {
    pub(crate) fn survivors(&self) -> Vec<Survivor> {
        let survivor = |(id, process): (&AssignmentId, &Process)| Survivor {
            id: *id,
            incarnation: process.incarnation,
            state: match process.state {
                ProcessState::Launching => SurvivorState::Launching,
                ProcessState::Running => SurvivorState::Running,
                ProcessState::Paused => SurvivorState::Paused,
                ProcessState::Exited => SurvivorState::Exited(process.outcome.clone()),
            },
            ports: process.ports.clone(),
            lease: process.lease.filter(|_| process.is_live()),
        };
        self.processes.iter().map(survivor).collect()
    }

    /// The agent's machine was started anew.
    pub(crate) fn reboot(&mut self) {
        self.processes.clear();
    }

    fn launch(&mut self, launch: Launch) {
        let Launch { id, incarnation, part, slot, spec, ports, lease, data, .. } = launch;
        assert_eq!(
            lease.is_some(),
            spec.healing.exclusive,
            "{id}: whatever is exclusive starts with a lease"
        );
        if let Some(old) = self.processes.get(&id).filter(|old| old.is_live()) {
            panic!("{id}: incarnation {incarnation} is launched while {} is live", old.incarnation);
        }
        let mut given = BTreeMap::new();
        for (name, port) in &spec.ports {
            self.next_port += 1;
            let number = port.host.or_else(|| ports.get(name).copied()).unwrap_or(30_000 + self.next_port);
            given.insert(name.clone(), number);
        }
        self.launches += 1;
        let (state, outcome) = (ProcessState::Launching, Outcome::default());
        let process =
            Process { incarnation, part, slot, state, spec, outcome, lease, over: false, data, ports: given };
        self.processes.insert(id, process);
    }
}

// === impl World ===

impl World {
    pub(crate) fn runtime(&mut self, node: NodeAt, effect: NodeEffect) {
        let weather = self.weather;
        let soon = self.rng.millis(1, 200);
        let (id, incarnation, what, after) = match effect {
            NodeEffect::Launch(launch) => {
                let (id, incarnation) = (launch.id, launch.incarnation);
                trace!(
                    self,
                    "{} launches {} {}/{} {id} #{incarnation} generation {}",
                    self.nodes[node].label(),
                    launch.part.app,
                    launch.part.service,
                    launch.slot,
                    launch.part.generation,
                );
                self.expect_alone(node, &launch);
                let lease = launch.lease;
                self.nodes[node].runtimes.launch(*launch);
                self.plan_lease(node, id, lease);
                let fails = self.rng.chance(weather.launch_fails);
                (id, incarnation, if fails { What::CannotStart } else { What::ComesUp }, soon)
            }
            NodeEffect::Halt { id, incarnation, grace, .. } => {
                trace!(self, "{} halts {id} #{incarnation}", self.nodes[node].label());
                let fails = self.rng.chance(weather.halt_fails);
                let late = if self.rng.chance(weather.launch_fails) { grace } else { soon };
                let late = self.nodes[node]
                    .runtimes
                    .processes
                    .get(&id)
                    .and_then(Process::takes_to_end)
                    .unwrap_or(late);
                (id, incarnation, if fails { What::CannotBeHalted } else { What::IsHalted }, late)
            }
            NodeEffect::Pause { id, incarnation } => {
                let fails = self.rng.chance(weather.halt_fails);
                (id, incarnation, if fails { What::CannotBePaused } else { What::IsPaused }, soon)
            }
            NodeEffect::Resume { id, incarnation } => {
                let fails = self.rng.chance(weather.halt_fails);
                (id, incarnation, if fails { What::CannotBePaused } else { What::IsResumed }, soon)
            }
            NodeEffect::Remove { id, incarnation } => (id, incarnation, What::IsRemoved(None), soon),
            NodeEffect::Discard { id, incarnation, what } => {
                (id, incarnation, What::IsRemoved(Some(what)), soon)
            }
            NodeEffect::Lease { id, until } => {
                let process = self.nodes[node].runtimes.processes.get_mut(&id);
                if let Some(process) = process.filter(|process| !process.over) {
                    process.lease = Some(until);
                    self.plan_lease(node, id, Some(until));
                }
                return;
            }
            _ => return,
        };
        self.plan(after, Happening::Runtime(node, Stir { id, incarnation, what }));
    }

    pub(crate) fn stir(&mut self, node: NodeAt, stir: Stir) {
        let Stir { id, incarnation, what } = stir;
        let site = &mut self.nodes[node];
        if let What::IsRemoved(Some(what)) = &what {
            site.volumes.discard(what);
        }
        let process = site.runtimes.processes.get_mut(&id).filter(|p| p.incarnation == incarnation);
        let Some(process) = process else {
            // Nothing of it is there (any more): a halt or a removal has nothing to do.
            let event = match what {
                What::IsHalted | What::CannotBeHalted => RuntimeEvent::Exited(Outcome::default()),
                What::IsRemoved(_) => RuntimeEvent::Removed,
                _ => return,
            };
            return self.node_event(node, NodeEvent::Runtime { id, incarnation, event });
        };
        let event = match what {
            What::ComesUp => return self.comes_up(node, id),
            What::CannotStart if process.state == ProcessState::Launching => {
                site.runtimes.processes.remove(&id);
                RuntimeEvent::LaunchFailed { reason: "no such program".to_owned(), retry: true }
            }
            What::CannotStart => return,
            What::Exits(outcome) => {
                if !process.is_live() {
                    return;
                }
                (process.state, process.outcome) = (ProcessState::Exited, outcome.clone());
                RuntimeEvent::Exited(outcome)
            }
            What::HasEnded if process.state == ProcessState::Exited => {
                RuntimeEvent::Exited(process.outcome.clone())
            }
            What::HasEnded => return,
            What::IsHalted => {
                process.state = ProcessState::Exited;
                RuntimeEvent::Exited(process.outcome.clone())
            }
            What::CannotBeHalted => RuntimeEvent::HaltFailed { reason: "it is stuck".to_owned() },
            What::IsPaused if process.state == ProcessState::Running => {
                process.state = ProcessState::Paused;
                RuntimeEvent::Paused
            }
            What::IsResumed if process.state == ProcessState::Paused => {
                process.state = ProcessState::Running;
                RuntimeEvent::Running
            }
            What::IsPaused | What::IsResumed => return,
            What::CannotBePaused => RuntimeEvent::PauseFailed { reason: "it is stuck".to_owned() },
            What::IsRemoved(_) => {
                assert!(!process.is_live(), "{id} #{incarnation} is removed while it is live");
                site.runtimes.processes.remove(&id);
                RuntimeEvent::Removed
            }
        };
        self.node_event(node, NodeEvent::Runtime { id, incarnation, event });
    }

    /// Whatever runs of a service and a generation ends by itself.
    pub(crate) fn exit(&mut self, service: &str, generation: u64) {
        for node in 0..self.nodes.len() {
            let processes = &self.nodes[node].runtimes.processes;
            let ours = processes.iter().filter(|(_, process)| {
                process.is_live() && process.part.service == *service && process.part.generation == generation
            });
            let ended: Vec<_> = ours.map(|(id, process)| (*id, process.incarnation)).collect();
            for (id, incarnation) in ended {
                self.stir(node, Stir { id, incarnation, what: What::Exits(Outcome::exited(1)) });
            }
        }
    }

    fn plan_lease(&mut self, node: NodeAt, id: AssignmentId, until: Option<Duration>) {
        let Some(until) = until else { return };
        let now = self.nodes[node].clock.at(self.now).boot;
        for look in [until.saturating_sub(LEASE_WARNING), until] {
            self.plan(look.saturating_sub(now), Happening::LeaseEnds(node, id));
        }
    }

    /// By its supervisor, whatever became of the agent: it is asked to end, and does so with code 0 unless it is `deaf`.
    pub(crate) fn lease_ends(&mut self, node: NodeAt, id: AssignmentId) {
        let site = &mut self.nodes[node];
        let now = site.clock.at(self.now).boot;
        let Some(process) = site.runtimes.processes.get_mut(&id).filter(|process| process.is_live()) else {
            return;
        };
        let Some(until) = process.lease.filter(|until| *until <= now + LEASE_WARNING) else { return };
        process.over = true;
        let deaf =
            process.state == ProcessState::Launching || process.spec.command.iter().any(|w| w == "deaf");
        if deaf && until > now {
            return;
        }
        let by_itself = Outcome { lease: true, ..Outcome::exited(0) };
        let killed = Outcome { lease: true, signal: Some(9), ..Outcome::default() };
        (process.state, process.outcome) = (ProcessState::Exited, if deaf { killed } else { by_itself });
        let incarnation = process.incarnation;
        trace!(self, "{}: the lease of {id} #{incarnation} ends", self.nodes[node].label());
        self.plan(Duration::ZERO, Happening::Runtime(node, Stir { id, incarnation, what: What::HasEnded }));
    }

    /// The promise of exclusive services, at every start: no other copy of the slot executes anywhere. One from before
    /// the service was exclusive has no lease that could end it.
    fn expect_alone(&self, node: NodeAt, launch: &Launch) {
        if !launch.spec.healing.exclusive {
            return;
        }
        for site in &self.nodes {
            for (id, process) in site.runtimes.processes.iter().filter(|(id, _)| **id != launch.id) {
                let same = (process.part.wish, &process.part.service, &process.slot)
                    == (launch.part.wish, &launch.part.service, &launch.slot);
                assert!(
                    !(same && process.is_live() && process.spec.healing.exclusive),
                    "{}/{} starts on {} while {id} runs on {}",
                    launch.part.service,
                    launch.slot,
                    self.nodes[node].path,
                    site.path
                );
            }
        }
    }

    fn comes_up(&mut self, node: NodeAt, id: AssignmentId) {
        let Some(process) = self.nodes[node].runtimes.processes.get_mut(&id) else { return };
        if process.state != ProcessState::Launching {
            return;
        }
        if process.over {
            // Its supervisor starts nothing that would have to end at once.
            process.outcome = Outcome { lease: true, ..Outcome::default() };
            process.state = ProcessState::Exited;
            let (incarnation, event) = (process.incarnation, RuntimeEvent::Exited(process.outcome.clone()));
            return self.node_event(node, NodeEvent::Runtime { id, incarnation, event });
        }
        if let Data::From(from) = process.data {
            return self.fetch(node, id, from);
        }
        self.write(node, id);
        let Some(process) = self.nodes[node].runtimes.processes.get_mut(&id) else { return };
        process.state = ProcessState::Running;
        let (incarnation, ports) = (process.incarnation, process.ports.clone());
        // The program says how long it lives: `crash 300`, `job 500`; anything else goes on for ever.
        let mut words = process.spec.command.iter();
        let program = words.next().map(String::as_str).unwrap_or_default();
        let millis = words.next().and_then(|word| word.parse().ok()).unwrap_or(300);
        let code = match program {
            "crash" => Some(1),
            "job" => Some(0),
            _ => None,
        };
        if let Some(code) = code {
            let what = What::Exits(Outcome::exited(code));
            let stir = Stir { id, incarnation, what };
            self.plan(Duration::from_millis(millis), Happening::Runtime(node, stir));
        }
        for event in [RuntimeEvent::Starting { ports }, RuntimeEvent::Running] {
            self.node_event(node, NodeEvent::Runtime { id, incarnation, event });
        }
    }
}
