//! People, their roles, and which of their tokens are void.
//!
//! People live at the root; clusters know them by what their tokens say, which the sea has signed. That a token
//! is void travels as an entry of the list of revocations:
//!
//! | entry | what is void |
//! | --- | --- |
//! | `token:<id>` | it |
//! | `person:<name>:<milliseconds>` | all that were made for somebody before that time |
//! | `role:<project>:<name>:<milliseconds>` | those of them that allow something in the project |
//!
//! Of those with a time the newest stays, so that the list is no longer than there are people and roles.

use holm_model::access::{Grants, Role};
use holm_model::name::Name;
use holm_model::time::Time;
use holm_model::view::people::{PersonView, ProjectRolesView, Roles};
use serde::{Deserialize, Serialize};

use super::command::{PeopleCommand, Refusal, Reply};
use super::restored::ALL;
use super::{Orchestrator, Tier};
use crate::revocation::{Entry, told};

/// Somebody who logs in by name and password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Argon2id in the PHC string format.
    pub password: String,
    pub must_change: bool,
    /// Came out of a backup: its password counts for nothing, until somebody else sets a new one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    pub roles: Roles,
    pub created: Time,
}

/// Who made a token that is not a person's: the socket, the set-up.
pub const ADMIN: &str = "admin";

const TOKEN: &str = "token:";
const PERSON: &str = "person:";
const ROLE: &str = "role:";

impl Orchestrator {
    pub(super) fn people_command(&mut self, command: PeopleCommand) -> Result<Reply, Refusal> {
        if self.config.tier == Tier::Cluster {
            return Err(Refusal::Invalid("people live at the root; ask there".to_owned()));
        }
        match command {
            PeopleCommand::First { name, password } => self.first_person(name, password),
            PeopleCommand::Create { name, password, roles } => self.create_person(name, password, roles),
            PeopleCommand::SetRoles { name, roles } => self.set_roles(&name, roles),
            PeopleCommand::SetProjectRole { name, project, role } => {
                self.set_project_role(&name, &project, role)
            }
            PeopleCommand::SetPassword { name, password, must_change } => {
                self.set_password(&name, password, must_change)
            }
            PeopleCommand::Delete { name } => self.delete_person(&name),
            PeopleCommand::LogOut { name } => {
                self.void_tokens_of(&name);
                Ok(Reply::Done)
            }
        }
    }

    fn first_person(&mut self, name: Name, password: String) -> Result<Reply, Refusal> {
        if self.has_administrator() {
            return Err(Refusal::Forbidden("this sea is set up already; log in".to_owned()));
        }
        let roles = Roles { sea: Some(Role::Admin), ..Roles::default() };
        let person = Person { password, must_change: false, held: false, roles, created: self.now.wall };
        self.insert_person(name, person)
    }

    fn create_person(&mut self, name: Name, password: String, roles: Roles) -> Result<Reply, Refusal> {
        self.check_roles(&roles)?;
        let person = Person { password, must_change: true, held: false, roles, created: self.now.wall };
        self.insert_person(name, person)
    }

    fn insert_person(&mut self, name: Name, person: Person) -> Result<Reply, Refusal> {
        if name == *ADMIN {
            let detail = format!("`{ADMIN}` is whoever opens the orchestrator's socket; choose another name");
            return Err(Refusal::Invalid(detail));
        }
        if self.people.contains(&name) {
            return Err(Refusal::Conflict(format!("there is a person `{name}` already")));
        }
        self.people.put(&mut self.journal, name, person);
        Ok(Reply::Done)
    }

    /// Fewer rights end what was allowed by the old ones; more rights are there at the next log-in.
    fn set_roles(&mut self, name: &Name, roles: Roles) -> Result<Reply, Refusal> {
        self.check_roles(&roles)?;
        let person = self.people.get(name).ok_or_else(|| no_person(name))?;
        let loses = !person.roles.grants().is_within(&roles.grants());
        self.people.change(&mut self.journal, name, |person| person.roles = roles);
        if loses {
            self.void_tokens_of(name);
        }
        Ok(Reply::Done)
    }

    /// Of those in the project whoever asks may know: that somebody else is there says only a role that was given.
    /// What is taken there ends nothing that allows nothing there.
    fn set_project_role(
        &mut self,
        name: &Name,
        project: &Name,
        role: Option<Role>,
    ) -> Result<Reply, Refusal> {
        let mut roles = self.people.get(name).ok_or_else(|| no_person(name))?.roles.clone();
        let before = roles.grants();
        match role {
            Some(_) if !self.has_project(project) => return Err(Refusal::no_project(project)),
            Some(role) => {
                roles.projects.insert(project.clone(), role);
            }
            None if roles.projects.remove(project).is_none() => return Err(no_person(name)),
            None => {}
        }
        let loses = !before.is_within(&roles.grants());
        self.people.change(&mut self.journal, name, |person| person.roles = roles);
        if loses {
            self.void_until_now(&format!("{ROLE}{project}:{name}:"));
        }
        Ok(Reply::Done)
    }

