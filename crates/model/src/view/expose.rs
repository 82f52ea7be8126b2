//! Ports of an orchestrator that lead to services, as the API shows them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A port of this orchestrator that leads to a service. Numbers count since its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExposureView {
    pub port: u16,
    /// Where it is opened, as in `0.0.0.0:8080`.
    pub address: String,
    pub project: String,
    pub application: String,
    pub service: String,
    /// Which of the service's ports it leads to.
    pub service_port: String,
    /// It takes connections.
    pub open: bool,
    /// Why not; empty when it does.
    pub reason: String,
    /// Instances that take connections.
    pub ready: u32,
    /// Connections that are open now.
    pub connections: u64,
    /// Connections that were let in.
    pub accepted: u64,
    /// How often an instance did not take a connection, so that the next one was asked.
    pub retried: u64,
    /// Connections that no instance took in time.
    pub failed: u64,
    /// Bytes from clients, of connections that have ended.
    pub received: u64,
    /// Bytes to clients, of connections that have ended.
    pub sent: u64,
}
