//! Nodes of a cluster of ours that do not hear it, and say here what they run.
//!
//! Each has a connection of its own, on which nothing else is said and no tunnel is opened; the machine decides what
//! the words count.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use holm_core::orchestrator::Event;
use holm_link::cbor;
use holm_link::session::{Session, Transport};
use holm_link::verify::PeerIdentity;
use holm_model::id::MemberId;
use holm_model::message::{Hearing, Testimony};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::Limits;
use crate::handle::Inputs;
use crate::links::session_limits;

/// The newest connection of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witnesses(Arc<Mutex<HashMap<(MemberId, MemberId), CancellationToken>>>);

/// Who says more often waits.
const PACE: Duration = Duration::from_secs(1);

impl Witnesses {
    /// Hears it in a task of its own, and nobody else any more who says to be the same.
    pub(crate) fn start<IO: Transport>(
        &self,
        peer: PeerIdentity,
        stream: IO,
        inputs: Inputs,
        limits: Limits,
    ) {
        let identity = peer.identity.clone();
        let Some(of) = cluster_and_node(&peer).filter(|_| !peer.expired) else {
            tracing::info!(%identity, "A certificate is for no node of a cluster, or has expired; it is not heard.");
            return;
        };
        let cut = CancellationToken::new();
        let before = self.table(|table| table.insert(of, cut.clone()));
        before.inspect(CancellationToken::cancel);
        tracing::info!(%identity, "A node tells what it runs; its cluster is silent to it.");
        let witnesses = self.clone();
        tokio::spawn(async move {
            let serials = peer.serials.iter().map(ToString::to_string).collect();
            cut.run_until_cancelled(hear(of, serials, stream, &inputs, &limits)).await;
            if !cut.is_cancelled() {
                witnesses.table(|table| table.remove(&of));
            }
            tracing::info!(%identity, "It says nothing here any more.");
        });
    }

    /// Nothing that holds the lock can panic half-way.
    fn table<T>(&self, look: impl FnOnce(&mut HashMap<(MemberId, MemberId), CancellationToken>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn hear<IO: Transport>(
    (cluster, node): (MemberId, MemberId),
    serials: Vec<String>,
    stream: IO,
    inputs: &Inputs,
    limits: &Limits,
) {
    let Session { sender, mut receiver, .. } = Session::server(stream, &session_limits(limits));
    while let Ok(Some(Ok(frame))) = timeout(limits.silence, receiver.recv()).await {
        let Ok(Testimony { runs }) = cbor::decode(&frame, limits.message) else { break };
        let shown = serials.clone();
        let heard = inputs.query(move |machine| machine.hears_witness(cluster, node, &shown)).await;
        let refused = match heard {
            None => break,
            Some(Ok(())) => {
                let runs = runs.into_iter().collect();
                if !inputs.event(Event::Witnessed { cluster, node, runs }).await {
                    break;
                }
                None
            }
            Some(Err(why)) => Some(why.to_owned()),
        };
        let over = refused.is_some();
        let Ok(answer) = cbor::encode(&Hearing { refused }) else { break };
        if sender.send(Bytes::from(answer)).await.is_err() || over {
            break;
        }
        sleep(PACE).await;
    }
    sender.close();
}

/// The last two names: whoever signed for the one signed below itself.
fn cluster_and_node(peer: &PeerIdentity) -> Option<(MemberId, MemberId)> {
    let [.., cluster, node] = peer.identity.path() else { return None };
    Some((cluster.parse().ok()?, node.parse().ok()?))
}
