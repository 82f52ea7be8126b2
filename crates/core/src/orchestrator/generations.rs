//! What each generation of an application said: for the history, for differences, and to go back to it.
//!
//! A generation is kept when it changes what the manifest says; scaling and stopping by hand is in the audit log
//! alone. The oldest are forgotten, never the one in force, nor the newest of which everything ran: a rollback leads there.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use holm_model::id::WishId;
use holm_model::manifest;
use holm_model::name::Name;
use holm_model::service::{Application, ApplicationService, Replicas};
use holm_model::time::Time;
use holm_model::view::ApplyView;
use holm_model::view::build::PhaseView;
use holm_model::view::generation::{GenerationCause, GenerationOutcome, GenerationView};
use holm_model::wish::{AppKey, ServiceWish, SpecBytes, SpecError};
use serde::{Deserialize, Serialize};

use super::command::{Actor, Expected, Refusal, Reply};
use super::{Orchestrator, plan};

/// Which generation of which creation of an application. As text `<wish>/<generation>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GenerationKey {
    wish: WishId,
    generation: u64,
}

/// The text is no [`GenerationKey`].
#[derive(Debug, thiserror::Error)]
#[error("not the key of a generation")]
pub(super) struct GenerationKeyError;

/// A row of [`Table::Generation`](holm_model::record::Table::Generation).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GenerationRow {
    pub(super) at: Time,
    pub(super) cause: Cause,
    pub(super) outcome: Outcome,
    pub(super) services: BTreeMap<Name, Said>,
    /// How long its deployment took, if it was one; told when it is over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) phases: Vec<PhaseView>,
}

/// What a manifest said of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    pub(super) spec: SpecBytes,
    pub(super) replicas: Replicas,
}

/// How a generation came to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Cause {
    /// It was there before generations were kept.
    Found,
    Apply {
        who: String,
        from: String,
    },
    Rollback {
        who: String,
        from: String,
        to: u64,
    },
    /// The generation `failed`, and this is what ran before.
    Automatic {
        to: u64,
        failed: u64,
        why: String,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    #[default]
    Underway,
    /// All of it has run well.
    Ran,
    Failed(String),
}

// === impl GenerationKey ===

impl fmt::Display for GenerationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.wish, self.generation)
    }
}

impl FromStr for GenerationKey {
    type Err = GenerationKeyError;

    fn from_str(text: &str) -> Result<Self, GenerationKeyError> {
        let (wish, generation) = text.split_once('/').ok_or(GenerationKeyError)?;
        let wish = wish.parse().map_err(|_| GenerationKeyError)?;
        Ok(Self { wish, generation: generation.parse().map_err(|_| GenerationKeyError)? })
    }
}

// === impl GenerationRow ===

impl GenerationRow {
    /// The manifest again.
    ///
    /// # Errors
    /// When this version cannot read a specification.
    pub(super) fn application(&self, name: &Name) -> Result<Application, SpecError> {
        let service = |(service, said): (&Name, &Said)| {
            Ok((service.clone(), ApplicationService { spec: said.spec.decode()?, replicas: said.replicas }))
        };
        let services = self.services.iter().map(service).collect::<Result<_, SpecError>>()?;
        Ok(Application { name: name.clone(), services })
    }

    fn view(&self, generation: u64, newest: bool) -> GenerationView {
        let who = |who: &str, from: &str| (who.to_owned(), from.to_owned());
        let nobody = (String::new(), String::new());
        let (cause, to, (who, from), why) = match &self.cause {
            Cause::Found => (GenerationCause::Found, None, nobody, ""),
            Cause::Apply { who: by, from } => (GenerationCause::Apply, None, who(by, from), ""),
            Cause::Rollback { who: by, from, to } => {
                (GenerationCause::Rollback, Some(*to), who(by, from), "")
            }
            Cause::Automatic { to, why, .. } => {
                (GenerationCause::AutomaticRollback, Some(*to), nobody, why.as_str())
            }
        };
        let (outcome, failed) = match &self.outcome {
            Outcome::Underway if newest => (GenerationOutcome::Underway, ""),
            Outcome::Underway => (GenerationOutcome::Replaced, ""),
            Outcome::Ran => (GenerationOutcome::Ran, ""),
            Outcome::Failed(why) => (GenerationOutcome::Failed, why.as_str()),
        };
        let reason = if failed.is_empty() { why } else { failed }.to_owned();
        let (at, changes) = (self.at, Vec::new());
        let current = newest;
        GenerationView {
            phases: self.phases.clone(),
            generation,
            at,
            who,
            from,
            cause,
            to,
            outcome,
            reason,
            current,
            changes,
            manifest: None,
        }
    }
}

