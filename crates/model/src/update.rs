//! How a service goes from one specification to the next.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The whole of it; by default slot by slot, and what fails halts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    pub strategy: UpdateStrategy,
    /// Slots that are given the new specification at once.
    pub parallel: u32,
    /// How long a slot must have run well before it counts as updated; `None`: as its orchestrator says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy_for: Option<Duration>,
    /// Longest time in which no further slot is updated well, before the update counts as failed.
    pub deadline: Duration,
    pub on_failure: OnFailure,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateStrategy {
    /// Slot by slot, each proved before the next.
    Rolling,
    /// All old ones end before the first new one starts.
    Recreate,
    /// Some first; the others when those are good.
    Canary(Canary),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    pub size: CanarySize,
    pub promote: Promote,
}

/// How many slots go first: those of the lowest numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CanarySize {
    Count(u32),
    /// In percent, rounded up.
    Share(u32),
}

/// When the others follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promote {
    /// A person says so.
    Manual,
    /// All of the canary have run well for so long.
    After(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// What has not been updated stays as it is, until people decide.
    Halt,
    /// The owner goes back to the last generation of which everything ran.
    Rollback,
}

// === impl Update ===

impl Update {
    /// The default of [`Update::deadline`].
    pub const DEADLINE: Duration = Duration::from_secs(300);
    /// What holds for services that say nothing.
    pub const USUAL: Self = Self {
        strategy: UpdateStrategy::Rolling,
        parallel: 1,
        healthy_for: None,
        deadline: Self::DEADLINE,
        on_failure: OnFailure::Halt,
    };

    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    #[must_use]
    pub const fn canary(&self) -> Option<Canary> {
        match &self.strategy {
            UpdateStrategy::Canary(canary) => Some(*canary),
            UpdateStrategy::Rolling | UpdateStrategy::Recreate => None,
        }
    }

    #[must_use]
    pub fn recreates(&self) -> bool {
        self.strategy == UpdateStrategy::Recreate
    }
}

impl Default for Update {
    fn default() -> Self {
        Self::USUAL
    }
}

// === impl CanarySize ===

impl CanarySize {
    /// How many of `replicas` slots go first: one at least, if there is any.
    #[must_use]
    pub fn of(self, replicas: u32) -> u32 {
        let wanted = match self {
            Self::Count(count) => count,
            Self::Share(percent) => {
                u32::try_from((u64::from(replicas) * u64::from(percent)).div_ceil(100)).unwrap_or(u32::MAX)
            }
        };
        wanted.max(1).min(replicas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_one_at_least_and_all_at_most() {
        assert_eq!([1, 4, 5, 6, 100].map(|replicas| CanarySize::Share(20).of(replicas)), [1, 1, 1, 2, 20]);
        assert_eq!([0, 1, 2, 3].map(|replicas| CanarySize::Count(2).of(replicas)), [0, 1, 2, 2]);
        assert_eq!(CanarySize::Share(99).of(u32::MAX), 4_252_017_623);
    }
}
