//! The orchestrator machine in its shell: step, commit, then effects; or undo.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holm_core::orchestrator::command::{Actor, Command, Refusal, Reply};
use holm_core::orchestrator::exposing::Exposure;
use holm_core::orchestrator::{Config, ConsultId, Effect, Event, LinkId, Orchestrator, Ticket};
use holm_core::revocation::Void;
use holm_model::id::{Epoch, MemberId, Uid};
use holm_model::message::Down;
use holm_model::name::Name;
use holm_model::record::Batch;
use holm_model::view::scheduler::ConsultView;

use crate::disk::Disk;
use crate::link::Dial;
use crate::world::{Clock, Happening, Orch, Who, World, trace};

#[derive(Debug)]
pub(crate) struct OrchestratorSite {
    pub(crate) config: Config,
    pub(crate) machine: Option<Orchestrator>,
    pub(crate) disk: Disk,
    pub(crate) clock: Clock,
    pub(crate) paused_until: Duration,
    /// What the verifier refuses.
    pub(crate) revoked: Void,
    /// Ports that lead to services, as the machine told last.
    pub(crate) exposed: Vec<Exposure>,
    /// Facts that are not on disk yet.
    behind: Vec<Batch>,
    /// A flush is planned.
    flushing: bool,
    /// Requests since the last commit, and those whose answer is on its way.
    waiting: BTreeSet<Ticket>,
    pub(crate) answers: BTreeMap<Ticket, Result<Reply, Refusal>>,
    /// Of the highest revision; it may fall only with the store.
    revision: u64,
}

const TICK: Duration = Duration::from_secs(1);

// === impl OrchestratorSite ===

impl OrchestratorSite {
    pub(crate) fn new(config: Config, now: Duration) -> Self {
        Self {
            config,
            machine: None,
            disk: Disk::default(),
            clock: Clock { born: now, skew: 0 },
            paused_until: Duration::ZERO,
            revoked: Void::default(),
            exposed: Vec::new(),
            behind: Vec::new(),
            flushing: false,
            waiting: BTreeSet::new(),
            answers: BTreeMap::new(),
            revision: 0,
        }
    }

    /// Another store is put in the place of this one while the process is down.
    pub(crate) fn replace_disk(&mut self, disk: Disk) {
        self.disk = disk;
        self.revision = 0;
    }

    /// Whether the verifier refuses the certificate with which the member calls.
    pub(crate) fn refuses(&self, dial: &Dial) -> bool {
        self.revoked.serials.contains(&dial.serial) || self.revoked.members.contains(&dial.id)
    }

    pub(crate) fn up(&self) -> &Orchestrator {
        self.machine.as_ref().expect("the orchestrator is up")
    }
}

// === impl World ===

impl World {
    pub(crate) fn start_orchestrator(&mut self, orch: Orch) {
        if self.orchestrators[orch].machine.is_some() {
            return;
        }
        let random = self.rng.next();
        let site = &mut self.orchestrators[orch];
        let machine = Orchestrator::load(site.disk.snapshot(), site.config.clone(), random).unwrap();
        site.revoked = machine.revoked();
        site.machine = Some(machine);
        trace!(
            self,
            "{} starts, epoch {}",
            self.name(Who::Orchestrator(orch)),
            self.orchestrators[orch].up().epoch()
        );
        self.flush(orch);
        self.orchestrator_event(orch, Event::Tick);
        if let Some(link) = self.dial_of(Who::Orchestrator(orch)) {
            let after = self.rng.millis(1, 500);
            self.plan(after, Happening::Connect { link });
        }
    }

