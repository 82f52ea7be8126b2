//! Starting and removing a container. The one before gives its name away and is kept for its log; the one
//! before that goes when the new one runs, since removing takes the engine longer than anything else.
//!
//! ```text
//! holm-ID ──(a new incarnation starts)──► holm-ID-previous ──(another)──► holm-ID-leaving ──► removed
//!    └─(a step; what is behind it starts)─► holm-ID-step-N ──(a new incarnation starts)─────► removed
//! ```

use std::sync::Arc;

use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder,
    StartContainerOptions,
};
use holm_model::id::AssignmentId;

use super::engine::{self, status};
use super::ledger::Thing;
use super::{Known, Shared, events, image, note, spec, steps};
use crate::error::{RunError, Step};
use crate::launch::Launch;

impl Shared {
    /// Create and start: no round trip more than the engine itself needs, unless an earlier
    /// incarnation is in the way.
    pub(super) async fn start(self: &Arc<Self>, launch: &Launch) -> Result<(), RunError> {
        let client = self.engine.client(Step::Start).await?;
        let body = spec::body(launch, &self.config)?;
        let name = spec::name(launch.id);
        let same = |known: &Known| (known.incarnation, known.step) == (launch.incarnation, launch.step);
        if self.known().get(&launch.id).is_some_and(same) {
            return Ok(());
        }
        if launch.step == Some(1) {
            self.remove_steps(launch.id, Step::Start).await?;
        }
        for volume in spec::named_volumes(launch) {
            let noted = self.ledger.note(Thing::Volume, &volume);
            noted.map_err(|source| RunError::System { step: Step::Start, source })?;
        }
        let options = || Some(CreateContainerOptionsBuilder::new().name(&name).build());
        let mut created = client.create_container(options(), body.clone()).await;
        let replaces = created.as_ref().is_err_and(engine::name_taken);
        if replaces {
            self.make_room(launch).await?;
            created = client.create_container(options(), body).await;
        }
        let created = created.map_err(|error| match status(Some(&error)) {
            Some(404) => image::missing(launch.spec.image.as_deref().unwrap_or_default(), &error),
            _ => self.engine.failed(Step::Start, error),
        })?;
        for warning in &created.warnings {
            tracing::warn!(instance = %launch.id, warning, "the container engine warns");
        }
        let notes = created.warnings.into_iter().map(note).collect();
        let known = Known { incarnation: launch.incarnation, step: launch.step, paused: false, notes };
        self.known().insert(launch.id, known);
        let started = client.start_container(&name, None::<StartContainerOptions>).await;
        if replaces {
            self.forget_what_leaves(launch.id);
        }
        if let Err(error) = started {
            self.known().remove(&launch.id);
            if let Err(error) = self.remove_named(&name, Step::Start).await {
                tracing::warn!(instance = %launch.id, %error, "a container was left behind");
            }
            return Err(self.engine.not_started(launch, error));
        }
        Ok(())
    }

    /// The container, the one before, and what an agent that died left of the one before that.
    pub(super) async fn remove(&self, id: AssignmentId) -> Result<(), RunError> {
        for name in [spec::name(id), spec::previous(id), spec::leaving(id)] {
            self.remove_named(&name, Step::Remove).await?;
        }
        self.remove_steps(id, Step::Remove).await
    }

    /// Frees the name. Two incarnations never run at once: one that still runs is ended first.
    async fn make_room(&self, launch: &Launch) -> Result<(), RunError> {
        let id = launch.id;
        let there = events::inspect_current(self, id).await?;
        let step_before = there.as_ref().and_then(|there| steps::before(there, launch));
        match there.and_then(|there| there.state).and_then(|state| state.running) {
            Some(false) => match step_before {
                Some(number) => self.rename(&spec::name(id), &spec::step(id, number)).await.map(drop),
                None => self.put_aside(id).await,
            },
            Some(true) | None => self.remove_named(&spec::name(id), Step::Start).await,
        }
    }

    /// Whoever leaves and is still there goes first.
    async fn put_aside(&self, id: AssignmentId) -> Result<(), RunError> {
        let (name, previous, leaving) = (spec::name(id), spec::previous(id), spec::leaving(id));
        if self.rename(&name, &previous).await? {
            return Ok(());
        }
        if !self.rename(&previous, &leaving).await? {
            self.remove_named(&leaving, Step::Start).await?;
            self.rename(&previous, &leaving).await?;
        }
        self.rename(&name, &previous).await.map(drop)
    }

    /// False when the new name is taken. Whom somebody removed meanwhile is in nobody's way.
    async fn rename(&self, from: &str, to: &str) -> Result<bool, RunError> {
        let client = self.engine.client(Step::Start).await?;
        let options = RenameContainerOptionsBuilder::new().name(to).build();
        match client.rename_container(from, options).await {
            Err(error) if engine::name_taken(&error) => Ok(false),
            Err(error) if status(Some(&error)) != Some(404) => Err(self.engine.failed(Step::Start, error)),
            _ => Ok(true),
        }
    }

    fn forget_what_leaves(self: &Arc<Self>, id: AssignmentId) {
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = shared.remove_named(&spec::leaving(id), Step::Remove).await {
                // The next start or the removal of the instance tries again.
                tracing::warn!(instance = %id, %error, "a container that was replaced is still there");
            }
        });
    }

    pub(super) async fn remove_named(&self, name: &str, step: Step) -> Result<(), RunError> {
        let client = self.engine.client(step).await?;
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let removed = client.remove_container(name, Some(options)).await;
        match status(removed.as_ref().err()) {
            Some(404) => Ok(()),
            _ => removed.map_err(|error| self.engine.failed(step, error)),
        }
    }
}
