//! Nodes of a cluster of ours that do not hear it, and say here what they run.
//!
//! Each has a connection of its own, on which nothing else is said; the machine decides what the words count. Those that
//! are heard are reached by it: for logs, a command, use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use holm_core::orchestrator::Event;
use holm_link::cbor;
use holm_link::session::{OpenError, Session, Transport, Tunnel, Tunnels};
use holm_link::verify::PeerIdentity;
use holm_model::id::MemberId;
use holm_model::message::{Hearing, Testimony};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::Limits;
use crate::handle::Inputs;
use crate::links::session_limits;
use crate::transfers::Transfers;

/// The newest connection of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witnesses(Arc<Mutex<HashMap<(MemberId, MemberId), Witness>>>);

#[derive(Debug)]
struct Witness {
    cut: CancellationToken,
    /// Since it is heard.
    tunnels: Option<Tunnels>,
}

/// Who says more often waits.
const PACE: Duration = Duration::from_secs(1);

impl Witnesses {
    /// Hears it in a task of its own, and nobody else any more who says to be the same.
    pub(crate) fn start<IO: Transport>(
        &self,
        peer: PeerIdentity,
        stream: IO,
        inputs: Inputs,
        transfers: Transfers,
        limits: Limits,
    ) {
        let identity = peer.identity.clone();
        let Some(of) = cluster_and_node(&peer).filter(|_| !peer.expired) else {
            tracing::info!(%identity, "A certificate is for no node of a cluster, or has expired; it is not heard.");
            return;
        };
        let cut = CancellationToken::new();
        let witness = Witness { cut: cut.clone(), tunnels: None };
        if let Some(before) = self.table(|table| table.insert(of, witness)) {
            before.cut.cancel();
        }
        tracing::info!(%identity, "A node tells what it runs; its cluster is silent to it.");
        let witnesses = self.clone();
        tokio::spawn(async move {
            let serials = peer.serials.iter().map(ToString::to_string).collect();
            let hearing = witnesses.hear(of, serials, stream, (&inputs, &transfers), &limits);
            cut.run_until_cancelled(hearing).await;
            if !cut.is_cancelled() {
                witnesses.table(|table| table.remove(&of));
            }
            tracing::info!(%identity, "It says nothing here any more.");
        });
    }

    async fn hear<IO: Transport>(
        &self,
        (cluster, node): (MemberId, MemberId),
        serials: Vec<String>,
        stream: IO,
        (inputs, transfers): (&Inputs, &Transfers),
        limits: &Limits,
    ) {
        let Session { sender, mut receiver, tunnels, .. } = Session::server(stream, &session_limits(limits));
        while let Ok(Some(Ok(frame))) = timeout(limits.silence, receiver.recv()).await {
            let Ok(Testimony { runs, asks }) = cbor::decode(&frame, limits.message) else { break };
            let shown = serials.clone();
            let heard = inputs.query(move |machine| machine.hears_witness(cluster, node, &shown)).await;
            let refused = match heard {
                None => break,
                Some(Ok(())) => {
                    let runs = runs.into_iter().collect();
                    if !inputs.event(Event::Witnessed { cluster, node, runs }).await {
                        break;
                    }
                    self.is_heard((cluster, node), &tunnels);
                    None
                }
                Some(Err(why)) => Some(why.to_owned()),
            };
            let invited = match asks.filter(|_| refused.is_none()) {
                Some(called) => transfers.take_in((cluster, node), called).await,
                None => None,
            };
            let over = refused.is_some();
            let Ok(answer) = cbor::encode(&Hearing { refused, invited }) else { break };
            if sender.send(Bytes::from(answer)).await.is_err() || over {
                break;
            }
            sleep(PACE).await;
        }
        sender.close();
    }

    /// A tunnel to the node at the end of this path, if it is heard here.
    pub(crate) async fn open(&self, path: &[MemberId]) -> Option<Result<Tunnel, OpenError>> {
        let [cluster, node] = *path else { return None };
        let tunnels = self.table(|table| table.get(&(cluster, node))?.tunnels.clone())?;
        Some(tunnels.open().await)
    }

    fn is_heard(&self, of: (MemberId, MemberId), tunnels: &Tunnels) {
        self.table(|table| {
            // A newer connection replaces and cuts this one.
            if let Some(witness) = table.get_mut(&of).filter(|witness| !witness.cut.is_cancelled()) {
                witness.tunnels.get_or_insert_with(|| tunnels.clone());
            }
        });
    }

    /// Nothing that holds the lock can panic half-way.
    fn table<T>(&self, look: impl FnOnce(&mut HashMap<(MemberId, MemberId), Witness>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The last two names: whoever signed for the one signed below itself.
fn cluster_and_node(peer: &PeerIdentity) -> Option<(MemberId, MemberId)> {
    let [.., cluster, node] = peer.identity.path() else { return None };
    Some((cluster.parse().ok()?, node.parse().ok()?))
}
