//! What a driver is told to run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use holm_model::id::{AssignmentId, WishId};
use holm_model::name::Name;
use holm_model::service::ServiceSpec;
use serde::{Deserialize, Serialize};

use crate::given::Given;

/// One incarnation of an instance, with everything that the node decides already decided.
#[derive(Clone, Debug)]
pub struct Launch {
    pub id: AssignmentId,
    /// Counts the starts of this id; tells the events of two incarnations apart.
    pub incarnation: u32,
    /// Whose application it is of.
    pub project: Name,
    /// For people, in notes and listings: `building/web/2`.
    pub name: String,
    /// Whose named volumes it mounts: a new creation of an application does not inherit the old one's.
    pub wish: WishId,
    /// Templates are already resolved.
    pub spec: ServiceSpec,
    /// The whole environment; `spec.env` is not looked at.
    pub env: BTreeMap<String, String>,
    pub ports: BTreeMap<Name, PortMap>,
    /// A directory of the node that the instance can read (addresses of its peers).
    pub files: Option<PathBuf>,
    /// Boot time at which it ends by itself unless its lease is renewed; `None`: it needs none.
    pub lease: Option<Duration>,
    /// What must not lie on a disk.
    pub given: Given,
    /// Which step before the start this is, from 1; `None`: the program itself.
    pub step: Option<u32>,
    /// Steps of this incarnation have run: its log has begun.
    pub after_steps: bool,
}

/// A TCP port of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMap {
    /// On the node.
    pub host: u16,
    /// Inside a container; `None`: the same number.
    pub container: Option<u16>,
}

/// How far a preparation has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// For people: `pulling nginx:1.27`.
    pub what: String,
    /// Bytes done, as far as they are known.
    pub done: u64,
    /// Bytes in all, as far as they are known; grows while a pull discovers its layers.
    pub total: u64,
}
