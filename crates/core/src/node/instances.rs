//! Carrying moves out: a record on disk first, then an effect.

use std::mem;
use std::time::Duration;

use holm_model::id::AssignmentId;
use holm_model::service::ServiceSpec;
use holm_model::state::InstanceState;
use holm_model::time::Now;

use super::decide::{Doing, Move, RETRY, Situation, decide};
use super::event::{Launch, NodeEffect, Outcome, SurvivorState};
use super::machine::{Life, NodeMachine};
use super::record::{Cause, InstanceRecord};
use super::restart::{End, Rule, Verdict, verdict};
use super::wanted::Order;

/// Moves of one instance in one step at most. Three are needed (to end, to note it, to remove); the
/// bound keeps a state that a newer version wrote from turning in circles.
const MOVES: usize = 8;

impl NodeMachine {
    pub(super) fn touch_all(&mut self) {
        self.touched.extend(self.wanted.keys());
        self.touched.extend(self.records.iter().map(|(id, _)| *id));
        self.touched.extend(self.strays.keys());
    }

    /// Ends the waits that are over.
    pub(super) fn touch_due(&mut self, now: Now) {
        self.touched.extend(self.deadlines.pass(now.boot));
        let lives = self.lives.iter_mut().map(|(id, life)| (*id, &mut life.wait));
        let strays = self.strays.iter_mut().map(|(id, stray)| (*id, &mut stray.wait));
        for (id, wait) in lives.chain(strays) {
            if wait.is_some_and(|until| until <= now.boot) {
                *wait = None;
                self.touched.insert(id);
            }
        }
    }

    /// Makes moves until wish and fact are equal, or somebody else has to move.
    pub(super) fn reconcile(&mut self, id: AssignmentId, now: Now) {
        self.meet_stray(id, now);
        self.meet_wish(id, now);
        self.renumber(id);
        self.meet_deadline(id, now);
        self.note_carried(id);
        self.queue(id);
        for _ in 0..MOVES {
            match self.next_move(id, now) {
                Move::Rest => return,
                Move::Launch => self.launch(id, now),
                Move::Halt(cause) => self.halt(id, cause, now),
                Move::Kill => self.end(id, Duration::ZERO),
                Move::Pause => self.switch(id, |id, incarnation| NodeEffect::Pause { id, incarnation }),
                Move::Resume => self.switch(id, |id, incarnation| NodeEffect::Resume { id, incarnation }),
                Move::Refresh => self.refresh(id),
                Move::Remove => self.remove(id),
                Move::Settle(state, cause, reason) => self.become_state(id, state, cause, &reason, now),
                Move::GiveUp(reason) => self.give_up(id, &reason, now),
            }
        }
    }

    fn next_move(&self, id: AssignmentId, now: Now) -> Move {
        let Some(record) = self.records.get(&id) else { return Move::Rest };
        let life = self.lives.get(&id);
        let idle = life.is_none_or(|life| life.doing == Doing::Idle);
        decide(Situation {
            wanted: self.wanted.get(&id),
            record,
            given: &self.given(id),
            doing: life.map(|life| life.doing).unwrap_or_default(),
            waiting: life.is_some_and(|life| life.wait.is_some()),
            unhealthy: life.is_some_and(|life| life.unhealthy.is_some()),
            node: self.facts.as_ref(),
            trouble: self.trouble.as_deref(),
            lease: self.lease(id, now),
            late: self.deadlines.late(id),
            beside: idle && self.copies_that_end(id).next().is_some(),
            coming: self.is_coming(id),
        })
    }

    /// Looked at in each step until nothing is in its way: a copy ends in many ways.
    fn queue(&mut self, id: AssignmentId) {
        let waits = self.wanted.contains_key(&id) && self.copies_that_end(id).next().is_some();
        if waits {
            self.queued.insert(id);
        } else {
            self.queued.remove(&id);
        }
    }

    /// Others of the same slot that are not on the list, and execute still. After the node has gone to another
    /// orchestrator, that wishes slots of the node under ids of its own.
    fn copies_that_end(&self, id: AssignmentId) -> impl Iterator<Item = AssignmentId> {
        let identity = self.records.get(&id).map(|record| &record.identity);
        let executes = |other: &AssignmentId| {
            self.lives.get(other).is_some_and(|life| !matches!(life.doing, Doing::Idle | Doing::Removing))
        };
        let same = self.records.iter().filter(move |(other, record)| {
            **other != id && identity == Some(&record.identity) && !self.wanted.contains_key(other)
        });
        same.map(|(other, _)| *other).filter(executes)
    }

