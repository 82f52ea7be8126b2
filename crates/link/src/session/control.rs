//! Stream 0 of a session: control frames, in order, both ways.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::codec::{FramedRead, LengthDelimitedCodec, LengthDelimitedCodecError};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};
use tokio_util::sync::CancellationToken;

use super::{Handle, Limits, SessionEnd};
use crate::frame::{codec, frame};

type Stream = Compat<yamux::Stream>;

/// Sends control frames; clones share one queue.
#[derive(Clone, Debug)]
pub struct ControlSender {
    frames: mpsc::Sender<Bytes>,
    max_frame: usize,
    handle: Arc<Handle>,
}

/// Receives control frames.
#[derive(Debug)]
pub struct ControlReceiver {
    state: State,
    max_frame: usize,
    handle: Arc<Handle>,
}

/// A control frame was not queued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("the session is over; connect again")]
    Over,
    #[error("a control frame of {size} bytes is more than the {limit} allowed; split it")]
    TooLarge { size: usize, limit: usize },
}

/// A control frame was not queued at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrySendError {
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("the peer takes control frames slower than they are made; try again later")]
    Full(Bytes),
}

/// The peer's control frames can be read no further; close the session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    #[error("the peer announced a control frame of more than {limit} bytes; close the session")]
    TooLarge { limit: usize },
}

#[derive(Debug)]
enum State {
    Waiting(oneshot::Receiver<ReadHalf<Stream>>),
    Open(FramedRead<ReadHalf<Stream>, LengthDelimitedCodec>),
    Over,
}

/// The read buffer to begin with: most control frames are small, and most members are idle.
const BUFFER: usize = 512;

/// Starts the writer of the control stream, which comes once it is open.
pub(super) fn start(
    stream: oneshot::Receiver<yamux::Stream>,
    handle: &Arc<Handle>,
    limits: &Limits,
) -> (JoinHandle<()>, ControlSender, ControlReceiver) {
    let (frames, queue) = mpsc::channel(limits.queue.max(1));
    let (reader, read) = oneshot::channel();
    let (close, over) = (handle.close.clone(), handle.over.clone());
    let writer = tokio::spawn(async move {
        let Ok(stream) = stream.await else { return };
        let (read, write) = split(stream.compat());
        // The receiver may be dropped already; frames are sent all the same.
        drop(reader.send(read));
        write_frames(write, queue, close, over).await;
    });
    let max_frame = limits.max_frame.min(u32::MAX as usize);
    let sender = ControlSender { frames, max_frame, handle: handle.clone() };
    let receiver = ControlReceiver { state: State::Waiting(read), max_frame, handle: handle.clone() };
    (writer, sender, receiver)
}

/// Ends when the queue is closed and empty, or the session is over.
async fn write_frames(
    mut stream: WriteHalf<Stream>,
    mut queue: mpsc::Receiver<Bytes>,
    close: CancellationToken,
    over: CancellationToken,
) {
    loop {
        let next = tokio::select! {
            biased;
            next = queue.recv() => next,
            () = close.cancelled(), if !queue.is_closed() => {
                queue.close();
                continue;
            }
            () = over.cancelled() => return,
        };
        let Some(payload) = next else { break };
        // The driver reports why the session ended.
        if stream.write_all(&frame(&payload)).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
    // Whether the peer still hears the end of the stream makes no difference.
    let _ = stream.shutdown().await;
}

impl ControlSender {
    /// Queues a frame; waits while the queue is full.
    pub async fn send(&self, payload: Bytes) -> Result<(), SendError> {
        self.check(&payload)?;
        self.frames.send(payload).await.map_err(|_| SendError::Over)
    }

    /// Queues a frame if there is room.
    pub fn try_send(&self, payload: Bytes) -> Result<(), TrySendError> {
        self.check(&payload)?;
        self.frames.try_send(payload).map_err(|e| match e {
            mpsc::error::TrySendError::Full(payload) => TrySendError::Full(payload),
            mpsc::error::TrySendError::Closed(_) => SendError::Over.into(),
        })
    }

    /// Closes the session: what is queued is sent, every handle learns of the end.
    pub fn close(&self) {
        self.handle.close.cancel();
    }

    fn check(&self, payload: &Bytes) -> Result<(), SendError> {
        let (size, limit) = (payload.len(), self.max_frame);
        if size > limit {
            return Err(SendError::TooLarge { size, limit });
        }
        if self.handle.over.is_cancelled() { Err(SendError::Over) } else { Ok(()) }
    }
}

impl ControlReceiver {
    /// The next frame; none when the session or the peer's side of it is over ([`Self::ended`]
    /// tells why). Safe to cancel: no frame is lost.
    pub async fn recv(&mut self) -> Option<Result<Bytes, ReceiveError>> {
        if let State::Waiting(stream) = &mut self.state {
            self.state = match stream.await {
                Ok(stream) => State::Open(FramedRead::with_capacity(stream, codec(self.max_frame), BUFFER)),
                Err(_) => State::Over,
            };
        }
        let State::Open(frames) = &mut self.state else { return None };
        // A session that this side closes does not wake its own readers.
        let next = tokio::select! {
            biased;
            next = frames.next() => next,
            () = self.handle.over.cancelled() => None,
        };
        match next {
            Some(Ok(payload)) => Some(Ok(payload.freeze())),
            Some(Err(error)) => {
                self.state = State::Over;
                let too_large = error.get_ref().is_some_and(|e| e.is::<LengthDelimitedCodecError>());
                // Anything else is a stream cut off in the middle of a frame: the end.
                too_large.then(|| Err(ReceiveError::TooLarge { limit: self.max_frame }))
            }
            None => {
                self.state = State::Over;
                None
            }
        }
    }

    /// Waits for the end of the session and tells why it ended.
    pub async fn ended(&self) -> SessionEnd {
        self.handle.ended().await
    }
}
