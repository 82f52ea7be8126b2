//! Replicas by themselves: what instances tell goes to an [`Autoscaler`] per service, and its advice into the wish.
//!
//! Only the owner of an application changes how many there are, from the numbers that travel up anyway.

use std::collections::BTreeMap;
use std::time::Duration;

use holm_model::fact::InstanceReport;
use holm_model::scale::{Scale, ScaleBy};
use holm_model::service::{Replicas, ServiceSpec};
use holm_model::slot::{ServiceKey, SlotIndex};
use holm_model::state::{MemberState, RunState};
use holm_model::wish::Version;

use super::Orchestrator;
use super::demand::{Demand, Origin};
use super::slots::Slot;
use crate::autoscale::{Advice, Autoscaler};

/// Services that are scaled, and what is remembered of each: of this run only.
#[derive(Debug, Default)]
pub(super) struct Scaling {
    services: BTreeMap<ServiceKey, Option<Autoscaler>>,
    /// When they are looked at again.
    next: Duration,
    /// Advice that could not be followed was told once.
    refused: BTreeMap<ServiceKey, String>,
}

/// Between two looks; nodes measure less often by default.
const EVERY: Duration = Duration::from_secs(5);

impl Orchestrator {
    /// The demand of an origin may be another now.
    pub(super) fn look_at_scaled(&mut self, origin: &Origin) {
        let Origin::Own(key) = origin else { return };
        let scaled = |demand: &&Demand| demand.spec.as_ref().is_some_and(|spec| spec.scale.is_some());
        if self.demands.get(origin).filter(scaled).is_some() {
            self.scaling.services.entry(key.clone()).or_default();
        } else if !self.scaling.services.is_empty() {
            self.scaling.services.remove(key);
            self.scaling.refused.remove(key);
        }
    }

    /// At each tick.
    pub(super) fn look_at_scales(&mut self) {
        if self.scaling.services.is_empty() || self.now.boot < self.scaling.next {
            return;
        }
        self.scaling.next = self.now.boot + EVERY;
        let mut services = std::mem::take(&mut self.scaling.services);
        for (key, autoscaler) in &mut services {
            self.look_at_scale(key, autoscaler);
        }
        // Nothing that happens meanwhile adds or removes one: demands are looked at when they are settled.
        self.scaling.services = services;
    }

    fn look_at_scale(&mut self, key: &ServiceKey, autoscaler: &mut Option<Autoscaler>) {
        let origin = Origin::Own(key.clone());
        let Some(demand) = self.demands.get(&origin) else { return };
        let (Some(spec), Replicas::Number(current)) = (demand.spec.clone(), demand.part.replicas) else {
            return;
        };
        let Some(scale) = &spec.scale else { return };
        if demand.quiet || demand.part.run != RunState::Run || current == 0 {
            // What rests asks for nothing, and begins anew.
            *autoscaler = None;
            return;
        }
        let now = self.now.boot;
        let loads = self.loads(&origin, &spec, scale);
        let autoscaler = autoscaler.get_or_insert_with(|| Autoscaler::new(now, current));
        if let Some(advice) = autoscaler.look(now, scale, current, loads) {
            self.follow(key, scale, current, advice);
        }
    }

    /// Of each slot whose instance is ready and tells something, in thousandths of the target.
    fn loads(&self, origin: &Origin, spec: &ServiceSpec, scale: &Scale) -> Vec<u64> {
        let numbered = self.slots.of(origin).filter(|(index, _)| matches!(index, SlotIndex::Number(_)));
        let wanted = numbered.filter(|(_, slot)| slot.wanted);
        wanted.filter_map(|(_, slot)| self.load_of(slot, spec, scale)).collect()
    }

    fn load_of(&self, slot: &Slot, spec: &ServiceSpec, scale: &Scale) -> Option<u64> {
        let heard = |report: &InstanceReport| {
            let member = report.node.first().and_then(|id| self.live.get(id));
            member.is_some_and(|live| live.state == MemberState::Online)
        };
        let ready = |report: &&InstanceReport| report.status.is_ready() && !report.held && heard(report);
        let report = self.copies(slot.active?).find(ready)?;
        let status = &report.status;
        let share = |used: u64, reserved: u64, percent: u32| {
            used.saturating_mul(100_000).checked_div(reserved.saturating_mul(percent.into()))
        };
        match &scale.by {
            ScaleBy::Cpu(percent) => share(status.usage?.cpu_millis, spec.resources.cpu.0, *percent),
            ScaleBy::Memory(percent) => share(status.usage?.memory, spec.resources.memory.0, *percent),
            ScaleBy::Metric(metric) => status.metric?.saturating_mul(1000).checked_div(metric.target.0),
        }
    }

    /// The advice into the wish, if nothing speaks against it.
    fn follow(&mut self, key: &ServiceKey, scale: &Scale, current: u32, advice: Advice) {
        let Some(mut row) = self.wishes.get(&key.wish).cloned() else { return };
        let app = row.wish.key.clone();
        let Some(service) = row.wish.services.get_mut(&key.service) else { return };
        service.replicas = Replicas::Number(advice.to);
        let reason = why(key, scale, current, advice);
        let allowed = self.expect_decided(&app).and_then(|()| self.check_quota(&app, &row.wish.services));
        if let Err(refusal) = allowed {
            let refusal = refusal.to_string();
            if self.scaling.refused.get(key) != Some(&refusal) {
                let told = format!("{reason}; refused: {refusal}");
                self.note(
                    "application",
                    app.to_string(),
                    app.to_string(),
                    ("", "not scaled"),
                    ("policy", &told),
                );
                self.scaling.refused.insert(key.clone(), refusal);
            }
            return;
        }
        self.scaling.refused.remove(key);
        row.wish.version = Version { epoch: self.epoch, generation: self.last_generation(&app) + 1 };
        row.wish.changed = self.now.wall;
        self.wishes.put(&mut self.journal, key.wish, row);
        self.refresh_demands(key.wish);
        self.note("application", app.to_string(), app.to_string(), ("", "scaled"), ("policy", &reason));
    }
}

/// In words.
fn why(key: &ServiceKey, scale: &Scale, current: u32, advice: Advice) -> String {
    let to = advice.to;
    let why = match advice.load {
        Some(load) => {
            let (subject, target) = (scale.by.subject(), scale.by.target());
            format!("{subject} is at {}, {target} is wanted", scale.by.measured(load))
        }
        None => format!("there shall be {} to {}", scale.min, scale.max),
    };
    format!("{}: replicas: {current} → {to}: {why}", key.service)
}
