//! What is kept and sent: a meter's telegram at one quarter hour.

use serde::{Deserialize, Serialize};

use crate::telegram::{Entry, Telegram};

/// One meter behind one probe: a swapped meter is another series, its sequence begins anew.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    pub probe: String,
    pub meter: String,
}

/// What was measured, before it has its place in a series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    pub series: Series,
    /// The quarter hour it stands for; seconds since 1970, of the platform's clock.
    pub at: u64,
    /// When the telegram came; seconds since 1970, of the platform's clock.
    pub received: u64,
    /// The meter's own clock, as it says it: it may be wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meter_time: Option<String>,
    /// The meter seems locked: whole kWh only.
    #[serde(default)]
    pub locked: bool,
    pub entries: Vec<Entry>,
}

/// A measurement with its place: series and sequence make it unique for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// From 0, without gaps.
    pub sequence: u64,
    #[serde(flatten)]
    pub measured: Measured,
}

impl Measured {
    pub fn new(probe: &str, telegram: Telegram, at: u64, received: u64) -> Self {
        let locked = telegram.seems_locked();
        let meter = telegram.meter.unwrap_or_else(|| "unknown".to_owned());
        Self {
            series: Series { probe: probe.to_owned(), meter },
            at,
            received,
            meter_time: telegram.meter_time,
            locked,
            entries: telegram.entries,
        }
    }
}
