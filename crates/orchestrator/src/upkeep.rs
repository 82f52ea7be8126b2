//! What must be done now and then while the orchestrator runs.

use std::time::Duration;

use holm_link::UnixTime;
use holm_link::authority::ServerName;
use holm_link::clock::Clock;
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

/// A new server certificate at two thirds of the old one's life. It is signed here, so nobody is asked.
/// Ends when it is dropped.
pub(crate) async fn renew_certificate(
    signer: &Signer,
    certificate: &ServerCertificate,
    names: &[ServerName],
    meter: &Meter,
    mut renew_at: UnixTime,
) {
    loop {
        let left = renew_at.as_secs().saturating_sub(signer.now().as_secs());
        tokio::time::sleep(Duration::from_secs(left).min(LOOK)).await;
        if signer.now() < renew_at {
            continue;
        }
        match renew(signer, certificate, names) {
            Ok((next, expires)) => {
                meter.server_expires_at(expires);
                tracing::info!("Our server's certificate was renewed.");
                renew_at = next;
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
) -> Result<(UnixTime, UnixTime), String> {
    let credentials = signer.server(names).map_err(|e| describe(&e))?;
    certificate.replace(&credentials).map_err(|e| describe(&e))?;
    Ok((credentials.renew_at(), credentials.expires_at()))
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
