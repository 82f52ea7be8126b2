//! What people ask of applications: applied, deleted, or refused with a typed reason.

use std::collections::BTreeMap;

use holm_model::fact::InstanceReport;
use holm_model::id::{Uid, WishId};
use holm_model::member::Role;
use holm_model::name::Name;
use holm_model::service::{Application, Replicas};
use holm_model::slot::ServiceKey;
use holm_model::view::ApplyView;
use holm_model::wish::{AppKey, Version, Wish};

use super::command::{Actor, Expected, Refusal, Reply};
use super::demand::{Demand, Origin};
use super::generations::Cause;
use super::rows::WishRow;
use super::{Orchestrator, Tier, plan};

/// Slots of one numbered service.
pub(super) const MOST_REPLICAS: u32 = 10_000;

impl Orchestrator {
    /// What an apply would do; the same function decides it.
    ///
    /// # Errors
    /// As the apply itself.
    pub fn plan(
        &self,
        project: &Name,
        application: &Application,
        expected: &Expected,
    ) -> Result<ApplyView, Refusal> {
        let (row, view) = self.next_wish(project, application, expected)?;
        Ok(ApplyView { forecast: self.forecast(&row.wish, application, &view.changes), ..view })
    }

    fn next_wish(
        &self,
        project: &Name,
        application: &Application,
        expected: &Expected,
    ) -> Result<(WishRow, ApplyView), Refusal> {
        let key = AppKey { project: project.clone(), application: application.name.clone() };
        // What is there goes on, and can be changed.
        if !self.apps.contains_key(&key) {
            self.expect_project(project)?;
        }
        self.expect_generation(&key, expected)?;
        self.check(application)?;
        self.check_contents(project, application)?;
        self.check_exposed(&key, application)?;
        self.expect_decided(&key)?;
        let known = self.apps.get(&key).and_then(|id| self.wishes.get(id)).map(|row| &row.wish);
        let version = Version { epoch: self.epoch, generation: self.last_generation(&key) + 1 };
        let nothing = BTreeMap::new();
        let old = known.map_or(&nothing, |wish| &wish.services);
        let (services, changes) = plan::merge(old, application, version.generation, self.now.wall);
        self.check_quota(&key, &services)?;
        let busy = known.and_then(|wish| self.is_updating(wish.id));
        let same = known.filter(|wish| wish.services == services && !wish.unconfirmed);
        let now = self.now.wall;
        let wish = Wish {
            key,
            // A new wish gets its real id when it is admitted.
            id: known.map_or(WishId(Uid { epoch: self.epoch, counter: 0 }), |wish| wish.id),
            version: same.map_or(version, |wish| wish.version),
            deleted: None,
            unconfirmed: false,
            created: known.map_or(now, |wish| wish.created),
            changed: same.map_or(now, |wish| wish.changed),
            services,
        };
        let mut warnings = self.advice(application);
        if let Some(before) = busy.filter(|_| same.is_none()) {
            warnings.push(format!(
                "generation {before} was still being rolled out; generation {} takes its place",
                wish.version.generation
            ));
        }
        let view = ApplyView {
            application: wish.key.application.to_string(),
            project: wish.key.project.to_string(),
            id: known.map(|wish| wish.id.to_string()),
            generation: wish.version.generation,
            changes,
            warnings,
            forecast: Vec::new(),
        };
        Ok((WishRow { wish, gone_at: None, trusted: Some(self.epoch) }, view))
    }

    pub(super) fn apply(
        &mut self,
        actor: &Actor,
        project: &Name,
        application: &Application,
        expected: &Expected,
    ) -> Result<Reply, Refusal> {
        let cause = Cause::Apply { who: actor.who.clone(), from: actor.from.clone() };
        self.make_wish(project, application, expected, cause)
    }

