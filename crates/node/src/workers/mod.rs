//! One worker per instance carries out what the machine wants of a runtime, one thing after the other.
//!
//! ```text
//! agent ── orders, the runtime's own events ──► queue ──► worker ──► runtime
//!   ▲                                                       │
//!   └────────────── Starting, Running, Exited, … ◄──────────┘
//! ```
//!
//! The runtime's events pass through the same queue, so that the end of a program that ended at once
//! is told after its start. The agent never waits for a worker.

mod carry;
mod steps;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holm_core::node::{Discard, Launch, NodeEvent, RuntimeEvent, Survivor, SurvivorState};
use holm_model::id::AssignmentId;
use holm_model::name::Name;
use holm_runtime::{EventKind, Runtime};
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

use self::worker::Worker;
use crate::agent::Input;
use crate::allowed::Owner;
use crate::connections::Connections;
use crate::directory::{Directory, Entry};
use crate::identity::Identities;
use crate::launch::NodeSelf;
use crate::peers::Peers;
use crate::peers::reach::Upward;
use crate::ports::Ports;
use crate::runtimes::{self, Runtimes};
use crate::tmpfs::Tmpfs;
use crate::wipe;

/// What workers work with; shared by all of them.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) runtimes: Runtimes,
    pub(crate) directory: Directory,
    pub(crate) connections: Connections,
    pub(crate) ports: Mutex<Ports>,
    pub(crate) peers: Peers,
    pub(crate) upward: Arc<dyn Upward>,
    pub(crate) tmpfs: Tmpfs,
    pub(crate) identities: Identities,
    pub(crate) owner: Owner,
    pub(crate) node: watch::Receiver<NodeSelf>,
    pub(crate) inputs: mpsc::Sender<Input>,
}

/// What the machine wants of one instance, or what its runtime says.
#[derive(Debug)]
pub(crate) enum Order {
    Launch(Box<Launch>),
    Refresh(Box<Launch>),
    Halt {
        incarnation: u32,
        drain: Duration,
        grace: Duration,
    },
    Lease {
        until: Duration,
    },
    Pause {
        incarnation: u32,
    },
    Resume {
        incarnation: u32,
    },
    Remove {
        incarnation: u32,
    },
    /// Removal, and then its volumes.
    Discard {
        incarnation: u32,
        what: Discard,
    },
    Happened {
        incarnation: u32,
        kind: EventKind,
    },
}

/// All workers; owned by the agent.
#[derive(Debug)]
pub(crate) struct Workers {
    tools: Arc<Tools>,
    queues: BTreeMap<AssignmentId, mpsc::UnboundedSender<Order>>,
    /// Launches that were ordered and are not yet answered.
    launching: Arc<Mutex<BTreeMap<AssignmentId, u32>>>,
    tasks: TaskTracker,
}

/// How long the end waits for runtimes that are in the middle of something.
const END_TIME: Duration = Duration::from_secs(3);

// === impl Workers ===

impl Workers {
    pub(crate) fn new(tools: Arc<Tools>) -> Self {
        Self { tools, queues: BTreeMap::new(), launching: Arc::default(), tasks: TaskTracker::new() }
    }

    pub(crate) fn order(&mut self, id: AssignmentId, order: Order) {
        if let Order::Launch(launch) = &order {
            lock(&self.launching).insert(id, launch.incarnation);
        }
        let Self { tools, queues, launching, tasks } = self;
        let queue = queues.entry(id).or_insert_with(|| {
            let (queue, orders) = mpsc::unbounded_channel();
            tasks.spawn(Worker::new(id, Arc::clone(tools), Arc::clone(launching), orders).run());
            queue
        });
        // A worker ends after its queue was dropped only.
        let _ = queue.send(order);
    }

    /// The machine forgot the instance: its worker ends when it has done all that was ordered.
    pub(crate) fn dismiss(&mut self, id: AssignmentId) {
        self.queues.remove(&id);
    }

