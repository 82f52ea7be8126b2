//! Writes the machine's load into its log, and ends at once when it is told to.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::failure::Failure;
use crate::output::say;

/// Between two lines.
const PAUSE: Duration = Duration::from_secs(5);

/// As the first process of a container it is sent no signal that it does not listen for.
pub(crate) async fn run() -> Result<(), Failure> {
    let listen = signal(SignalKind::terminate());
    let mut terminate = listen.map_err(|e| Failure::from_error("signals cannot be received", &e))?;
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = ticks.tick() => say(load().trim_end())?,
        }
    }
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_else(|error| error.to_string())
}
