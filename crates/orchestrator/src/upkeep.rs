//! What must be done now and then while the orchestrator runs.

use std::time::Duration;

use holm_link::UnixTime;
use holm_link::authority::ServerName;
use holm_link::clock::Clock;
use holm_link::credentials::Credentials;
use holm_link::listen::ServerCertificate;
use holm_model::time::Time;
use holm_store::{Keep, Store};

use crate::clock;
use crate::describe::describe;
use crate::keys::Signer;
use crate::links::Links;
use crate::meter::Meter;

const HOUR: Duration = Duration::from_secs(3600);
/// The clock may be set meanwhile: it is looked at again at the latest after this.
const LOOK: Duration = Duration::from_secs(60);
/// Milliseconds for which changes are kept: 30 days.
const KEPT: i64 = 30 * 24 * 3600 * 1000;

/// When our server's certificate is replaced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    /// Before that it is not good yet: the clock was set back.
    since: UnixTime,
    renew_at: UnixTime,
}

impl Due {
    pub(crate) fn of(credentials: &Credentials) -> Self {
        Self { since: credentials.not_before(), renew_at: credentials.renew_at() }
    }

    fn has_come(self, signer: &Signer) -> bool {
        signer.now() >= self.renew_at || signer.earliest() < self.since
    }
}

/// A new server certificate at two thirds of the old one's life, or when its time is not there yet. It is signed
/// here, so nobody is asked. Ends when it is dropped.
pub(crate) async fn renew_certificate(
    signer: &Signer,
    certificate: &ServerCertificate,
    names: &[ServerName],
    meter: &Meter,
    mut due: Due,
) {
    loop {
        let left = due.renew_at.as_secs().saturating_sub(signer.now().as_secs());
        tokio::time::sleep(Duration::from_secs(left).min(LOOK)).await;
        if !due.has_come(signer) {
            continue;
        }
        match renew(signer, certificate, names) {
            Ok((next, expires)) => {
                meter.server_expires_at(expires);
                tracing::info!("Our server's certificate was renewed.");
                due = next;
            }
            Err(reason) => {
                tracing::error!(reason, "Our server's certificate was not renewed; trying again.");
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

/// When the new one is due, and when it ends.
fn renew(
    signer: &Signer,
    certificate: &ServerCertificate,
    names: &[ServerName],
) -> Result<(Due, UnixTime), String> {
    let credentials = signer.server(names).map_err(|e| describe(&e))?;
    certificate.replace(&credentials).map_err(|e| describe(&e))?;
    Ok((Due::of(&credentials), credentials.expires_at()))
}

/// Tells members the platform time. A root makes it: its local clock is the sea's. Ends when it is
/// dropped.
pub(crate) async fn tell_time(clock: &Clock, is_root: bool, links: &Links) {
    loop {
        if is_root {
            clock.vouch();
        }
        links.tell_time_to_all();
        tokio::time::sleep(HOUR).await;
    }
}

/// Keeps the history bounded. Ends when it is dropped.
pub(crate) async fn prune(store: &Store, rows: u64) {
    loop {
        let keep = Keep { rows, since: Time(clock::wall().0 - KEPT) };
        if let Err(error) = store.prune(keep).await {
            tracing::warn!(reason = describe(&error), "The history was not shortened; trying again.");
        }
        tokio::time::sleep(HOUR).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use holm_link::authority::Authority;
    use holm_link::clock::LocalClock;

    use super::*;
    use crate::config::CERTIFICATE_LIFE;

    #[test]
    fn a_certificate_of_a_clock_that_was_set_back_is_replaced() {
        static NOW: AtomicU64 = AtomicU64::new(0);
        let days = 60 * 24 * 3600;
        let founded = UnixTime::now();
        NOW.store(founded.as_secs() + 1 + days, Ordering::Relaxed);
        let local =
            LocalClock::told(|| UnixTime::since_unix_epoch(Duration::from_secs(NOW.load(Ordering::Relaxed))));
        let clock = Clock::new(local, founded);
        let signer =
            Signer::new(Authority::create_sea("sea", founded).unwrap(), clock.clone(), CERTIFICATE_LIFE);
        clock.vouch();
        let due = Due::of(&signer.server(&[]).unwrap());
        assert!(!due.has_come(&signer));
        NOW.fetch_sub(days, Ordering::Relaxed);
        assert!(due.has_come(&signer), "whose clock is right takes it for one of the future");
        assert!(!Due::of(&signer.server(&[]).unwrap()).has_come(&signer));
    }
}
