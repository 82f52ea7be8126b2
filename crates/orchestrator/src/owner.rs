//! The task that owns the machine.
//!
//! ```text
//! inputs ──► step* ──► commit ──► effects, changes, queries ──► inputs …
//!                        └─(failed)──► undo, refuse, close links ──► read-only
//! read-only ──(a probe, or any commit, succeeds)──► writable
//! ```
//!
//! Whatever arrives while a commit is under way is the next batch: batches grow with the load by
//! themselves. While it is read-only, people's commands are refused unheard; members go on being
//! heard, since most of what they say needs no disk.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holm_core::orchestrator::command::{Actor, Command, Refusal, Reply};
use holm_core::orchestrator::{Effect, Event, LinkId, Orchestrator, Ticket};
use holm_link::revocation::Revocations;
use holm_model::item::Digest;
use holm_model::message::Down;
use holm_model::record::Batch;
use holm_model::time::Now;
use holm_store::{CommitError, Store};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::describe::describe;
use crate::expose::Balancer;
use crate::health::Health;
use crate::keys::Signer;
use crate::links::Links;
use crate::meter::Meter;
use crate::renewals::Renewals;
use crate::scheduler::Consultants;
use crate::uplink::Uplink;
use crate::watch::Publisher;

/// What the owner is asked.
pub(crate) enum Input {
    Event(Event),
    Command { actor: Actor, command: Box<Command>, waiter: Waiter },
    Query(Query),
}

/// An input, and since when it waits (boot time).
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) since: Duration,
    pub(crate) input: Input,
}

/// Runs on the committed machine.
pub(crate) type Query = Box<dyn FnOnce(&Orchestrator) + Send>;

/// Who waits for the outcome of a command.
#[derive(Debug)]
pub(crate) enum Waiter {
    Person(oneshot::Sender<Result<Reply, Refusal>>),
    /// The member on this link gets the chain once its serial number is committed.
    Renewal {
        link: LinkId,
        chain: Vec<Vec<u8>>,
    },
    /// It was for the audit log alone.
    Nobody,
}

/// The machine and all that it acts upon.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) machine: Orchestrator,
    pub(crate) inputs: mpsc::Receiver<Queued>,
    pub(crate) world: World,
    pub(crate) store: Store,
    pub(crate) publisher: Publisher,
    pub(crate) health: Health,
    pub(crate) meter: Arc<Meter>,
    pub(crate) waiters: Waiters,
    /// When the next keep-alives are due, in boot time.
    pub(crate) alive_at: Duration,
}

/// What effects are carried out on.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) links: Arc<Links>,
    /// None at a root.
    pub(crate) uplink: Option<Arc<Uplink>>,
    pub(crate) balancer: Balancer,
    pub(crate) signer: Arc<Signer>,
    pub(crate) renewals: Mutex<Renewals>,
    pub(crate) revocations: Revocations,
    pub(crate) consultants: Arc<Consultants>,
    /// Something was made void.
    pub(crate) voided: watch::Sender<()>,
}

/// Commands whose outcome is not told yet.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    last: u64,
    open: HashMap<Ticket, Waiter>,
}

/// Inputs of one batch at most.
const BATCH: usize = 256;
/// Below the time after which NAT tables forget, and below every deadline.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Longest sleep: timers of the kernel stand still while the machine sleeps, boot time does not.
const LONGEST: Duration = KEEP_ALIVE;

// === impl Owner ===

