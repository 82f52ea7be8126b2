//! `holm-meter run`: measures, keeps and sends, for ever.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use crate::config::Config;
use crate::outbox::{Limits, Outbox};
use crate::probe::Probe;
use crate::reading::Measured;
use crate::schedule::{Every, LATE, jitter};
use crate::sender::{Lines, Sender};

/// So many readings are sent at once.
const BATCH: usize = 500;
/// A telegram older than that is not what the meter says now.
const FRESH: u64 = 60;
/// The clock may be set meanwhile: so long is slept at most.
const NAP: u64 = 10;

/// Seconds since 1970 of the platform's clock.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// # Errors
/// The outbox or a thread could not be had at the start; later failures are said and tried again.
pub fn run(config: &Config) -> Result<()> {
    let mut outbox = Outbox::open(&config.outbox, Limits::default())
        .with_context(|| format!("cannot open the outbox {}", config.outbox.display()))?;
    let probes = config.probes.iter().cloned().map(Probe::start).collect::<Result<Vec<_>, _>>()?;
    let mut sender = config.send_to.clone().map(Lines::new);
    let mut measuring = Every::new(config.measure_every, 0, now());
    let mut sending = Every::new(config.send_every, jitter(&config.device, config.send_every), now());
    loop {
        let wait = measuring.wait(now()).min(sending.wait(now())).min(NAP);
        thread::sleep(Duration::from_secs(wait.max(1)));
        if let Some(at) = measuring.due(now()) {
            let late = now().saturating_sub(at) > LATE;
            let kept = if late { Ok(()) } else { measure(&probes, &mut outbox, at) };
            kept.unwrap_or_else(|error| eprintln!("holm-meter: cannot keep what was measured: {error:#}"));
        }
        if let (Some(_), Some(sender)) = (sending.due(now()), &mut sender) {
            send(&mut outbox, sender)
                .unwrap_or_else(|error| eprintln!("holm-meter: cannot send, trying again later: {error:#}"));
        }
    }
}

fn measure(probes: &[Probe], outbox: &mut Outbox, at: u64) -> Result<()> {
    let mut measured = Vec::new();
    for probe in probes {
        match probe.latest() {
            Some(seen) if now().abs_diff(seen.received) <= FRESH => {
                measured.push(Measured::new(&probe.name, seen.telegram, at, seen.received));
            }
            _ => eprintln!(
                "holm-meter: probe {}: nothing heard for {FRESH} s; this time is left out",
                probe.name
            ),
        }
    }
    outbox.append(measured)?;
    let lost = outbox.prune(at)?;
    if lost > 0 {
        eprintln!("holm-meter: the outbox is full: {lost} readings that were never sent are gone");
    }
    Ok(())
}

fn send(outbox: &mut Outbox, sender: &mut impl Sender) -> Result<()> {
    loop {
        let batch: Vec<_> = outbox.pending().take(BATCH).cloned().collect();
        if batch.is_empty() {
            return Ok(());
        }
        sender.send(&batch)?;
        let mut through = BTreeMap::new();
        for reading in &batch {
            through.insert(&reading.measured.series, reading.sequence + 1);
        }
        for (series, before) in through {
            outbox.taken(series, before)?;
        }
    }
}
