//! States of slots, instances, services, applications and members, and who may change what.
//!
//! ```text
//! slot:      REQUESTED → SCHEDULED_CLUSTER → filled by instances, one after the other
//! instance:  SCHEDULED_NODE → PREPARING → STARTING → RUNNING ⇄ PAUSED
//!                                                      │ ├→ MIGRATING → TERMINATED
//!                                                      │ ├→ COMPLETED
//!                                                      │ └→ STOPPING → STOPPED | TERMINATED
//!      → FAILED → next attempt (PREPARING)    node silent past its deadline → DANGLING
//! ```

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant,)*
            /// A word of a newer version.
            #[serde(other)]
            Unknown,
        }
        impl $name {
            /// The word as people see it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* Self::Unknown => "UNKNOWN" }
            }
        }
        // By hand: the derive does not see words that come out of a macro.
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let words = [$($word,)* "Unknown"];
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .enum_values(Some(words))
                    .into()
            }
        }
        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }
    )*};
}

words! {
    /// Of one assignment of a slot to a node.
    InstanceState {
        /// Assigned; the node has not said that it took it.
        ScheduledNode = "SCHEDULED_NODE",
        /// The node fetches what the runtime needs (an image, for example).
        Preparing = "PREPARING",
        Starting = "STARTING",
        Running = "RUNNING",
        Paused = "PAUSED",
        Migrating = "MIGRATING",
        Stopping = "STOPPING",
        /// Ended because people said `stop`; kept on its node.
        Stopped = "STOPPED",
        /// Ended well, a job that is done.
        Completed = "COMPLETED",
        /// Ended badly or never came up; the restart policy says what comes next.
        Failed = "FAILED",
        /// Ended because it is no longer wished.
        Terminated = "TERMINATED",
        /// Its node is silent past the deadline; it may still run there.
        Dangling = "DANGLING",
    }

    /// Of a slot that no instance fills.
    SlotState {
        Requested = "REQUESTED",
        ScheduledCluster = "SCHEDULED_CLUSTER",
        /// An instance has it; the instance's state counts.
        Filled = "FILLED",
        /// All attempts, here and elsewhere, are used up.
        Failed = "FAILED",
    }

    /// Follows from a service's slots.
    ServiceState {
        Initial = "INITIAL",
        Instantiating = "INSTANTIATING",
        Running = "RUNNING",
        Degraded = "DEGRADED",
        Scaling = "SCALING",
        Updating = "UPDATING",
        Paused = "PAUSED",
        Stopped = "STOPPED",
        Completed = "COMPLETED",
        Stopping = "STOPPING",
        Terminated = "TERMINATED",
        Error = "ERROR",
    }

    /// Of a node or cluster as its orchestrator sees it.
    MemberState {
        Online = "online",
        /// Silent for longer than the first deadline.
        Silent = "unknown",
        /// Silent for longer than the second deadline.
        Offline = "offline",
    }

    /// What people want of a service, beside how many.
    RunState {
        Run = "run",
        Stop = "stop",
        Pause = "pause",
    }
}

// === impl InstanceState ===

impl InstanceState {
    /// The one table of legal changes, for the *producer* of a state. A receiver accepts any state
    /// with a higher (incarnation, sequence) and notes the steps that it did not hear of.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        use InstanceState::{
            Completed, Dangling, Failed, Migrating, Paused, Preparing, Running, ScheduledNode, Starting,
            Stopped, Stopping, Terminated,
        };
        match self {
            ScheduledNode => matches!(next, Preparing | Failed | Stopped | Terminated | Dangling),
            Preparing => matches!(next, Starting | Failed | Stopping | Stopped | Terminated | Dangling),
            Starting => matches!(next, Running | Completed | Failed | Stopping | Dangling),
            Running => {
                matches!(next, Paused | Migrating | Completed | Stopping | Failed | Dangling | Terminated)
            }
            Paused => matches!(next, Running | Stopping | Failed | Dangling | Terminated),
            Migrating => matches!(next, Terminated | Stopping | Failed | Dangling | Running),
            Stopping => matches!(next, Stopped | Terminated | Failed | Preparing | Dangling),
            Stopped => matches!(next, Preparing | Terminated | Dangling),
            Completed => matches!(next, Preparing | Terminated | Dangling),
            Failed => matches!(next, Preparing | Stopped | Terminated | Dangling),
            // Back from silence: it is whatever its node says.
            Dangling => !matches!(next, Dangling | Self::Unknown),
            Terminated | Self::Unknown => false,
        }
    }

    /// Something of it may be executing on a node.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(
            self,
            Self::Starting | Self::Running | Self::Paused | Self::Migrating | Self::Stopping | Self::Dangling
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_the_words_that_are_sent() {
        use utoipa::PartialSchema as _;
        let document = serde_json::to_value(ServiceState::schema()).unwrap();
        let words = document["enum"].as_array().unwrap();
        for state in [ServiceState::Initial, ServiceState::Error, ServiceState::Unknown] {
            assert!(words.contains(&serde_json::to_value(state).unwrap()), "{state}");
        }
        assert_eq!(words.len(), 13);
    }

    use InstanceState as I;

    const ALL: [I; 13] = [
        I::ScheduledNode,
        I::Preparing,
        I::Starting,
        I::Running,
        I::Paused,
        I::Migrating,
        I::Stopping,
        I::Stopped,
        I::Completed,
        I::Failed,
        I::Terminated,
        I::Dangling,
        I::Unknown,
    ];

    #[test]
    fn terminated_is_the_end_and_reachable_from_everywhere() {
        for state in ALL {
            assert!(!I::Terminated.may_become(state));
        }
        let mut reached = vec![I::Terminated];
        for _ in ALL {
            for state in ALL {
                if !reached.contains(&state) && reached.iter().any(|r| state.may_become(*r)) {
                    reached.push(state);
                }
            }
        }
        let lost: Vec<_> = ALL.iter().filter(|s| !reached.contains(s) && **s != I::Unknown).collect();
        assert!(lost.is_empty(), "no way to TERMINATED from {lost:?}");
    }

    #[test]
    fn a_word_of_a_newer_version_is_unknown() {
        assert_eq!(serde_json::from_str::<I>("\"LEVITATING\"").unwrap(), I::Unknown);
        assert_eq!(serde_json::to_string(&I::ScheduledNode).unwrap(), "\"SCHEDULED_NODE\"");
    }
}