    /// What runs without a record is adopted when the list has it, and ended when a valid list does not.
    fn meet_stray(&mut self, id: AssignmentId, now: Now) {
        let Some(stray) = self.strays.get_mut(&id) else { return };
        if stray.asked || stray.wait.is_some() {
            return;
        }
        if self.wanted.get(&id).is_some_and(|wanted| wanted.identity.is_some()) {
            let survivor = stray.survivor.clone();
            self.strays.remove(&id);
            self.meet_wish(id, now);
            self.adopt(survivor, now);
        } else if !self.wanted.contains_key(&id) && self.held.is_valid() && !self.held.is_frozen() {
            stray.asked = true;
            let incarnation = stray.survivor.incarnation;
            self.effects.push(match stray.survivor.state {
                SurvivorState::Created | SurvivorState::Exited(_) => NodeEffect::Remove { id, incarnation },
                _ => NodeEffect::Halt { id, incarnation, drain: Duration::ZERO, grace: ServiceSpec::GRACE },
            });
        }
    }

    /// A new assignment gets its record, unless what is left of an older life has to go first.
    fn meet_wish(&mut self, id: AssignmentId, now: Now) {
        if self.records.contains(&id) || self.strays.contains_key(&id) {
            return;
        }
        let Some(wanted) = self.wanted.get(&id) else { return };
        if let Some(identity) = wanted.identity.clone() {
            let record = InstanceRecord::new(identity, wanted, now.wall);
            self.records.put(&mut self.journal, id, record);
        }
    }

    /// People went back to what runs: it goes on.
    fn renumber(&mut self, id: AssignmentId) {
        let (Some(wanted), Some(record)) = (self.wanted.get(&id), self.records.get(&id)) else { return };
        let generation = wanted.generation;
        if record.is_renumbered(wanted) {
            self.records.change(&mut self.journal, &id, |record| record.generation = generation);
        }
    }

    pub(super) fn become_state(
        &mut self,
        id: AssignmentId,
        state: InstanceState,
        cause: Cause,
        reason: &str,
        now: Now,
    ) {
        let mut changes = Vec::new();
        self.records.change(&mut self.journal, &id, |record| {
            changes = record.become_state(id, state, cause, reason, now.wall);
        });
        for change in changes {
            self.journal.change(change);
        }
        self.touched.insert(id);
    }

    fn launch(&mut self, id: AssignmentId, now: Now) {
        let Some(wanted) = self.wanted.get(&id) else { return };
        let Ok(order) = wanted.order.clone() else { return };
        let asked = wanted.restarts;
        let (boot, given, contents) = (&self.config.boot_id, self.given(id).stamps, self.contents(id));
        self.records.change(&mut self.journal, &id, |record| record.begin(&order, asked, given, boot));
        let Some(record) = self.records.get(&id) else { return };
        let ended = self.lives.get(&id).map(|life| life.ended.as_str()).unwrap_or_default();
        let attempt = match (record.attempts, ended) {
            (0, _) => String::new(),
            (failed, "") => format!("attempt {}", failed + 1),
            (failed, ended) => format!("attempt {} after: {ended}", failed + 1),
        };
        let Order { part, spec } = order;
        let incarnation = record.incarnation;
        let (slot, ports) = (record.identity.slot.clone(), record.ports.clone());
        self.become_state(id, InstanceState::Preparing, Cause::Node, &attempt, now);
        self.lives.insert(id, Life { doing: Doing::Launching, incarnation, ..Life::default() });
        let (lease, data) = (self.leases.get(id), self.data(id));
        let launch = Launch { id, incarnation, part, slot, spec, ports, contents, lease, data };
        self.effects.push(NodeEffect::Launch(Box::new(launch)));
    }

    fn halt(&mut self, id: AssignmentId, cause: Cause, now: Now) {
        // Whoever is paused answers nobody: nothing is waited for.
        let serves = |record: &&InstanceRecord| record.state != InstanceState::Paused;
        let drain = self.records.get(&id).filter(serves).map_or(Duration::ZERO, |record| record.drain);
        self.become_state(id, InstanceState::Stopping, cause, "", now);
        if let Some(life) = self.lives.get_mut(&id) {
            // The wish ends it now, not its health.
            life.unhealthy = None;
        }
        self.end(id, drain);
    }

