//! The node machine in a world that does what it likes: lists change, instances end, launches fail,
//! the agent crashes before or after its effects, the machine reboots, commits fail, links come and go.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use holm_core::node::{NodeEffect, NodeEvent, NodeMachine, Outcome, RuntimeEvent, Survivor, SurvivorState};
use holm_model::fact::{Fact, FactKey, InstanceStatus};
use holm_model::id::AssignmentId;
use holm_model::item::{Assignment, ItemKey};
use holm_model::message::{Down, Facts, Up};
use holm_model::record::Batch;
use holm_model::state::{InstanceState, RunState};
use holm_model::time::{Now, Time};
use proptest::prelude::*;

use crate::support::{Disk, Parent, assignment, config, id, pack};

const IDS: u64 = 3;

#[derive(Clone, Debug)]
enum Deed {
    Put {
        n: u64,
        run: RunState,
        newer: bool,
        restart: bool,
        held: bool,
    },
    Drop {
        n: u64,
    },
    /// What was asked for is done, or fails.
    Answer {
        n: u64,
        well: bool,
    },
    Exit {
        n: u64,
        code: i32,
    },
    Link {
        up: bool,
    },
    /// The agent is killed and comes back; `late`: effects of its last step were carried out.
    Crash {
        late: bool,
        event: bool,
    },
    Reboot,
    FailCommit,
    Sleep {
        seconds: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Launching,
    Running,
    Paused,
    Exited(i32),
}

#[derive(Clone, Copy, Debug)]
struct Process {
    incarnation: u32,
    phase: Phase,
    halting: bool,
    /// Asked to pause (`true`) or to resume.
    switching: Option<bool>,
}

struct World {
    parent: Parent,
    list: BTreeMap<u64, Assignment>,
    machine: NodeMachine,
    disk: Disk,
    now: Now,
    boot: u32,
    linked: bool,
    /// The next commit fails.
    broken: bool,
    /// Effects of the next step are lost: the agent dies before it carries them out.
    dying: bool,
    inbox: VecDeque<NodeEvent>,
    processes: BTreeMap<AssignmentId, Process>,
    removing: BTreeMap<AssignmentId, u32>,
    launched: BTreeMap<AssignmentId, u32>,
    told: BTreeMap<AssignmentId, InstanceStatus>,
}

impl World {
    fn new() -> Self {
        let disk = Disk::default();
        let machine = NodeMachine::load(&mut disk.snapshot(), config("boot-0")).unwrap();
        let mut world = Self {
            parent: Parent::new(),
            list: BTreeMap::new(),
            machine,
            disk,
            now: Now { boot: Duration::from_secs(1), wall: Time(0) },
            boot: 0,
            linked: false,
            broken: false,
            dying: false,
            inbox: VecDeque::new(),
            processes: BTreeMap::new(),
            removing: BTreeMap::new(),
            launched: BTreeMap::new(),
            told: BTreeMap::new(),
        };
        world.step(NodeEvent::survivors(Vec::new()));
        world
    }

    /// One event after the other: what effects lead to waits until all effects are carried out.
    fn step(&mut self, event: NodeEvent) {
        self.inbox.push_back(event);
        if self.inbox.len() > 1 {
            return;
        }
        while let Some(event) = self.inbox.front().cloned() {
            self.machine.step(self.now, event);
            if std::mem::take(&mut self.broken) {
                self.machine.undo().unwrap();
            } else {
                let batch = self.disk.commit(self.machine.journal_mut());
                check_legal(&batch);
            }
            let effects = self.machine.take_effects();
            if !self.dying {
                effects.into_iter().for_each(|effect| self.carry_out(effect));
            }
            self.inbox.pop_front();
        }
    }

    fn runtime(&mut self, id: AssignmentId, incarnation: u32, event: RuntimeEvent) {
        self.step(NodeEvent::Runtime { id, incarnation, event });
    }

