//! A node goes from one orchestrator of the sea to another; what travels through links for it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::view::drain::StaysView;

/// A word that is a secret until it is used: shown by no Debug.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

/// The answer to [`Purpose::Invite`](crate::tunnel::Purpose::Invite).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// A join token: good once, for ten minutes, for the node of that name only.
    pub token: Secret,
}

/// The answer to [`Purpose::Empty`](crate::tunnel::Purpose::Empty).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emptied {
    /// What is still there and does not end with the node's membership; empty: it may go.
    pub stays: Vec<StaysView>,
}

// === impl Secret ===

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
