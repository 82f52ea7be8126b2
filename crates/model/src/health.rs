//! Health checks: how it is found out whether an instance works, and what was found.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::Name;

/// A probe that is repeated, and how many of its answers count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub probe: Probe,
    /// From the end of one probe to the beginning of the next, give or take a tenth.
    pub every: Duration,
    /// A probe that has no answer by then has failed.
    pub timeout: Duration,
    /// So many failures in a row count.
    pub failures: u32,
    /// How long failures do not count after the start, unless it has worked before. Of liveness only.
    pub start: Duration,
}

/// How an instance is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// `GET` of a path, without following redirects: good is an answer 200 to 299.
    Http { port: Name, path: String },
    /// Good is a port that takes a connection.
    Tcp { port: Name },
    /// A command inside the instance: good is exit code 0.
    Exec(Vec<String>),
}

/// What the checks of an instance tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// It takes work.
    pub ready: bool,
    /// What the check said last, for people.
    pub answer: String,
}

// === impl Check ===

impl Check {
    /// Default of [`Check::every`].
    pub const EVERY: Duration = Duration::from_secs(5);
    /// Default of [`Check::timeout`].
    pub const TIMEOUT: Duration = Duration::from_secs(2);
    /// Default of [`Check::failures`].
    pub const FAILURES: u32 = 3;
    /// Default of [`Check::start`].
    pub const START: Duration = Duration::from_secs(30);

    /// All but the probe by default.
    #[must_use]
    pub const fn new(probe: Probe) -> Self {
        Self {
            probe,
            every: Self::EVERY,
            timeout: Self::TIMEOUT,
            failures: Self::FAILURES,
            start: Self::START,
        }
    }
}

// === impl Probe ===

impl Probe {
    /// The port that is asked, if one is.
    #[must_use]
    pub const fn port(&self) -> Option<&Name> {
        match self {
            Self::Http { port, .. } | Self::Tcp { port } => Some(port),
            Self::Exec(_) => None,
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { path, .. } => write!(f, "GET {path}"),
            Self::Tcp { port } => write!(f, "connect to {port}"),
            Self::Exec(command) => write!(f, "`{}`", command.join(" ")),
        }
    }
}
