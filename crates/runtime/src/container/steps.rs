//! Containers of the steps before a start. The one that runs has the instance's name, so that whatever concerns the
//! instance concerns it; what it has logged stays under a name of its own until the next start.

use bollard::models::{ContainerInspectResponse, ContainerSummary};
use bollard::query_parameters::KillContainerOptions;
use holm_model::id::AssignmentId;

use super::engine::status;
use super::{Shared, events, spec};
use crate::error::{RunError, Step};
use crate::event::{Outcome, SurvivorState};
use crate::launch::Launch;

/// Of an agent that ended meanwhile: nobody is left who would start the program behind it.
const LOST: &str = "the agent ended during the steps before its start";

/// Which step of the start that `launch` goes on with `container` is.
pub(super) fn before(container: &ContainerInspectResponse, launch: &Launch) -> Option<u32> {
    let labels = spec::read_labels(container.config.as_ref()?.labels.as_ref()?)?;
    labels.step.filter(|_| labels.incarnation == launch.incarnation)
}

impl Shared {
    /// The names of those that have ended before the container that has the instance's name, in their order.
    pub(super) async fn steps_before(&self, id: AssignmentId) -> Result<Vec<String>, RunError> {
        let listed = events::containers(self, Step::Logs, spec::step_labels(&self.config.node, id)).await?;
        let numbered = |container: ContainerSummary| {
            let number = spec::read_labels(container.labels.as_ref()?)?.step?;
            let name = spec::step(id, number);
            container.names?.contains(&format!("/{name}")).then_some((number, name))
        };
        let mut steps: Vec<_> = listed.into_iter().filter_map(numbered).collect();
        steps.sort_unstable();
        Ok(steps.into_iter().map(|(_, name)| name).collect())
    }

    pub(super) async fn remove_steps(&self, id: AssignmentId, during: Step) -> Result<(), RunError> {
        for name in self.steps_before(id).await? {
            self.remove_named(&name, during).await?;
        }
        Ok(())
    }
}

/// What the start is that a step of another agent was part of.
pub(super) fn lost() -> SurvivorState {
    SurvivorState::Exited(Outcome::lost(LOST))
}

/// Ends the step, if it still runs.
pub(super) async fn end_lost(shared: &Shared, id: AssignmentId) -> Result<SurvivorState, RunError> {
    let client = shared.engine.client(Step::Survivors).await?;
    let killed = client.kill_container(&spec::name(id), None::<KillContainerOptions>).await;
    match status(killed.as_ref().err()) {
        // It has ended, or never began (Podman says 500 of that); or somebody removed it.
        Some(404 | 409 | 500) => Ok(lost()),
        _ => killed.map(|()| lost()).map_err(|error| shared.engine.failed(Step::Survivors, error)),
    }
}
