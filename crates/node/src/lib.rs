//! The shell of the node machine: everything on a node that touches the world.
//!
//! ```text
//! orchestrator ◄──► link ──► agent (owns the machine) ──► workers ──► runtimes
//!                    ▲         ▲        │                    ▲           │
//!     peers, tunnels ┘         │        └─► store            └── events ─┘
//!                     facts, usage, local API
//! ```
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`config`] | what the operator says |
//! | [`run`] | the order in which parts start and end |
//! | [`agent`] | the task that owns the machine: step, commit, effects |
//! | [`backlog`] | what waits for a disk that takes no writes |
//! | [`workers`] | carrying out what is wanted of runtimes, one worker per instance |
//! | [`launch`] | from an assignment to what a runtime is told; pure |
//! | [`ports`] | whose port is which |
//! | [`runtimes`], [`drivers`] | the drivers by name, and which there are |
//! | [`directory`] | which runtime has which instance |
//! | [`health`] | asking instances whether they work |
//! | [`connections`] | what a stop waits for |
//! | [`membership`], [`place`] | credentials and joining; where the node is in the sea |
//! | [`link`] | the session with the orchestrator |
//! | [`guest`] | the machine as a node of the orchestrator above, too, while its own is silent |
//! | [`tunnels`] | what the orchestrator wants of an instance: logs, exec, bytes of a port |
//! | [`given`], [`tmpfs`] | secrets and files that instances are given, in memory |
//! | [`peers`] | what instances are told of those they connect to, and the proxies to them |
//! | [`registry`] | how the engine reaches the platform's registry |
//! | [`identity`] | sockets where instances ask who they are |
//! | [`allowed`] | what the machine's owner lets instances have of it |
//! | [`amendments`] | what an operator says about the node |
//! | [`history`] | what was used in the last hour |
//! | [`metrics`] | what Prometheus is told |
//! | [`facts`], [`usage`], [`observe`] | what the machine is, what it uses, and when to look |
//! | [`wipe`] | the end of a node that is decommissioned |
//! | [`local_api`] | what can be asked on the node itself |
//! | [`clock`] | the only clock that the machine is told of |

mod agent;
pub mod allowed;
mod amendments;
mod backlog;
mod clock;
mod config;
mod connections;
mod directory;
mod drivers;
mod facts;
mod given;
mod guest;
mod health;
mod history;
mod identity;
mod launch;
mod link;
mod local_api;
mod locating;
mod membership;
mod memberships;
mod metrics;
mod note;
mod observe;
mod peers;
mod place;
mod ports;
mod registry;
mod remains;
mod run;
mod runtimes;
mod scrape;
mod tmpfs;
mod tunnels;
mod usage;
mod volumes;
mod wipe;
mod workers;

pub use config::{NodeConfig, RuntimesConfig};
pub use guest::data_dirs;
pub use holm_core::node::Limit;
pub use holm_runtime::process::{ProcessUsers, UserRange};
pub use link::{AskError, LinkStatus, LinkTimes, ask};
pub use local_api::SOCKET;
pub use membership::MembershipError;
pub use remains::{Files, RemainError, Remains, Waiting};
pub use run::{Ended, NodeError, run, run_with};
pub use tunnels::consent;

/// Random bits for jitter and spreading; a machine without them spreads less and works all the same.
fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}
