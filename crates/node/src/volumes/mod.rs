//! Named volumes on their way from one node to another, one tunnel for each round.
//!
//! ```text
//! giver: Begin ── Entries … ── Listed ──────────► Data … End (or Gone), for each file in turn
//! taker:                          └─► File, File, … (what differs), Done
//! ```
//!
//! The taker asks for all that it lacks without waiting; whoever reads slowly slows the other. What has come stays when
//! a round breaks: the next asks only for the rest, of a long file from where it was.

mod give;
mod take;

use serde::{Deserialize, Serialize};

use holm_runtime::volume::Entry;

pub(crate) use give::{Offer, give};
pub(crate) use take::{Round, TakeError, take};

/// From the node that has them.
#[derive(Debug, Serialize, Deserialize)]
enum Told {
    /// `over`: the instance has ended before the list was made.
    Begin {
        over: bool,
        volumes: u32,
    },
    /// Instead of that: these volumes are the ones that the taker fills.
    Same,
    /// Of one volume, directories before what is in them.
    Entries {
        volume: u32,
        entries: Vec<Entry>,
    },
    Listed,
    Data(#[serde(with = "serde_bytes")] Vec<u8>),
    /// SHA-256 of the whole file.
    End(#[serde(with = "serde_bytes")] Vec<u8>),
    /// It is there no more, or was changed meanwhile.
    Gone,
}

/// From the node that fetches them.
#[derive(Debug, Serialize, Deserialize)]
enum Ask {
    /// A file of the list, from this byte on.
    File {
        volume: u32,
        #[serde(with = "serde_bytes")]
        path: Vec<u8>,
        size: u64,
        from: u64,
    },
}

/// Runs what may wait for a disk; it is finished even when nobody waits for it any more.
pub(crate) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
}
