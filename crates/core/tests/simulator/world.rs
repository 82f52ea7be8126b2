//! Virtual time, and everything that happens in it.
//!
//! One queue of happenings orders the world. Orchestrators and nodes are the real machines behind
//! shells that commit to a simulated disk before they carry out an effect; between any two effects
//! a shell may die.

use std::collections::BTreeMap;
use std::time::Duration;

use holm_core::orchestrator::config::Deadlines;
use holm_core::orchestrator::{ConsultId, Event};
use holm_model::id::{AssignmentId, MemberId};
use holm_model::time::{Now, Time};

use crate::fleet::DEADLINES;
use crate::link::{Dial, Message};
use crate::member::NodeSite;
use crate::oracle::Oracle;
use crate::rng::Rng;
use crate::runtime::Stir;
use crate::shell::OrchestratorSite;
use crate::volumes::Key;

/// Index of an orchestrator in the world.
pub(crate) type Orch = usize;
/// Index of a node in the world.
pub(crate) type NodeAt = usize;
/// Index of a member's link in the world.
pub(crate) type LinkAt = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Orchestrator(Orch),
    Node(NodeAt),
}

/// Something that is going to happen.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Deliver {
        link: LinkAt,
        connection: u64,
        message: Message,
    },
    MemberCloses {
        link: LinkAt,
        connection: u64,
    },
    ParentCloses {
        link: LinkAt,
        connection: u64,
    },
    Connect {
        link: LinkAt,
    },
    Tick(Orch),
    Flush(Orch),
    Due(NodeAt),
    KeepAlive(Who),
    Start(Who),
    Runtime(NodeAt, Stir),
    Consulted {
        orch: Orch,
        id: ConsultId,
        answer: Result<Vec<MemberId>, String>,
    },
    /// A supervisor looks at its lease; it is no part of the agent, and never paused with it.
    LeaseEnds(NodeAt, AssignmentId),
}

/// How likely misfortunes are, in thousandths; all zero in a calm world.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// A shell dies before an effect.
    pub(crate) crash: u64,
    /// A commit fails.
    pub(crate) full_disk: u64,
    /// Several events share a commit.
    pub(crate) group: u64,
    /// A connection breaks at a message.
    pub(crate) breaks: u64,
    /// A message is lost, doubled, or overtakes others; never on a TCP link.
    pub(crate) loss: u64,
    pub(crate) double: u64,
    pub(crate) overtake: u64,
    /// A launch fails, a halt or a pause fails.
    pub(crate) launch_fails: u64,
    pub(crate) halt_fails: u64,
}

/// A clock that starts anew with its machine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// World time of the machine's start.
    pub(crate) born: Duration,
    /// How far the wall clock is wrong, in milliseconds.
    pub(crate) skew: i64,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Duration,
    queue: BTreeMap<(Duration, u64), Happening>,
    count: u64,
    pub(crate) rng: Rng,
    pub(crate) weather: Weather,
    pub(crate) orchestrators: Vec<OrchestratorSite>,
    pub(crate) nodes: Vec<NodeSite>,
    pub(crate) dials: Vec<Dial>,
    pub(crate) connections: u64,
    pub(crate) tickets: u64,
    pub(crate) oracle: Oracle,
    /// How often each volume was written, wherever that was.
    pub(crate) written: BTreeMap<Key, u64>,
    /// Of orchestrators that are added.
    pub(crate) deadlines: Deadlines,
    /// What happened, when somebody wants to read it.
    pub(crate) trace: bool,
}

/// How often the shells say that they live.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// When the world begins.
const BEGIN: i64 = 1_700_000_000_000;

/// Writes down what happens when `HOLM_SIM_TRACE` is set.
macro_rules! trace {
    ($world:expr, $($format:tt)*) => {
        if $world.trace {
            eprintln!("{:10.3} {}", $world.now.as_secs_f64(), format_args!($($format)*));
        }
    };
}
pub(crate) use trace;

// === impl Clock ===

impl Clock {
    pub(crate) fn at(self, now: Duration) -> Now {
        let millis = i64::try_from(now.as_millis()).unwrap();
        Now { boot: now - self.born + Duration::from_secs(20), wall: Time(BEGIN + millis + self.skew) }
    }
}

