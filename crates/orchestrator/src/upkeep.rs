//! What must be done now and then while the orchestrator runs.

use std::time::Duration;

use holm_link::authority::ServerName;
use holm_link::listen::ServerCertificate;
use holm_model::time::Time;
use holm_store::{Keep, Store};

use crate::clock;
use crate::describe::describe;
use crate::keys::{SERVER_RENEWAL, Signer};

const HOUR: Duration = Duration::from_secs(3600);
/// Milliseconds for which changes are kept: 30 days.
const KEPT: i64 = 30 * 24 * 3600 * 1000;

/// A new server certificate long before the old one ends. It is signed here, so nobody is asked.
/// Ends when it is dropped.
pub(crate) async fn renew_certificate(
    signer: &Signer,
    certificate: &ServerCertificate,
    names: &[ServerName],
) {
    let mut made = signer.now().as_secs();
    loop {
        tokio::time::sleep(HOUR).await;
        if signer.now().as_secs().saturating_sub(made) < SERVER_RENEWAL.as_secs() {
            continue;
        }
        match renew(signer, certificate, names) {
            Ok(()) => made = signer.now().as_secs(),
            Err(reason) => tracing::error!(reason, "The server certificate was not renewed; trying again."),
        }
    }
}

fn renew(signer: &Signer, certificate: &ServerCertificate, names: &[ServerName]) -> Result<(), String> {
    let credentials = signer.server(names).map_err(|e| describe(&e))?;
    certificate.replace(&credentials).map_err(|e| describe(&e))
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
