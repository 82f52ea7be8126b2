//! The machine's inner rhythm: what every step ends in.

use std::time::Duration;

use holm_model::fact::InstanceReport;
use holm_model::id::{MemberId, Uid, WishId};
use holm_model::record::Change;
use holm_model::state::InstanceState;
use holm_model::time::Now;

use super::Orchestrator;
use super::members::Live;
use super::rows::Reign;

/// A gap between two steps that no timer explains: this machine slept or was paused.
const PAUSE: Duration = Duration::from_secs(5);

impl Orchestrator {
    /// Notes the time; after a pause of our own the members' silence is not theirs.
    pub(super) fn wake(&mut self, now: Now) {
        let first = self.now == Now::default();
        if first || now.boot.saturating_sub(self.now.boot) > PAUSE {
            for live in self.live.values_mut() {
                live.heard = now.boot;
            }
            self.witnesses.wake(now.boot);
            self.ticked = now.boot;
            self.leases.doubt(now.boot + self.config.deadlines.lease);
        }
        if first {
            self.gathering.begin(now.boot);
        }
        self.now = now;
    }

    pub(super) fn tick(&mut self) {
        self.ticked = self.now.boot;
        self.look_at_members();
        self.forget_witnesses();
        self.forget_who_did_not_come();
        self.hear_what_was_said();
        self.answer_leases();
        self.ask_again();
        self.look_at_inquiries();
        if self.gathering.ends(self.now.boot, self.config.deadlines.replace) {
            self.capacity_changed = true;
            self.todo.shares.extend(self.verdicts.iter().map(|(share, _)| *share));
        }
        self.todo.origins.append(&mut self.todo.updating);
        self.todo.slots.append(&mut self.todo.relieving);
        // How work goes is judged by slots as they are meant to be: after a start nothing was looked at yet.
        self.reconcile_touched();
        self.look_at_rollouts();
        self.look_at_runs();
        self.look_at_scales();
        self.look_at_bounds();
        self.look_at_reservations();
        self.relieve_disks();
        self.forget_last_words();
        self.tidy_tally();
        self.bury();
    }

    /// Makes true what something happened to, then tells those concerned.
    pub(super) fn settle(&mut self) {
        self.reconcile_touched();
        self.expose();
        self.refresh_endpoints();
        self.refresh_contents();
        self.refresh_allowances();
        self.flush_lists();
        self.ask_for_leases();
        self.report();
    }

    fn reconcile_touched(&mut self) {
        self.weigh();
        if std::mem::take(&mut self.capacity_changed) {
            self.todo.slots.append(&mut self.todo.unfilled);
        }
        loop {
            if let Some(origin) = self.todo.origins.pop_first() {
                self.reconcile(&origin);
            } else if let Some(slot) = self.todo.slots.pop_first() {
                self.reconcile_slot(&slot);
            } else if let Some(slot) = self.next_to_ask_about() {
                self.todo.slots.insert(slot);
            } else if !self.begin_wipes() && !self.end_leavings() {
                break;
            }
        }
    }

    /// Makes everything that follows from the rows, and looks at every slot anew.
    pub(super) fn derive(&mut self) {
        let reign = self.reigns.get(&self.epoch).cloned();
        let reign =
            reign.unwrap_or(Reign { last_revision: self.revision, last_id: self.counter, after: None });
        self.revision = reign.last_revision;
        self.counter = self.counter.max(reign.last_id);
        self.apps = self
            .wishes
            .iter()
            .filter(|(_, row)| row.wish.deleted.is_none())
            .map(|(id, row)| (row.wish.key.clone(), *id))
            .collect();
        self.derive_instances();
        self.derive_demands();
        self.derive_slots();
        self.derive_lists();
        let members: Vec<MemberId> = self.members.iter().map(|(id, _)| *id).collect();
        self.live.retain(|id, _| self.members.contains(id));
        for id in members {
            self.live.entry(id).or_insert_with(|| Live::new(self.now.boot));
        }
        self.derive_departures();
        self.aggregate_stale = true;
        self.todo.origins.extend(self.demands.keys().cloned());
        self.todo.origins.extend(self.slots.origins().cloned());
    }

    pub(super) fn next_id(&mut self) -> Uid {
        self.counter += 1;
        Uid { epoch: self.epoch, counter: self.counter }
    }

    /// The revision that this step's list changes will get.
    pub(super) const fn coming_revision(&self) -> u64 {
        self.revision + 1
    }

    /// An instance changed its state: for the history and for watchers.
    pub(super) fn note_instance(
        &mut self,
        report: &InstanceReport,
        change: (InstanceState, InstanceState),
        why: (&str, &str),
    ) {
        self.behind.change(Change {
            at: self.now.wall,
            kind: "instance".to_owned(),
            subject: report.id.to_string(),
            application: report.app.to_string(),
            slot: format!("{}/{}", report.service, report.slot),
            from: change.0.word().to_owned(),
            to: change.1.word().to_owned(),
            cause: why.0.to_owned(),
            reason: why.1.to_owned(),
        });
    }

    /// Something else did.
    pub(super) fn note(
        &mut self,
        kind: &str,
        subject: String,
        application: String,
        change: (&str, &str),
        why: (&str, &str),
    ) {
        self.behind.change(Change {
            at: self.now.wall,
            kind: kind.to_owned(),
            subject,
            application,
            slot: String::new(),
            from: change.0.to_owned(),
            to: change.1.to_owned(),
            cause: why.0.to_owned(),
            reason: why.1.to_owned(),
        });
    }

    /// Tombstones go when every member has obeyed the list that followed.
    pub(super) fn bury(&mut self) {
        let slowest = self.live.values().map(|live| live.obeyed).min().unwrap_or(self.revision);
        let over: Vec<WishId> = self
            .wishes
            .iter()
            .filter(|(_, row)| row.gone_at.is_some_and(|revision| revision <= slowest))
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            self.wishes.remove(&mut self.journal, &id);
        }
    }
}
