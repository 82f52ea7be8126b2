//! Projects: who owns applications, and how much they may have.

use std::collections::BTreeMap;

use holm_model::member::Role;
use holm_model::name::Name;
use holm_model::resources::{Cpu, Memory};
use holm_model::service::Replicas;
use holm_model::time::Time;
use holm_model::view::people::{ProjectView, Quota};
use holm_model::wish::{AppKey, ServiceWish};
use serde::{Deserialize, Serialize};

use super::command::{ProjectCommand, Refusal, Reply};
use super::{Orchestrator, Tier};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    pub quota: Quota,
    pub created: Time,
}

/// What a project's applications ask for, together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Asked {
    cpu: u64,
    memory: u64,
    instances: u64,
    ports: u64,
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
        }
    }

    fn create_project(&mut self, name: Name, quota: Quota) -> Result<Reply, Refusal> {
        if self.has_project(&name) {
            return Err(Refusal::Conflict(format!("there is a project `{name}` already")));
        }
        self.projects.put(&mut self.journal, name, Project { quota, created: self.now.wall });
        Ok(Reply::Done)
    }

    /// A quota below what is used takes nothing away: it keeps more from coming.
    fn set_quota(&mut self, name: Name, quota: Quota) -> Result<Reply, Refusal> {
        if !self.has_project(&name) {
            return Err(Refusal::no_project(&name));
        }
        let created = self.projects.get(&name).map_or(self.now.wall, |project| project.created);
        self.projects.put(&mut self.journal, name, Project { quota, created });
        Ok(Reply::Done)
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
        self.projects.remove(&mut self.journal, name);
        self.drop_contents(name);
        let with_role: Vec<_> = self.people.iter().map(|(person, _)| person.clone()).collect();
        for person in with_role {
            self.people.change(&mut self.journal, &person, |person| {
                person.roles.projects.remove(name);
            });
        }
        Ok(Reply::Done)
    }

    /// Whether applications can be applied there. A cluster asks nobody: its own applications are emergencies.
    pub(super) fn has_project(&self, name: &Name) -> bool {
        self.config.tier == Tier::Cluster
            || *name == *DEFAULT
            || self.projects.contains(name)
            || self.apps.keys().any(|app| app.project == *name)
    }

    #[must_use]
    pub fn projects(&self) -> Vec<ProjectView> {
        let none = || (Quota::default(), None);
        let mut known: BTreeMap<Name, (Quota, Option<Time>)> = self
            .projects
            .iter()
            .map(|(name, p)| (name.clone(), (p.quota.clone(), Some(p.created))))
            .collect();
        if let Ok(default) = Name::new(DEFAULT) {
            known.entry(default).or_insert_with(none);
        }
        for app in self.apps.keys() {
            known.entry(app.project.clone()).or_insert_with(none);
        }
        let view = |(name, (quota, created)): (Name, (Quota, Option<Time>))| ProjectView {
            applications: u32::try_from(self.apps_of(&name).count()).unwrap_or(u32::MAX),
            used: self.asked(&name, None).shown(),
            created: created.unwrap_or(Time(0)),
            name: name.to_string(),
            quota,
        };
        known.into_iter().map(view).collect()
    }

    /// Refuses services of `app` that would take its project beyond its quota. What does not ask for more than
    /// before is always taken.
    pub(super) fn check_quota(
        &self,
        app: &AppKey,
        services: &BTreeMap<Name, ServiceWish>,
    ) -> Result<(), Refusal> {
        let Some(project) = self.projects.get(&app.project) else { return Ok(()) };
        if project.quota == Quota::default() {
            return Ok(());
        }
        let before = self.asked(&app.project, None);
        let after = self.asked(&app.project, Some(app)).plus(self.asked_by(services));
        match after.beyond(before, &project.quota) {
            Some(what) => {
                Err(Refusal::Invalid(format!("the quota of project `{}` is exceeded: {what}", app.project)))
            }
            None => Ok(()),
        }
    }

    /// What the project's applications ask for, without the one left out.
    fn asked(&self, project: &Name, without: Option<&AppKey>) -> Asked {
        let counted = self.apps_of(project).filter(|(app, _)| Some(*app) != without);
        let wishes = counted.filter_map(|(_, id)| self.wishes.get(id));
        wishes.fold(Asked::default(), |sum, row| sum.plus(self.asked_by(&row.wish.services)))
    }

    fn asked_by(&self, services: &BTreeMap<Name, ServiceWish>) -> Asked {
        services.values().fold(Asked::default(), |sum, service| {
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
            sum.plus(each.times(instances))
        })
    }

    fn nodes_known(&self) -> u64 {
        let below = self.live.values().map(|live| u64::from(live.aggregate.nodes)).sum::<u64>();
        let own = self.members.values().filter(|member| member.role == Role::Node).count();
        below + own as u64
    }

    fn apps_of<'a>(
        &'a self,
        project: &'a Name,
    ) -> impl Iterator<Item = (&'a AppKey, &'a holm_model::id::WishId)> {
        self.apps.iter().filter(move |(app, _)| app.project == *project)
    }
}

