//! How much a project may have, over all tiers.
//!
//! The root counts what it was asked for itself, and what clusters say that they have of their own. Each cluster is told
//! how much its own applications may ask for: the quota without what is elsewhere. One that is cut off keeps to what
//! was left when it heard last. Several that are cut off at a time may each take that; their sum is seen at the
//! reunion. Nothing is ever ended for a quota: it keeps more from coming.

use std::collections::BTreeMap;

use holm_model::id::{MemberId, WishId};
use holm_model::member::Role;
use holm_model::name::Name;
use holm_model::project::{Asked, Limits, ProjectReport};
use holm_model::resources::{Cpu, Memory};
use holm_model::service::Replicas;
use holm_model::wish::{AppKey, ServiceWish};

use super::command::Refusal;
use super::{Orchestrator, Tier};

impl Orchestrator {
    /// The most that may be asked for: at the root in all, at a cluster by its own applications.
    pub(super) fn limits(&self, project: &Name) -> Limits {
        match self.config.tier {
            Tier::Root => self.projects.get(project).map(|row| Limits::from(&row.quota)).unwrap_or_default(),
            Tier::Cluster => self.told(project).map_or(Limits::NOTHING, |told| told.limits),
        }
    }

    /// Refuses services of `app` that would take its project beyond its quota. What does not ask for more than
    /// before is always taken.
    pub(super) fn check_quota(
        &self,
        app: &AppKey,
        services: &BTreeMap<Name, ServiceWish>,
    ) -> Result<(), Refusal> {
        let limits = self.limits(&app.project);
        if limits.is_open() {
            return Ok(());
        }
        let below = self.asked_below(&app.project, None);
        let before = self.asked(&app.project, None).plus(below);
        let after = self.asked(&app.project, Some(app));
        let after = after.plus(self.asked_by(self.apps.get(app).copied(), services)).plus(below);
        let Some(what) = beyond(after, before, &limits) else { return Ok(()) };
        let project = &app.project;
        Err(Refusal::Invalid(match self.config.tier {
            Tier::Root => format!("the quota of project `{project}` is exceeded: {what}"),
            Tier::Cluster => format!(
                "what the root leaves of the quota of project `{project}` to applications of this cluster is \
                 exceeded: {what}; `holm project quota` at the root changes it"
            ),
        }))
    }

    /// Of the quota, for the cluster's own applications.
    pub(super) fn limits_of(&self, cluster: MemberId, project: &Name) -> Limits {
        let limits = self.limits(project);
        if limits.is_open() {
            return limits;
        }
        limits.less(self.asked(project, None).plus(self.asked_below(project, Some(cluster))))
    }

    /// By our applications and those of clusters.
    pub(super) fn asked_in_all(&self, project: &Name) -> Asked {
        self.asked(project, None).plus(self.asked_below(project, None))
    }

    /// What our applications in the project ask for, without the one left out.
    pub(super) fn asked(&self, project: &Name, without: Option<&AppKey>) -> Asked {
        let counted = self.apps_of(project).filter(|(app, _)| Some(*app) != without);
        let wishes = counted.filter_map(|(_, id)| Some((*id, self.wishes.get(id)?)));
        wishes.fold(Asked::default(), |sum, (id, row)| sum.plus(self.asked_by(Some(id), &row.wish.services)))
    }

    /// By clusters' own applications.
    fn asked_below(&self, project: &Name, without: Option<MemberId>) -> Asked {
        let clusters = self.reports().filter(|(id, _)| Some(*id) != without);
        let of = clusters.filter_map(|(_, reports)| reports.get(project));
        of.fold(Asked::default(), |sum, report| sum.plus(report.asked))
    }

    pub(super) fn reports_of<'a>(&'a self, project: &'a Name) -> impl Iterator<Item = &'a ProjectReport> {
        self.reports().filter_map(|(_, reports)| reports.get(project))
    }

    /// `wish`: theirs, if there is one yet. A `cron` asks for one run, or for those that have not ended.
    fn asked_by(&self, wish: Option<WishId>, services: &BTreeMap<Name, ServiceWish>) -> Asked {
        let mut runs: BTreeMap<&Name, u64> = BTreeMap::new();
        for (name, run) in services {
            let Some(run_of) = &run.run_of else { continue };
            *runs.entry(&run_of.service).or_default() +=
                u64::from(!wish.is_some_and(|id| self.is_over(id, name)));
        }
        let own = services.iter().filter(|(_, service)| service.run_of.is_none());
        own.fold(Asked::default(), |sum, (name, service)| {
            // What this version cannot read, it does not start either.
            let Ok(spec) = service.spec.decode() else { return sum };
            let instances = match service.replicas {
                Replicas::Number(number) => u64::from(number),
                // As many as there may be one day; a node that joins must not break a promise.
                Replicas::PerNode => self.nodes_known(),
            };
            let each = Asked {
                cpu: spec.resources.cpu.0,
                memory: spec.resources.memory.0,
                instances: 1,
                ports: spec.ports.len() as u64,
            };
            let exposed = Asked { ports: spec.expose.len() as u64, ..Asked::default() };
            let at_once = runs.get(name).copied().unwrap_or_default().max(1);
            sum.plus(each.times(instances.saturating_mul(at_once))).plus(exposed)
        })
    }

    fn nodes_known(&self) -> u64 {
        let clusters = self.live.iter().filter(|(id, live)| live.aggregate.nodes > 0 && !self.is_void(**id));
        let below = clusters.map(|(_, live)| u64::from(live.aggregate.nodes)).sum::<u64>();
        let own = self
            .members
            .values()
            .filter(|member| member.role == Role::Node && member.guest_of.is_none())
            .count();
        below + own as u64
    }

    pub(super) fn apps_of<'a>(&'a self, project: &'a Name) -> impl Iterator<Item = (&'a AppKey, &'a WishId)> {
        self.apps.iter().filter(move |(app, _)| app.project == *project)
    }
}

/// What grew beyond the limits, in words.
fn beyond(after: Asked, before: Asked, limits: &Limits) -> Option<String> {
    let exceeded =
        |after: u64, before: u64, most: Option<u64>| most.filter(|most| after > *most && after > before);
    let number = |what: &str, after: u64, before: u64, most: Option<u64>| {
        exceeded(after, before, most).map(|most| format!("{after} {what} of {most}"))
    };
    let cpu = exceeded(after.cpu, before.cpu, limits.cpu);
    let cpu = cpu.map(|most| format!("cpu {} of {}", Cpu(after.cpu), Cpu(most)));
    let memory = exceeded(after.memory, before.memory, limits.memory);
    let memory = memory.map(|most| format!("memory {} of {}", Memory(after.memory), Memory(most)));
    cpu.or(memory)
        .or_else(|| number("instances", after.instances, before.instances, limits.instances))
        .or_else(|| number("ports", after.ports, before.ports, limits.ports))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_grows_beyond_a_quota_is_refused() {
        let limits = Limits { cpu: Some(1000), instances: Some(2), ..Limits::default() };
        let asked = |cpu, instances| Asked { cpu, instances, ..Asked::default() };
        assert_eq!(beyond(asked(1000, 2), asked(0, 0), &limits), None);
        assert_eq!(beyond(asked(1500, 1), asked(0, 0), &limits).unwrap(), "cpu 1500m of 1");
        assert_eq!(beyond(asked(0, 3), asked(0, 1), &limits).unwrap(), "3 instances of 2");
        // A quota that was lowered: less is fine, though it is still too much.
        assert_eq!(beyond(asked(1500, 3), asked(2000, 4), &limits), None);
    }
}
