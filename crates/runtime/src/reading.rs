//! What an instance uses, as its runtime tells.

use holm_model::member::Usage;

/// CPU between two readings, memory at the last one, bytes moved since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory: u64,
    /// None where the runtime does not tell.
    pub disk: Option<Moved>,
    /// None where the runtime does not tell.
    pub network: Option<Moved>,
}

/// Bytes, counted from some beginning on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Read from disks, received from networks.
    pub incoming: u64,
    /// Written to disks, sent to networks.
    pub outgoing: u64,
}

// === impl Reading ===

impl Reading {
    /// The part that orchestrators are told all the time.
    #[must_use]
    pub const fn usage(&self) -> Usage {
        Usage { cpu_millis: self.cpu_millis, memory: self.memory }
    }
}

// === impl Moved ===

impl std::iter::Sum for Moved {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |sum, part| Self {
            incoming: sum.incoming.saturating_add(part.incoming),
            outgoing: sum.outgoing.saturating_add(part.outgoing),
        })
    }
}
