//! Schedulers of people's own, which are asked over the network: the machine asks, goes on, and hears of the answer
//! later.
//!
//! ```text
//!              Effect::Consult            Event::Consulted
//!   (none) ──────────────────▶ Awaited ──────────────────▶ Ranked ──▶ the first that still fits, or the built-in strategy
//!                                 │ no answer in time, a bad one
//!                                 └───────────────────────▶ Failed ─▶ the built-in strategy; or nobody, where it is required
//! ```
//!
//! A few slots at a time are asked about, of each scheduler; the others wait. One that does not answer is left alone,
//! but for a single question now and then, and the built-in strategy decides at once.
//!
//! Nothing of it is durable: whoever starts anew, or takes a step back, asks again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holm_model::id::MemberId;
use holm_model::name::Name;
use holm_model::resources::Resources;
use holm_model::service::ServiceSpec;
use holm_model::view::scheduler::{CandidateView, ConsultView, RoomView};

use super::Orchestrator;
use super::choosing::{Awaits, NoPlace};
use super::demand::{Demand, SlotId};
use super::event::{ConsultId, Effect};
use crate::scheduler::{Ask, Candidate, Kind, Ranking};

/// All that was asked and is not used yet.
#[derive(Debug, Default)]
pub(super) struct Consulting {
    last: u64,
    open: BTreeMap<SlotId, Inquiry>,
    /// Slots that are asked about when their scheduler has room.
    waiting: BTreeMap<Name, BTreeSet<SlotId>>,
    /// Those that did not answer last.
    down: BTreeMap<Name, Down>,
}

#[derive(Debug)]
struct Down {
    why: String,
    /// Boot time: it is asked nothing before.
    again: Duration,
}

#[derive(Debug)]
struct Inquiry {
    id: ConsultId,
    scheduler: Name,
    /// Of the specification that it is about.
    generation: u64,
    candidates: BTreeSet<MemberId>,
    /// Boot time: until then an answer, and then a failure, counts.
    until: Duration,
    answer: Answer,
}

#[derive(Debug)]
enum Answer {
    Awaited,
    Ranked(Vec<MemberId>),
    Failed,
}

/// What the scheduler has to say about a slot.
pub(super) enum Counsel {
    /// It was not asked here, or is of no use: the built-in strategy decides.
    Own,
    /// These, the best first.
    Ranked(Vec<MemberId>),
    Nobody(NoPlace),
}

/// Candidates in one question: the first of the built-in strategy.
const MOST: usize = 500;
/// Questions to one scheduler without an answer at once.
pub const AT_ONCE: usize = 8;
/// How long a scheduler that failed is left alone.
const AGAIN: Duration = Duration::from_secs(10);

// === impl Consulting ===

impl Consulting {
    pub(super) fn clear(&mut self) {
        self.open.clear();
        self.waiting.clear();
    }

    /// Why the scheduler did not answer last; `None`: it did, or was never asked.
    pub(super) fn down(&self, scheduler: &Name) -> Option<&str> {
        self.down.get(scheduler).map(|down| down.why.as_str())
    }

    fn is_full(&self, scheduler: &Name) -> bool {
        let awaited = |of: &&Inquiry| of.scheduler == *scheduler && matches!(of.answer, Answer::Awaited);
        self.open.values().filter(awaited).count() >= AT_ONCE
    }

    /// It did not answer, and not long ago.
    fn is_left_alone(&self, scheduler: &Name, now: Duration) -> bool {
        self.down.get(scheduler).is_some_and(|down| now < down.again)
    }

    fn wait(&mut self, scheduler: &Name, slot_id: &SlotId) {
        self.waiting.entry(scheduler.clone()).or_default().insert(slot_id.clone());
    }

    /// A slot that may be asked about now, or need not be; it waits no more.
    fn next_waiting(&mut self, now: Duration, required: bool) -> Option<SlotId> {
        let has_turn = |scheduler: &&Name| match self.is_left_alone(scheduler, now) {
            true => !required,
            false => !self.is_full(scheduler),
        };
        let scheduler = self.waiting.keys().find(has_turn)?.clone();
        let slots = self.waiting.get_mut(&scheduler)?;
        let slot = slots.pop_first();
        if slots.is_empty() {
            self.waiting.remove(&scheduler);
        }
        slot
    }

    fn asks_about(&self, slot_id: &SlotId) -> bool {
        self.open.contains_key(slot_id) || self.waiting.values().any(|slots| slots.contains(slot_id))
    }

    fn slot_of(&self, id: ConsultId) -> Option<SlotId> {
        self.open.iter().find(|(_, inquiry)| inquiry.id == id).map(|(slot, _)| slot.clone())
    }
}

// === impl Orchestrator ===

