//! What `-o json` and the API print, as far as tests look at it. Written anew here, so that a field
//! that is renamed in the program breaks a test.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Instance {
    pub(crate) id: Option<String>,
    pub(crate) application: String,
    pub(crate) service: String,
    pub(crate) slot: String,
    pub(crate) state: String,
    pub(crate) reason: String,
    pub(crate) cluster: Option<String>,
    pub(crate) node: Option<String>,
    pub(crate) runtime: String,
    pub(crate) generation: u64,
    pub(crate) restarts: u32,
    pub(crate) incarnation: u32,
    pub(crate) held: bool,
    pub(crate) ready: bool,
    pub(crate) ports: BTreeMap<String, u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) runtimes: Vec<String>,
    pub(crate) frozen: bool,
    #[serde(default)]
    pub(crate) cluster: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) nodes: u32,
    pub(crate) frozen: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Application {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) unconfirmed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) subject: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) reason: String,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
}

// === impl Instance ===

impl Instance {
    pub(crate) fn runs(&self) -> bool {
        self.state == "RUNNING" && !self.held
    }

    pub(crate) fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_else(|| panic!("nothing fills {}", self.slot))
    }

    pub(crate) fn node(&self) -> &str {
        self.node.as_deref().unwrap_or_default()
    }
}