    fn carry_out(&mut self, effect: NodeEffect) {
        match effect {
            NodeEffect::Send(up) => self.hear(&up),
            NodeEffect::Launch(launch) => {
                let id = launch.id;
                let before = self.processes.get(&id);
                assert!(
                    before.is_none_or(|p| matches!(p.phase, Phase::Exited(_))),
                    "{id}: {before:?} while {} is launched",
                    launch.incarnation
                );
                let last = self.launched.insert(id, launch.incarnation);
                assert!(last.is_none_or(|last| last < launch.incarnation), "{id}: {last:?} again");
                let phase = Phase::Launching;
                let incarnation = launch.incarnation;
                let process = Process { incarnation, phase, halting: false, switching: None };
                self.processes.insert(id, process);
            }
            NodeEffect::Halt { id, incarnation, .. } => match self.live(id, incarnation) {
                Some(process) => process.halting = true,
                None => self.runtime(id, incarnation, RuntimeEvent::Exited(Outcome::default())),
            },
            NodeEffect::Pause { id, incarnation } => self.switch(id, incarnation, true),
            NodeEffect::Resume { id, incarnation } => self.switch(id, incarnation, false),
            NodeEffect::Remove { id, incarnation } => {
                assert!(self.live(id, incarnation).is_none(), "{id} is removed while it is live");
                self.removing.insert(id, incarnation);
            }
            NodeEffect::ListSurvivors => self.survive(),
            NodeEffect::Reconnect => {
                self.step(NodeEvent::LinkDown);
                self.step(NodeEvent::LinkUp);
            }
            _ => {}
        }
    }

    fn live(&mut self, id: AssignmentId, incarnation: u32) -> Option<&mut Process> {
        let process = self.processes.get_mut(&id)?;
        let live = process.incarnation == incarnation && !matches!(process.phase, Phase::Exited(_));
        live.then_some(process)
    }

    fn switch(&mut self, id: AssignmentId, incarnation: u32, pause: bool) {
        if let Some(process) = self.live(id, incarnation) {
            process.switching = Some(pause);
        }
    }

    fn hear(&mut self, up: &Up) {
        if let Up::Facts(Facts { put, gone, .. }) = up {
            for key in gone {
                if let FactKey::Instance(id) = key {
                    self.told.remove(id);
                }
            }
            for fact in put {
                let Fact::Instance(report) = fact else { continue };
                let status = report.status.clone();
                if let Some(last) = self.told.insert(report.id, status.clone()) {
                    let same = InstanceStatus { usage: last.usage, ..status.clone() } == last;
                    assert!(same || status.is_newer_than(&last), "{last:?} then {status:?}");
                }
            }
        }
        if let Some(down) = self.linked.then(|| self.parent.answer(up)).flatten() {
            self.down(down);
        }
    }

    fn down(&mut self, down: Down) {
        if self.linked {
            self.step(NodeEvent::Received(down));
        }
    }

    /// The runtimes say what they have; what was asked of them is forgotten, as an agent's restart does.
    fn survive(&mut self) {
        let mut survivors = Vec::new();
        for (id, process) in &mut self.processes {
            (process.halting, process.switching) = (false, None);
            let state = match process.phase {
                Phase::Launching => SurvivorState::Launching,
                Phase::Running => SurvivorState::Running,
                Phase::Paused => SurvivorState::Paused,
                Phase::Exited(code) => SurvivorState::Exited(Outcome::exited(code)),
            };
            let (id, incarnation) = (*id, process.incarnation);
            survivors.push(Survivor { id, incarnation, state, ports: BTreeMap::new(), lease: None });
        }
        self.removing.clear();
        self.step(NodeEvent::survivors(survivors));
    }

    /// The agent begins anew from what was committed. Its launches under way end with it.
    fn begin(&mut self) {
        self.processes.retain(|_, process| process.phase != Phase::Launching);
        (self.linked, self.dying, self.broken) = (false, false, false);
        let boot = format!("boot-{}", self.boot);
        self.machine = NodeMachine::load(&mut self.disk.snapshot(), config(&boot)).unwrap();
        self.survive();
    }

