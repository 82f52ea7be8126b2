//! Projects between orchestrators: each cluster is told which there are, what is left of their quotas for its own
//! applications, and what their services may do; it says what it has of its own.

use std::collections::BTreeMap;

use holm_model::fact::{Fact, FactKey};
use holm_model::id::MemberId;
use holm_model::item::{Item, ItemKey};
use holm_model::member::Role;
use holm_model::name::Name;
use holm_model::project::{Allowance, ProjectReport};
use holm_model::view::people::Quota;

use super::Orchestrator;
use super::kept::Said;
use super::projects::DEFAULT;

/// What a cluster has of its own, project by project.
pub(super) type Reports = BTreeMap<Name, ProjectReport>;

/// A cluster may have so many projects of its own beside those that were made here: `default`, and some that were deleted
/// while it was cut off.
const STRAYS: usize = 100;

static NOTHING: Reports = Reports::new();

// === impl Orchestrator: what our parent tells ===

impl Orchestrator {
    /// Of a project, to a cluster. `None`: there is no such project. A parent that is older than this tells of none, and
    /// nobody has told yet before the first list: nothing is refused then.
    pub(super) fn told(&self, project: &Name) -> Option<Allowance> {
        let item = |name: &Name| self.held.get(&ItemKey::Project(name.clone()));
        let Some(packed) = item(project) else {
            let silent = Name::new(DEFAULT).is_ok_and(|default| item(&default).is_none());
            return silent.then(Allowance::default);
        };
        match packed.unpack() {
            Ok(Item::Project(allowance)) => Some(allowance),
            // It is there, and what may be done in it is not known.
            _ => Some(Allowance { limits: holm_model::project::Limits::NOTHING, ..Allowance::default() }),
        }
    }

    pub(super) fn told_projects(&self) -> impl Iterator<Item = Name> {
        self.held.items().filter_map(|packed| match &packed.key {
            ItemKey::Project(name) => Some(name.clone()),
            _ => None,
        })
    }
}

// === impl Orchestrator: what we tell ===

impl Orchestrator {
    pub(super) fn derive_allowances(&mut self) {
        self.touch_projects();
        self.refresh_allowances();
    }

    /// A member came or went, or its nodes did: what is asked for "per node" has changed.
    pub(super) fn touch_projects(&mut self) {
        self.todo.projects.extend(self.project_names());
    }

    /// An application of the project changed. Of most projects that changes nothing for others.
    pub(super) fn touch_project(&mut self, project: &Name) {
        let made = self.projects.get(project);
        let open = made.map_or(*project == *DEFAULT, |project| project.quota == Quota::default());
        if !open || self.config.tier == super::Tier::Cluster {
            self.todo.projects.insert(project.clone());
        }
    }

    /// Brings projects on clusters' lists up to date, and tells our parent what we have.
    pub(super) fn refresh_allowances(&mut self) {
        let todo = std::mem::take(&mut self.todo.projects);
        if todo.is_empty() {
            return;
        }
        let clusters = self.members.iter().filter(|(_, member)| member.role == Role::Cluster);
        let clusters: Vec<MemberId> = clusters.map(|(id, _)| *id).collect();
        for project in todo {
            let known = self.has_project(&project);
            for cluster in &clusters {
                let item = known.then(|| Item::Project(self.allowance(*cluster, &project)));
                self.set_item(*cluster, ItemKey::Project(project.clone()), item.as_ref());
            }
            self.report_project(project);
        }
    }

    fn allowance(&self, cluster: MemberId, project: &Name) -> Allowance {
        Allowance { limits: self.limits_of(cluster, project), roles: self.service_roles(project) }
    }

    fn report_project(&mut self, project: Name) {
        let applications = u32::try_from(self.apps_of(&project).count()).unwrap_or(u32::MAX);
        if applications == 0 {
            return self.unreport(&FactKey::Project(project));
        }
        let asked = self.asked(&project, None);
        self.report_fact(Fact::Project(ProjectReport { project, applications, asked }));
    }
}

// === impl Orchestrator: what clusters say ===

impl Orchestrator {
    /// By cluster: as it told in this run or, until then, in one before. The word of one that is revoked counts for nothing.
    pub(super) fn reports(&self) -> impl Iterator<Item = (MemberId, &Reports)> {
        let clusters = self.members.iter().filter(|(_, member)| member.role == Role::Cluster);
        clusters.filter(|(id, _)| !self.is_void(**id)).map(|(id, _)| (*id, self.reports_by(*id)))
    }

    pub(super) fn reports_by(&self, id: MemberId) -> &Reports {
        let told = self.live.get(&id).and_then(|live| live.projects.as_ref());
        told.or_else(|| self.seen.get(&id).map(|seen| &seen.projects)).unwrap_or(&NOTHING)
    }

    fn reports_by_mut(&mut self, id: MemberId) -> Option<&mut Reports> {
        let (live, seen) = (self.live.get_mut(&id)?, self.seen.get(&id));
        Some(live.projects.get_or_insert_with(|| seen.map(|seen| seen.projects.clone()).unwrap_or_default()))
    }

    /// To be kept over restarts.
    pub(super) fn last_reports(&self, id: MemberId) -> Reports {
        self.reports_by(id).clone()
    }

    pub(super) fn project_fact(&mut self, id: MemberId, report: ProjectReport) {
        let most = self.projects.len() + STRAYS;
        let known = self.projects.contains(&report.project);
        let Some(reports) = self.reports_by_mut(id) else { return };
        let project = report.project.clone();
        let room = known || reports.contains_key(&project) || reports.len() < most;
        if room && reports.get(&project) != Some(&report) {
            reports.insert(project.clone(), report);
            self.said(id, project);
        }
    }

    pub(super) fn project_gone(&mut self, id: MemberId, project: &Name) {
        if self.reports_by_mut(id).and_then(|reports| reports.remove(project)).is_some() {
            self.said(id, project.clone());
        }
    }

    /// What the cluster's snapshot did not have is gone.
    pub(super) fn end_of_projects(&mut self, id: MemberId, told: impl Fn(&FactKey) -> bool) {
        let missing: Vec<Name> = self
            .reports_by(id)
            .keys()
            .filter(|name| !told(&FactKey::Project((*name).clone())))
            .cloned()
            .collect();
        missing.iter().for_each(|project| self.project_gone(id, project));
    }

    fn said(&mut self, by: MemberId, project: Name) {
        self.todo.said.by.insert(by);
        self.todo.said.projects.insert(project);
    }

    /// What clusters have said since the last tick, for others and for later.
    pub(super) fn hear_what_was_said(&mut self) {
        let Said { by, projects, nodes, landmarks } = std::mem::take(&mut self.todo.said);
        by.into_iter().for_each(|id| self.remember(id));
        let made = |project: &&Name| self.projects.contains(project);
        let made: Vec<_> = projects.iter().filter(made).collect();
        made.into_iter().for_each(|project| self.touch_project(project));
        if nodes {
            self.touch_projects();
        }
        if landmarks {
            self.tell_landmarks();
        }
    }

    /// Somebody below who has applications of their own in the project.
    pub(super) fn cluster_with_own(&self, project: &Name) -> Option<String> {
        let (id, _) = self.reports().find(|(_, reports)| reports.contains_key(project))?;
        Some(self.member_name(id))
    }
}

#[cfg(test)]
#[path = "allowances_tests.rs"]
mod tests;