impl Owner {
    /// Runs until it is told to stop, and then answers what has arrived.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut inputs = Vec::with_capacity(BATCH);
        loop {
            let pause = self.pause();
            tokio::select! {
                biased;
                received = self.inputs.recv_many(&mut inputs, BATCH) => if received == 0 { break },
                () = tokio::time::sleep(pause) => {}
                // After the inputs: what has arrived before the stop is answered.
                () = stop.cancelled() => break,
            }
            self.turn(&mut inputs).await;
        }
        self.machine.farewell();
        self.write_behind();
    }

    /// One batch: steps, commit, effects, then questions.
    async fn turn(&mut self, inputs: &mut Vec<Queued>) {
        let now = clock::now();
        let mut queries = Vec::new();
        for Queued { since, input } in inputs.drain(..) {
            self.meter.waits.observe(now.boot.saturating_sub(since));
            match input {
                Input::Query(query) => queries.push(query),
                Input::Event(event) => self.machine.step(now, event),
                Input::Command { actor, command, waiter } => self.command(now, actor, *command, waiter),
            }
        }
        if self.is_due(now.boot) && self.probe(now).await {
            self.machine.step(now, Event::Tick);
        }
        self.settle(now).await;
        self.keep_alive(now);
        for query in queries {
            query(&self.machine);
        }
    }

    fn command(&mut self, now: Now, actor: Actor, command: Command, waiter: Waiter) {
        if let Some(reason) = self.health.reason() {
            waiter.answer(Err(Refusal::ReadOnly(reason.to_owned())), &self.world.links);
            return;
        }
        let ticket = self.waiters.add(waiter);
        self.machine.step(now, Event::Command { ticket, actor, command });
    }

    /// Commits and carries out, until nothing follows any more.
    async fn settle(&mut self, now: Now) {
        loop {
            let effects = self.machine.take_effects();
            let batch = self.machine.journal_mut().take_batch();
            if !batch.is_empty()
                && let Err(error) = self.commit(batch).await
            {
                self.failed(now, &error);
                break;
            }
            self.write_behind();
            let follow_ups = self.carry_out(effects);
            if follow_ups.is_empty() {
                break;
            }
            for (actor, command, waiter) in follow_ups {
                self.command(now, actor, command, waiter);
            }
        }
        self.publish_status();
    }

    fn publish_status(&self) {
        let (revision, parent) = (self.machine.revision(), self.machine.parent_state());
        let reason = self.health.reason();
        self.publisher.status(|status| {
            if parent == "behind" && status.parent != parent {
                tracing::warn!(
                    "This cluster is frozen: its parent's store is older than what was obeyed here. It runs on, \
                     and takes nothing new until somebody says `holm adopt` or `holm discard` at the parent."
                );
            }
            status.revision = revision;
            status.read_only = reason.map(str::to_owned);
            status.parent = parent.to_owned();
        });
    }

    /// Says to everybody whom nothing else is said to that we are there.
    fn keep_alive(&mut self, now: Now) {
        if now.boot < self.alive_at {
            return;
        }
        self.alive_at = now.boot + KEEP_ALIVE;
        for (member, link) in self.machine.links() {
            // A member that is not in step takes no list; that we live it must hear all the same.
            let out_of_step = Down::Alive { revision: 0, digest: Digest::default() };
            self.world.links.send(link, self.machine.alive(member).unwrap_or(out_of_step));
        }
        if let Some(uplink) = &self.world.uplink {
            uplink.send(self.machine.keep_alive());
        }
    }

    async fn commit(&mut self, batch: Batch) -> Result<(), CommitError> {
        let begun = clock::boot();
        let committed = self.store.commit(&batch).await;
        self.meter.commits.observe(clock::boot().saturating_sub(begun));
        let committed = committed.inspect_err(|_| self.meter.failed_commits.increment())?;
        self.machine.journal_mut().committed();
        self.publisher.committed(committed.change, batch.changes);
        if self.health.succeeded() {
            tracing::info!("The disk takes writes again.");
        }
        Ok(())
    }

    fn write_behind(&mut self) {
        let behind = self.machine.take_behind();
        if !behind.is_empty() {
            let changes = behind.changes.clone();
            for change in changes.iter().filter(|change| change.to == "frozen") {
                let (kind, name, reason) = (&*change.kind, &*change.subject, &*change.reason);
                tracing::warn!(kind, name, reason, "A member is frozen: it runs on, and takes nothing new.");
            }
            self.store.write_behind(behind);
            self.publisher.publish(changes);
        }
    }

    /// Nothing of the batch has happened: it is taken back, and everybody who waits is told.
    fn failed(&mut self, now: Now, error: &CommitError) {
        let reason = describe(error);
        if self.health.reason().is_none() {
            tracing::error!(reason, "A commit failed; read-only until the disk takes writes again.");
        }
        self.health.failed(now.boot, reason.clone(), random());
        self.machine.undo();
        let facts = Batch { changes: Vec::new(), ..self.machine.take_behind() };
        self.store.write_behind(facts);
        self.waiters.refuse_all(&reason, &self.world.links);
        // The machine closes links whose promises may not have been kept; members shall come back
        // at once, so nothing is said.
        for effect in self.machine.take_effects() {
            if let Effect::Close { link, .. } = effect {
                self.world.links.cut(link);
            }
        }
        if let Some(uplink) = &self.world.uplink {
            uplink.cut();
        }
    }

    /// Whether the disk takes writes; while read-only, a write tells.
    async fn probe(&mut self, now: Now) -> bool {
        if self.health.reason().is_none() {
            return true;
        }
        match self.store.commit(&Health::probe()).await {
            Ok(_) => {
                self.health.succeeded();
                tracing::info!("The disk takes writes again.");
                true
            }
            Err(error) => {
                self.health.failed(now.boot, describe(&error), random());
                false
            }
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>) -> Vec<(Actor, Command, Waiter)> {
        effects.into_iter().filter_map(|effect| self.world.carry_out(effect, &mut self.waiters)).collect()
    }

    /// A tick may write, so that a disk that takes nothing is left alone until the next try.
    fn due(&self) -> Option<Duration> {
        self.health.retry_at().or_else(|| self.machine.next_deadline())
    }

    fn is_due(&self, boot: Duration) -> bool {
        self.due().is_some_and(|at| at <= boot)
    }

    fn pause(&self) -> Duration {
        let at = self.due().map_or(self.alive_at, |at| at.min(self.alive_at));
        at.saturating_sub(clock::boot()).min(LONGEST)
    }
}

/// For jitter only: without random numbers all wait equally long.
fn random() -> u64 {
    getrandom::u64().unwrap_or(u64::MAX)
}

// === impl Waiters ===

impl Waiters {
    pub(crate) fn add(&mut self, waiter: Waiter) -> Ticket {
        self.last += 1;
        let ticket = Ticket(self.last);
        self.open.insert(ticket, waiter);
        ticket
    }

    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<Waiter> {
        self.open.remove(&ticket)
    }

    fn refuse_all(&mut self, reason: &str, links: &Links) {
        for (_, waiter) in self.open.drain() {
            waiter.answer(Err(Refusal::ReadOnly(reason.to_owned())), links);
        }
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(event) => f.debug_tuple("Event").field(event).finish(),
            Self::Command { command, .. } => f.debug_tuple("Command").field(command).finish(),
            Self::Query(_) => f.write_str("Query"),
        }
    }
}
