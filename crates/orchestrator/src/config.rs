//! What is told at start.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use holm_core::orchestrator::config::{Deadlines, GENERATIONS};
use holm_link::authority::ServerName;
use holm_link::clock::LocalClock;
use holm_link::token::JoinToken;
use holm_link::verify::REJOIN_WINDOW;
use holm_model::expose::PortRange;
use holm_model::geo::Point;
use holm_model::name::Name;
use holm_model::placement::Strategy;

use crate::scheduler::Schedulers;

#[derive(Clone, Debug)]
pub struct Config {
    /// Made, with mode 0700, when it is not there. One process per directory.
    pub data_dir: PathBuf,
    pub name: Name,
    pub role: Role,
    /// The port for members, browsers and the CLI; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Plain HTTP; refused unless it is a loopback address.
    pub http: Option<SocketAddr>,
    /// Under which names and addresses the server certificate is valid, beside the usual ones.
    pub names: Vec<ServerName>,
    pub deadlines: Deadlines,
    /// How members are ranked for services that do not say it.
    pub strategy: Strategy,
    /// Where its nodes are that name no place of their own.
    pub location: Option<Point>,
    /// Where other members of the sea may dial it; `None`: the address where it listens, if it is one.
    pub advertise: Option<SocketAddr>,
    /// Whether nodes that do not hear this cluster tell its parent what they run; of a root, whether machines of silent
    /// clusters become nodes of it meanwhile.
    pub fall_back: bool,
    /// Ports that services may be exposed at, and the address where they are opened.
    pub expose: Option<PortRange>,
    pub expose_address: IpAddr,
    pub schedulers: Schedulers,
    pub limits: Limits,
    /// Of members' certificates; our own server's live three times as long. Both are renewed at two
    /// thirds.
    pub certificate_life: Duration,
    /// Another one than the system's in tests.
    pub clock: LocalClock,
}

/// 30 days.
pub const CERTIFICATE_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// With or without a parent.
#[derive(Clone, Debug)]
pub enum Role {
    Root {
        /// Name of a new sea; random when absent. Of no effect once the sea is there.
        sea: Option<String>,
    },
    Cluster {
        /// `host:port` of the parent.
        parent: String,
        /// Needed at the first start only.
        token: Option<JoinToken>,
    },
}

/// How much is taken from or kept for others.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one control message.
    pub message: usize,
    /// Messages that wait for one slow member; beyond it the link is cut.
    pub queue: usize,
    /// Tunnels that one member may have opened at one time.
    pub tunnels: usize,
    /// Messages in a row that cannot be decoded before the link is closed.
    pub nonsense: u32,
    /// A link on which nothing was heard for so long is cut.
    pub silence: Duration,
    /// An expired certificate may be renewed for so long.
    pub rejoin_window: Duration,
    /// Changes that the history keeps.
    pub history: u64,
    /// Generations of an application whose specification is kept.
    pub generations: usize,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 16 * 1024 * 1024,
            queue: 4096,
            tunnels: 256,
            nonsense: 100,
            silence: Duration::from_secs(15),
            rejoin_window: REJOIN_WINDOW,
            history: 100_000,
            generations: GENERATIONS,
        }
    }
}

// === impl Config ===

impl Config {
    /// An orchestrator with the default limits that listens on a free loopback port.
    #[must_use]
    pub fn new(data_dir: PathBuf, name: Name, role: Role) -> Self {
        Self {
            data_dir,
            name,
            role,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            http: None,
            names: Vec::new(),
            deadlines: Deadlines::default(),
            strategy: Strategy::default(),
            location: None,
            fall_back: true,
            advertise: None,
            expose: None,
            expose_address: crate::expose::ADDRESS,
            schedulers: Schedulers::default(),
            limits: Limits::default(),
            certificate_life: CERTIFICATE_LIFE,
            clock: LocalClock::default(),
        }
    }

    /// Where nodes tell what they run while they do not hear us; `None`: there is nobody above.
    pub(crate) fn above(&self) -> Option<Vec<String>> {
        match &self.role {
            Role::Root { .. } => None,
            Role::Cluster { parent, .. } => {
                Some(self.fall_back.then(|| parent.clone()).into_iter().collect())
            }
        }
    }

    /// As it was said, or where it listens. Whether that may be dialled, its parent says.
    pub(crate) fn advertise(&self) -> Option<SocketAddr> {
        let known = !self.listen.ip().is_unspecified() && self.listen.port() > 0;
        self.advertise.or_else(|| known.then_some(self.listen))
    }
}
