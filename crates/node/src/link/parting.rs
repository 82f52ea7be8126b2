//! The other membership ends: its orchestrator is told until the certificate is void.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holm_link::backoff::Backoff;
use holm_link::cbor;
use holm_link::clock::Clock;
use holm_link::dial::{DialError, Dialer};
use holm_link::listen::Channel;
use holm_link::revocation::Revocations;
use holm_link::session::{Session, SessionEnd};
use holm_model::item::Digest;
use holm_model::member::Role;
use holm_model::message::{Down, Hello, PROTOCOL, READS, Up};
use holm_model::name::Name;
use tokio::time::timeout;

use super::session::{REVOKED, limits};
use crate::memberships::Other;
use crate::random;

const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(300));
/// For the welcome, and for the end.
const PATIENCE: Duration = Duration::from_secs(15);

/// Returns when the orchestrator takes the credentials no more; cancel by dropping.
pub(super) async fn leave(other: Arc<Other>, name: Name, revocations: Revocations, clock: Clock) {
    let mut backoff = Backoff::new(WAITS.0, WAITS.1);
    while !tell(&other, &name, revocations.clone(), clock.clone()).await {
        tokio::time::sleep(backoff.failed(random())).await;
    }
}

/// Whether the certificate is void.
async fn tell(other: &Other, name: &Name, revocations: Revocations, clock: Clock) -> bool {
    let Ok(dialer) = Dialer::new(&other.credentials, revocations, clock) else { return false };
    let connected = match dialer.connect(&other.address, Channel::Control).await {
        Ok(connected) => connected,
        Err(DialError::Refused { alert, .. }) => return alert == REVOKED,
        Err(_) => return false,
    };
    let Session { sender, mut receiver, .. } = Session::client(connected.stream, &limits());
    let hello = Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        role: Role::Node,
        name: name.clone(),
        obeyed: None,
        digest: Digest::default(),
        reads: READS,
    };
    let talk = async {
        for message in [Up::Hello(hello), Up::Leave] {
            let Ok(bytes) = cbor::encode(&message) else { return };
            if sender.send(Bytes::from(bytes)).await.is_err() {
                return;
            }
            while let Some(Ok(frame)) = receiver.recv().await {
                if matches!(cbor::decode(&frame, usize::MAX), Ok(Down::Welcome(_))) {
                    break;
                }
            }
        }
    };
    let _ = timeout(PATIENCE, talk).await;
    let end = timeout(PATIENCE, receiver.ended()).await;
    sender.close();
    matches!(end, Ok(SessionEnd::Refused(alert)) if alert == REVOKED)
}