    fn answer(&mut self, n: u64, well: bool) {
        let id = id(n);
        if let Some(incarnation) = self.removing.get(&id).copied() {
            self.removing.remove(&id);
            self.processes.remove(&id);
            // Should the id ever be given again, that is another life, in no order with this one.
            self.launched.remove(&id);
            self.told.remove(&id);
            return self.runtime(id, incarnation, RuntimeEvent::Removed);
        }
        let Some(process) = self.processes.get_mut(&id) else { return };
        let incarnation = process.incarnation;
        let reason = "no".to_owned();
        let event = match (process.phase, process.halting, process.switching.take()) {
            (Phase::Exited(_), _, _) => return,
            (_, true, _) if well => {
                process.phase = Phase::Exited(143);
                RuntimeEvent::Exited(Outcome::exited(143))
            }
            (_, true, _) => {
                process.halting = false;
                RuntimeEvent::HaltFailed { reason }
            }
            (Phase::Launching, false, _) if well => {
                process.phase = Phase::Running;
                RuntimeEvent::Running
            }
            (Phase::Launching, false, _) => {
                self.processes.remove(&id);
                RuntimeEvent::LaunchFailed { reason, retry: true }
            }
            (_, false, Some(pause)) if well => {
                process.phase = if pause { Phase::Paused } else { Phase::Running };
                if pause { RuntimeEvent::Paused } else { RuntimeEvent::Running }
            }
            (_, false, Some(_)) => RuntimeEvent::PauseFailed { reason },
            (_, false, None) => return,
        };
        self.runtime(id, incarnation, event);
    }

    fn exit(&mut self, n: u64, code: i32) {
        let Some(process) = self.processes.get_mut(&id(n)) else { return };
        if matches!(process.phase, Phase::Running | Phase::Paused) {
            process.phase = Phase::Exited(code);
            let incarnation = process.incarnation;
            self.runtime(id(n), incarnation, RuntimeEvent::Exited(Outcome::exited(code)));
        }
    }

    fn wish(&mut self, n: u64, assignment: Assignment) {
        let item = pack(&assignment);
        self.list.insert(n, assignment);
        let down = self.parent.put(item);
        self.down(down);
    }

    fn link(&mut self, up: bool) {
        if self.linked != up {
            self.linked = up;
            self.step(if up { NodeEvent::LinkUp } else { NodeEvent::LinkDown });
        }
    }

    fn sleep(&mut self, time: Duration) {
        self.now.boot += time;
        self.now.wall.0 += i64::try_from(time.as_millis()).unwrap();
        self.step(NodeEvent::Tick);
    }

    fn happen(&mut self, deed: &Deed) {
        match *deed {
            Deed::Put { n, run, newer, restart, held } => {
                let mut wanted = self.list.get(&n).cloned().unwrap_or_else(|| assignment(n));
                wanted.part.run = run;
                wanted.part.generation += u64::from(newer);
                wanted.part.restarts += u64::from(restart);
                wanted.held = held;
                self.wish(n, wanted);
            }
            Deed::Drop { n } => {
                if self.list.remove(&n).is_some() {
                    let down = self.parent.remove(ItemKey::Assignment(id(n)));
                    self.down(down);
                }
            }
            Deed::Answer { n, well } => self.answer(n, well),
            Deed::Exit { n, code } => self.exit(n, code),
            Deed::Link { up } => self.link(up),
            Deed::Crash { late, event } => {
                self.dying = !late;
                if event {
                    self.exit(0, 1);
                    let down = self.parent.alive();
                    self.down(down);
                }
                self.begin();
            }
            Deed::Reboot => {
                self.boot += 1;
                self.now.boot = Duration::from_secs(1);
                self.processes.clear();
                self.begin();
            }
            Deed::FailCommit => self.broken = true,
            Deed::Sleep { seconds } => self.sleep(Duration::from_secs(seconds)),
        }
    }

