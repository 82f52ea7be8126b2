//! The engine's events, and what is listed anew when some may have been missed.
//!
//! ```text
//! list ──→ there: events since the list began ──stream ends, or no answer──→ away: wait, list again
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerSummary, ContainerSummaryStateEnum, EventMessage,
};
use bollard::query_parameters::{EventsOptionsBuilder, ListContainersOptionsBuilder};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use holm_model::id::AssignmentId;

use super::engine;
use super::spec::{self, Labels};
use super::{Known, Shared, steps};
use crate::error::{RunError, Step};
use crate::event::{EventKind, Outcome, RuntimeEvent, Survivor, SurvivorState};

/// Waits between attempts to reach the engine: the first, doubled up to the last. An attempt costs next to
/// nothing, and people wait for what the engine runs.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// An engine without events is asked so often whether it still is there: one that hangs keeps its connections.
const BEAT: Duration = Duration::from_secs(10);

/// How far back events are asked for.
const REPEATED: Duration = Duration::from_secs(2);

/// Podman calls a container `stopped` for a moment after its end, a word that Docker's API does not have:
/// no list can be read until it is `exited`.
const SETTLES: Duration = Duration::from_secs(5);

/// Containers that are inspected at once.
const INSPECTIONS: usize = 8;

/// What an engine says of a program that SIGKILL ended; then the kernel may have wanted memory.
const KILLED: i32 = 137;

/// Runs as long as the driver.
pub(super) async fn watch(shared: Arc<Shared>) {
    let mut wait = BACKOFF.0;
    loop {
        let followed = match shared.engine.client(Step::Survivors).await {
            Ok(client) => follow(&shared, client).await,
            Err(error) => Err(error),
        };
        let was_there = shared.presence.is(false);
        match followed {
            // Somebody restarts the engine.
            Ok(()) => wait = BACKOFF.0,
            Err(error) if was_there => {
                tracing::warn!(%error, "the container engine's events are interrupted");
            }
            Err(_) => {}
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(BACKOFF.1);
    }
}

/// Until the stream ends.
async fn follow(shared: &Shared, client: &Docker) -> Result<(), RunError> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // An engine may list as running what it said to have ended a moment ago, so the last events come
    // again; each end is taken once, as `known` tells.
    let now = now.saturating_sub(REPEATED);
    let since = format!("{}.{:09}", now.as_secs(), now.subsec_nanos());
    let failed = |error| shared.engine.failed(Step::Survivors, error);
    client.ping().await.map_err(failed)?;
    catch_up(shared).await?;
    shared.presence.is(true);
    let filters = HashMap::from([
        ("type", vec!["container".to_owned()]),
        ("label", vec![format!("{}={}", spec::NODE, shared.config.node)]),
        // Podman 4.3 says `die` and filters as `died`.
        ("event", ["die", "died", "pause", "unpause"].map(str::to_owned).to_vec()),
    ]);
    let options = EventsOptionsBuilder::new().since(&since).filters(&filters).build();
    // Some engines begin the answer with the first event.
    let mut events = client.clone().with_timeout(engine::PATIENCE).events(Some(options));
    loop {
        match tokio::time::timeout(BEAT, events.try_next()).await {
            Ok(event) => match event.map_err(failed)? {
                Some(event) => take(shared, event).await?,
                None => return Ok(()),
            },
            Err(_) => drop(client.ping().await.map_err(failed)?),
        }
    }
}

async fn take(shared: &Shared, event: EventMessage) -> Result<(), RunError> {
    let attributes = event.actor.and_then(|actor| actor.attributes).unwrap_or_default();
    let Some(labels) = spec::read_labels(&attributes) else { return Ok(()) };
    match event.action.as_deref() {
        Some("die") => {
            let code = attributes.get("exitCode").and_then(|code| code.parse().ok());
            let outcome = match code {
                Some(code) if code != KILLED => Outcome::code(code),
                _ => inspect(shared, labels.id).await?,
            };
            ended(shared, &labels, outcome).await;
        }
        Some("pause") => paused(shared, &labels, true).await,
        Some("unpause") => paused(shared, &labels, false).await,
        _ => {}
    }
    Ok(())
}

