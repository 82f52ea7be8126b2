//! What people ask: allowed, known, idempotent, or refused with a typed reason. Everything that is
//! acknowledged, and everything that is refused, is in the audit log of the same transaction.

use holm_model::id::WishId;
use holm_model::member::Role;
use holm_model::name::Name;
use holm_model::record::AuditRecord;
use holm_model::service::{Application, Replicas};
use holm_model::state::RunState;
use holm_model::view::{ApplyView, TokenRole};
use holm_model::wish::{AppKey, Version, Wish};

use super::command::{Actor, Command, Refusal, Reply};
use super::demand::{Demand, Origin};
use super::event::{Effect, Ticket};
use super::rows::{Token, WishRow};
use super::{Orchestrator, Tier, plan};

/// Slots of one numbered service.
const MOST_REPLICAS: u32 = 10_000;

impl Orchestrator {
    pub(super) fn admit(&mut self, ticket: Ticket, actor: &Actor, command: Command) {
        let (verb, subject) = describe(&command);
        let about = application_of(&command);
        let result = self.execute(command);
        if let (Some(app), Ok(_)) = (about, &result) {
            self.note(
                "application",
                app.clone(),
                app,
                ("", verb),
                ("person", &format!("{} asked", actor.who)),
            );
        }
        let outcome = match &result {
            Ok(_) => "done".to_owned(),
            Err(refusal) => format!("refused: {refusal}"),
        };
        let (who, from) = (actor.who.clone(), actor.from.clone());
        let (at, verb) = (self.now.wall, verb.to_owned());
        self.journal.audit(AuditRecord { at, who, from, verb, subject, outcome });
        // Slots are made before the answer, so that who asks next sees them.
        self.effects.push(Effect::Reply { ticket, result });
    }

    fn execute(&mut self, command: Command) -> Result<Reply, Refusal> {
        match command {
            Command::Apply { project, application } => self.apply(&project, &application),
            Command::Delete { app } => self.delete(&app),
            Command::Patch { app, service, replicas, run, restart } => {
                self.patch(&app, service.as_ref(), replicas, run, restart)
            }
            Command::CreateToken { id, role, secret_hash, expires, uses } => {
                let uses_left = match role {
                    TokenRole::Admin => None,
                    TokenRole::Node | TokenRole::Cluster => Some(uses.unwrap_or(1)),
                };
                if role == TokenRole::Cluster && self.config.tier == Tier::Cluster {
                    return Err(Refusal::Invalid(
                        "a cluster takes nodes only; create the token at the root".into(),
                    ));
                }
                let token = Token { role, secret_hash, expires, uses_left, revoked: false };
                self.tokens.put(&mut self.journal, id, token);
                Ok(Reply::Done)
            }
            Command::RevokeToken { id } => {
                if !self.tokens.contains(&id) {
                    return Err(Refusal::NotFound { kind: "token", name: id });
                }
                self.tokens.change(&mut self.journal, &id, |token| token.revoked = true);
                Ok(Reply::Done)
            }
            Command::Join { token, secret_hash, role, name, facts } => {
                self.join(&token, &secret_hash, role, name, facts)
            }
            Command::Issued { member, serial } => self.issued(member, serial),
            Command::RemoveMember { member } => self.remove_member(member),
            Command::RevokeMember { member } => self.revoke_member(member),
            Command::Adopt { member } => self.adopt(member),
            Command::Discard { member } => self.discard(member),
            Command::Confirm { app } => {
                let id = self.wish_id(&app)?;
                self.confirm(id);
                Ok(Reply::Done)
            }
        }
    }

    // --- applications ---

    /// What an apply would do; the same function decides it.
    ///
    /// # Errors
    /// As the apply itself.
    pub fn plan(&self, project: &Name, application: &Application) -> Result<ApplyView, Refusal> {
        self.next_wish(project, application).map(|(_, view)| view)
    }

