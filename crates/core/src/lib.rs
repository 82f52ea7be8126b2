//! The decisions of Holm: two pure machines, *orchestrator* and *node*, and the scheduler.
//!
//! A machine knows no clock, socket, file or task. A shell feeds it events with the time, commits its
//! [`Journal`](table::Journal) in one transaction per batch, and only then carries out its effects.
//! The simulator in `tests/` runs the very same machines in virtual time.
//!
//! | module | what |
//! | --- | --- |
//! | [`table`] | durable rows with their redo and undo |
//! | [`held`] | the member's side of a list: hello, sync, behind, freeze |
//! | [`report`] | the member's side of facts: snapshots and changes |
//! | [`revocation`] | what is void: certificates and members |
//! | [`autoscale`] | how many replicas a load asks for |
//! | [`node`] | the node machine: instances kept as the list says |
//! | [`vivaldi`], [`locating`] | where somebody is in the network, by what they measure |
//! | [`scheduler`] | which member takes a slot, and why the others do not |
//! | [`orchestrator`] | the orchestrator machine, for root and cluster alike |

pub mod autoscale;
pub mod held;
pub mod locating;
pub mod node;
pub mod orchestrator;
pub mod report;
pub mod revocation;
pub mod scheduler;
pub mod table;
pub mod vivaldi;
