//! The time by which certificates are judged.
//!
//! A machine without a battery clock starts in 1970, or wherever it was switched off. Its orchestrator
//! tells it the *platform time*, which is a lower bound: it is kept on disk, goes on by itself while
//! the machine runs, and never goes back, so that whoever sets the local clock back revives no old
//! certificate.
//!
//! How far an orchestrator may move it, since a member whose clock ran ahead would refuse everybody:
//!
//! 1. Only the orchestrator that has proved to be the member's own, and never backwards.
//! 2. Never beyond two thirds of the life of the certificate by which it proved so. An honest one shows
//!    no older certificate; and whatever it makes next is still valid at a time moved so far.
//! 3. A local clock that is later than the founding of the sea is not evidently wrong: then at most
//!    [`LEAP`] beyond it. An orchestrator that starts once with a wrong year does not cut off its
//!    members for a year.
//!
//! The way back by hand is to stop the member and remove the file [`FILE`].

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use tokio::sync::watch;

use crate::files::{self, FileError};
use crate::verify::PeerIdentity;

/// The later of the local clock and the platform time; clones are the same clock.
#[derive(Clone)]
pub struct Clock {
    local: LocalClock,
    platform: Arc<watch::Sender<Platform>>,
}

/// What this machine takes for the time.
#[derive(Clone)]
pub struct LocalClock(Arc<dyn Fn() -> UnixTime + Send + Sync>);

/// The platform time at a moment; from then on it goes on by itself.
#[derive(Clone, Copy, Debug)]
struct Platform {
    time: UnixTime,
    since: Instant,
}

/// How far a local clock that is not evidently wrong may be behind: well below the life of a server's
/// certificate, so that the next one that is made is still accepted.
pub const LEAP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// In the data directory: Unix seconds as text.
pub const FILE: &str = "platform-time";
/// The file is written when the time in it is older than this: disks of small machines wear out.
const KEEP: Duration = Duration::from_secs(60 * 60);

// === impl LocalClock ===

impl LocalClock {
    /// A clock that is told: for tests and simulations.
    #[must_use]
    pub fn told(time: impl Fn() -> UnixTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(time))
    }

    fn now(&self) -> UnixTime {
        (self.0)()
    }
}

impl Default for LocalClock {
    /// The system's clock.
    fn default() -> Self {
        Self::told(UnixTime::now)
    }
}

impl fmt::Debug for LocalClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LocalClock").field(&self.now()).finish()
    }
}

// === impl Clock ===

impl Clock {
    #[must_use]
    pub fn new(local: LocalClock, platform: UnixTime) -> Self {
        let platform = Platform { time: platform, since: Instant::now() };
        Self { local, platform: Arc::new(watch::Sender::new(platform)) }
    }

    /// With the platform time that was kept in `dir`.
    #[must_use]
    pub fn open(dir: &Path, local: LocalClock) -> Self {
        let kept = load(dir).unwrap_or_else(|error| {
            // Less is protected, nothing is broken: it will be heard again.
            tracing::warn!(%error, "The last platform time is lost; only the local clock counts for now.");
            EPOCH
        });
        Self::new(local, kept)
    }

    /// A clock that is told and has heard nothing: for tests and simulations.
    #[must_use]
    pub fn told(local: impl Fn() -> UnixTime + Send + Sync + 'static) -> Self {
        Self::new(LocalClock::told(local), EPOCH)
    }

    #[must_use]
    pub fn now(&self) -> UnixTime {
        self.local.now().max(self.platform())
    }

    /// The earlier of the two, if the local clock is not evidently wrong for a sea that was `founded` then: those
    /// who have heard no platform time judge by such a clock.
    #[must_use]
    pub fn earliest(&self, founded: UnixTime) -> UnixTime {
        let (local, now) = (self.local.now(), self.now());
        if local >= founded { local.min(now) } else { now }
    }

    /// The platform time as far as it was heard.
    #[must_use]
    pub fn platform(&self) -> UnixTime {
        self.platform.borrow().now()
    }

    /// `peer`, our orchestrator, said what time it is; the module's rules say what is believed.
    pub fn hear(&self, said: UnixTime, peer: &PeerIdentity) {
        let local = self.local.now();
        let believed = said.min(peer.fresh_until());
        let plausible = local >= peer.sea_since;
        self.raise(if plausible { believed.min(later(local, LEAP)) } else { believed });
    }

    /// The local clock is the sea's: this machine is the root.
    pub fn vouch(&self) {
        self.raise(self.local.now());
    }

    /// Keeps the platform time in `dir`, rarely. Ends when it is dropped.
    pub async fn keep(&self, dir: &Path) {
        let mut raised = self.platform.subscribe();
        // What cannot be read is written anew.
        let mut kept = load(dir).unwrap_or(EPOCH);
        loop {
            let now = self.platform();
            if now >= later(kept, KEEP) {
                match save(dir, now) {
                    Ok(()) => kept = now,
                    Err(error) => tracing::warn!(%error, "The platform time cannot be kept; trying again."),
                }
            }
            tokio::select! {
                // The sender is ours.
                _ = raised.changed() => {}
                () = tokio::time::sleep(KEEP) => {}
            }
        }
    }

    fn raise(&self, time: UnixTime) {
        self.platform.send_if_modified(|platform| {
            let later = time > platform.now();
            if later {
                *platform = Platform { time, since: Instant::now() };
            }
            later
        });
    }
}

impl Default for Clock {
    /// The system's clock; nothing was heard.
    fn default() -> Self {
        Self::new(LocalClock::default(), EPOCH)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("local", &self.local).field("platform", &self.platform()).finish()
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.now())
    }
}

// === impl Platform ===

impl Platform {
    fn now(self) -> UnixTime {
        // Before anything was heard there is nothing that could go on.
        if self.time == EPOCH { EPOCH } else { later(self.time, self.since.elapsed()) }
    }
}

const EPOCH: UnixTime = UnixTime::since_unix_epoch(Duration::ZERO);

/// Whole seconds, as certificates have them.
fn later(time: UnixTime, by: Duration) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(time.as_secs().saturating_add(by.as_secs())))
}

/// The epoch when nothing was kept.
fn load(dir: &Path) -> Result<UnixTime, FileError> {
    let path = dir.join(FILE);
    let Some(text) = files::read(&path)? else { return Ok(EPOCH) };
    let seconds = text.trim().parse().map_err(|_| FileError::Content { path, what: "platform time" })?;
    Ok(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}

fn save(dir: &Path, time: UnixTime) -> Result<(), FileError> {
    files::write_secret(&dir.join(FILE), &format!("{}\n", time.as_secs()))
}

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;
