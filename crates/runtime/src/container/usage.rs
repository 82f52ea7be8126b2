//! What a container uses.

use std::time::{Duration, Instant};

use bollard::models::ContainerMemoryStats;
use bollard::query_parameters::StatsOptionsBuilder;
use futures::TryStreamExt as _;
use holm_model::id::AssignmentId;
use holm_model::member::Usage;

use super::{Shared, spec};
use crate::error::{RunError, Step};
use crate::process::millis_of_core;

/// # Errors
/// When the container does not run.
pub(super) async fn measure(shared: &Shared, id: AssignmentId) -> Result<Usage, RunError> {
    let client = shared.engine.client(Step::Usage).await?;
    let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
    let stats = client.stats(&spec::name(id), Some(options)).try_next().await;
    let stats = stats.map_err(|error| match super::status(Some(&error)) {
        Some(404) => RunError::NotRunning { id },
        _ => shared.engine.failed(Step::Usage, error),
    })?;
    let stats = stats.ok_or(RunError::NotRunning { id })?;
    let total =
        stats.cpu_stats.and_then(|cpu| cpu.cpu_usage?.total_usage).ok_or(RunError::NotRunning { id })?;
    let (now, cpu) = (Instant::now(), Duration::from_nanos(total));
    let last = shared.samples().insert(id, (now, cpu));
    let cpu_millis = last.map_or(0, |(at, last)| millis_of_core(cpu.saturating_sub(last), now - at));
    Ok(Usage { cpu_millis, memory: stats.memory_stats.as_ref().map_or(0, memory) })
}

/// Without page cache that can be dropped, as the engine's own tool shows it.
fn memory(stats: &ContainerMemoryStats) -> u64 {
    let details = stats.stats.as_ref();
    let idle = ["total_inactive_file", "inactive_file"].iter().find_map(|key| details?.get(*key));
    stats.usage.unwrap_or(0).saturating_sub(idle.copied().unwrap_or(0))
}
