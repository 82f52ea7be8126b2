//! Work that ends: once, or again and again at its times.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cron::{Schedule, Zone};

/// What kind of work a service does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Runs until it is stopped.
    #[default]
    Service,
    /// Runs to its end, once for each specification.
    Job(Job),
    /// A job at each of its times.
    Cron(Cron),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Of all of it, retries included, from when it was applied, or was due; then what runs is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Duration>,
    /// How often it begins again after it has failed, all failures counted; then nobody tries it elsewhere. `None`: as
    /// the restart policy of the service says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cron {
    pub schedule: Schedule,
    pub zone: Zone,
    /// What happens when one is due before the one before has ended.
    pub overlap: Overlap,
    /// What happens with what was due while nobody could start it.
    pub missed: Missed,
    /// Runs that have ended and are still shown.
    pub keep: u32,
    pub job: Job,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// The new one is left out.
    #[default]
    Forbid,
    Allow,
    /// The old one is ended.
    Replace,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missed {
    #[default]
    Skip,
    /// The last one of them is made up for.
    RunOnce,
}

// === impl Kind ===

impl Kind {
    pub(crate) fn is_service(&self) -> bool {
        *self == Self::Service
    }

    /// What is done each time, if it ends at all.
    #[must_use]
    pub const fn job(&self) -> Option<&Job> {
        match self {
            Self::Service => None,
            Self::Job(job) => Some(job),
            Self::Cron(cron) => Some(&cron.job),
        }
    }

    #[must_use]
    pub const fn cron(&self) -> Option<&Cron> {
        match self {
            Self::Cron(cron) => Some(cron),
            Self::Service | Self::Job(_) => None,
        }
    }
}

// === impl Cron ===

impl Cron {
    /// The default of [`Cron::keep`].
    pub const KEEP: u32 = 3;
}
