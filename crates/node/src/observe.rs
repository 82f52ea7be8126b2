//! What is looked at again and again: usage every `interval`, hardware and runtimes less often.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use holm_core::node::{NodeEvent, RuntimeEvent, Space};
use holm_model::member::{NodeFacts, RuntimeFacts};
use holm_model::time::Time;
use holm_store::{Keep, Store};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::agent::Input;
use crate::amendments::Narrator;
use crate::clock;
use crate::directory::Directory;
use crate::facts::Detector;
use crate::history::History;
use crate::peers::Peers;
use crate::runtimes::Runtimes;
use crate::usage::Meter;

/// How often the history is shortened, and to what.
const PRUNE_TIME: Duration = Duration::from_secs(60 * 60);
const KEEP_TIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const KEEP_ROWS: u64 = 10_000;
/// Instances that are measured at the same time.
const AT_ONCE: usize = 8;

/// Reports usage of the node and of each running instance until it is dropped.
pub(crate) async fn usage(
    mut meter: Meter,
    (directory, history): (Directory, History),
    every: Duration,
    inputs: mpsc::Sender<Input>,
) {
    let mut ticks = ticks(Duration::ZERO, every);
    loop {
        ticks.tick().await;
        let Ok((read, sample)) = tokio::task::spawn_blocking(move || {
            let sample = meter.read();
            (meter, sample)
        })
        .await
        else {
            return;
        };
        meter = read;
        history.add_node(clock::now().boot, sample);
        let space = Space { total: sample.disk_total, free: sample.disk_free };
        for event in [NodeEvent::NodeUsage(sample.reading.usage()), NodeEvent::DiskSpace(space)] {
            if inputs.send(Input::Machine(event)).await.is_err() {
                return;
            }
        }
        let known = directory.all();
        history.keep_only(&known.iter().map(|(id, _)| *id).collect());
        let alive = known.into_iter().filter(|(_, entry)| entry.alive);
        let measured = stream::iter(alive).map(|(id, entry)| {
            let history = &history;
            async move {
                // It may have ended just now.
                let reading = entry.runtime.usage(id).await.ok()?;
                history.add_instance(clock::now().boot, id, reading);
                let event = RuntimeEvent::Usage(reading.usage());
                Some(NodeEvent::Runtime { id, incarnation: entry.incarnation, event })
            }
        });
        let mut measured = measured.buffer_unordered(AT_ONCE);
        while let Some(event) = measured.next().await {
            if let Some(event) = event
                && inputs.send(Input::Machine(event)).await.is_err()
            {
                return;
            }
        }
    }
}

/// Looks at hardware and runtimes again until it is dropped: from time to time, and when a runtime comes or
/// goes. What has not changed is not sent.
pub(crate) async fn facts(
    detector: Arc<Detector>,
    runtimes: Runtimes,
    (narrator, peers): (Narrator, Peers),
    every: Duration,
    inputs: mpsc::Sender<Input>,
) {
    let mut ticks = ticks(every, every);
    loop {
        // Both can be dropped at any time: a tick, and a change that nobody took, are there the next time.
        tokio::select! {
            _ = ticks.tick() => {}
            () = runtimes.changed() => {}
        }
        let Some(facts) = detect(&detector, runtimes.facts().await).await else { return };
        peers.local(runtimes.local_addresses().await, facts.addresses.iter().copied());
        if !narrator.found(facts, &inputs).await {
            return;
        }
    }
}

/// Keeps the history of this node within bounds until it is dropped; orchestrators have their own.
pub(crate) async fn history(store: Store) {
    let mut ticks = ticks(PRUNE_TIME, PRUNE_TIME);
    loop {
        ticks.tick().await;
        let age = i64::try_from(KEEP_TIME.as_millis()).unwrap_or(i64::MAX);
        let since = Time(clock::now().wall.0.saturating_sub(age));
        if let Err(error) = store.prune(Keep { rows: KEEP_ROWS, since }).await {
            tracing::debug!(%error, "The history cannot be shortened now.");
        }
    }
}

/// None when the whole program is being stopped.
pub(crate) async fn detect(detector: &Arc<Detector>, runtimes: Vec<RuntimeFacts>) -> Option<NodeFacts> {
    let detector = Arc::clone(detector);
    tokio::task::spawn_blocking(move || detector.detect(runtimes)).await.ok()
}

fn ticks(first: Duration, every: Duration) -> tokio::time::Interval {
    let mut ticks = interval_at(Instant::now() + first, every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
