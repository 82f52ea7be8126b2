//! The one task that owns the machine.
//!
//! ```text
//! link, workers, runtimes, detectors ──► inputs ──► step … step ──► commit ──► effects
//!                                                                     │ failed
//!                                            undo, keep a backlog ◄───┘
//! ```
//!
//! Inputs that come during a commit are taken together afterwards and share the next one. Nothing is
//! obeyed or started before it is on the disk; while that takes no writes ([`Backlog`]), what happens is
//! told all the same, and what is deleted ends ([`Note`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use holm_core::node::{Farewell, NodeEffect, NodeEvent, NodeMachine, RuntimeEvent};
use holm_core::revocation::Void;
use holm_core::table::LoadError;
use holm_link::revocation::Revocations;
use holm_model::id::AssignmentId;
use holm_model::item::{Item, ItemKey};
use holm_model::message::Down;
use holm_model::name::Name;
use holm_runtime::RuntimeEvent as DriverEvent;
use holm_store::{CommitError, Store};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backlog::{Backlog, probe};
use crate::clock;
use crate::health::Checks;
use crate::identity::{self, Identities};
use crate::launch::NodeSelf;
use crate::link::{Line, Link, Order as LinkOrder};
use crate::note::Note;
use crate::peers::Peers;
use crate::peers::plan::{Consumer, Wish};
use crate::place::Place;
use crate::workers::{Order, Workers};

/// Why the agent has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop; instances run on.
    Stopped,
    /// The node was decommissioned: nothing is left of it here, and it must not be started again.
    Decommissioned,
}

/// What happens to the agent.
#[derive(Debug)]
pub(crate) enum Input {
    Machine(NodeEvent),
    Driver(DriverEvent),
    /// What runtimes have: the answer to the question with this number.
    Listed(u64, NodeEvent),
    LinkUp(Line),
    /// The session with this number is over.
    LinkDown(u64),
    Received(u64, Down),
    /// The certificate is void, and all is wiped that could be.
    Forgotten,
    /// Somebody wants to know; answered after the commit.
    Ask(Question),
}

/// Looks at the committed machine.
pub(crate) struct Question(Box<dyn FnOnce(&NodeMachine) + Send>);

/// The agent's parts; see [`Agent::run`].
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) machine: NodeMachine,
    pub(crate) store: Store,
    /// None where it could not be made.
    pub(crate) note: Option<Note>,
    pub(crate) data_dir: PathBuf,
    pub(crate) inputs: mpsc::Receiver<Input>,
    pub(crate) workers: Workers,
    pub(crate) checks: Checks,
    pub(crate) peers: Peers,
    pub(crate) identities: Identities,
    pub(crate) link: Link,
    pub(crate) revocations: Revocations,
    pub(crate) node: watch::Sender<NodeSelf>,
    pub(crate) revision: watch::Sender<u64>,
    pub(crate) farewell: watch::Sender<Farewell>,
    pub(crate) memory: Memory,
}

/// What the agent remembers between steps, beside the machine.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    line: Option<Line>,
    /// Of the last question for survivors; answers to older ones are void.
    asked: u64,
    /// It is not answered: what is told meanwhile of instances that it is about is newer than the answer.
    listing: bool,
    deferred: Vec<NodeEvent>,
    /// Peers may be others now.
    list_changed: bool,
    questions: Vec<Question>,
    backlog: Backlog,
    /// It was told that the orchestrator is behind.
    frozen: bool,
    /// See [`Input::Forgotten`].
    forgotten: bool,
}

/// Inputs taken together at most.
const MOST: usize = 256;
/// The machine looks at its deadlines at least this often: a sleeping timer does not count the time
/// that the whole machine sleeps.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

// === impl Agent ===