    /// Nothing unexpected happens any more; all that is asked for is done.
    fn settle(&mut self) {
        self.broken = false;
        self.link(false);
        self.link(true);
        for _ in 0..20 {
            let down = self.parent.alive();
            self.down(down);
            (0..IDS).for_each(|n| self.answer(n, true));
            self.sleep(Duration::from_secs(120));
        }
    }

    fn check_settled(&self) {
        use InstanceState as I;
        for n in 0..IDS {
            let (record, process) = (self.machine.instance(id(n)), self.processes.get(&id(n)));
            let Some(wanted) = self.list.get(&n) else {
                assert!(record.is_none() && process.is_none(), "{n}: {record:?} {process:?}");
                continue;
            };
            let record = record.expect("a record of what is wished");
            let fine: &[I] = match wanted.part.run {
                _ if wanted.held => {
                    &[I::ScheduledNode, I::Running, I::Paused, I::Stopped, I::Completed, I::Failed]
                }
                RunState::Run if record.exhausted => &[I::Failed],
                RunState::Run => &[I::Running, I::Completed],
                RunState::Pause => &[I::Paused, I::Stopped, I::Completed, I::Failed],
                RunState::Stop => &[I::Stopped, I::Completed],
                RunState::Unknown => unreachable!(),
            };
            assert!(fine.contains(&record.state), "{n}: {wanted:?} {record:?}");
            if !wanted.held {
                assert_eq!(
                    record.is_up(),
                    process.is_some_and(Process::is_up),
                    "{n}: {record:?} {process:?}"
                );
            }
            if record.is_up() {
                assert_eq!(record.incarnation, process.unwrap().incarnation);
            }
            let told = self.told.get(&id(n)).expect("told");
            assert_eq!((told.state, told.sequence), (record.state, record.sequence), "the parent knows");
        }
    }
}

impl Process {
    fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Paused)
    }
}

trait IsUp {
    fn is_up(&self) -> bool;
}

impl IsUp for holm_core::node::InstanceRecord {
    fn is_up(&self) -> bool {
        matches!(self.state, InstanceState::Running | InstanceState::Paused)
    }
}

fn check_legal(batch: &Batch) {
    let state = |word: &str| serde_json::from_value::<InstanceState>(word.into()).unwrap();
    for change in batch.changes.iter().filter(|change| change.kind == "instance") {
        assert!(state(&change.from).may_become(state(&change.to)), "{change:?}");
    }
}

fn deed() -> impl Strategy<Value = Deed> {
    let n = 0..IDS;
    let run = prop_oneof![4 => Just(RunState::Run), 1 => Just(RunState::Stop), 1 => Just(RunState::Pause)];
    let rare = || prop::bool::weighted(0.2);
    let put = (n.clone(), run, rare(), rare(), rare());
    prop_oneof![
        6 => put.prop_map(|(n, run, newer, restart, held)| Deed::Put { n, run, newer, restart, held }),
        2 => n.clone().prop_map(|n| Deed::Drop { n }),
        10 => (n.clone(), prop::bool::weighted(0.8)).prop_map(|(n, well)| Deed::Answer { n, well }),
        3 => (n, 0..2).prop_map(|(n, code)| Deed::Exit { n, code }),
        3 => prop::bool::weighted(0.7).prop_map(|up| Deed::Link { up }),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(late, event)| Deed::Crash { late, event }),
        1 => Just(Deed::Reboot),
        1 => Just(Deed::FailCommit),
        2 => (0_u64..90).prop_map(|seconds| Deed::Sleep { seconds }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_list_comes_true(deeds in prop::collection::vec(deed(), 1..60)) {
        let mut world = World::new();
        for deed in &deeds {
            world.happen(deed);
        }
        world.settle();
        world.check_settled();
    }
}
