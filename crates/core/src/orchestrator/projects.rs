//! Projects: who owns applications. They are made at the root, which tells clusters ([`super::allowances`]).

use std::collections::{BTreeMap, BTreeSet};

use holm_model::access::Role;
use holm_model::id::MemberId;
use holm_model::name::Name;
use holm_model::project::{Asked, Limits, ServiceRoles};
use holm_model::resources::{Cpu, Memory};
use holm_model::time::Time;
use holm_model::view::people::{ProjectView, Quota};
use holm_model::wish::AppKey;
use serde::{Deserialize, Serialize};

use super::command::{ProjectCommand, Refusal, Reply};
use super::event::Effect;
use super::rows::Placement;
use super::{Orchestrator, Tier};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    pub quota: Quota,
    pub created: Time,
    /// What its services may do in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: ServiceRoles,
}

/// The project that is there without being made.
pub const DEFAULT: &str = "default";

impl Orchestrator {
    pub(super) fn project_command(&mut self, command: ProjectCommand) -> Result<Reply, Refusal> {
        if self.config.tier == Tier::Cluster {
            return Err(Refusal::Invalid("projects are made at the root; ask there".to_owned()));
        }
        match command {
            ProjectCommand::Create { name, quota } => self.create_project(name, quota),
            ProjectCommand::SetQuota { name, quota } => self.set_quota(name, quota),
            ProjectCommand::Delete { name } => self.delete_project(&name),
            ProjectCommand::SetServiceRole { app, service, role } => {
                self.set_service_role(app, service, role)
            }
        }
    }

    fn create_project(&mut self, name: Name, quota: Quota) -> Result<Reply, Refusal> {
        if self.has_project(&name) {
            return Err(Refusal::Conflict(format!("there is a project `{name}` already")));
        }
        self.put_project(name, |project| project.quota = quota);
        Ok(Reply::Done)
    }

    /// A quota below what is used takes nothing away: it keeps more from coming.
    fn set_quota(&mut self, name: Name, quota: Quota) -> Result<Reply, Refusal> {
        if !self.has_project(&name) {
            return Err(Refusal::no_project(&name));
        }
        self.put_project(name, |project| project.quota = quota);
        Ok(Reply::Done)
    }

    /// Makes the row, if there is none yet.
    fn put_project(&mut self, name: Name, change: impl FnOnce(&mut Project)) {
        let new = || Project { quota: Quota::default(), created: self.now.wall, roles: BTreeMap::new() };
        let mut project = self.projects.get(&name).cloned().unwrap_or_else(new);
        change(&mut project);
        self.projects.put(&mut self.journal, name.clone(), project);
        self.todo.projects.insert(name);
    }

    /// Given to a name, whether or not it is applied yet. No service administers its project: whoever may apply there
    /// can be any of its services.
    fn set_service_role(&mut self, app: AppKey, service: Name, role: Option<Role>) -> Result<Reply, Refusal> {
        if !self.has_project(&app.project) {
            return Err(Refusal::no_project(&app.project));
        }
        let has = self.service_role(&app, &service);
        match (role, has) {
            (Some(Role::Admin), _) => {
                return Err(Refusal::Invalid(
                    "a service can be viewer or operator: whoever may apply in the project can act as any of its services"
                        .to_owned(),
                ));
            }
            (None, None) => {
                return Err(Refusal::NotFound { kind: "role", name: format!("{app}/{service}") });
            }
            _ => {}
        }
        self.put_project(app.project, |project| match role {
            Some(role) => {
                project.roles.entry(app.application).or_default().insert(service, role);
            }
            None => {
                if let Some(services) = project.roles.get_mut(&app.application) {
                    services.remove(&service);
                }
                project.roles.retain(|_, services| !services.is_empty());
            }
        });
        // What its instances have opened is looked at anew.
        self.effects.push(Effect::Revoked(self.revoked()));
        Ok(Reply::Done)
    }

    /// What was given to the services of an application goes with it: another one of that name is no heir.
    pub(super) fn drop_service_roles(&mut self, app: &AppKey) {
        if self.projects.get(&app.project).is_some_and(|project| project.roles.contains_key(&app.application))
        {
            self.put_project(app.project.clone(), |project| {
                project.roles.remove(&app.application);
            });
        }
    }