impl Agent {
    /// Runs until `stop`. Ends no instance.
    ///
    /// # Errors
    /// When the machine cannot be brought back to what the disk says: a bug.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<Ended, LoadError> {
        self.memory.list_changed = true;
        self.carry_out(NodeEffect::ListSurvivors);
        let mut batch = Vec::with_capacity(MOST);
        loop {
            let sleep = self.sleep();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                taken = self.inputs.recv_many(&mut batch, MOST) => if taken == 0 { break },
                () = tokio::time::sleep(sleep) => batch.push(Input::Machine(NodeEvent::Tick)),
            }
            batch.drain(..).for_each(|input| self.take(input));
            self.commit().await?;
            self.act();
            self.tell_freezing();
            if self.memory.forgotten {
                break;
            }
        }
        self.inputs.close();
        self.workers.end().await;
        Ok(if self.memory.forgotten { Ended::Decommissioned } else { Ended::Stopped })
    }

    fn tell_freezing(&mut self) {
        let frozen = self.machine.is_frozen();
        if frozen && !self.memory.frozen {
            tracing::warn!(
                "This node is frozen: its orchestrator's store is older than what was obeyed here. Instances run \
                 on, and nothing new is taken until somebody says `holm adopt` or `holm discard` there."
            );
        }
        self.memory.frozen = frozen;
    }

    fn sleep(&self) -> Duration {
        let until = self.machine.next_deadline().map(|at| at.saturating_sub(clock::now().boot));
        let retry = self.memory.backlog.retry_at().map(|at| at.saturating_duration_since(Instant::now()));
        [until, retry].into_iter().flatten().fold(LONGEST_SLEEP, Ord::min)
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Machine(event) => self.event(event),
            Input::Driver(DriverEvent { id, incarnation, kind }) => {
                self.workers.order(id, Order::Happened { incarnation, kind });
            }
            Input::Listed(number, answer) if number == self.memory.asked => {
                self.memory.listing = false;
                self.step(answer);
                for event in std::mem::take(&mut self.memory.deferred) {
                    self.step(event);
                }
            }
            Input::Listed(..) => {}
            Input::LinkUp(line) => {
                self.memory.line = Some(line);
                self.step(NodeEvent::LinkUp);
            }
            Input::LinkDown(number) if self.on_line(number) => {
                self.memory.line = None;
                self.step(NodeEvent::LinkDown);
            }
            Input::Received(number, down) if self.on_line(number) => {
                self.memory.list_changed |= matches!(down, Down::Change(_));
                self.step(NodeEvent::Received(down));
            }
            Input::LinkDown(_) | Input::Received(..) => {}
            Input::Forgotten => self.memory.forgotten = true,
            Input::Ask(question) => self.memory.questions.push(question),
        }
    }

    fn on_line(&self, number: u64) -> bool {
        self.memory.line.as_ref().is_some_and(|line| line.number == number)
    }

    fn event(&mut self, event: NodeEvent) {
        match event {
            NodeEvent::Facts(facts) => {
                self.relabel(&facts.labels);
                self.step(NodeEvent::Facts(facts));
            }
            NodeEvent::Runtime { id, .. } if self.memory.listing && self.machine.awaits_survivor(id) => {
                self.memory.deferred.push(event);
            }
            other => self.step(other),
        }
    }

    /// Instances that start from now on see these labels.
    fn relabel(&self, labels: &BTreeMap<String, String>) {
        self.node.send_if_modified(|node| {
            let changed = node.labels != *labels;
            if changed {
                node.labels.clone_from(labels);
            }
            changed
        });
    }

    fn step(&mut self, event: NodeEvent) {
        if let NodeEvent::Runtime { id, event: RuntimeEvent::Removed, .. } = &event {
            self.workers.dismiss(*id);
            // There may be room now.
            self.memory.backlog.hurry(Instant::now());
        }
        self.machine.step(clock::now(), event);
    }

    async fn commit(&mut self) -> Result<(), LoadError> {
        self.catch_up().await;
        let batch = self.machine.journal_mut().take_batch();
        if self.memory.backlog.is_troubled() {
            self.memory.backlog.keep(batch);
        } else if batch.writes.is_empty() && batch.audit.is_empty() {
            // Only history, which gates nothing.
            if !batch.is_empty() {
                self.store.write_behind(batch);
            }
        } else if let Err(error) = self.store.commit(&batch).await {
            self.failed(&error)?;
        }
        self.machine.committed();
        Ok(())
    }

    /// Goes back to what the disk says, and goes on from there without it.
    fn failed(&mut self, error: &CommitError) -> Result<(), LoadError> {
        let why = crate::link::chain(error);
        tracing::error!(reason = why, "Nothing can be written; instances run on, nothing new is started.");
        self.memory.list_changed = true;
        self.machine.undo()?;
        self.memory.backlog.failed(why.clone(), Instant::now());
        self.step(NodeEvent::Disk { trouble: Some(why) });
        let batch = self.machine.journal_mut().take_batch();
        self.memory.backlog.keep(batch);
        Ok(())
    }

    /// Writes the backlog when it is time to try that again.
    async fn catch_up(&mut self) {
        if self.memory.backlog.retry_at().is_none_or(|at| at > Instant::now()) {
            return;
        }
        let dir = self.data_dir.clone();
        let fits = tokio::task::spawn_blocking(move || probe(&dir)).await.is_ok_and(|probed| probed.is_ok());
        if fits && self.store.commit(self.memory.backlog.batch()).await.is_ok() {
            tracing::info!("The disk takes writes again.");
            self.memory.backlog.written(Instant::now());
            self.step(NodeEvent::Disk { trouble: None });
        } else {
            self.memory.backlog.failed_again(Instant::now());
        }
    }

    /// Everything that was waiting for the commit.
    fn act(&mut self) {
        let effects = self.machine.take_effects();
        if std::mem::take(&mut self.memory.list_changed) {
            revoke(&self.revocations, &self.machine.revoked());
            // Before launches: what they start shall find its peers, and its socket.
            self.peers.wish(wish(&self.machine));
            self.identities.wish(identity::wanted(&self.machine));
        }
        self.revision.send_replace(self.machine.held().revision());
        self.farewell.send_replace(self.machine.farewell());
        effects.into_iter().for_each(|effect| self.carry_out(effect));
        self.checks.wish(self.machine.checked());
        for Question(ask) in std::mem::take(&mut self.memory.questions) {
            ask(&self.machine);
        }
    }

    fn carry_out(&mut self, effect: NodeEffect) {
        match effect {
            NodeEffect::Send(up) => {
                if let Some(line) = &self.memory.line {
                    line.send(&up);
                }
            }
            NodeEffect::Launch(launch) => self.workers.order(launch.id, Order::Launch(launch)),
            NodeEffect::Refresh(launch) => self.workers.order(launch.id, Order::Refresh(launch)),
            NodeEffect::Halt { id, incarnation, drain, grace } => {
                self.workers.order(id, Order::Halt { incarnation, drain, grace });
            }
            NodeEffect::Lease { id, until } => self.workers.order(id, Order::Lease { until }),
            NodeEffect::Pause { id, incarnation } => self.workers.order(id, Order::Pause { incarnation }),
            NodeEffect::Resume { id, incarnation } => self.workers.order(id, Order::Resume { incarnation }),
            NodeEffect::Remove { id, incarnation } => self.workers.order(id, Order::Remove { incarnation }),
            NodeEffect::Discard { id, incarnation, what } => {
                self.workers.order(id, Order::Discard { incarnation, what });
            }
            // Whatever changes addresses changes the list.
            NodeEffect::Endpoints { .. } => {}
            NodeEffect::Welcomed { member, name, path } => self.welcomed(&Place { member, name, path }),
            NodeEffect::Unreadable { reason } => {
                tracing::error!(reason, "An item of the list cannot be read; update holm on this node.");
            }
            NodeEffect::Certificate { chain } => self.link.order(LinkOrder::Certificate(chain)),
            NodeEffect::Refused { reason } => self.link.order(LinkOrder::Refused(reason)),
            NodeEffect::Reconnect => self.link.order(LinkOrder::Reconnect),
            NodeEffect::Withdrawn(ids) => self.note(&ids),
            NodeEffect::Clean => self.workers.clean(),
            NodeEffect::Wipe => self.workers.wipe(self.data_dir.clone()),
            NodeEffect::ListSurvivors => self.list_survivors(None),
            NodeEffect::AskSilent(names) => self.list_survivors(Some(names)),
        }
    }

    fn list_survivors(&mut self, of: Option<BTreeSet<Name>>) {
        self.memory.asked += 1;
        self.memory.listing = true;
        self.workers.list_survivors(self.memory.asked, of);
    }

    fn note(&mut self, withdrawn: &BTreeSet<AssignmentId>) {
        let Some(note) = &mut self.note else { return };
        if let Err(error) = note.write(withdrawn) {
            tracing::warn!(
                %error, instances = withdrawn.len(),
                "Cannot note what was deleted while the disk is full; an agent that starts again with room, before \
                 its orchestrator answers, starts it once more."
            );
        }
    }

    fn welcomed(&self, place: &Place) {
        let known = self.node.borrow().clone();
        let told = known.clone().at(place);
        if told != known {
            self.node.send_replace(told);
            if let Err(error) = place.save(&self.data_dir) {
                tracing::warn!(%error, "Cannot keep the node's place; a start without a link will not know it.");
            }
        }
    }
}