    fn next_wish(&self, project: &Name, application: &Application) -> Result<(WishRow, ApplyView), Refusal> {
        self.check(application)?;
        let key = AppKey { project: project.clone(), application: application.name.clone() };
        let known = self.apps.get(&key).and_then(|id| self.wishes.get(id));
        let generation = self.last_generation(&key) + 1;
        let empty = std::collections::BTreeMap::new();
        let old = known.map_or(&empty, |row| &row.wish.services);
        let (services, changes) = plan::merge(old, application, generation);
        let unchanged = known.is_some_and(|row| row.wish.services == services && !row.wish.unconfirmed);
        let version = known
            .filter(|_| unchanged)
            .map_or(Version { epoch: self.epoch, generation }, |row| row.wish.version);
        let now = self.now.wall;
        let (id, created) = known.map_or((None, now), |row| (Some(row.wish.id), row.wish.created));
        let wish = Wish {
            key: key.clone(),
            // A new wish gets its real id when it is admitted.
            id: id.unwrap_or(WishId(holm_model::id::Uid { epoch: self.epoch, counter: 0 })),
            version,
            deleted: None,
            unconfirmed: false,
            created,
            changed: known.filter(|_| unchanged).map_or(now, |row| row.wish.changed),
            services,
        };
        let view = ApplyView {
            application: key.application.to_string(),
            project: key.project.to_string(),
            id: id.map(|id| id.to_string()),
            generation: version.generation,
            changes,
        };
        Ok((WishRow { wish, gone_at: None, trusted: Some(self.epoch) }, view))
    }

    fn apply(&mut self, project: &Name, application: &Application) -> Result<Reply, Refusal> {
        let (mut row, mut view) = self.next_wish(project, application)?;
        if view.id.is_none() {
            row.wish.id = WishId(self.next_id());
            view.id = Some(row.wish.id.to_string());
        }
        let id = row.wish.id;
        self.apps.insert(row.wish.key.clone(), id);
        self.wishes.put(&mut self.journal, id, row);
        self.refresh_demands(id);
        Ok(Reply::Applied(view))
    }

    /// What no manifest can know: this orchestrator's place, and what is too much.
    fn check(&self, application: &Application) -> Result<(), Refusal> {
        for (name, service) in &application.services {
            if matches!(service.replicas, Replicas::Number(n) if n > MOST_REPLICAS) {
                return Err(Refusal::Invalid(format!(
                    "services.{name}.replicas: at most {MOST_REPLICAS} are possible"
                )));
            }
            let Some(cluster) = &service.spec.placement.cluster else { continue };
            let known = match self.config.tier {
                Tier::Cluster => *cluster == self.config.name,
                Tier::Root => self.members.values().any(|m| m.role == Role::Cluster && m.name == *cluster),
            };
            if !known {
                return Err(Refusal::Invalid(format!(
                    "services.{name}.placement.cluster: there is no cluster `{cluster}`; `holm get clusters` lists what there is"
                )));
            }
        }
        Ok(())
    }

    /// Generations rise across creations of the same name.
    fn last_generation(&self, key: &AppKey) -> u64 {
        let of = self.wishes.values().filter(|row| row.wish.key == *key);
        of.map(|row| row.wish.version.generation).max().unwrap_or(0)
    }

    fn wish_id(&self, app: &AppKey) -> Result<WishId, Refusal> {
        let missing = || Refusal::NotFound { kind: "application", name: app.to_string() };
        self.apps.get(app).copied().ok_or_else(missing)
    }

    fn delete(&mut self, app: &AppKey) -> Result<Reply, Refusal> {
        let id = self.wish_id(app)?;
        self.bury_wish(id);
        Ok(Reply::Deleted(id))
    }

    /// Leaves a tombstone.
    pub(super) fn bury_wish(&mut self, id: WishId) {
        let Some(key) = self.wishes.get(&id).map(|row| row.wish.key.clone()) else { return };
        let generation = self.last_generation(&key) + 1;
        let (now, epoch, revision) = (self.now.wall, self.epoch, self.coming_revision());
        self.wishes.change(&mut self.journal, &id, |row| {
            row.wish.deleted = Some(now);
            row.wish.version = Version { epoch, generation };
            row.wish.changed = now;
            row.gone_at = Some(revision);
        });
        self.deleted = true;
        self.apps.remove(&key);
        self.refresh_demands(id);
    }