    fn delete_project(&mut self, name: &Name) -> Result<Reply, Refusal> {
        if !self.projects.contains(name) {
            return Err(if *name == *DEFAULT {
                Refusal::Invalid("the project `default` is always there".to_owned())
            } else {
                Refusal::no_project(name)
            });
        }
        if let Some(app) = self.apps.keys().find(|app| app.project == *name) {
            return Err(Refusal::Conflict(format!(
                "project `{name}` still has the application `{}`; delete its applications first",
                app.application
            )));
        }
        if let Some(cluster) = self.cluster_with_own(name) {
            return Err(Refusal::Conflict(format!(
                "cluster `{cluster}` has applications of its own in project `{name}`; delete them there first"
            )));
        }
        self.todo.projects.insert(name.clone());
        self.projects.remove(&mut self.journal, name);
        self.drop_contents(name);
        let with_role: Vec<_> = self.people.iter().map(|(person, _)| person.clone()).collect();
        for person in with_role {
            self.people.change(&mut self.journal, &person, |person| {
                person.roles.projects.remove(name);
            });
        }
        self.void_tokens_in(name);
        Ok(Reply::Done)
    }

    /// Whether applications can be applied there.
    #[must_use]
    pub fn has_project(&self, name: &Name) -> bool {
        match self.config.tier {
            Tier::Cluster => self.told(name).is_some(),
            Tier::Root => {
                *name == *DEFAULT
                    || self.projects.contains(name)
                    || self.apps.keys().any(|app| app.project == *name)
            }
        }
    }

    pub(super) fn expect_project(&self, name: &Name) -> Result<(), Refusal> {
        match self.config.tier {
            _ if self.has_project(name) => Ok(()),
            Tier::Root => Err(Refusal::no_project(name)),
            Tier::Cluster => Err(Refusal::NotTold { project: name.clone() }),
        }
    }

    /// All that are known here: made, told, or had by an application.
    pub(super) fn project_names(&self) -> BTreeSet<Name> {
        let made = self.projects.iter().map(|(name, _)| name.clone());
        let had = self.apps.keys().map(|app| app.project.clone());
        made.chain(had).chain(self.told_projects()).chain(Name::new(DEFAULT).ok()).collect()
    }

    /// Images that services name: as they are wanted, as they still run, and in generations that are kept.
    #[must_use]
    pub fn images_in_use(&self) -> BTreeSet<String> {
        let placed = self.placements.iter().map(|(_, placement)| &placement.part.spec);
        let wishes = self.wishes.iter().filter(|(_, row)| row.wish.deleted.is_none());
        let wanted = wishes.flat_map(|(_, row)| row.wish.services.values().map(|service| &service.spec));
        let before =
            self.generations.iter().flat_map(|(_, row)| row.services.values().map(|said| &said.spec));
        let specs = placed.chain(wanted).chain(before).filter_map(|spec| spec.decode().ok());
        specs.filter_map(|spec| spec.image).collect()
    }

    /// Whether the member runs, or is to run, something of this project; of a cluster, also of its own.
    #[must_use]
    pub fn runs_for(&self, member: MemberId, project: &str) -> bool {
        let here = |it: &Placement| it.member == member && it.part.app.project.as_str() == project;
        let own = self
            .reports_by(member)
            .iter()
            .any(|(name, own)| name.as_str() == project && own.applications > 0);
        !self.is_unconfirmed(member) && (own || self.placements.iter().any(|(_, it)| here(it)))
    }

    #[must_use]
    pub fn projects(&self) -> Vec<ProjectView> {
        self.project_names().iter().map(|name| self.project_view(name)).collect()
    }

    fn project_view(&self, name: &Name) -> ProjectView {
        let project = self.projects.get(name);
        let own = u32::try_from(self.apps_of(name).count()).unwrap_or(u32::MAX);
        let below = self.reports_of(name).map(|report| report.applications);
        ProjectView {
            name: name.to_string(),
            quota: shown(self.limits(name)),
            used: used(self.asked_in_all(name)),
            applications: below.fold(own, u32::saturating_add),
            created: project.map_or(Time(0), |project| project.created),
        }
    }

    /// What a service may do in its project, as far as is known here.
    pub(super) fn service_role(&self, app: &AppKey, service: &Name) -> Option<Role> {
        let of = |roles: &ServiceRoles| roles.get(&app.application)?.get(service).copied();
        match self.config.tier {
            Tier::Root => of(&self.projects.get(&app.project)?.roles),
            Tier::Cluster => of(&self.told(&app.project)?.roles),
        }
    }

    /// Of a project's services.
    #[must_use]
    pub fn service_roles(&self, project: &Name) -> ServiceRoles {
        match self.config.tier {
            Tier::Root => self.projects.get(project).map(|project| project.roles.clone()),
            Tier::Cluster => self.told(project).map(|told| told.roles),
        }
        .unwrap_or_default()
    }
}

fn shown(limits: Limits) -> Quota {
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Quota {
        cpu: limits.cpu.map(Cpu),
        memory: limits.memory.map(Memory),
        instances: limits.instances.map(number),
        ports: limits.ports.map(number),
    }
}

fn used(asked: Asked) -> Quota {
    let Asked { cpu, memory, instances, ports } = asked;
    shown(Limits { cpu: Some(cpu), memory: Some(memory), instances: Some(instances), ports: Some(ports) })
}
