//! What runtimes tell: events, and what survived the agent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holm_model::id::AssignmentId;
use holm_model::name::Name;
use holm_model::state::InstanceState;
use holm_model::time::Now;

use super::decide::{Doing, FETCHED, RETRY};
use super::event::{NodeEffect, Outcome, RuntimeEvent, Survivor, SurvivorState};
use super::machine::{Asking, Life, NodeMachine, Stray};
use super::record::{Cause, InstanceRecord};
use super::restart::End;

/// Why a state is shown that nobody can look at now.
const LAST_KNOWN: &str = "this is the last known state: ";

impl NodeMachine {
    pub(super) fn runtime(&mut self, id: AssignmentId, incarnation: u32, event: RuntimeEvent, now: Now) {
        if self.strays.contains_key(&id) {
            return self.stray_event(id, incarnation, event, now);
        }
        let Some(life) = self.lives.get_mut(&id).filter(|life| life.incarnation == incarnation) else {
            return;
        };
        self.touched.insert(id);
        let doing = life.doing;
        match event {
            RuntimeEvent::Usage(usage) => life.usage = Some(usage),
            RuntimeEvent::Metric(metric) => life.metric = metric,
            RuntimeEvent::Removed if doing == Doing::Removing => self.removed(id, now),
            RuntimeEvent::Exited(_) | RuntimeEvent::LaunchFailed { .. } if doing == Doing::Halting => {
                match life.unhealthy.take() {
                    Some(why) => self.judge(id, End::Badly, &why, now),
                    // What comes next follows from the wish.
                    None => *life = Life::default(),
                }
            }
            RuntimeEvent::HaltFailed { reason } if doing == Doing::Halting => {
                self.try_later(id, &format!("cannot be stopped: {reason}"), now);
            }
            RuntimeEvent::PauseFailed { reason } if doing == Doing::Switching => {
                self.try_later(id, &format!("cannot be paused or resumed: {reason}"), now);
            }
            RuntimeEvent::RefreshFailed { reason } if doing == Doing::Up => {
                self.records.change(&mut self.journal, &id, |record| record.given.clear());
                self.try_later(id, &format!("not given what was set anew: {reason}"), now);
            }
            event if doing == Doing::Launching => self.launch_event(id, event, now),
            event if matches!(doing, Doing::Up | Doing::Switching) => self.up_event(id, event, now),
            _ => {}
        }
    }

    fn launch_event(&mut self, id: AssignmentId, event: RuntimeEvent, now: Now) {
        match event {
            RuntimeEvent::Preparing { progress } => {
                self.become_state(id, InstanceState::Preparing, Cause::Node, &progress, now);
            }
            RuntimeEvent::Copied(bytes) => {
                if let Some(life) = self.lives.get_mut(&id) {
                    life.copied = Some(bytes);
                }
                let what = "a copy of its volumes is here; it waits for the old one to end";
                self.become_state(id, InstanceState::Preparing, Cause::Node, what, now);
            }
            RuntimeEvent::Fetched => {
                self.records.change(&mut self.journal, &id, |record| record.fetched = true);
                if let Some(life) = self.lives.get_mut(&id) {
                    life.doing = Doing::Idle;
                }
                self.become_state(id, InstanceState::Preparing, Cause::Node, FETCHED, now);
            }
            RuntimeEvent::Starting { ports } => {
                self.records.change(&mut self.journal, &id, |record| record.ports = ports);
                self.become_state(id, InstanceState::Starting, Cause::Node, "", now);
            }
            RuntimeEvent::LaunchFailed { reason, retry } => {
                let end = if retry { End::Badly } else { End::Hopeless };
                self.judge(id, end, &reason, now);
            }
            event => self.up_event(id, event, now),
        }
    }

    fn up_event(&mut self, id: AssignmentId, event: RuntimeEvent, now: Now) {
        let state = match event {
            RuntimeEvent::Running => InstanceState::Running,
            RuntimeEvent::Paused => InstanceState::Paused,
            RuntimeEvent::Exited(outcome) => return self.ended(id, &outcome, now),
            _ => return,
        };
        self.up(id, now);
        self.become_state(id, state, Cause::Node, "", now);
        self.await_answer(id);
    }

    fn up(&mut self, id: AssignmentId, now: Now) {
        let life = self.lives.entry(id).or_default();
        life.doing = Doing::Up;
        life.up_since.get_or_insert(now.boot);
    }

    /// Nothing is left of it. If it is wished again meanwhile, that is another life whose states are
    /// newer than those of the first.
    fn removed(&mut self, id: AssignmentId, now: Now) {
        self.lives.remove(&id);
        let Some(old) = self.records.remove(&mut self.journal, &id) else { return };
        let Some(wanted) = self.wanted.get(&id) else { return };
        let identity = wanted.identity.clone().unwrap_or_else(|| old.identity.clone());
        let mut record = InstanceRecord::new(identity, wanted, now.wall);
        record.incarnation = old.incarnation;
        record.sequence = old.sequence + 1;
        self.records.put(&mut self.journal, id, record);
    }

