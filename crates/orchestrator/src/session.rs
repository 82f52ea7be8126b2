//! The life of one control session, on either side: messages out of a queue, messages in, its end.
//!
//! ```text
//! open ──(queue closed, or a last message)──► draining ──► Finished
//!   ├──(cut)──► Cut        ├──(nothing heard)──► Silent
//!   └──(peer ends)──► Ended └──(nonsense in a row, or a frame too large)──► Nonsense
//! ```

use std::time::Duration;

use bytes::Bytes;
use holm_core::orchestrator::Event;
use holm_link::cbor;
use holm_link::session::{ControlReceiver, ControlSender, SessionEnd};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::Limits;
use crate::handle::Inputs;

/// What a session's queue holds.
#[derive(Debug)]
pub(crate) enum Outgoing<M> {
    Message(M),
    /// Nothing follows: the session is closed once it is sent.
    Last(M),
}

/// Why a session is over, for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum End {
    #[error("closed by this side")]
    Finished,
    #[error("cut by this side")]
    Cut,
    #[error(transparent)]
    Ended(#[from] SessionEnd),
    #[error("nothing was heard for {0:?}")]
    Silent(Duration),
    #[error("the peer sends what is no message of this version")]
    Nonsense,
    #[error("this side wrote a message that cannot be sent (a bug)")]
    Unsendable,
}

/// How long a last message waits for the peer's first one.
const BEGIN: Duration = Duration::from_secs(1);

/// Runs until the session is over, and closes it.
///
/// Each message is handed in as the event that `event` makes of it, if any; while the owner is busy,
/// nothing more is read.
pub(crate) async fn converse<In, Out>(
    control: (ControlSender, ControlReceiver),
    queue: mpsc::Receiver<Outgoing<Out>>,
    limits: &Limits,
    cut: &CancellationToken,
    inputs: &Inputs,
    event: impl FnMut(In) -> Option<Event>,
) -> End
where
    In: DeserializeOwned,
    Out: Serialize,
{
    let (sender, receiver) = control;
    let begun = Notify::new();
    let end = tokio::select! {
        end = write(&sender, queue, &begun) => end,
        end = read(receiver, limits, &begun, inputs, event) => end,
        () = cut.cancelled() => End::Cut,
    };
    sender.close();
    end
}

async fn write<Out: Serialize>(
    sender: &ControlSender,
    mut queue: mpsc::Receiver<Outgoing<Out>>,
    begun: &Notify,
) -> End {
    while let Some(outgoing) = queue.recv().await {
        let (message, last) = match outgoing {
            Outgoing::Message(message) => (message, false),
            Outgoing::Last(message) => {
                // The stream is there once the member has spoken; before, nothing would arrive.
                let _ = timeout(BEGIN, begun.notified()).await;
                (message, true)
            }
        };
        let sent = match cbor::encode(&message) {
            Ok(bytes) => sender.send(Bytes::from(bytes)).await,
            Err(_) => return End::Unsendable,
        };
        match sent {
            Ok(()) if last => return End::Finished,
            Ok(()) => {}
            Err(holm_link::session::SendError::TooLarge { .. }) => return End::Unsendable,
            // The reader tells why.
            Err(holm_link::session::SendError::Over) => return std::future::pending().await,
        }
    }
    End::Finished
}

async fn read<In: DeserializeOwned>(
    mut receiver: ControlReceiver,
    limits: &Limits,
    begun: &Notify,
    inputs: &Inputs,
    mut event: impl FnMut(In) -> Option<Event>,
) -> End {
    let mut nonsense = 0;
    loop {
        let frame = match timeout(limits.silence, receiver.recv()).await {
            Err(_) => return End::Silent(limits.silence),
            Ok(None) => return receiver.ended().await.into(),
            Ok(Some(Err(_))) => return End::Nonsense,
            Ok(Some(Ok(frame))) => frame,
        };
        begun.notify_one();
        match cbor::decode(&frame, limits.message) {
            Ok(message) => {
                nonsense = 0;
                if let Some(event) = event(message)
                    && !inputs.event(event).await
                {
                    return End::Finished;
                }
            }
            Err(error) => {
                nonsense += 1;
                tracing::debug!(%error, nonsense, "A message was skipped.");
                if nonsense >= limits.nonsense {
                    return End::Nonsense;
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