/// What the manifest of these services said.
fn said(services: &BTreeMap<Name, ServiceWish>) -> BTreeMap<Name, Said> {
    let said =
        |service: &ServiceWish| Said { spec: service.spec.clone(), replicas: service.applied_replicas };
    let of_the_manifest = services.iter().filter(|(_, service)| service.run_of.is_none());
    of_the_manifest.map(|(name, service)| (name.clone(), said(service))).collect()
}

// === impl Orchestrator: keeping ===

impl Orchestrator {
    /// The kept generations of a creation of an application, the oldest first.
    pub(super) fn generations_of(&self, wish: WishId) -> impl Iterator<Item = (u64, &GenerationRow)> {
        let rows = self.generations.from(Some(GenerationKey { wish, generation: 0 }));
        rows.take_while(move |(key, _)| key.wish == wish).map(|(key, row)| (key.generation, row))
    }

    /// The one that is in force.
    pub(super) fn newest_generation(&self, wish: WishId) -> Option<(u64, &GenerationRow)> {
        self.generations_of(wish).last()
    }

    pub(super) fn newest_key(&self, wish: WishId) -> Option<GenerationKey> {
        self.newest_generation(wish).map(|(generation, _)| GenerationKey { wish, generation })
    }

    /// Keeps what the wish says now, if its manifest said something else before.
    pub(super) fn keep_generation(&mut self, id: WishId, cause: Cause) {
        let Some(wish) = self.wishes.get(&id).map(|row| &row.wish).filter(|wish| wish.deleted.is_none())
        else {
            return;
        };
        let services = said(&wish.services);
        if self.newest_generation(id).is_some_and(|(_, row)| row.services == services) {
            return;
        }
        let key = GenerationKey { wish: id, generation: wish.version.generation };
        let row = GenerationRow {
            at: wish.changed,
            cause,
            outcome: Outcome::Underway,
            services,
            phases: Vec::new(),
        };
        self.generations.put(&mut self.journal, key, row);
        self.prune_generations(id);
    }

    fn prune_generations(&mut self, wish: WishId) {
        let all: Vec<u64> = self.generations_of(wish).map(|(generation, _)| generation).collect();
        let ran = self.generations_of(wish).filter(|(_, row)| row.outcome == Outcome::Ran).last();
        let ran = ran.map(|(generation, _)| generation);
        let surplus = all.len().saturating_sub(self.config.generations.max(1));
        let newest = all.last().copied();
        let old = all.into_iter().filter(|generation| ![ran, newest].contains(&Some(*generation)));
        for generation in old.take(surplus) {
            self.generations.remove(&mut self.journal, &GenerationKey { wish, generation });
        }
    }

    /// It is kept, and everything of it ran.
    pub(super) fn has_run(&self, wish: WishId, generation: u64) -> bool {
        let row = self.generations.get(&GenerationKey { wish, generation });
        row.is_some_and(|row| row.outcome == Outcome::Ran)
    }

    pub(super) fn forget_generations(&mut self, wish: WishId) {
        let all: Vec<u64> = self.generations_of(wish).map(|(generation, _)| generation).collect();
        for generation in all {
            self.generations.remove(&mut self.journal, &GenerationKey { wish, generation });
        }
    }

    /// What is there and was never kept: of an older version, or adopted.
    pub(super) fn keep_what_is_there(&mut self) {
        let all: Vec<WishId> = self.wishes.iter().map(|(id, _)| *id).collect();
        for id in all {
            self.keep_generation(id, Cause::Found);
        }
    }
}

// === impl Orchestrator: showing ===

impl Orchestrator {
    /// The kept generations, the newest first; `None`: there is no such application of ours.
    #[must_use]
    pub fn generations(&self, app: &AppKey) -> Option<Vec<GenerationView>> {
        let id = *self.apps.get(app)?;
        let newest = self.newest_generation(id)?.0;
        let mut before: Option<&GenerationRow> = None;
        let mut views: Vec<GenerationView> = Vec::new();
        for (generation, row) in self.generations_of(id) {
            let mut view = row.view(generation, generation == newest);
            view.changes = before.map(|before| plan::between(before, row)).unwrap_or_default();
            views.push(view);
            before = Some(row);
        }
        views.reverse();
        Some(views)
    }