    fn stray_event(&mut self, id: AssignmentId, incarnation: u32, event: RuntimeEvent, now: Now) {
        let Some(stray) = self.strays.get_mut(&id).filter(|s| s.survivor.incarnation == incarnation) else {
            return;
        };
        match event {
            RuntimeEvent::Exited(outcome) => {
                stray.survivor.state = SurvivorState::Exited(outcome);
                stray.asked = false;
            }
            RuntimeEvent::LaunchFailed { .. } => {
                stray.survivor.state = SurvivorState::Exited(Outcome::default());
                stray.asked = false;
            }
            RuntimeEvent::HaltFailed { .. } => {
                stray.asked = false;
                stray.wait = Some(now.boot + RETRY);
            }
            RuntimeEvent::Running => stray.survivor.state = SurvivorState::Running,
            RuntimeEvent::Paused => stray.survivor.state = SurvivorState::Paused,
            RuntimeEvent::Removed => {
                self.strays.remove(&id);
            }
            _ => return,
        }
        self.touched.insert(id);
    }

    /// Compares what the runtimes have with what was written: adopts, mourns, or remembers as a stray.
    pub(super) fn survivors(&mut self, survivors: Vec<Survivor>, silent: BTreeSet<Name>, now: Now) {
        self.silent = silent;
        self.ask_later(now);
        self.lives.clear();
        self.strays.clear();
        self.ready = true;
        self.touch_all();
        let mut found: BTreeMap<_, _> = survivors.into_iter().map(|s| (s.id, s)).collect();
        let ids: Vec<AssignmentId> = self.records.iter().map(|(id, _)| *id).collect();
        for id in ids {
            match found.remove(&id) {
                Some(survivor) => self.adopt(survivor, now),
                None if self.is_unseen(id) => self.unseen(id, now),
                None => self.missing(id, now),
            }
        }
        for (id, survivor) in found {
            self.strays.insert(id, Stray { survivor, asked: false, wait: None });
            self.touched.insert(id);
        }
    }

    /// Judges what was unseen; of all others more is known than an answer that may be seconds old can tell.
    pub(super) fn silent_told(
        &mut self,
        asked: &BTreeSet<Name>,
        found: Vec<Survivor>,
        silent: BTreeSet<Name>,
        now: Now,
    ) {
        self.silent.retain(|name| !asked.contains(name));
        self.silent.extend(silent);
        self.ask_later(now);
        let mut found: BTreeMap<_, _> = found.into_iter().map(|s| (s.id, s)).collect();
        for id in self.records.iter().map(|(id, _)| *id).collect::<Vec<_>>() {
            let survivor = found.remove(&id);
            let known = self.lives.get(&id).is_some_and(|life| life.doing != Doing::Unseen);
            if known || self.is_silent(id) {
                continue;
            }
            self.touched.insert(id);
            match survivor {
                Some(survivor) => self.adopt(survivor, now),
                None if self.lives.contains_key(&id) => self.missing(id, now),
                None => {}
            }
        }
        for (id, survivor) in found {
            self.strays.entry(id).or_insert(Stray { survivor, asked: false, wait: None });
            self.touched.insert(id);
        }
        self.doubt(now);
    }

    /// What a runtime tells of the instance is to be judged after what survived is known.
    #[must_use]
    pub fn awaits_survivor(&self, id: AssignmentId) -> bool {
        !self.ready || self.lives.get(&id).is_some_and(|life| life.doing == Doing::Unseen)
    }

    /// Goes on with what is there; there is a record for it.
    pub(super) fn adopt(&mut self, survivor: Survivor, now: Now) {
        let Survivor { id, incarnation, state, ports, lease } = survivor;
        if let Some(until) = lease {
            self.leases.found(id, until);
        }
        let Some(record) = self.records.get(&id) else { return };
        let before = record.state;
        // Only after a restored backup the runtime knows more launches than the record.
        let outdated = incarnation < record.incarnation;
        let up_since = up_since(record, now);
        let boot = self.config.boot_id.clone();
        self.records.change(&mut self.journal, &id, |record| {
            record.incarnation = record.incarnation.max(incarnation);
            record.ports.extend(ports);
            record.boot = boot;
        });
        self.lives.insert(id, Life { incarnation, up_since, ..Life::default() });
        match state {
            SurvivorState::Exited(_) if outdated => self.missing(id, now),
            // Its launch was interrupted, which is no failure.
            SurvivorState::Created => self.missing(id, now),
            SurvivorState::Exited(outcome) => {
                if before == InstanceState::Stopping {
                    // It ended as it was asked to.
                } else if before.is_live() || before == InstanceState::Preparing {
                    self.ended(id, &outcome, now);
                }
            }
            SurvivorState::Launching => {
                self.lives.entry(id).or_default().doing = Doing::Launching;
                self.become_state(id, InstanceState::Preparing, Cause::Node, "", now);
            }
            SurvivorState::Running | SurvivorState::Paused => {
                self.up(id, now);
                let paused = state == SurvivorState::Paused;
                let found = if paused { InstanceState::Paused } else { InstanceState::Running };
                // Another incarnation than the wanted one, or a halt under way: ended first.
                let found = if outdated { InstanceState::Stopping } else { found };
                if before != InstanceState::Stopping {
                    self.become_state(id, found, Cause::Node, "", now);
                }
                self.await_answer(id);
            }
        }
    }

