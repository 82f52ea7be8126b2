//! Whether the disk takes writes, and when to find out again.

use std::time::Duration;

use holm_link::backoff::Backoff;
use holm_model::record::{Batch, Table, Write};

/// Pure: times (boot time) and random numbers come in.
#[derive(Debug)]
pub(crate) struct Health {
    failure: Option<Failure>,
    backoff: Backoff,
}

#[derive(Debug)]
struct Failure {
    reason: String,
    retry_at: Duration,
}

const BASE: Duration = Duration::from_millis(250);
const CAP: Duration = Duration::from_secs(10);
/// Written and removed in one transaction.
const PROBE: &str = "probe";

// === impl Health ===

impl Health {
    pub(crate) const fn new() -> Self {
        Self { failure: None, backoff: Backoff::new(BASE, CAP) }
    }

    /// Why the orchestrator is read-only; none while it is not.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.failure.as_ref().map(|failure| failure.reason.as_str())
    }

    /// When to try again; none while the disk takes writes.
    pub(crate) fn retry_at(&self) -> Option<Duration> {
        self.failure.as_ref().map(|failure| failure.retry_at)
    }

    pub(crate) fn failed(&mut self, now: Duration, reason: String, random: u64) {
        let wait = self.backoff.failed(random).max(BASE);
        self.failure = Some(Failure { reason, retry_at: now + wait });
    }

    /// Tells whether that is news.
    pub(crate) fn succeeded(&mut self) -> bool {
        self.backoff.succeeded();
        self.failure.take().is_some()
    }

    /// A transaction that needs the disk and changes nothing.
    pub(crate) fn probe() -> Batch {
        let write = |value| Write { table: Table::Meta, key: PROBE.to_owned(), value };
        // As large as an ordinary row, so that a nearly full disk is not taken for a good one.
        Batch { writes: vec![write(Some(vec![b' '; 4096])), write(None)], ..Batch::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_get_rarer_and_success_is_news_once() {
        let mut health = Health::new();
        assert!(health.reason().is_none());
        health.failed(Duration::ZERO, "full".to_owned(), u64::MAX);
        let first = health.retry_at().unwrap();
        assert!(first > Duration::ZERO);
        health.failed(first, "full".to_owned(), u64::MAX);
        assert!(health.retry_at().unwrap() - first > first);
        assert_eq!(health.reason(), Some("full"));
        assert!(health.succeeded());
        assert!(!health.succeeded());
    }
}
