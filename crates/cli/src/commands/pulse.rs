//! When to look again: something happened, or a second has passed.

use std::time::Duration;

use futures::StreamExt as _;
use holm_client::{Client, Events, Notice};
use holm_model::view::EventView;
use holm_model::view::query::EventQuery;
use tokio::time::{Instant, sleep_until, timeout};

use crate::failure::Failure;

/// Watches an orchestrator. What it says is only that something may have changed: whoever waits lists anew.
#[derive(Debug)]
pub(crate) struct Pulse {
    events: Events,
    next: Instant,
}

/// So that ages go on, and a change that no event tells of is seen.
const TICK: Duration = Duration::from_secs(1);
/// Events that come together cause one look.
const TOGETHER: Duration = Duration::from_millis(20);

// === impl Pulse ===

impl Pulse {
    pub(crate) async fn open(client: &Client) -> Result<Self, Failure> {
        Ok(Self { events: client.events(&EventQuery::default()).await?, next: Instant::now() })
    }

    /// Returns when it is time to look again, with what happened.
    pub(crate) async fn beat(&mut self) -> Result<Vec<EventView>, Failure> {
        let mut happened = Vec::new();
        tokio::select! {
            () = sleep_until(self.next) => {}
            notice = self.events.next() => {
                happened.extend(event(notice)?);
                while let Ok(notice) = timeout(TOGETHER, self.events.next()).await {
                    happened.extend(event(notice)?);
                }
            }
        }
        self.next = Instant::now() + TICK;
        Ok(happened)
    }
}

fn event(notice: Option<Result<Notice, holm_client::Error>>) -> Result<Option<EventView>, Failure> {
    match notice {
        Some(Ok(Notice::Event(event))) => Ok(Some(*event)),
        Some(Ok(Notice::Resync)) => Ok(None),
        Some(Err(error)) => Err(error.into()),
        None => Err(Failure::new("the orchestrator has ended the stream of events")),
    }
}