/// What the list says is void is refused from now on.
pub(crate) fn revoke(revocations: &Revocations, void: &Void) {
    // What cannot be parsed was never a serial number of a certificate.
    revocations.revoke(void.serials.iter().filter_map(|text| text.parse().ok()));
    revocations.revoke_members(void.members.iter().map(ToString::to_string));
}

/// The part of the list that is about peers.
fn wish(machine: &NodeMachine) -> Wish {
    let mut wish = Wish::default();
    for item in machine.held().items() {
        match (&item.key, item.unpack()) {
            (_, Ok(Item::Assignment(assignment))) => {
                wish.here.insert(assignment.id);
                let Some(spec) = machine.spec(assignment.id).filter(|spec| !spec.connects.is_empty()) else {
                    continue;
                };
                let (connects, runtime) = (spec.connects.clone(), spec.runtime.clone());
                let consumer = Consumer { wish: assignment.part.wish, runtime, connects };
                wish.consumers.insert(assignment.id, consumer);
            }
            (ItemKey::Endpoints(key), Ok(Item::Endpoints(endpoints))) => {
                wish.endpoints.insert(key.clone(), endpoints);
            }
            _ => {}
        }
    }
    wish
}

// === impl Question ===

impl Question {
    /// What `look` sees at the committed machine; none when the agent is gone.
    pub(crate) async fn ask<T: Send + 'static>(
        agent: &mpsc::Sender<Input>,
        look: impl FnOnce(&NodeMachine) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let question = Self(Box::new(move |machine| drop(reply.send(look(machine)))));
        agent.send(Input::Ask(question)).await.ok()?;
        answer.await.ok()
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Question")
    }
}