    /// Makes the application the wish, and keeps what it says as a generation.
    pub(super) fn make_wish(
        &mut self,
        project: &Name,
        application: &Application,
        expected: &Expected,
        cause: Cause,
    ) -> Result<Reply, Refusal> {
        let (mut row, mut view) = self.next_wish(project, application, expected)?;
        if view.id.is_none() {
            row.wish.id = WishId(self.next_id());
            view.id = Some(row.wish.id.to_string());
        }
        if let Cause::Rollback { to, .. } | Cause::Automatic { to, .. } = &cause
            && self.has_run(row.wish.id, *to)
        {
            // What ran before needs no canary.
            row.wish.services.values_mut().for_each(|service| service.promoted = service.generation);
        }
        let id = row.wish.id;
        // What was adopted since the start was not kept yet.
        self.keep_generation(id, Cause::Found);
        self.apps.insert(row.wish.key.clone(), id);
        self.wishes.put(&mut self.journal, id, row);
        self.keep_generation(id, cause);
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
            if service.spec.per_cluster.is_some() && self.config.tier == Tier::Cluster {
                return Err(Refusal::Invalid(format!(
                    "services.{name}.replicas.per-cluster: a cluster's own application is in this cluster alone; \
                     apply it at the root"
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
    pub(super) fn last_generation(&self, key: &AppKey) -> u64 {
        let of = self.wishes.values().filter(|row| row.wish.key == *key);
        of.map(|row| row.wish.version.generation).max().unwrap_or(0)
    }

    /// The wish that may be changed.
    ///
    /// # Errors
    /// When there is none of ours, it is in another generation, or a frozen member may know a newer one.
    pub(super) fn writable(&self, app: &AppKey, expected: &Expected) -> Result<WishId, Refusal> {
        self.expect_generation(app, expected)?;
        let known = self.apps.get(app).copied();
        if let (None, Some(owner)) = (known, self.other_owner(app)) {
            return Err(Refusal::OtherOwner { app: app.clone(), owner });
        }
        // Before it is said that there is none: a frozen member may be the only one that has it.
        self.expect_decided(app)?;
        known.ok_or_else(|| Refusal::NotFound { kind: "application", name: app.to_string() })
    }

    fn expect_generation(&self, app: &AppKey, expected: &Expected) -> Result<(), Refusal> {
        let known = self.apps.get(app).and_then(|id| self.wishes.get(id));
        let current = known.map(|row| row.wish.version.generation);
        if expected.holds(current) { Ok(()) } else { Err(Refusal::Changed { app: app.clone(), current }) }
    }

    /// Who else has an application of this name: the root above, or a cluster below.
    fn other_owner(&self, app: &AppKey) -> Option<String> {
        let shared = |(origin, demand): (&Origin, &Demand)| {
            matches!(origin, Origin::Share(_)) && demand.part.app == *app
        };
        if self.demands.iter().any(shared) {
            return Some("the root".to_owned());
        }
        let own = |report: &&InstanceReport| report.app == *app && report.share.is_none();
        let cluster = self.instances.values().find(own)?.node.first()?;
        Some(format!("cluster `{}`", self.member_name(*cluster)))
    }

    pub(super) fn delete(&mut self, app: &AppKey, expected: &Expected) -> Result<Reply, Refusal> {
        let id = self.writable(app, expected)?;
        self.bury_wish(id);
        self.drop_service_roles(app);
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
        self.this_step.deleted = true;
        self.forget_generations(id);
        self.apps.remove(&key);
        self.refresh_demands(id);
    }

    /// A wish changed: so did what is wanted here.
    pub(super) fn refresh_demands(&mut self, id: WishId) {
        let first = Origin::Own(ServiceKey { wish: id, service: Name::first() });
        let of_the_wish = |origin: &&Origin| matches!(origin, Origin::Own(key) if key.wish == id);
        let old: Vec<Origin> =
            self.demands.range(first..).map(|(origin, _)| origin).take_while(of_the_wish).cloned().collect();
        for origin in old {
            self.demands.remove(&origin);
            self.todo.origins.insert(origin);
        }
        if let Some(row) = self.wishes.get(&id).filter(|row| row.wish.deleted.is_none()) {
            let new: Vec<_> = Demand::of_wish(&row.wish, &mut self.specs).collect();
            for (origin, demand) in new {
                self.todo.origins.insert(origin.clone());
                self.demands.insert(origin, demand);
            }
        }
        self.note_timing(id);
        if let Some(project) = self.wishes.get(&id).map(|row| row.wish.key.project.clone()) {
            self.touch_project(&project);
        }
    }
}