    /// Schedulers of people's own: `last` wants the last candidate, `broken` answers nonsense, `silent` nothing.
    fn consult(&mut self, orch: Orch, id: ConsultId, scheduler: &Name, question: &ConsultView) {
        let mut ids: Vec<MemberId> = question.candidates.iter().map(|of| of.id.parse().unwrap()).collect();
        let answer = match scheduler.as_str() {
            "last" => {
                ids.reverse();
                Ok(ids)
            }
            "stranger" => Ok(vec![MemberId(Uid { epoch: Epoch::new(9, 9), counter: 9 })]),
            "broken" => Err("it answers 500".to_owned()),
            _ => return,
        };
        self.plan(Duration::from_millis(100), Happening::Consulted { orch, id, answer });
    }

    /// All that it has to say is written.
    pub(crate) fn end_orchestrator(&mut self, orch: Orch) {
        let site = &mut self.orchestrators[orch];
        if let Some(machine) = &mut site.machine {
            machine.farewell();
        }
        let last = machine_behind(site);
        for batch in std::mem::take(&mut site.behind).into_iter().chain(last) {
            site.disk.commit(batch);
        }
    }

    pub(crate) fn crash_orchestrator(&mut self, orch: Orch) {
        let keep = self.rng.index(self.orchestrators[orch].behind.len() + 1);
        let site = &mut self.orchestrators[orch];
        site.machine = None;
        let written = std::mem::take(&mut site.behind).into_iter().take(keep);
        written.for_each(|batch| site.disk.commit(batch));
        for ticket in std::mem::take(&mut site.waiting) {
            self.oracle.nobody_knows(ticket);
        }
    }

    pub(crate) fn tick(&mut self, orch: Orch) {
        self.plan(TICK, Happening::Tick(orch));
        let site = &mut self.orchestrators[orch];
        for batch in std::mem::take(&mut site.behind) {
            site.disk.commit(batch);
        }
        let now = site.clock.at(self.now);
        let due = site.machine.as_ref().and_then(Orchestrator::next_deadline);
        if due.is_some_and(|at| at <= now.boot) {
            self.orchestrator_event(orch, Event::Tick);
        }
    }

    pub(crate) fn orchestrator_event(&mut self, orch: Orch, event: Event) {
        let group = self.rng.chance(self.weather.group);
        let site = &mut self.orchestrators[orch];
        let now = site.clock.at(self.now);
        let Some(machine) = &mut site.machine else { return };
        machine.step(now, event);
        if !group {
            self.flush(orch);
        } else if !site.flushing {
            site.flushing = true;
            let late = self.rng.millis(1, 30);
            self.plan(late, Happening::Flush(orch));
        }
    }

    /// Commits what the last steps changed, then carries out what they want done.
    pub(crate) fn flush(&mut self, orch: Orch) {
        let fails = self.rng.chance(self.weather.full_disk);
        let site = &mut self.orchestrators[orch];
        site.flushing = false;
        let Some(machine) = &mut site.machine else { return };
        let mut effects = machine.take_effects();
        let batch = machine.journal_mut().take_batch();
        if fails && !batch.is_empty() {
            effects = self.failed(orch);
        } else {
            site.disk.commit(batch);
            machine.journal_mut().committed();
            let (old, new) = (site.revision, machine.revision());
            assert!(new >= old, "{}: revision fell from {old} to {new}", site.config.name);
            site.revision = new;
        }
        let behind = machine_behind(&mut self.orchestrators[orch]);
        self.orchestrators[orch].behind.extend(behind);
        for effect in effects {
            if self.rng.chance(self.weather.crash) {
                return self.crash(Who::Orchestrator(orch), false);
            }
            self.carry_out(orch, effect);
        }
    }

    /// The disk is full: nothing of the batch happened.
    fn failed(&mut self, orch: Orch) -> Vec<Effect> {
        trace!(self, "{}: commit fails", self.name(Who::Orchestrator(orch)));
        let site = &mut self.orchestrators[orch];
        let machine = site.machine.as_mut().expect("it is up");
        machine.undo();
        crate::checks::undone(machine, &site.disk, &site.config);
        let effects = machine.take_effects();
        for ticket in std::mem::take(&mut site.waiting) {
            site.answers.insert(ticket, Err(Refusal::ReadOnly("the disk is full".to_owned())));
            self.oracle.did_not_happen(ticket);
        }
        if let Some(link) = self.dial_of(Who::Orchestrator(orch))
            && let Some(connection) = self.dials[link].open
        {
            self.plan(Duration::ZERO, Happening::MemberCloses { link, connection });
        }
        effects
    }

