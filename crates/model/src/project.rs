//! Projects between orchestrators: what a parent tells of them, and what a cluster says that it uses of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::access::Role;
use crate::name::Name;
use crate::view::people::Quota;

/// What services may do in their own project by the API: application → service → role.
pub type ServiceRoles = BTreeMap<Name, BTreeMap<Name, Role>>;

/// To a cluster: there is this project. Whoever tells of projects tells of `default` at least.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// For what the cluster's own applications ask for, together.
    #[serde(default)]
    pub limits: Limits,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: ServiceRoles,
}

/// The most that may be asked for; what is absent is not limited. As [`Quota`], in plain numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Thousandths of a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u64>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<u64>,
    /// Ports of hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<u64>,
}

/// What applications ask for, together, in the units of [`Limits`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    #[serde(default)]
    pub cpu: u64,
    #[serde(default)]
    pub memory: u64,
    #[serde(default)]
    pub instances: u64,
    #[serde(default)]
    pub ports: u64,
}

/// What a cluster has of its own in a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectReport {
    pub project: Name,
    pub applications: u32,
    pub asked: Asked,
}

// === impl Limits ===

impl Limits {
    pub const NOTHING: Self = Self { cpu: Some(0), memory: Some(0), instances: Some(0), ports: Some(0) };

    /// Whether there are none.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// What is left after so much was asked for.
    #[must_use]
    pub fn less(self, asked: Asked) -> Self {
        let less = |most: Option<u64>, asked: u64| most.map(|most| most.saturating_sub(asked));
        Self {
            cpu: less(self.cpu, asked.cpu),
            memory: less(self.memory, asked.memory),
            instances: less(self.instances, asked.instances),
            ports: less(self.ports, asked.ports),
        }
    }
}

impl From<&Quota> for Limits {
    fn from(quota: &Quota) -> Self {
        Self {
            cpu: quota.cpu.map(|cpu| cpu.0),
            memory: quota.memory.map(|memory| memory.0),
            instances: quota.instances.map(u64::from),
            ports: quota.ports.map(u64::from),
        }
    }
}

// === impl Asked ===

impl Asked {
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_add(other.cpu),
            memory: self.memory.saturating_add(other.memory),
            instances: self.instances.saturating_add(other.instances),
            ports: self.ports.saturating_add(other.ports),
        }
    }

    #[must_use]
    pub const fn times(self, number: u64) -> Self {
        Self {
            cpu: self.cpu.saturating_mul(number),
            memory: self.memory.saturating_mul(number),
            instances: self.instances.saturating_mul(number),
            ports: self.ports.saturating_mul(number),
        }
    }
}
