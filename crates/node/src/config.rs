//! What the operator says about a node.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use holm_core::node::DiskLimits;
use holm_link::clock::LocalClock;
use holm_model::geo::Point;
use holm_model::name::Name;
use holm_model::resources::Resources;
use holm_model::units::Counted;
use holm_runtime::process::ProcessUsers;

use crate::link::LinkTimes;

/// Everything that a node needs to know before it starts.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Made when it is not there. Users of instances must be able to pass through the directories
    /// above it.
    pub data_dir: PathBuf,
    /// The orchestrator, `host:port`.
    pub orchestrator: String,
    /// The text of a join token: needed at the first start, and another one when the node was revoked.
    pub token: Option<String>,
    /// Join with the token although this machine is a member: of another orchestrator, say.
    pub rejoin: bool,
    /// The name to join with; `None`: the host name.
    pub name: Option<Name>,
    pub labels: BTreeMap<String, String>,
    /// Where it stands.
    pub location: Option<Point>,
    /// Beside those that are detected.
    pub capabilities: BTreeSet<Counted>,
    /// Kept back for the machine itself.
    pub reserve: Resources,
    /// Between two reports of usage.
    pub interval: Duration,
    /// Between two looks at the hardware and the runtimes.
    pub rescan: Duration,
    pub link: LinkTimes,
    /// How long a cluster is silent before its parent is told what runs here.
    pub fall_back_after: Duration,
    /// Called once when the node is a member and works.
    pub ready: fn(),
    pub runtimes: RuntimesConfig,
    /// When something is done about a disk that fills up.
    pub disk: DiskLimits,
    /// The root of `/proc`, `/sys` and `/etc`; another one in tests.
    pub root: PathBuf,
    /// Another one than the system's in tests.
    pub clock: LocalClock,
}

/// How the drivers are set up.
#[derive(Clone, Debug)]
pub struct RuntimesConfig {
    /// The agent's own program, which hides the supervisor of native programs as a subcommand.
    pub executable: PathBuf,
    /// Program and arguments of that supervisor; `None`: `executable __supervise`.
    pub supervisor: Option<(PathBuf, Vec<String>)>,
    /// Who runs native programs of a root agent that name no user.
    pub process_users: ProcessUsers,
    /// Socket of the container engine; `None`: the usual places are looked at.
    pub engine: Option<PathBuf>,
}

// === impl NodeConfig ===

impl NodeConfig {
    /// A node of `orchestrator` with everything else by default.
    #[must_use]
    pub fn new(data_dir: PathBuf, orchestrator: String, executable: PathBuf) -> Self {
        Self {
            data_dir,
            orchestrator,
            token: None,
            rejoin: false,
            name: None,
            labels: BTreeMap::new(),
            location: None,
            capabilities: BTreeSet::new(),
            reserve: Resources::default(),
            interval: Duration::from_secs(15),
            rescan: Duration::from_secs(300),
            link: LinkTimes::default(),
            fall_back_after: Duration::from_secs(30),
            ready: || {},
            runtimes: RuntimesConfig::new(executable),
            disk: DiskLimits::default(),
            root: PathBuf::from("/"),
            clock: LocalClock::default(),
        }
    }
}

// === impl RuntimesConfig ===

impl RuntimesConfig {
    #[must_use]
    pub fn new(executable: PathBuf) -> Self {
        Self { executable, supervisor: None, process_users: ProcessUsers::default(), engine: None }
    }
}
