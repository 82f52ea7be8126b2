//! What becomes of a service when a node or a cluster is lost, and when it returns.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The rules of one service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Healing {
    /// When its node, or the cluster of its node, is silent.
    #[serde(default, skip_serializing_if = "OnNodeLoss::is_default")]
    pub on_node_loss: OnNodeLoss,
    /// When that returns, and a replacement is there.
    #[serde(default, skip_serializing_if = "Reconcile::is_default")]
    pub reconcile: Reconcile,
    /// No slot of it ever runs twice: an instance ends itself when its lease ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exclusive: bool,
}

/// What follows when nothing is heard of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnNodeLoss {
    /// Replaced after the orchestrator's own deadline.
    #[default]
    Replace,
    /// Replaced after this silence.
    ReplaceAfter(Duration),
    /// Nothing is placed elsewhere: its data is there.
    WaitForReturn,
}

/// Which of two copies stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reconcile {
    /// The one that was there first, if it still runs.
    KeepOriginal,
    #[default]
    KeepReplacement,
    /// The one whose place the service's strategy and preferences rank better.
    BestScore,
    /// The original if it ran on without a break, else the replacement: decided without anybody's clock.
    LongestRunning,
}

/// An exclusive instance is asked to end so long before the end of its lease; nothing is started with less.
pub const LEASE_WARNING: Duration = Duration::from_secs(2);
/// Longest graceful end of an exclusive instance, drain and grace: its lease is not renewed meanwhile.
pub const LONGEST_ENDING: Duration = Duration::from_secs(20);
/// Shortest [`OnNodeLoss::ReplaceAfter`]: two keep-alives may be lost.
pub const SHORTEST_LOSS: Duration = Duration::from_secs(10);
/// Longest: whoever waits for longer waits for the return.
pub const LONGEST_LOSS: Duration = Duration::from_secs(30 * 86_400);

// === impl Healing ===

impl Healing {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Its key in a manifest, if one of them has to be obeyed.
    #[must_use]
    pub fn must(&self) -> Option<&'static str> {
        let musts = [
            ("exclusive", self.exclusive),
            ("on-node-loss", !self.on_node_loss.is_default()),
            ("reconcile", !self.reconcile.is_default()),
        ];
        musts.into_iter().find_map(|(key, asked)| asked.then_some(key))
    }
}

// === impl OnNodeLoss ===

impl OnNodeLoss {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The silence is longer than the service's own deadline, if it has one.
    #[must_use]
    pub fn is_over_after(self, silence: Duration) -> bool {
        matches!(self, Self::ReplaceAfter(after) if silence >= after)
    }

    /// The silence after which a replacement is made, where `usual` is the orchestrator's own; `None`: never.
    #[must_use]
    pub const fn replaces_after(self, usual: Duration) -> Option<Duration> {
        match self {
            Self::Replace => Some(usual),
            Self::ReplaceAfter(after) => Some(after),
            Self::WaitForReturn => None,
        }
    }
}

// === impl Reconcile ===

impl Reconcile {
    pub const ALL: [(&'static str, Self); 4] = [
        ("keep-original", Self::KeepOriginal),
        ("keep-replacement", Self::KeepReplacement),
        ("best-score", Self::BestScore),
        ("longest-running", Self::LongestRunning),
    ];

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