// === impl Asked ===

impl Asked {
    const fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_add(other.cpu),
            memory: self.memory.saturating_add(other.memory),
            instances: self.instances.saturating_add(other.instances),
            ports: self.ports.saturating_add(other.ports),
        }
    }

    const fn times(self, number: u64) -> Self {
        Self {
            cpu: self.cpu.saturating_mul(number),
            memory: self.memory.saturating_mul(number),
            instances: self.instances.saturating_mul(number),
            ports: self.ports.saturating_mul(number),
        }
    }

    /// What grew beyond the quota, in words.
    fn beyond(self, before: Self, quota: &Quota) -> Option<String> {
        let exceeded = |after: u64, before: u64, most: Option<u64>| {
            most.is_some_and(|most| after > most && after > before)
        };
        let number = |what: &str, after: u64, before: u64, most: Option<u32>| {
            exceeded(after, before, most.map(u64::from))
                .then(|| format!("{after} {what} of {}", most.unwrap_or_default()))
        };
        let cpu = quota.cpu.filter(|most| exceeded(self.cpu, before.cpu, Some(most.0)));
        let memory = quota.memory.filter(|most| exceeded(self.memory, before.memory, Some(most.0)));
        let cpu = cpu.map(|most| format!("cpu {} of {most}", Cpu(self.cpu)));
        let memory = memory.map(|most| format!("memory {} of {most}", Memory(self.memory)));
        cpu.or(memory)
            .or_else(|| number("instances", self.instances, before.instances, quota.instances))
            .or_else(|| number("ports", self.ports, before.ports, quota.ports))
    }

    fn shown(self) -> Quota {
        let number = |n: u64| Some(u32::try_from(n).unwrap_or(u32::MAX));
        Quota {
            cpu: Some(Cpu(self.cpu)),
            memory: Some(Memory(self.memory)),
            instances: number(self.instances),
            ports: number(self.ports),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_grows_beyond_a_quota_is_refused() {
        let quota = Quota { cpu: Some(Cpu(1000)), instances: Some(2), ..Quota::default() };
        let asked = |cpu, instances| Asked { cpu, instances, ..Asked::default() };
        assert_eq!(asked(1000, 2).beyond(asked(0, 0), &quota), None);
        assert_eq!(asked(1500, 1).beyond(asked(0, 0), &quota).unwrap(), "cpu 1500m of 1");
        assert_eq!(asked(0, 3).beyond(asked(0, 1), &quota).unwrap(), "3 instances of 2");
        // A quota that was lowered: less is fine, though it is still too much.
        assert_eq!(asked(1500, 3).beyond(asked(2000, 4), &quota), None);
    }
}