/// Says it once, and only of the incarnation that was started last.
async fn ended(shared: &Shared, labels: &Labels, outcome: Outcome) {
    let Labels { id, incarnation, step, .. } = *labels;
    let same = |known: &Known| (known.incarnation, known.step) == (incarnation, step);
    let current = shared.known().get(&id).is_some_and(same);
    if current {
        shared.known().remove(&id);
        say(shared, id, incarnation, EventKind::Exited(outcome)).await;
    }
}

async fn paused(shared: &Shared, labels: &Labels, paused: bool) {
    let changed = match shared.known().get_mut(&labels.id) {
        Some(known) if known.incarnation == labels.incarnation && known.paused != paused => {
            known.paused = paused;
            true
        }
        _ => false,
    };
    if changed {
        let kind = if paused { EventKind::Paused } else { EventKind::Resumed };
        say(shared, labels.id, labels.incarnation, kind).await;
    }
}

async fn say(shared: &Shared, id: AssignmentId, incarnation: u32, kind: EventKind) {
    // Nobody listens: the agent is going down.
    let _ = shared.events.send(RuntimeEvent { id, incarnation, kind }).await;
}

/// Compares what was known with what is.
async fn catch_up(shared: &Shared) -> Result<(), RunError> {
    let before: BTreeMap<AssignmentId, Known> = shared.known().clone();
    if before.is_empty() {
        return Ok(());
    }
    let mut found: BTreeMap<_, _> =
        list(shared).await?.into_iter().map(|(labels, state)| (labels.id, (labels, state))).collect();
    for (id, known) in before {
        match found.remove(&id) {
            None | Some((_, Found::StepBefore)) => {
                let outcome = Outcome::lost("its container was removed by somebody");
                let Known { incarnation, step, .. } = known;
                ended(shared, &Labels { id, incarnation, step, ports: BTreeMap::new() }, outcome).await;
            }
            Some((labels, Found::Ended)) => ended(shared, &labels, inspect(shared, id).await?).await,
            Some((labels, Found::Running)) => paused(shared, &labels, false).await,
            Some((labels, Found::Paused)) => paused(shared, &labels, true).await,
            Some((_, Found::Created)) => {}
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Created,
    Running,
    Paused,
    Ended,
    /// A step that has ended, and nothing that has the instance's name.
    StepBefore,
}

/// All instances that have a container with this node's label.
async fn list(shared: &Shared) -> Result<Vec<(Labels, Found)>, RunError> {
    let label = format!("{}={}", spec::NODE, shared.config.node);
    let listed = containers(shared, Step::Survivors, vec![label]).await?;
    let (steps, mut found): (Vec<_>, Vec<_>) =
        listed.iter().filter_map(read).partition(|(_, found)| *found == Found::StepBefore);
    for (labels, step) in steps {
        if found.iter().all(|(other, _)| other.id != labels.id) {
            found.push((labels, step));
        }
    }
    Ok(found)
}

/// Those with all of the labels, in whatever state.
pub(super) async fn containers(
    shared: &Shared,
    step: Step,
    labels: Vec<String>,
) -> Result<Vec<ContainerSummary>, RunError> {
    let client = shared.engine.client(step).await?;
    let filters = HashMap::from([("label", labels)]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let until = Instant::now() + SETTLES;
    loop {
        match client.list_containers(Some(options.clone())).await {
            Err(Error::JsonDataError { .. }) if Instant::now() < until => {
                tokio::time::sleep(BACKOFF.0).await;
            }
            listed => return listed.map_err(|error| shared.engine.failed(step, error)),
        }
    }
}

fn read(container: &ContainerSummary) -> Option<(Labels, Found)> {
    let labels = spec::read_labels(container.labels.as_ref()?)?;
    let replaced = [spec::previous(labels.id), spec::leaving(labels.id)].map(|name| format!("/{name}"));
    if container.names.iter().flatten().any(|name| replaced.contains(name)) {
        return None;
    }
    let step_before = labels.step.map(|number| format!("/{}", spec::step(labels.id, number)));
    if container.names.iter().flatten().any(|name| Some(name) == step_before.as_ref()) {
        return Some((labels, Found::StepBefore));
    }
    let found = match container.state.as_ref()? {
        ContainerSummaryStateEnum::CREATED => Found::Created,
        ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::RESTARTING => Found::Running,
        ContainerSummaryStateEnum::PAUSED => Found::Paused,
        _ => Found::Ended,
    };
    Some((labels, found))
}

pub(super) async fn survivors(shared: &Shared) -> Result<Vec<Survivor>, RunError> {
    let found = list(shared).await?;
    // A step that this agent itself has started is part of a launch that is under way.
    let ours = |labels: &Labels| {
        let known = shared.known().get(&labels.id).map(|known| (known.incarnation, known.step));
        labels.step.is_some() && known == Some((labels.incarnation, labels.step))
    };
    let found: Vec<_> = found.into_iter().filter(|(labels, _)| !ours(labels)).collect();
    let survivors = stream::iter(found).map(|(labels, found)| survivor(shared, labels, found));
    survivors.buffered(INSPECTIONS).try_collect().await
}

/// Watched from now on if it runs.
async fn survivor(shared: &Shared, labels: Labels, found: Found) -> Result<Survivor, RunError> {
    let Labels { id, incarnation, step, ports } = labels;
    let state = match found {
        Found::StepBefore => steps::lost(),
        _ if step.is_some() => steps::end_lost(shared, id).await?,
        // The list may be behind, an inspection is not.
        Found::Running | Found::Paused => match ended_already(shared, id).await? {
            Some(outcome) => SurvivorState::Exited(outcome),
            None => adopt(shared, id, incarnation, found == Found::Paused).await?,
        },
        Found::Ended => SurvivorState::Exited(inspect(shared, id).await?),
        Found::Created => SurvivorState::Created,
    };
    Ok(Survivor { id, incarnation, state, ports, lease: None })
}

async fn adopt(
    shared: &Shared,
    id: AssignmentId,
    incarnation: u32,
    paused: bool,
) -> Result<SurvivorState, RunError> {
    let known = Known { incarnation, step: None, paused, notes: Vec::new() };
    shared.known().entry(id).or_insert(known);
    // Its end may have come just before it was known; if the event was quicker it has been sent.
    let outcome = ended_already(shared, id).await?;
    Ok(match outcome.filter(|_| shared.known().remove(&id).is_some()) {
        Some(outcome) => SurvivorState::Exited(outcome),
        None if paused => SurvivorState::Paused,
        None => SurvivorState::Running,
    })
}

async fn ended_already(shared: &Shared, id: AssignmentId) -> Result<Option<Outcome>, RunError> {
    let ended = inspect_state(shared, id).await?.filter(|state| state.running == Some(false));
    Ok(ended.as_ref().map(outcome))
}

/// How a container ended that the engine still has.
async fn inspect(shared: &Shared, id: AssignmentId) -> Result<Outcome, RunError> {
    Ok(inspect_state(shared, id).await?.as_ref().map_or_else(|| Outcome::code(KILLED), outcome))
}

/// `None`: the engine has no such container, or says nothing that can be read.
///
/// # Errors
/// When the engine does not answer: how a job ended that it has is asked again, not guessed.
pub(super) async fn inspect_state(
    shared: &Shared,
    id: AssignmentId,
) -> Result<Option<ContainerState>, RunError> {
    Ok(inspect_current(shared, id).await?.and_then(|container| container.state))
}

/// The container that has the instance's name; see [`inspect_state`].
pub(super) async fn inspect_current(
    shared: &Shared,
    id: AssignmentId,
) -> Result<Option<ContainerInspectResponse>, RunError> {
    let client = shared.engine.client(Step::Survivors).await?;
    match engine::inspect(client, &spec::name(id)).await {
        Ok(container) => Ok(Some(container)),
        Err(Error::DockerResponseServerError { .. } | Error::JsonDataError { .. }) => Ok(None),
        Err(error) => Err(shared.engine.failed(Step::Survivors, error)),
    }
}

fn outcome(state: &ContainerState) -> Outcome {
    let code = state.exit_code.and_then(|code| i32::try_from(code).ok()).unwrap_or(KILLED);
    Outcome { oom: state.oom_killed.unwrap_or(false), ..Outcome::code(code) }
}