    /// Who may what in the project, by a role there. `None`: there is no such project.
    #[must_use]
    pub fn roles_in(&self, project: &Name) -> Option<ProjectRolesView> {
        let people = self.people.iter().filter_map(|(name, person)| {
            let role = person.roles.projects.get(project)?;
            Some((name.clone(), *role))
        });
        self.has_project(project)
            .then(|| ProjectRolesView { people: people.collect(), services: self.service_roles(project) })
    }

    fn set_password(&mut self, name: &Name, password: String, must_change: bool) -> Result<Reply, Refusal> {
        if !self.people.contains(name) {
            return Err(no_person(name));
        }
        self.people.change(&mut self.journal, name, |person| {
            person.password = password;
            person.must_change = must_change;
            person.held = false;
        });
        self.void_tokens_of(name);
        Ok(Reply::Done)
    }

    fn delete_person(&mut self, name: &Name) -> Result<Reply, Refusal> {
        if self.people.remove(&mut self.journal, name).is_none() {
            return Err(no_person(name));
        }
        self.void_tokens_of(name);
        Ok(Reply::Done)
    }

    fn check_roles(&self, roles: &Roles) -> Result<(), Refusal> {
        match roles.projects.keys().find(|project| !self.has_project(project)) {
            Some(project) => Err(Refusal::no_project(project)),
            None => Ok(()),
        }
    }

    /// Whatever allowed something in a project that is gone: another one of its name is no heir.
    pub(super) fn void_tokens_in(&mut self, project: &Name) {
        self.void_until_now(&of_everybody(project));
    }

    /// Every token that was made for them until now.
    fn void_tokens_of(&mut self, name: &Name) {
        self.void_until_now(&format!("{PERSON}{name}:"));
    }

    /// An API token or a session.
    pub(super) fn void_token(&mut self, id: &str) {
        self.void(Entry::Other(&format!("{TOKEN}{id}")));
        self.revocations_changed();
    }

    /// In the place of earlier entries with the prefix, which say less.
    fn void_until_now(&mut self, prefix: &str) {
        let earlier: Vec<String> = self.entries(prefix).cloned().collect();
        let until = earlier.iter().filter_map(|text| time_behind(prefix, text)).max();
        for text in &earlier {
            self.revocations.remove(&mut self.journal, text);
        }
        // A clock that was put back makes nothing good again.
        let until = until.map_or(self.now.wall, |until| until.max(self.now.wall));
        self.void(Entry::Other(&format!("{prefix}{}", until.0)));
        self.revocations_changed();
    }

    /// Our own entries with the prefix.
    fn entries<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a String> {
        let entries = self.revocations.from(Some(prefix.to_owned())).map(|(text, _)| text);
        entries.take_while(move |text| text.starts_with(prefix))
    }

    /// Whether a token that the sea has signed was made void: here, or by those above.
    #[must_use]
    pub fn is_token_void(&self, id: &str, who: &str, grants: &Grants, made: Time) -> bool {
        let mut prefixes = vec![ALL.to_owned(), format!("{PERSON}{who}:")];
        let of = |project| [format!("{ROLE}{project}:{who}:"), of_everybody(project)];
        prefixes.extend(grants.projects.keys().flat_map(of));
        self.is_revoked(&format!("{TOKEN}{id}")) || self.latest(&prefixes).is_some_and(|until| made < until)
    }

    /// The latest time behind any of the prefixes in the list of revocations.
    fn latest(&self, prefixes: &[String]) -> Option<Time> {
        let of = |text: &str| prefixes.iter().find_map(|prefix| time_behind(prefix, text));
        let ours = prefixes.iter().flat_map(|prefix| self.entries(prefix));
        ours.filter_map(|text| of(text)).chain(told(&self.held).filter_map(of)).max()
    }

    /// Somebody's row, for proving a password.
    #[must_use]
    pub fn person(&self, name: &str) -> Option<&Person> {
        self.people.get(&Name::new(name).ok()?)
    }

    /// Whether somebody administers the sea who logs in.
    #[must_use]
    pub fn has_administrator(&self) -> bool {
        self.people.values().any(|person| person.roles.sea == Some(Role::Admin))
    }

    #[must_use]
    pub fn people(&self) -> Vec<PersonView> {
        let view = |(name, person): (&Name, &Person)| PersonView {
            name: name.to_string(),
            roles: person.roles.clone(),
            must_change: person.must_change,
            held: person.held,
            created: person.created,
        };
        self.people.iter().map(view).collect()
    }
}

fn time_behind(prefix: &str, text: &str) -> Option<Time> {
    text.strip_prefix(prefix)?.parse().ok().map(Time)
}

/// The entry for a verifier that passes over `role:`: more is void there than must be, and nothing less.
pub(super) fn without_roles(entry: &str) -> String {
    match entry.strip_prefix(ROLE).and_then(|rest| rest.split_once(':')) {
        Some((_, person)) => format!("{PERSON}{person}"),
        None => entry.to_owned(),
    }
}

/// Nobody has an empty name.
fn of_everybody(project: &Name) -> String {
    format!("{ROLE}{project}::")
}

fn no_person(name: &Name) -> Refusal {
    Refusal::NotFound { kind: "person", name: name.to_string() }
}
