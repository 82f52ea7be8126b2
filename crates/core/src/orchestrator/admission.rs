//! What people ask: allowed, known, idempotent, or refused with a typed reason. Everything that is
//! acknowledged, and everything that is refused, is in the audit log of the same transaction.

use holm_model::amendment::Amendment;
use holm_model::member::Role;
use holm_model::record::AuditRecord;
use holm_model::state::RunState;
use holm_model::taint;
use holm_model::view::build::PhaseView;
use holm_model::wish::AppKey;

use super::Orchestrator;
use super::command::{
    Actor, Command, Expected, PeopleCommand, ProjectCommand, Refusal, RegistryChange, Reply,
};
use super::event::{Effect, Ticket};
use super::moving::Migration;
use super::patch::Patch;
use super::rows::Token;

impl Orchestrator {
    pub(super) fn admit(&mut self, ticket: Ticket, actor: &Actor, command: Command) {
        let (verb, subject) = describe(&command);
        let (about, before) = (application_of(&command), self.generation_before(&command));
        let result = self.execute(actor, command);
        // What says what it said before changes nothing.
        let same = matches!(&result, Ok(Reply::Applied(view)) if before == Some(view.generation));
        if let (Some(app), Ok(_)) = (about.filter(|_| !same), &result) {
            self.note(
                "application",
                app.clone(),
                app,
                ("", &verb),
                ("person", &format!("{} asked", actor.who)),
            );
        }
        let outcome = match &result {
            Ok(_) => "done".to_owned(),
            Err(refusal) => format!("refused: {refusal}"),
        };
        let (who, from) = (actor.who.clone(), actor.from.clone());
        let at = self.now.wall;
        self.journal.audit(AuditRecord { at, who, from, verb, subject, outcome });
        // Slots are made before the answer, so that who asks next sees them.
        self.effects.push(Effect::Reply { ticket, result });
    }

    /// Of the application that is applied, if it is there.
    fn generation_before(&self, command: &Command) -> Option<u64> {
        let Command::Apply { project, application, .. } = command else { return None };
        let key = AppKey { project: project.clone(), application: application.name.clone() };
        Some(self.wishes.get(self.apps.get(&key)?)?.wish.version.generation)
    }

    fn execute(&mut self, actor: &Actor, command: Command) -> Result<Reply, Refusal> {
        match command {
            Command::Apply { project, application, expected } => {
                self.apply(actor, &project, &application, &expected)
            }
            Command::Delete { app, expected } => self.delete(&app, &expected),
            Command::Rollback { app, to, expected } => self.roll_back(actor, &app, to, &expected),
            Command::Promote { app, expected } => self.promote(&app, &expected),
            Command::NotePhases { app, generation, phases } => self.note_phases(&app, generation, phases),
            Command::Patch { app, service, replicas, run, restart, expected } => {
                self.patch(&app, &expected, &Patch { service, replicas, run, restart })
            }
            Command::CreateToken { id, role, secret_hash, expires, uses, grants } => {
                let (who, uses_left) = (actor.who.clone(), uses);
                self.create_token(
                    id,
                    Token {
                        role,
                        secret_hash,
                        expires,
                        uses_left,
                        revoked: false,
                        who,
                        grants,
                        invites: None,
                        guest_of: None,
                    },
                )
            }
            Command::Invite { id, secret_hash, name, expires } => {
                self.invite(actor, id, secret_hash, name, expires)
            }
            Command::TakeIn { id, secret_hash, expires, cluster, node, called } => {
                self.take_in(actor, (id, secret_hash, expires), (cluster, node), &called)
            }
            Command::RevokeToken { id } => self.revoke_token(id),
            Command::People(command) => self.people_command(command),
            Command::Project(command) => self.project_command(command),
            Command::Content(command) => self.content_command(command),
            Command::LoggedIn
            | Command::Backup
            | Command::Way { .. }
            | Command::Restart { .. }
            | Command::RemoveImages { .. }
            | Command::Registry { .. }
            | Command::Transfer { .. } => Ok(Reply::Done),
            Command::Amend { amendment, .. } => match amendment.check() {
                Ok(()) => Ok(Reply::Done),
                Err(error) => Err(Refusal::Invalid(error.to_string())),
            },
            Command::LogOut { session } => {
                self.void_token(&session);
                Ok(Reply::Done)
            }
            Command::Denied { reason, .. } => Err(Refusal::Forbidden(reason)),
            Command::Join { token, secret_hash, role, name, facts } => {
                self.join(&token, &secret_hash, role, name, facts)
            }
            Command::Issued { member, serial } => self.issued(member, serial),
            Command::RemoveMember { member } => self.remove_member(member),
            Command::RevokeMember { member } => self.revoke_member(member),
            Command::Cordon { member, cordoned } => self.cordon(member, cordoned),
            Command::Drain { member, lose_volumes } => self.drain(member, lose_volumes),
            Command::Decommission { member, force } => self.decommission(actor, member, force),
            Command::Migrate(asked) => self.migrate(&asked),
            Command::Adopt { member } => self.adopt(member),
            Command::Discard { member } => self.discard(member),
            Command::Confirm { app } => {
                let id = self.writable(&app, &Expected::Anything)?;
                self.confirm(id);
                Ok(Reply::Done)
            }
        }
    }
}