    fn patch(
        &mut self,
        app: &AppKey,
        service: Option<&Name>,
        replicas: Option<u32>,
        run: Option<RunState>,
        restart: bool,
    ) -> Result<Reply, Refusal> {
        let id = self.wish_id(app)?;
        let Some(mut row) = self.wishes.get(&id).cloned() else {
            return Err(Refusal::NotFound { kind: "application", name: app.to_string() });
        };
        if let Some(name) = service.filter(|name| !row.wish.services.contains_key(*name)) {
            let known: Vec<_> = row.wish.services.keys().map(ToString::to_string).collect();
            return Err(Refusal::Invalid(format!(
                "application {app} has no service `{name}`; it has {}",
                known.join(", ")
            )));
        }
        if replicas.is_some_and(|replicas| replicas > MOST_REPLICAS) {
            return Err(Refusal::Invalid(format!("at most {MOST_REPLICAS} replicas are possible")));
        }
        if run == Some(RunState::Unknown) {
            return Err(Refusal::Invalid("run is one of run, stop, pause".to_owned()));
        }
        let before = row.wish.clone();
        let chosen = row.wish.services.iter_mut().filter(|(name, _)| service.is_none_or(|s| s == *name));
        for (name, wish) in chosen {
            if let Some(number) = replicas {
                if wish.replicas == Replicas::PerNode {
                    return Err(Refusal::Invalid(format!(
                        "service `{name}` has one instance per matching node; it is scaled by nodes"
                    )));
                }
                wish.replicas = Replicas::Number(number);
            }
            wish.run = run.unwrap_or(wish.run);
            wish.restarts += u64::from(restart);
        }
        if row.wish != before {
            let generation = self.last_generation(app) + 1;
            row.wish.version = Version { epoch: self.epoch, generation };
            row.wish.changed = self.now.wall;
            row.trusted = Some(self.epoch);
            self.wishes.put(&mut self.journal, id, row);
            self.refresh_demands(id);
        }
        Ok(Reply::Done)
    }

    /// A wish changed: so did what is wanted here.
    pub(super) fn refresh_demands(&mut self, id: WishId) {
        let old: Vec<Origin> = self
            .demands
            .keys()
            .filter(|origin| matches!(origin, Origin::Own(key) if key.wish == id))
            .cloned()
            .collect();
        for origin in old {
            self.demands.remove(&origin);
            self.dirty_origins.insert(origin);
        }
        if let Some(row) = self.wishes.get(&id).filter(|row| row.wish.deleted.is_none()) {
            let new: Vec<_> = Demand::of_wish(&row.wish, &mut self.specs).collect();
            for (origin, demand) in new {
                self.dirty_origins.insert(origin.clone());
                self.demands.insert(origin, demand);
            }
        }
    }
}

/// `project/name` of the application that a command is about.
fn application_of(command: &Command) -> Option<String> {
    match command {
        Command::Apply { project, application } => Some(format!("{project}/{}", application.name)),
        Command::Delete { app } | Command::Patch { app, .. } | Command::Confirm { app } => {
            Some(app.to_string())
        }
        _ => None,
    }
}

/// Verb and subject for the audit log; never a secret.
fn describe(command: &Command) -> (&'static str, String) {
    match command {
        Command::Apply { project, application } => {
            ("apply", format!("application {project}/{}", application.name))
        }
        Command::Delete { app } => ("delete", format!("application {app}")),
        Command::Patch { app, service, replicas, run, restart } => {
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
        Command::CreateToken { id, .. } => ("token.create", format!("token {id}")),
        Command::RevokeToken { id } => ("token.revoke", format!("token {id}")),
        Command::Join { token, name, role, .. } => {
            let role = if *role == Role::Node { "node" } else { "cluster" };
            ("join", format!("{role} {name} with token {token}"))
        }
        Command::Issued { member, serial } => ("certificate", format!("member {member}, serial {serial}")),
        Command::RemoveMember { member } => ("member.remove", format!("member {member}")),
        Command::RevokeMember { member } => ("member.revoke", format!("member {member}")),
        Command::Adopt { member } => ("adopt", format!("member {member}")),
        Command::Discard { member } => ("discard", format!("member {member}")),
        Command::Confirm { app } => ("confirm", format!("application {app}")),
    }
}