impl Orchestrator {
    /// The scheduler that the service names, if it is one of ours.
    pub(super) fn own_scheduler<'a>(&self, spec: &'a ServiceSpec) -> Option<&'a Name> {
        spec.placement.scheduler.as_ref().filter(|name| self.config.schedulers.names.contains(*name))
    }

    /// What is known of its answer; it is asked if it was not.
    pub(super) fn counsel(&mut self, slot_id: &SlotId, demand: &Demand, spec: &ServiceSpec) -> Counsel {
        let Some(scheduler) = self.own_scheduler(spec).cloned() else { return Counsel::Own };
        let generation = demand.part.generation;
        let known = self.consulting.open.get(slot_id).filter(|inquiry| inquiry.generation == generation);
        match known.map(|inquiry| &inquiry.answer) {
            Some(Answer::Awaited) => Counsel::Nobody(waits(&scheduler)),
            Some(Answer::Failed) if self.config.schedulers.required => {
                Counsel::Nobody(self.required(&scheduler))
            }
            Some(_) => match self.consulting.open.remove(slot_id).map(|inquiry| inquiry.answer) {
                Some(Answer::Ranked(ranking)) => Counsel::Ranked(ranking),
                _ => Counsel::Own,
            },
            None => self.consult(slot_id, demand, spec, scheduler),
        }
    }

    fn consult(&mut self, slot_id: &SlotId, demand: &Demand, spec: &ServiceSpec, scheduler: Name) -> Counsel {
        let now = self.now.boot;
        if self.consulting.is_left_alone(&scheduler, now) {
            if !self.config.schedulers.required {
                return Counsel::Own;
            }
            self.consulting.wait(&scheduler, slot_id);
            return Counsel::Nobody(self.required(&scheduler));
        }
        if self.consulting.is_full(&scheduler) {
            self.consulting.wait(&scheduler, slot_id);
            return Counsel::Nobody(waits(&scheduler));
        }
        let refused = self.refused(slot_id);
        let ask = self.ask(slot_id, demand, spec, &refused);
        let strategy = spec.placement.strategy_or(&self.config.strategy);
        let order = Ranking::of(&ask, strategy, self.candidates(None)).order(ask.slot);
        if order.is_empty() {
            // Who and why, nobody knows better than we do.
            return Counsel::Own;
        }
        let ids = order.into_iter().take(MOST).map(|(id, _)| id);
        let members: Vec<_> = ids.filter_map(|id| self.candidate(id)).collect();
        let candidates = members.iter().map(|member| member.id).collect();
        let question = self.question(&ask, slot_id, demand, &members);
        self.consulting.last += 1;
        let id = ConsultId(self.consulting.last);
        let until = now + self.config.schedulers.patience;
        if let Some(down) = self.consulting.down.get_mut(&scheduler) {
            // This one question tells whether it answers again.
            down.again = now + AGAIN;
        }
        let (generation, answer) = (demand.part.generation, Answer::Awaited);
        self.effects.push(Effect::Consult { id, scheduler: scheduler.clone(), question: Box::new(question) });
        let nobody = waits(&scheduler);
        let inquiry = Inquiry { id, scheduler, generation, candidates, until, answer };
        self.consulting.open.insert(slot_id.clone(), inquiry);
        Counsel::Nobody(nobody)
    }

    fn question(
        &self,
        ask: &Ask<'_>,
        slot_id: &SlotId,
        demand: &Demand,
        members: &[Candidate<'_>],
    ) -> ConsultView {
        let (part, asked) = (&demand.part, ask.spec.resources);
        let own = self.around(part.wish, &part.service, ask.spec, None).own;
        ConsultView {
            orchestrator: self.config.name.to_string(),
            project: part.app.project.to_string(),
            application: part.app.application.to_string(),
            service: part.service.to_string(),
            slot: slot_id.1.to_string(),
            runtime: ask.spec.runtime.to_string(),
            cpu_millis: asked.cpu.0,
            memory: asked.memory.0,
            candidates: members.iter().map(|member| candidate_view(member, own.count(member.id))).collect(),
        }
    }

    /// An answer has come, or the shell says why none does.
    pub(super) fn consulted(&mut self, id: ConsultId, answer: Result<Vec<MemberId>, String>) {
        // Too late, or asked by an earlier run.
        let Some(slot_id) = self.consulting.slot_of(id) else { return };
        let Some(inquiry) = self.consulting.open.get_mut(&slot_id) else { return };
        if !matches!(inquiry.answer, Answer::Awaited) {
            return;
        }
        let stranger =
            |ranking: &Vec<MemberId>| ranking.iter().find(|id| !inquiry.candidates.contains(id)).copied();
        let answer = answer.and_then(|ranking| match stranger(&ranking) {
            Some(id) => Err(format!("it names {id}, which was no candidate")),
            None if ranking.is_empty() => Err("it names nobody".to_owned()),
            None => Ok(once_each(ranking)),
        });
        let scheduler = inquiry.scheduler.clone();
        match answer {
            Ok(ranking) => {
                inquiry.answer = Answer::Ranked(ranking);
                self.tally.consulted("ranked");
                if self.consulting.down.remove(&scheduler).is_some() {
                    self.note_scheduler(&scheduler, ("down", "up"), "it answers again");
                }
            }
            Err(why) => self.consult_failed(&slot_id, "failed", &why),
        }
        self.todo.slots.insert(slot_id);
    }

    fn consult_failed(&mut self, slot_id: &SlotId, outcome: &'static str, why: &str) {
        let again = self.now.boot + AGAIN;
        let Some(inquiry) = self.consulting.open.get_mut(slot_id) else { return };
        (inquiry.answer, inquiry.until) = (Answer::Failed, again);
        let scheduler = inquiry.scheduler.clone();
        self.tally.consulted(outcome);
        let down = Down { why: why.to_owned(), again };
        if self.consulting.down.insert(scheduler.clone(), down).is_none() {
            self.note_scheduler(&scheduler, ("up", "down"), why);
        }
    }

    /// Silence is an answer, too; and what failed may be asked again.
    pub(super) fn look_at_inquiries(&mut self) {
        let now = self.now.boot;
        let due = self.consulting.open.iter().filter(|(_, inquiry)| inquiry.until <= now);
        let due: Vec<_> = due.map(|(slot_id, _)| slot_id.clone()).collect();
        for slot_id in due {
            let Some(inquiry) = self.consulting.open.get(&slot_id) else { continue };
            match inquiry.answer {
                Answer::Awaited => {
                    self.consult_failed(&slot_id, "silent", "it does not answer in time");
                    self.todo.slots.insert(slot_id);
                }
                Answer::Ranked(_) => drop(self.consulting.open.remove(&slot_id)),
                Answer::Failed => {
                    let scheduler = inquiry.scheduler.clone();
                    self.consulting.open.remove(&slot_id);
                    self.consulting.wait(&scheduler, &slot_id);
                }
            }
        }
    }

    /// A slot whose turn to be asked about has come.
    pub(super) fn next_to_ask_about(&mut self) -> Option<SlotId> {
        self.consulting.next_waiting(self.now.boot, self.config.schedulers.required)
    }

    /// Its scheduler is asked, or will be, or what it said is not heeded yet: there may be a place.
    pub(super) fn is_asked_about(&self, slot_id: &SlotId) -> bool {
        self.consulting.asks_about(slot_id)
    }

    /// Those that there are, and whether they answered last.
    pub(super) fn schedulers(&self) -> BTreeMap<String, bool> {
        let up = |name: &Name| self.consulting.down(name).is_none();
        self.config.schedulers.names.iter().map(|name| (name.to_string(), up(name))).collect()
    }

    /// Whether something is awaited, so that silence is noticed.
    pub(super) fn is_consulting(&self) -> bool {
        !self.consulting.open.is_empty() || !self.consulting.waiting.is_empty()
    }

    /// How the service's members are ranked, in words.
    pub(super) fn strategy_words(&self, spec: &ServiceSpec) -> String {
        let strategy = spec.placement.strategy_or(&self.config.strategy);
        let Some(name) = &spec.placement.scheduler else { return strategy.to_string() };
        if self.own_scheduler(spec).is_none() {
            return format!("{strategy}, since `{name}` is no scheduler of this orchestrator");
        }
        match self.consulting.down(name) {
            None => format!("external:{name}"),
            Some(why) if self.config.schedulers.required => {
                format!("external:{name}, which is required and fails ({why}): nothing new is taken")
            }
            Some(why) => format!("{strategy}, since external:{name} fails ({why})"),
        }
    }

    fn required(&self, scheduler: &Name) -> NoPlace {
        let why = self.consulting.down(scheduler).unwrap_or("it gave no answer of use");
        NoPlace {
            together: false,
            reason: format!("takes nothing new: its scheduler `{scheduler}` is required, and {why}"),
            waits: None,
            classes: BTreeMap::from([("scheduler", 1)]),
        }
    }

    fn note_scheduler(&mut self, scheduler: &Name, change: (&str, &str), why: &str) {
        // Under the name of this orchestrator, whose part it is.
        let subject = format!("{}/scheduler:{scheduler}", self.config.name);
        self.note("cluster", subject, String::new(), change, ("scheduler", why));
    }
}

