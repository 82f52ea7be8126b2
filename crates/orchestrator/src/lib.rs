//! The shell of the orchestrator machine: everything that touches the world, and no decision.
//!
//! ```text
//!            port (TLS, ALPN)          Unix socket, plain HTTP on loopback
//!                  │                                 │
//!          ┌───────┴───────┐                         ▼
//!        links           HTTP ───────────────► callback (the API) ── Handle ──┐
//!          │ LinkOpened, LinkMessage, …                                        │ commands, queries
//!          ▼                                                                   ▼
//!        inputs ─────────────────► owner: step* → commit → effects ◄───── inputs
//!          ▲                         │ Send, Close, Sign        │ Reply, changes
//!        uplink ◄────────────────────┘ SendParent               ▼
//!          │                                               Handle, watchers
//!        parent
//! ```
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`config`] | what is told at start |
//! | [`shell`] | the order of starting and stopping |
//! | [`ground`] | what stands before anything runs: store, keys, machine |
//! | [`upkeep`] | what must be done now and then |
//! | [`owner`] | the task that owns the machine: batches, commits, failure of commits |
//! | [`effects`], [`health`] | what is done after a commit; whether the disk takes writes |
//! | [`watch`] | changes with cursors, and the status, for those who watch |
//! | [`handle`] | what the API may ask |
//! | [`links`], [`session`] | the members' links: which there are, and the life of one |
//! | [`uplink`] | our own link to the parent |
//! | [`tunnels`] | ways of byte streams through links |
//! | [`expose`] | ports that lead to services |
//! | [`identity`] | who instances are: signed for them, verified for others |
//! | [`keys`], [`joining`] | the CA: made, loaded, got by joining; and members that join us |
//! | [`renewals`] | how often a member gets a new certificate |
//! | [`backup`] | a copy of all that an orchestrator is, and an orchestrator made of one |
//! | [`metrics`], [`meter`] | what Prometheus is told; what is counted for it
//! | [`scheduler`] | schedulers of people's own, asked over HTTP |
//! | [`people`] | passwords, API tokens, sessions |
//! | [`serve`] | the port, the Unix socket, plain HTTP |
//! | [`clock`], [`describe`] | the two clocks; errors in one line |

pub mod backup;
pub mod clock;
pub mod config;
mod describe;
mod effects;
pub mod expose;
mod ground;
pub mod handle;
mod health;
pub mod identity;
pub mod joining;
pub mod keys;
mod links;
mod locating;
mod meter;
mod metrics;
mod owner;
pub mod people;
mod renewals;
pub mod scheduler;
pub mod serve;
mod session;
pub mod shell;
pub mod transfers;
pub mod tunnels;
mod upkeep;
mod uplink;
mod watch;
mod witnesses;

pub use clock::wall as now;
pub use config::{Config, Role};
pub use handle::Handle;
pub use serve::{HttpStream, OnHttp, Peer};
pub use shell::{Broken, Shell, StartError};
