//! What a machine or an instance used lately: kept in memory by its node, told to whoever asks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// The last hour, oldest first. Stretches in which nothing was measured are missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UsageHistory {
    /// How long a stretch is.
    pub step_seconds: u64,
    pub points: Vec<UsagePoint>,
}

/// Means over one stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UsagePoint {
    /// Of the last measurement in the stretch.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory: u64,
    /// `null` where the runtime does not tell.
    pub disk: Option<Flow>,
    /// `null` where the runtime does not tell: native programs share the machine's network.
    pub network: Option<Flow>,
    /// Bytes in use on the file system of the node's data directory; `null` for instances.
    pub disk_used: Option<u64>,
}

/// Bytes per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Flow {
    /// Read from a disk, received from a network.
    pub incoming: u64,
    /// Written to a disk, sent to a network.
    pub outgoing: u64,
}

/// How long a stretch is.
pub const STEP: Duration = Duration::from_secs(15);
/// How many are kept: an hour.
pub const STRETCHES: usize = 240;