/// Whoever is named again is named already.
fn once_each(mut ranking: Vec<MemberId>) -> Vec<MemberId> {
    let mut named = BTreeSet::new();
    ranking.retain(|id| named.insert(*id));
    ranking
}

fn waits(scheduler: &Name) -> NoPlace {
    let reason = format!("waits for the scheduler `{scheduler}`");
    NoPlace {
        together: false,
        reason,
        waits: Some(Awaits::Answer),
        classes: BTreeMap::from([("consulting", 1)]),
    }
}

fn candidate_view(member: &Candidate<'_>, own: u32) -> CandidateView {
    let (role, labels, allocatable, free) = match member.kind {
        Kind::Node { labels, total, free, .. } => ("node", labels.clone(), total, free),
        Kind::Cluster { aggregate, debit, .. } => {
            let (mut total, mut free) = (Resources::default(), Resources::default());
            for class in &aggregate.classes {
                total += &class.total;
                free += &class.free;
            }
            ("cluster", BTreeMap::new(), total, free.less(&debit))
        }
    };
    let room = |of: Resources| RoomView { cpu_millis: of.cpu.0, memory: of.memory.0 };
    CandidateView {
        id: member.id.to_string(),
        name: member.name.to_string(),
        role: role.to_owned(),
        labels,
        allocatable: room(allocatable),
        free: room(free),
        own,
    }
}
