//! The node machine: instances kept as the list says.
//!
//! ```text
//!  Down (list) ──→ Held ──→ wanted ─┐
//!                                   ├─→ decide ──→ record (committed) ──→ Launch, Halt, …
//!  Survivors, Runtime events ──→ life ┘                    └──→ Reporter ──→ Up (facts)
//! ```
//!
//! Level-triggered: after every event, each instance it touched is compared with its wish until nothing
//! is left to do. A [`Launch`] raises the incarnation, is committed before it is carried out, and never
//! happens while another incarnation may be live. Without a link the machine does all of this from disk.
//!
//! | module | what |
//! | --- | --- |
//! | `event` | what happens, what is wanted done |
//! | `wanted` | assignments of the list, decoded |
//! | `record` | what is kept on disk, and legal changes of state |
//! | `given` | secrets and files that instances are given |
//! | `health` | what probes of instances told |
//! | `decide` | wish against fact: the next move |
//! | `restart`, `again` | the restart policy; people who want one instance restarted |
//! | `machine` | loading, stepping, undoing, asking |
//! | `instances` | carrying moves out |
//! | `runtimes` | what runtimes tell: events and survivors |
//! | `carrying` | named volumes of what moves |
//! | `wiping` | a node that is decommissioned |
//! | `deadlines` | jobs that take too long |
//! | `pressure` | a disk that fills up |
//! | `withdrawn` | ends that are told while the disk takes no writes |
//! | `parent` | what the orchestrator tells, and what it is told |

mod again;
mod carrying;
mod deadlines;
mod decide;
mod event;
mod given;
mod health;
mod instances;
mod lease;
mod machine;
mod parent;
mod pressure;
mod record;
mod restart;
mod runtimes;
mod wanted;
mod wiping;
mod withdrawn;

pub use again::RestartError;
pub use event::{
    Data, Discard, Launch, NodeEffect, NodeEvent, Outcome, RuntimeEvent, Survivor, SurvivorState,
};
pub use health::{CheckKind, Checked, Probed};
pub use machine::{NodeConfig, NodeMachine};
pub use pressure::{DiskLimits, Limit, Space};
pub use record::InstanceRecord;
pub use wanted::Identity;
pub use wiping::Farewell;