/// `project/name` of the application that a command is about.
fn application_of(command: &Command) -> Option<String> {
    match command {
        Command::Apply { project, application, .. } => Some(format!("{project}/{}", application.name)),
        Command::Delete { app, .. }
        | Command::Rollback { app, .. }
        | Command::Promote { app, .. }
        | Command::NotePhases { app, .. }
        | Command::Patch { app, .. }
        | Command::Restart { app, .. }
        | Command::Migrate(Migration { app, .. })
        | Command::Confirm { app } => Some(app.to_string()),
        _ => None,
    }
}

/// Verb and subject for the audit log; never a secret.
fn describe(command: &Command) -> (String, String) {
    let (verb, subject) = match command {
        Command::Denied { verb, subject, .. } => return (verb.clone(), subject.clone()),
        command => words(command),
    };
    (verb.to_owned(), subject)
}

fn words(command: &Command) -> (&'static str, String) {
    match command {
        Command::Apply { project, application, .. } => {
            ("apply", format!("application {project}/{}", application.name))
        }
        Command::Delete { app, .. } => ("delete", format!("application {app}")),
        Command::Promote { app, .. } => ("promote", format!("application {app}")),
        Command::NotePhases { app, generation, phases } => {
            let took = |phase: &PhaseView| format!("{} {} ms", phase.name, phase.milliseconds);
            let took: Vec<_> = phases.iter().map(took).collect();
            ("deploy", format!("application {app}, generation {generation}: {}", took.join(", ")))
        }
        Command::Rollback { app, to, .. } => {
            let to = to.map(|to| format!(" to generation {to}")).unwrap_or_default();
            ("rollback", format!("application {app}{to}"))
        }
        Command::Patch { app, service, replicas, run, restart, .. } => {
            let verb = match (replicas, run, restart) {
                (Some(_), ..) => "scale",
                (None, Some(RunState::Stop), _) => "stop",
                (None, Some(RunState::Pause), _) => "pause",
                (None, Some(_), _) => "start",
                (None, None, true) => "restart",
                (None, None, false) => "patch",
            };
            let service = service.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
            let number = replicas.map(|number| format!(" to {number}")).unwrap_or_default();
            (verb, format!("application {app}{service}{number}"))
        }
        Command::CreateToken { id, grants: Some(grants), .. } => {
            ("token.create", format!("token {id}: {grants}"))
        }
        Command::CreateToken { id, role, .. } => {
            ("token.create", format!("token {id} for a {}", role.word()))
        }
        Command::Invite { id, name, .. } => ("node.invite", format!("node {name} with token {id}")),
        Command::TakeIn { id, node, called, .. } => {
            ("node.take-in", format!("node {called} ({node}) with token {id}"))
        }
        Command::RevokeToken { id } => ("token.revoke", format!("token {id}")),
        Command::People(command) => {
            let (verb, name) = command.words();
            let role = match command {
                PeopleCommand::SetProjectRole { project, role: Some(role), .. } => {
                    format!(": {project} {role}")
                }
                PeopleCommand::SetProjectRole { project, role: None, .. } => format!(": {project}"),
                PeopleCommand::Create { roles, .. } | PeopleCommand::SetRoles { roles, .. } => {
                    format!(": {roles}")
                }
                _ => String::new(),
            };
            (verb, format!("person {name}{role}"))
        }
        Command::Project(ProjectCommand::Create { name, .. }) => {
            ("project.create", format!("project {name}"))
        }
        Command::Project(ProjectCommand::SetQuota { name, quota }) => {
            ("project.quota", format!("project {name}: {quota}"))
        }
        Command::Project(ProjectCommand::Delete { name }) => ("project.delete", format!("project {name}")),
        Command::Project(ProjectCommand::SetServiceRole { app, service, role }) => match role {
            Some(role) => ("project.grant", format!("service {app}/{service}: {role}")),
            None => ("project.withdraw", format!("service {app}/{service}")),
        },
        Command::Content(command) => command.words(),
        Command::LoggedIn => ("log-in", String::new()),
        Command::Backup => ("backup", String::new()),
        Command::Restart { app, slot } => ("restart", format!("application {app}/{slot}")),
        Command::Way { way, subject } => (way.verb(), subject.clone()),
        Command::RemoveImages { node, image: Some(image) } => {
            ("image.remove", format!("node {node}: {image}"))
        }
        Command::RemoveImages { node, image: None } => ("image.prune", format!("node {node}")),
        Command::Registry { change: RegistryChange::Pushed, image } => ("registry.push", image.clone()),
        Command::Registry { change: RegistryChange::Built, image } => ("build", image.clone()),
        Command::Registry { change: RegistryChange::Deleted, image } => ("registry.delete", image.clone()),
        Command::Transfer { node, to } => ("node.move", format!("node {node} to cluster {to}")),
        Command::Amend { node, amendment } => amended(node, amendment),
        Command::LogOut { session } => ("log-out", format!("session {session}")),
        Command::Denied { .. } => ("", String::new()),
        Command::Join { token, name, role, .. } => {
            let role = if *role == Role::Node { "node" } else { "cluster" };
            ("join", format!("{role} {name} with token {token}"))
        }
        Command::Issued { member, serial } => ("certificate", format!("member {member}, serial {serial}")),
        Command::RemoveMember { member } => ("member.remove", format!("member {member}")),
        Command::RevokeMember { member } => ("member.revoke", format!("member {member}")),
        Command::Cordon { member, cordoned } => {
            (if *cordoned { "member.cordon" } else { "member.uncordon" }, format!("member {member}"))
        }
        Command::Drain { member, lose_volumes } => {
            let volumes = if *lose_volumes { ", without its volumes" } else { "" };
            ("member.drain", format!("member {member}{volumes}"))
        }
        Command::Decommission { member, force } => {
            let force = if *force { ", by force" } else { "" };
            ("node.decommission", format!("member {member}{force}"))
        }
        Command::Migrate(Migration { app, slot, to, .. }) => {
            let to = to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
            ("migrate", format!("application {app}/{slot}{to}"))
        }
        Command::Adopt { member } => ("adopt", format!("member {member}")),
        Command::Discard { member } => ("discard", format!("member {member}")),
        Command::Confirm { app } => ("confirm", format!("application {app}")),
    }
}

