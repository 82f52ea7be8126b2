//! Steps that run to their end on the node before each start of an instance.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One of them; it sees what the instance sees, its ports excepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Program and arguments, never empty. May contain templates, as the service's own command.
    pub command: Vec<String>,
    /// Whoever has not ended after this has failed.
    pub timeout: Duration,
}

// === impl Step ===

impl Step {
    /// The default of [`Step::timeout`].
    pub const TIMEOUT: Duration = Duration::from_secs(600);
}
