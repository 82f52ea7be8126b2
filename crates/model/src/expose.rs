//! Ports at an orchestrator through which a service is reached from outside.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::shorten;

/// A TCP port at orchestrators that leads to the ready instances of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expose {
    /// One of those that the orchestrator's administrator granted.
    pub port: u16,
    /// At least one.
    pub at: BTreeSet<ExposedAt>,
}

/// Which orchestrators open the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExposedAt {
    /// Each whose own nodes run the service.
    Cluster,
    /// The root, wherever the service runs.
    Root,
}

// === impl Expose ===

impl Expose {
    /// At each orchestrator whose own nodes run the service.
    #[must_use]
    pub fn new(port: u16) -> Self {
        Self { port, at: BTreeSet::from([ExposedAt::Cluster]) }
    }

    /// Whether `at` is nothing but the default.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::new(self.port)
    }
}

/// Ports that an administrator grants, first and last, as in `20000-20100`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// The text is no [`PortRange`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no range of ports: write the first and the last, from 1 to 65535, as in `20000-20100`")]
pub struct PortRangeError(String);

// === impl PortRange ===

impl PortRange {
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, PortRangeError> {
        let error = || PortRangeError(shorten(text));
        let number = |text: &str| text.trim().parse().ok().filter(|port| *port > 0).ok_or_else(error);
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = Self { first: number(first)?, last: number(last)? };
        if range.first <= range.last { Ok(range) } else { Err(error()) }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_with_first_and_last() {
        let range: PortRange = "20000-20100".parse().unwrap();
        assert!(range.contains(20000) && range.contains(20100) && !range.contains(20101));
        assert_eq!("8080".parse::<PortRange>().unwrap().to_string(), "8080-8080");
        for bad in ["", "0-1", "2-1", "1-70000", "a-b", "-5"] {
            assert!(bad.parse::<PortRange>().is_err(), "{bad}");
        }
    }
}
