//! How a node runs instances: one trait, and a driver for each runtime.
//!
//! | module | noun |
//! | --- | --- |
//! | [`runtime`] | the [`Runtime`] trait |
//! | [`launch`] | what a driver is told to run |
//! | [`given`] | what an instance is given that must not lie on a disk |
//! | [`event`] | what a driver says by itself: how an instance ended, who survived |
//! | [`reading`] | what an instance uses |
//! | [`stream`] | logs and exec |
//! | [`error`] | why something could not be done, and whether to try again |
//! | [`archive`] | files as a tar stream |
//! | [`volume`] | named volumes, listed and mirrored |
//! | [`process`] | native programs, each under a supervisor that outlives the agent |
//! | [`container`] | Docker's or Podman's engine over its Unix socket |
//!
//! A driver keeps nothing that matters in memory: what must be known after a restart of the agent is
//! with the supervisor or the engine, and [`Runtime::survivors`] reads it back.
//!
//! # To add a runtime
//!
//! Implement [`Runtime`] in a folder of its own, give it to the node under a new name, and run the
//! checks of `tests/suite/contract.rs` against it.

pub mod archive;
pub mod container;
pub mod error;
pub mod event;
pub mod given;
pub mod launch;
pub mod process;
pub mod reading;
pub mod runtime;
pub mod stream;
pub mod volume;

pub use error::{RunError, Step};
pub use event::{End, EventKind, Outcome, RuntimeEvent, Survivor, SurvivorState};
pub use given::{Access, Given, Mount};
pub use launch::{Launch, PortMap, Progress};
pub use reading::{Moved, Reading};
pub use runtime::{OnProgress, Runtime};
pub use stream::{Control, Exec, LogLines, LogOptions, pattern};