    fn carry_out(&mut self, orch: Orch, effect: Effect) {
        match effect {
            Effect::Reply { ticket, result } => {
                let site = &mut self.orchestrators[orch];
                site.waiting.remove(&ticket);
                match &result {
                    Ok(_) => self.oracle.happened(ticket),
                    Err(_) => self.oracle.did_not_happen(ticket),
                }
                trace!(self, "{} answers {ticket:?}: {result:?}", self.name(Who::Orchestrator(orch)));
                self.orchestrators[orch].answers.insert(ticket, result);
            }
            Effect::Send { link: LinkId(connection), message } => self.send_down(connection, message),
            Effect::Close { link: LinkId(connection), reason } => self.hang_up(connection, &reason),
            Effect::SendParent(up) => {
                if let Some(link) = self.dial_of(Who::Orchestrator(orch)) {
                    self.send_up(link, up);
                }
            }
            Effect::Expose(table) => self.orchestrators[orch].exposed = table,
            Effect::Revoked(void) => self.orchestrators[orch].revoked = void,
            Effect::Sign { .. } | Effect::Certificate { .. } => {}
            Effect::Consult { id, scheduler, question } => self.consult(orch, id, &scheduler, &question),
        }
    }

    pub(crate) fn orchestrator_keep_alive(&mut self, orch: Orch) {
        let Some(machine) = &mut self.orchestrators[orch].machine else { return };
        let links: Vec<_> = machine.links().into_iter().collect();
        let up = machine.keep_alive();
        let alive = links.into_iter().map(|(member, link)| {
            let out_of_step = Down::Alive { revision: 0, digest: Default::default() };
            (link, machine.alive(member).unwrap_or(out_of_step))
        });
        for (LinkId(connection), message) in alive.collect::<Vec<_>>() {
            self.send_down(connection, message);
        }
        if let Some(link) = self.dial_of(Who::Orchestrator(orch)) {
            self.send_up(link, up);
        }
    }

    // --- people ---

    /// Asks; the answer comes with the commit.
    pub(crate) fn ask(&mut self, orch: Orch, command: Command) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        trace!(self, "{} is asked {ticket:?}: {}", self.name(Who::Orchestrator(orch)), short(&command));
        if self.orchestrators[orch].machine.is_none() {
            let refusal = Refusal::ReadOnly("it is not there".to_owned());
            self.orchestrators[orch].answers.insert(ticket, Err(refusal));
            return ticket;
        }
        self.oracle.asked(ticket, orch, &command);
        self.orchestrators[orch].waiting.insert(ticket);
        let actor = Actor { who: "admin".to_owned(), from: "unix".to_owned() };
        self.orchestrator_event(orch, Event::Command { ticket, actor, command });
        ticket
    }

    /// Asks a calm orchestrator and waits for its answer.
    pub(crate) fn command(&mut self, orch: Orch, command: Command) -> Result<Reply, Refusal> {
        let ticket = self.ask(orch, command);
        if !self.orchestrators[orch].answers.contains_key(&ticket) {
            self.flush(orch);
        }
        self.orchestrators[orch].answers.remove(&ticket).expect("an answer")
    }
}

fn machine_behind(site: &mut OrchestratorSite) -> Option<Batch> {
    let batch = site.machine.as_mut()?.take_behind();
    (!batch.is_empty()).then_some(batch)
}

fn short(command: &Command) -> String {
    let text = format!("{command:?}");
    text.chars().take(200).collect()
}