// === impl World ===

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: Duration::from_secs(1000),
            queue: BTreeMap::new(),
            count: 0,
            rng: Rng::new(seed),
            weather: Weather::default(),
            orchestrators: Vec::new(),
            nodes: Vec::new(),
            dials: Vec::new(),
            connections: 0,
            tickets: 0,
            oracle: Oracle::default(),
            written: BTreeMap::new(),
            deadlines: DEADLINES,
            trace: std::env::var_os("HOLM_SIM_TRACE").is_some(),
        }
    }

    pub(crate) fn plan(&mut self, after: Duration, happening: Happening) {
        self.plan_at(self.now + after, happening);
    }

    pub(crate) fn plan_at(&mut self, at: Duration, happening: Happening) {
        self.count += 1;
        self.queue.insert((at, self.count), happening);
    }

    /// Lets this much time pass.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(((at, count), happening)) = self.next_until(end) {
            self.now = at;
            match self.asleep(&happening) {
                Some(until) => {
                    self.queue.insert((until, count), happening);
                }
                None => self.happen(happening),
            }
        }
        self.now = end;
    }

    fn next_until(&mut self, end: Duration) -> Option<((Duration, u64), Happening)> {
        let first = self.queue.first_entry()?;
        (first.key().0 <= end).then(|| first.remove_entry())
    }

    /// When the machine that this happens to is paused: until when.
    fn asleep(&self, happening: &Happening) -> Option<Duration> {
        let who = match happening {
            Happening::Deliver { link, message: Message::Up(_), .. }
            | Happening::ParentCloses { link, .. } => Who::Orchestrator(self.dials[*link].parent),
            Happening::Deliver { link, .. } | Happening::MemberCloses { link, .. } => {
                self.dials[*link].member
            }
            Happening::Connect { .. } | Happening::LeaseEnds(..) => return None,
            Happening::Tick(orch) | Happening::Flush(orch) | Happening::Consulted { orch, .. } => {
                Who::Orchestrator(*orch)
            }
            Happening::Due(node) | Happening::Runtime(node, _) => Who::Node(*node),
            Happening::KeepAlive(who) | Happening::Start(who) => *who,
        };
        let until = match who {
            Who::Orchestrator(orch) => self.orchestrators[orch].paused_until,
            Who::Node(node) => self.nodes[node].paused_until,
        };
        (until > self.now).then_some(until)
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Deliver { link, connection, message } => self.deliver(link, connection, message),
            Happening::MemberCloses { link, connection } => self.member_closes(link, connection),
            Happening::ParentCloses { link, connection } => self.parent_closes(link, connection),
            Happening::Connect { link } => self.connect(link),
            Happening::Tick(orch) => self.tick(orch),
            Happening::Flush(orch) => self.flush(orch),
            Happening::Due(node) => self.node_due(node),
            Happening::KeepAlive(who) => self.keep_alive(who),
            Happening::Start(who) => self.start(who),
            Happening::Runtime(node, stir) => self.stir(node, stir),
            Happening::Consulted { orch, id, answer } => {
                self.orchestrator_event(orch, Event::Consulted { id, answer });
            }
            Happening::LeaseEnds(node, id) => self.lease_ends(node, id),
        }
    }

    fn keep_alive(&mut self, who: Who) {
        match who {
            Who::Orchestrator(orch) => self.orchestrator_keep_alive(orch),
            Who::Node(node) => self.node_keep_alive(node),
        }
        self.plan(KEEP_ALIVE, Happening::KeepAlive(who));
    }

    pub(crate) fn start(&mut self, who: Who) {
        match who {
            Who::Orchestrator(orch) => self.start_orchestrator(orch),
            Who::Node(node) => self.start_node(node),
        }
    }

    /// The process dies without a word. Its machine may be started anew, too.
    /// It is asked to end, and started again a little later.
    pub(crate) fn stop(&mut self, who: Who) {
        if let Who::Orchestrator(orch) = who {
            self.end_orchestrator(orch);
        }
        self.crash(who, false);
    }

    pub(crate) fn crash(&mut self, who: Who, reboot: bool) {
        trace!(self, "{} dies{}", self.name(who), if reboot { " with its machine" } else { "" });
        match who {
            Who::Orchestrator(orch) => self.crash_orchestrator(orch),
            Who::Node(node) => self.crash_node(node, reboot),
        }
        if reboot {
            let born = self.now;
            match who {
                Who::Orchestrator(orch) => self.orchestrators[orch].clock.born = born,
                Who::Node(node) => self.nodes[node].clock.born = born,
            }
        }
        self.cut_links_of(who);
        let after = self.rng.millis(50, 4000);
        self.plan(after, Happening::Start(who));
    }

    pub(crate) fn pause(&mut self, who: Who, time: Duration) {
        trace!(self, "{} sleeps for {time:?}", self.name(who));
        let until = self.now + time;
        match who {
            Who::Orchestrator(orch) => self.orchestrators[orch].paused_until = until,
            Who::Node(node) => self.nodes[node].paused_until = until,
        }
    }

    pub(crate) fn name(&self, who: Who) -> String {
        match who {
            Who::Orchestrator(orch) => self.orchestrators[orch].config.name.to_string(),
            Who::Node(node) => self.nodes[node].label(),
        }
    }

    pub(crate) fn everybody(&self) -> Vec<Who> {
        let orchestrators = (0..self.orchestrators.len()).map(Who::Orchestrator);
        orchestrators.chain((0..self.nodes.len()).map(Who::Node)).collect()
    }
}