fn amended(node: &str, amendment: &Amendment) -> (&'static str, String) {
    match amendment {
        Amendment::Capability { capability, has } => {
            let verb = if *has { "node.capability.add" } else { "node.capability.remove" };
            (verb, format!("node {node}: {capability}"))
        }
        Amendment::Label { key, value: Some(value) } => {
            ("node.label.add", format!("node {node}: {key}={value}"))
        }
        Amendment::Label { key, value: None } => ("node.label.remove", format!("node {node}: {key}")),
        Amendment::Units { capability, units } => {
            ("node.capability.add", format!("node {node}: {capability}={units}"))
        }
        Amendment::Taint { key, value: Some(value) } => {
            ("node.taint.add", format!("node {node}: {}", taint::written(key, value)))
        }
        Amendment::Taint { key, value: None } => ("node.taint.remove", format!("node {node}: {key}")),
    }
}

#[cfg(test)]
mod tests {
    use holm_model::name::Name;
    use holm_model::service::{Application, ApplicationService, Replicas, ServiceSpec};
    use holm_model::time::Now;

    use super::super::testing::Root;
    use super::*;
    use crate::orchestrator::event::Event;

    /// The events and the audit records that applying it with so many replicas makes.
    fn apply(root: &mut Root, replicas: u32) -> (usize, usize) {
        let spec = ServiceSpec::new(Name::new("process").unwrap(), vec!["x".into()]);
        let service = ApplicationService { spec, replicas: Replicas::Number(replicas) };
        let services = [(Name::new("web").unwrap(), service)].into();
        let application = Application { name: Name::new("shop").unwrap(), services };
        let project = Name::new("default").unwrap();
        let command = Command::Apply { project, application, expected: Expected::Anything };
        let actor = Actor { who: "admin".to_owned(), from: "unix".to_owned() };
        root.0.step(Now::default(), Event::Command { ticket: Ticket(1), actor, command });
        let batch = root.0.journal_mut().take_batch();
        root.0.journal_mut().committed();
        let asked = |reason: &str| reason.contains("admin asked");
        let told = root.0.take_behind().changes;
        (told.iter().filter(|change| asked(&change.reason)).count(), batch.audit.len())
    }

    #[test]
    fn what_says_what_it_said_before_is_no_event_and_is_in_the_audit_log() {
        let mut root = Root::new();
        assert_eq!(apply(&mut root, 1), (1, 1));
        assert_eq!(apply(&mut root, 1), (0, 1));
        assert_eq!(apply(&mut root, 2), (1, 1));
    }
}