    /// What the runtimes still have, `of` all or of some, and the launches that are under way, sent to the
    /// agent as the answer to its question `number`; meanwhile the directory and the ports learn of it.
    pub(crate) fn list_survivors(&self, number: u64, of: Option<BTreeSet<Name>>) {
        let (tools, launching) = (Arc::clone(&self.tools), Arc::clone(&self.launching));
        // A launch that is done before the slowest runtime has answered is in none of the older answers.
        let mut launches = lock(&launching).clone();
        self.tasks.spawn(async move {
            let (there, silent) = tools.runtimes.survivors(of.as_ref()).await;
            let mut found = tools.found(there);
            launches.extend(lock(&launching).iter().map(|(id, incarnation)| (*id, *incarnation)));
            for (id, incarnation) in launches {
                let ports = found.remove(&id).map(|survivor| survivor.ports).unwrap_or_default();
                let state = SurvivorState::Launching;
                found.insert(id, Survivor { id, incarnation, state, ports, lease: None });
            }
            let alive = |survivor: &&Survivor| survivor.state.is_alive();
            if of.is_none() && silent.is_empty() {
                tools.tmpfs.keep_only(&found.values().filter(alive).map(|survivor| survivor.id).collect());
            }
            let found = found.into_values().collect();
            let answer = match of {
                None => NodeEvent::Survivors { found, silent },
                Some(asked) => NodeEvent::SilentTold { asked, found, silent },
            };
            // Without an agent nobody wants to know.
            let _ = tools.inputs.send(Input::Listed(number, answer)).await;
        });
    }

    /// What nothing uses goes from a disk that fills up; told as one event.
    pub(crate) fn clean(&self) {
        let tools = Arc::clone(&self.tools);
        self.tasks.spawn(async move {
            let images = tools.runtimes.clean(0).await;
            if images.is_empty() {
                tracing::warn!("The disk fills up, and there is no image that nothing uses.");
            } else {
                let removed = images.join(", ");
                tracing::warn!(removed, "The disk fills up: images that nothing uses were removed.");
            }
            tools.tell(NodeEvent::Cleaned { images }).await;
        });
    }

    /// All that is no instance goes from this machine; told as one event.
    pub(crate) fn wipe(&self, data_dir: PathBuf) {
        let tools = Arc::clone(&self.tools);
        self.tasks.spawn(async move {
            let report = wipe::wipe(data_dir, tools.runtimes.clone()).await;
            tools.tell(NodeEvent::Wiped(report)).await;
        });
    }

    /// Lets runtimes finish what they are doing, for a moment. Nothing is ended.
    pub(crate) async fn end(self) {
        drop(self.queues);
        self.tasks.close();
        if tokio::time::timeout(END_TIME, self.tasks.wait()).await.is_err() {
            tracing::info!("Some work for runtimes is not done yet; the next start goes on with it.");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds these locks can panic half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Tools ===

impl Tools {
    fn ports(&self) -> MutexGuard<'_, Ports> {
        lock(&self.ports)
    }

    /// In the machine's words; noted for those that serve instances.
    fn found(
        &self,
        there: Vec<(Arc<dyn Runtime>, holm_runtime::Survivor)>,
    ) -> BTreeMap<AssignmentId, Survivor> {
        let mut found = BTreeMap::new();
        for (runtime, survivor) in there {
            let survivor = runtimes::survivor(&survivor);
            let alive = survivor.state.is_alive();
            self.ports().adopt(survivor.id, survivor.ports.values().copied());
            let ports = survivor.ports.clone();
            let entry = Entry { runtime, incarnation: survivor.incarnation, alive, ports };
            self.directory.put_found(survivor.id, entry);
            found.insert(survivor.id, survivor);
        }
        found
    }

    async fn tell(&self, event: NodeEvent) {
        // Without an agent nobody wants to know.
        let _ = self.inputs.send(Input::Machine(event)).await;
    }

    async fn tell_of(&self, id: AssignmentId, incarnation: u32, event: RuntimeEvent) {
        self.tell(NodeEvent::Runtime { id, incarnation, event }).await;
    }
}

#[cfg(test)]
mod tests;
