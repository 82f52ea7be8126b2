//! How many replicas a service has by itself: between which bounds, and by what.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::{Name, shorten};

/// The owner of the application changes the number of replicas by this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    /// At least 1: of nothing, nothing can be measured.
    pub min: u32,
    pub max: u32,
    pub by: ScaleBy,
    /// Fewer only when nothing in so long a time asked for more.
    pub stabilization: Duration,
    /// At least so long between two changes.
    pub cooldown: Duration,
}

/// What is kept near its target, as the mean over all replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScaleBy {
    /// Percent of the CPU that an instance reserves.
    Cpu(u32),
    /// Percent of the memory that an instance reserves.
    Memory(u32),
    /// A number that each instance tells.
    Metric(Metric),
}

/// A number in the metrics of an instance, in Prometheus' text format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// One of the service's ports.
    pub port: Name,
    pub path: String,
    /// Samples of this name are added up, whatever their labels.
    pub name: String,
    /// For each instance.
    pub target: Thousandths,
}

/// A number above 0 with three decimals at most, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Thousandths(pub u64);

/// The text is no [`Thousandths`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a number above 0 with three decimals at most, as in `20` or `0.5`")]
pub struct ThousandthsError(String);

/// Larger targets are typing errors.
const MOST: u64 = 1 << 50;

// === impl Metric ===

impl Metric {
    /// The default of [`Metric::path`].
    pub const PATH: &str = "/metrics";
}

// === impl Scale ===

impl Scale {
    /// The default of [`Scale::stabilization`].
    pub const STABILIZATION: Duration = Duration::from_secs(300);
    /// The default of [`Scale::cooldown`].
    pub const COOLDOWN: Duration = Duration::from_secs(30);

    /// The nearest number that the bounds allow.
    #[must_use]
    pub fn within(&self, replicas: u32) -> u32 {
        // Not `clamp`: what comes from elsewhere may have its bounds the wrong way round.
        replicas.min(self.max).max(self.min)
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from {} to {} by {}", self.min, self.max, self.by)
    }
}

// === impl ScaleBy ===

impl ScaleBy {
    /// What is measured, in words.
    #[must_use]
    pub fn subject(&self) -> &str {
        match self {
            Self::Cpu(_) => "cpu",
            Self::Memory(_) => "memory",
            Self::Metric(metric) => &metric.name,
        }
    }

    /// What an instance should have, in words.
    #[must_use]
    pub fn target(&self) -> String {
        match self {
            Self::Cpu(percent) | Self::Memory(percent) => format!("{percent}%"),
            Self::Metric(metric) => metric.target.to_string(),
        }
    }

    /// What an instance has, in words; `load` in thousandths of the target.
    #[must_use]
    pub fn measured(&self, load: u64) -> String {
        match self {
            Self::Cpu(percent) | Self::Memory(percent) => {
                format!("{}%", load.saturating_mul(u64::from(*percent)) / 1000)
            }
            Self::Metric(metric) => Thousandths(load.saturating_mul(metric.target.0) / 1000).to_string(),
        }
    }
}

impl fmt::Display for ScaleBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.subject(), self.target())
    }
}

// === impl Thousandths ===

impl FromStr for Thousandths {
    type Err = ThousandthsError;

    fn from_str(text: &str) -> Result<Self, ThousandthsError> {
        let number = || {
            let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            if !digits(whole) || !digits(decimals) || decimals.len() > 3 {
                return None;
            }
            let decimals: u64 = format!("{decimals:0<3}").parse().ok()?;
            let number = whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(decimals)?;
            (1..=MOST).contains(&number).then_some(Self(number))
        };
        number().ok_or_else(|| ThousandthsError(shorten(text)))
    }
}

impl fmt::Display for Thousandths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, decimals) = (self.0 / 1000, format!("{:03}", self.0 % 1000));
        match decimals.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            decimals => write!(f, "{whole}.{decimals}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_written_as_they_are_read() {
        for (text, number) in [("20", 20_000), ("0.5", 500), ("1.25", 1250), ("0.001", 1)] {
            let read: Thousandths = text.parse().unwrap();
            assert_eq!((read, read.to_string().as_str()), (Thousandths(number), text));
        }
        for bad in ["", "0", "0.000", "-1", "1.", ".5", "1.2345", "1e3", "99999999999999999999", "x"] {
            assert!(bad.parse::<Thousandths>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_was_measured_is_told_in_the_unit_of_the_target() {
        assert_eq!(ScaleBy::Cpu(70).measured(1500), "105%");
        let metric = Metric {
            port: Name::new("http").unwrap(),
            path: "/metrics".to_owned(),
            name: "queue_length".to_owned(),
            target: Thousandths(20_000),
        };
        assert_eq!(ScaleBy::Metric(metric).measured(2600), "52");
    }
}