    fn end(&mut self, id: AssignmentId, drain: Duration) {
        let grace = self.records.get(&id).map_or(ServiceSpec::GRACE, |record| record.grace);
        let life = self.lives.entry(id).or_default();
        life.doing = Doing::Halting;
        self.effects.push(NodeEffect::Halt { id, incarnation: life.incarnation, drain, grace });
    }

    fn switch(&mut self, id: AssignmentId, effect: fn(AssignmentId, u32) -> NodeEffect) {
        let life = self.lives.entry(id).or_default();
        // Whoever is paused has no answers, and the ones from before are old.
        life.unhealthy = None;
        life.doing = Doing::Switching;
        self.effects.push(effect(id, life.incarnation));
    }

    fn remove(&mut self, id: AssignmentId) {
        let incarnation = self.records.get(&id).map_or(0, |record| record.incarnation);
        self.lives.insert(id, Life { doing: Doing::Removing, incarnation, ..Life::default() });
        let effect = self.discard(id, incarnation).unwrap_or(NodeEffect::Remove { id, incarnation });
        self.effects.push(effect);
    }

    /// Nothing more is tried here: whoever assigned it may place it elsewhere.
    fn give_up(&mut self, id: AssignmentId, reason: &str, now: Now) {
        self.records.change(&mut self.journal, &id, |record| record.exhausted = true);
        self.become_state(id, InstanceState::Failed, Cause::Policy, reason, now);
    }

    /// Nothing of it executes any more, and nobody asked for that: the restart policy decides.
    pub(super) fn ended(&mut self, id: AssignmentId, outcome: &Outcome, now: Now) {
        if outcome.lease {
            // Through no fault of its own: no attempt is counted.
            return self.interrupted(id, "its lease ended; it starts again with a fresh one", now);
        }
        let end = if outcome.is_success() { End::Well } else { End::Badly };
        self.judge(id, end, &outcome.to_string(), now);
    }

    /// `what` happened, for people.
    pub(super) fn judge(&mut self, id: AssignmentId, end: End, what: &str, now: Now) {
        let life = mem::take(self.lives.entry(id).or_default());
        let Some(record) = self.records.get(&id) else { return };
        let wanted = self.wanted.get(&id).filter(|wanted| !wanted.rests());
        let Some(order) = wanted.and_then(|wanted| wanted.order.as_ref().ok()) else {
            // Held, unreadable or no longer assigned: it is not started again.
            let well = end == End::Well;
            let state = if well { InstanceState::Completed } else { InstanceState::Failed };
            return self.become_state(id, state, Cause::Node, what, now);
        };
        let ran = life.up_since.map_or(Duration::ZERO, |since| now.boot.saturating_sub(since));
        match verdict(Rule::of(&order.spec), id, end, record.attempts, ran) {
            Verdict::Done => {
                self.records.change(&mut self.journal, &id, |record| record.attempts = 0);
                self.become_state(id, InstanceState::Completed, Cause::Node, what, now);
            }
            Verdict::Again { attempts, wait } => {
                self.records.change(&mut self.journal, &id, |record| record.attempts = attempts);
                let life = self.lives.entry(id).or_default();
                what.clone_into(&mut life.ended);
                let reason = if wait.is_zero() {
                    format!("{what}; started again at once")
                } else {
                    life.wait = Some(now.boot + wait);
                    next_attempt(what, attempts, wait)
                };
                self.become_state(id, InstanceState::Failed, Cause::Node, &reason, now);
            }
            Verdict::GiveUp { attempts } => {
                self.records.change(&mut self.journal, &id, |record| record.attempts = attempts);
                let reason = format!("{what}; no attempt is left on this node");
                self.give_up(id, &reason, now);
            }
        }
    }

    /// A halt or a switch did not succeed: it is asked for again a little later.
    pub(super) fn try_later(&mut self, id: AssignmentId, reason: &str, now: Now) {
        let life = self.lives.entry(id).or_default();
        life.doing = Doing::Up;
        life.wait = Some(now.boot + RETRY);
        if let Some(state) = self.records.get(&id).map(|record| record.state) {
            self.become_state(id, state, Cause::Node, reason, now);
        }
    }
}

/// Failures in a row from which on it is called what it is.
const CRASH_LOOP: u32 = 3;

/// Why it waits, for people.
fn next_attempt(what: &str, attempts: u32, wait: Duration) -> String {
    let wait = wait.as_secs_f64();
    if attempts < CRASH_LOOP {
        format!("{what}; next attempt in {wait:.1} s")
    } else {
        format!("crash loop: {attempts} failures, next start in {wait:.1} s; the last: {what}")
    }
}