    /// The record is there, the instance is not.
    fn missing(&mut self, id: AssignmentId, now: Now) {
        let Some(record) = self.records.get(&id) else { return };
        let rebooted = record.boot != self.config.boot_id;
        match record.state {
            InstanceState::Running | InstanceState::Paused | InstanceState::Starting if rebooted => {
                self.interrupted(id, "the machine was started anew", now);
            }
            InstanceState::Running | InstanceState::Paused => {
                let up_since = up_since(record, now);
                self.lives.insert(id, Life { up_since, ..Life::default() });
                self.judge(id, End::Badly, "the process is gone", now);
            }
            InstanceState::Preparing | InstanceState::Starting => {
                self.interrupted(id, "the launch was interrupted", now);
            }
            _ => {}
        }
    }

    /// It executed when its runtime was heard last, and the machine has not been started anew since.
    fn is_unseen(&self, id: AssignmentId) -> bool {
        use InstanceState::{Paused, Preparing, Running, Starting, Stopping};
        self.records.get(&id).is_some_and(|record| {
            record.boot == self.config.boot_id
                && self.is_silent(id)
                && matches!(record.state, Preparing | Starting | Running | Paused | Stopping)
        })
    }

    fn is_silent(&self, id: AssignmentId) -> bool {
        let runtime = self.records.get(&id).and_then(|record| record.runtime.as_ref());
        runtime.is_some_and(|runtime| self.silent.contains(runtime))
    }

    fn unseen(&mut self, id: AssignmentId, now: Now) {
        let Some(record) = self.records.get(&id) else { return };
        let (incarnation, up_since) = (record.incarnation, up_since(record, now));
        self.lives.insert(id, Life { doing: Doing::Unseen, incarnation, up_since, ..Life::default() });
        self.doubt_one(id, now);
    }

    /// Those that were silent and are ready can tell what they have.
    pub(super) fn ask_the_silent(&mut self) {
        if !self.ready || self.asking == Asking::Awaited {
            return;
        }
        let ready: BTreeSet<Name> = self.silent_and_ready().cloned().collect();
        self.asking = Asking::No;
        if !ready.is_empty() {
            self.asking = Asking::Awaited;
            self.effects.push(NodeEffect::AskSilent(ready));
        }
    }

    /// After an answer: a runtime may have become ready while it was asked.
    fn ask_later(&mut self, now: Now) {
        let ready = self.silent_and_ready().next().is_some();
        self.asking = if ready { Asking::At(now.boot + RETRY) } else { Asking::No };
    }

    fn silent_and_ready(&self) -> impl Iterator<Item = &Name> {
        self.silent.iter().filter(|name| self.why_unready(name).is_none())
    }

    /// What executes in a runtime that does not answer is shown as what it is: the last that was known.
    pub(super) fn doubt(&mut self, now: Now) {
        for id in self.lives.keys().copied().collect::<Vec<_>>() {
            self.doubt_one(id, now);
        }
    }

    fn doubt_one(&mut self, id: AssignmentId, now: Now) {
        let doing = self.lives.get(&id).map(|life| life.doing);
        let executes = matches!(doing, Some(Doing::Up | Doing::Switching | Doing::Unseen));
        let Some(record) = self.records.get(&id).filter(|_| executes) else { return };
        let Some(runtime) = &record.runtime else { return };
        let silent = || self.silent.contains(runtime).then(|| format!("`{runtime}` does not tell"));
        let reason = match self.why_unready(runtime).map(str::to_owned).or_else(silent) {
            Some(why) => format!("{LAST_KNOWN}{why}"),
            None if record.reason.starts_with(LAST_KNOWN) => String::new(),
            None => return,
        };
        self.become_state(id, record.state, Cause::Node, &reason, now);
    }

    fn why_unready(&self, runtime: &Name) -> Option<&str> {
        let known =
            self.facts.iter().flat_map(|facts| &facts.runtimes).find(|known| known.name == *runtime)?;
        known.unavailable.as_deref()
    }

    /// Ended through no fault of its own: no attempt is counted.
    pub(super) fn interrupted(&mut self, id: AssignmentId, reason: &str, now: Now) {
        self.lives.remove(&id);
        self.become_state(id, InstanceState::Failed, Cause::Node, reason, now);
    }
}

/// Boot time since when it runs, as far as the wall clock of then and now can tell.
fn up_since(record: &InstanceRecord, now: Now) -> Option<Duration> {
    let up = matches!(record.state, InstanceState::Running | InstanceState::Paused);
    up.then(|| now.boot.saturating_sub(now.wall.since(record.since)))
}
