//! What a container uses.

use std::time::{Duration, Instant};

use bollard::models::{ContainerBlkioStats, ContainerMemoryStats, ContainerNetworkStats};
use bollard::query_parameters::StatsOptionsBuilder;
use futures::TryStreamExt as _;
use holm_model::id::AssignmentId;

use super::{Shared, spec};
use crate::error::{RunError, Step};
use crate::process::millis_of_core;
use crate::reading::{Moved, Reading};

/// # Errors
/// When the container does not run.
pub(super) async fn measure(shared: &Shared, id: AssignmentId) -> Result<Reading, RunError> {
    let client = shared.engine.client(Step::Usage).await?;
    let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
    let stats = client.stats(&spec::name(id), Some(options)).try_next().await;
    let stats = stats.map_err(|error| match super::status(Some(&error)) {
        Some(404) => RunError::NotRunning { id },
        _ => shared.engine.failed(Step::Usage, error),
    })?;
    let stats = stats.ok_or(RunError::NotRunning { id })?;
    let disk = stats.blkio_stats.as_ref().and_then(disk);
    let network = stats.networks.as_ref().map(|networks| networks.values().map(network).sum());
    let total =
        stats.cpu_stats.and_then(|cpu| cpu.cpu_usage?.total_usage).ok_or(RunError::NotRunning { id })?;
    let (now, cpu) = (Instant::now(), Duration::from_nanos(total));
    let last = shared.samples().insert(id, (now, cpu));
    let cpu_millis = last.map_or(0, |(at, last)| millis_of_core(cpu.saturating_sub(last), now - at));
    Ok(Reading { cpu_millis, memory: stats.memory_stats.as_ref().map_or(0, memory), disk, network })
}

/// None where the engine does not count.
fn disk(stats: &ContainerBlkioStats) -> Option<Moved> {
    let entries = stats.io_service_bytes_recursive.as_ref()?;
    let sum = |wanted: &str| {
        let is = |op: &String| op.eq_ignore_ascii_case(wanted);
        let values = entries.iter().filter(|entry| entry.op.as_ref().is_some_and(is));
        values.map(|entry| entry.value.unwrap_or(0)).fold(0, u64::saturating_add)
    };
    Some(Moved { incoming: sum("read"), outgoing: sum("write") })
}

fn network(stats: &ContainerNetworkStats) -> Moved {
    Moved { incoming: stats.rx_bytes.unwrap_or(0), outgoing: stats.tx_bytes.unwrap_or(0) }
}

/// Without page cache that can be dropped, as the engine's own tool shows it.
fn memory(stats: &ContainerMemoryStats) -> u64 {
    let details = stats.stats.as_ref();
    let idle = ["total_inactive_file", "inactive_file"].iter().find_map(|key| details?.get(*key));
    stats.usage.unwrap_or(0).saturating_sub(idle.copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::ContainerBlkioStatEntry;

    #[test]
    fn reads_and_writes_of_all_disks_are_summed() {
        let entry = |op: &str, value| ContainerBlkioStatEntry {
            op: Some(op.to_owned()),
            value: Some(value),
            ..ContainerBlkioStatEntry::default()
        };
        // Version 1 says `Read`, version 2 `read`; both have sums of their own.
        let entries = vec![entry("Read", 1), entry("read", 2), entry("Write", 4), entry("Total", 100)];
        let stats = ContainerBlkioStats {
            io_service_bytes_recursive: Some(entries),
            ..ContainerBlkioStats::default()
        };
        assert_eq!(disk(&stats), Some(Moved { incoming: 3, outgoing: 4 }));
        assert_eq!(disk(&ContainerBlkioStats::default()), None);
    }
}