    /// One of them, with its manifest.
    ///
    /// # Errors
    /// When there is none.
    pub fn generation(&self, app: &AppKey, generation: u64) -> Result<GenerationView, Refusal> {
        let missing = || Refusal::NotFound { kind: "application", name: app.application.to_string() };
        let id = *self.apps.get(app).ok_or_else(missing)?;
        let row = self.kept(id, app, generation)?;
        let views = self.generations(app).unwrap_or_default();
        let view = views.into_iter().find(|view| view.generation == generation).ok_or_else(missing)?;
        let application =
            row.application(&app.application).map_err(|error| unreadable(generation, &error))?;
        Ok(GenerationView { manifest: Some(manifest::show(&application)), ..view })
    }

    /// Notes how long its deployment took, with what the manifest said then: numbers between that and the next say what people
    /// scaled and stopped by hand.
    pub(super) fn note_phases(
        &mut self,
        app: &AppKey,
        generation: u64,
        phases: Vec<PhaseView>,
    ) -> Result<Reply, Refusal> {
        let missing = || Refusal::NotFound { kind: "application", name: app.application.to_string() };
        let wish = *self.apps.get(app).ok_or_else(missing)?;
        let before =
            self.generations_of(wish).map(|(number, _)| number).take_while(|number| *number <= generation);
        let generation = before.last().unwrap_or(generation);
        let mut row = self.kept(wish, app, generation)?.clone();
        row.phases = phases;
        self.generations.put(&mut self.journal, GenerationKey { wish, generation }, row);
        Ok(Reply::Done)
    }

    fn kept(&self, wish: WishId, app: &AppKey, generation: u64) -> Result<&GenerationRow, Refusal> {
        self.generations.get(&GenerationKey { wish, generation }).ok_or_else(|| {
            let kept: Vec<String> = self.generations_of(wish).map(|(number, _)| number.to_string()).collect();
            Refusal::NoGeneration { app: app.clone(), generation, kept: kept.join(", ") }
        })
    }
}

// === impl Orchestrator: going back ===

impl Orchestrator {
    /// What [`Command::Rollback`](super::command::Command::Rollback) would do.
    ///
    /// # Errors
    /// As the rollback itself.
    pub fn plan_rollback(
        &self,
        app: &AppKey,
        to: Option<u64>,
        expected: &Expected,
    ) -> Result<ApplyView, Refusal> {
        let (_, application) = self.goal(app, to, expected)?;
        self.plan(&app.project, &application, expected)
    }

    pub(super) fn roll_back(
        &mut self,
        actor: &Actor,
        app: &AppKey,
        to: Option<u64>,
        expected: &Expected,
    ) -> Result<Reply, Refusal> {
        let (to, application) = self.goal(app, to, expected)?;
        let cause = Cause::Rollback { who: actor.who.clone(), from: actor.from.clone(), to };
        self.make_wish(&app.project, &application, expected, cause)
    }

    /// What a rollback leads to: the generation and what it said.
    fn goal(
        &self,
        app: &AppKey,
        to: Option<u64>,
        expected: &Expected,
    ) -> Result<(u64, Application), Refusal> {
        let id = self.writable(app, expected)?;
        let to = to.or_else(|| self.before_the_newest(id)).ok_or_else(|| {
            Refusal::Conflict(format!(
                "application {app} has no generation before the present one; `holm history {}` lists what is kept",
                app.application
            ))
        })?;
        let row = self.kept(id, app, to)?;
        let application = row.application(&app.application).map_err(|error| unreadable(to, &error))?;
        Ok((to, application))
    }

    /// The newest kept one that says something else and has not failed.
    fn before_the_newest(&self, id: WishId) -> Option<u64> {
        let (_, newest) = self.newest_generation(id)?;
        let differs = |(_, row): &(u64, &GenerationRow)| {
            row.services != newest.services && !matches!(row.outcome, Outcome::Failed(_))
        };
        self.generations_of(id).filter(differs).last().map(|(generation, _)| generation)
    }
}

fn unreadable(generation: u64, error: &SpecError) -> Refusal {
    Refusal::Conflict(format!("generation {generation}: {error}; upgrade this orchestrator"))
}

#[cfg(test)]
mod tests {
    use holm_model::id::{Epoch, Uid};

    use super::*;

    #[test]
    fn keys_survive_as_text_and_are_ordered_by_number() {
        let wish = WishId(Uid { epoch: Epoch::new(3, 0xabc), counter: 17 });
        let key = |generation| GenerationKey { wish, generation };
        assert_eq!(key(12).to_string().parse::<GenerationKey>().unwrap(), key(12));
        assert!(key(9) < key(12));
        for bad in ["", "1", "x/1", "3-000000000abc-17/", "3-000000000abc-17/x"] {
            assert!(bad.parse::<GenerationKey>().is_err(), "{bad}");
        }
    }
}
