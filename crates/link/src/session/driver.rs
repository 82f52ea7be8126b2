//! The one task that polls the connection, for as long as the session lives.

use std::error::Error as _;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use tokio_util::sync::CancellationToken;
use yamux::{Connection, ConnectionError, Mode};

use super::gather::Gather;
use super::{SessionEnd, Transport};

/// A stream that the peer has opened, counted against the limit while it lives.
pub(super) type Inbound = (yamux::Stream, OwnedSemaphorePermit);

/// Where the peer's streams go.
pub(super) struct Inbox {
    pub(super) tunnels: mpsc::Sender<Inbound>,
    pub(super) permits: Arc<Semaphore>,
}

/// How the end of a session is asked for and told.
pub(super) struct Fate {
    pub(super) close: CancellationToken,
    pub(super) over: CancellationToken,
    pub(super) end: watch::Sender<Option<SessionEnd>>,
}

pub(super) struct Driver<IO> {
    connection: Connection<Compat<Gather<IO>>>,
    /// Where the control stream goes, once the peer has opened it; none at the client.
    control: Option<oneshot::Sender<yamux::Stream>>,
    opens: mpsc::Receiver<oneshot::Sender<yamux::Stream>>,
    /// Who waits for a stream of this side.
    waiting: Option<oneshot::Sender<yamux::Stream>>,
    inbound: Inbox,
}

/// The id of the client's first stream.
const CONTROL_STREAM: u32 = 1;
/// What yamux gives each stream at least.
const STREAM_WINDOW: usize = 256 * 1024;
/// What the busy streams of a connection may add to their windows together.
const GROWTH: usize = 16 << 20;
/// Bytes of a frame: with its header it fills whole TLS records.
const FRAME: usize = 4 * 16 * 1024 - 12;
/// Streams that are closed but not yet forgotten, because nothing can be written just now. Beyond
/// its number of streams yamux ends the connection, so this is far more than there will be.
const LEAVING: usize = 4096;

impl<IO: Transport> Driver<IO> {
    pub(super) fn new(
        transport: IO,
        mode: Mode,
        control: oneshot::Sender<yamux::Stream>,
        opens: mpsc::Receiver<oneshot::Sender<yamux::Stream>>,
        inbound: Inbox,
        max_tunnels: usize,
    ) -> Self {
        let (control, waiting) = match mode {
            Mode::Client => (None, Some(control)),
            Mode::Server => (Some(control), None),
        };
        Self {
            connection: Connection::new(Gather::new(transport).compat(), config(max_tunnels), mode),
            control,
            opens,
            waiting,
            inbound,
        }
    }

    pub(super) async fn run(mut self, fate: Fate, writer: JoinHandle<()>, close_time: Duration) {
        let ended = tokio::select! {
            ended = poll_fn(|cx| self.poll_open(cx)) => ended,
            () = fate.close.cancelled() => None,
        };
        let end = match ended {
            Some(end) => end,
            None => self.close(writer, close_time).await,
        };
        fate.end.send_replace(Some(end));
        fate.over.cancel();
    }

    /// Ready with the end of the connection, or with none when no handle is left.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Option<SessionEnd>> {
        loop {
            if let Poll::Ready(end) = self.poll_connection(cx) {
                return Poll::Ready(Some(end));
            }
            if self.waiting.is_none() {
                match self.opens.poll_recv(cx) {
                    Poll::Ready(Some(open)) => self.waiting = Some(open),
                    Poll::Ready(None) => return Poll::Ready(None),
                    Poll::Pending => return Poll::Pending,
                }
            }
            match self.connection.poll_new_outbound(cx) {
                // Who asked may have given up meanwhile: then the stream is dropped, unheard of.
                Poll::Ready(Ok(stream)) => drop(self.waiting.take().map(|open| open.send(stream))),
                Poll::Ready(Err(error)) => return Poll::Ready(Some(end_of(&error))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Moves bytes both ways and takes what the peer opens; ready at the end of the connection.
    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<SessionEnd> {
        loop {
            match self.connection.poll_next_inbound(cx) {
                Poll::Ready(Some(Ok(stream))) => self.take(stream),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(end_of(&error)),
                Poll::Ready(None) => return Poll::Ready(SessionEnd::ClosedByPeer),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn take(&mut self, stream: yamux::Stream) {
        if stream.id().val() == CONTROL_STREAM
            && let Some(control) = self.control.take()
        {
            drop(control.send(stream));
            return;
        }
        // One too many, or nobody accepts tunnels: dropping the stream resets it.
        if let Ok(permit) = self.inbound.permits.clone().try_acquire_owned() {
            drop(self.inbound.tunnels.try_send((stream, permit)));
        }
    }

    /// Sends what is queued, says good-bye, and gives either up when it takes too long.
    async fn close(&mut self, writer: JoinHandle<()>, time: Duration) -> SessionEnd {
        // A control stream that has not come by now is waited for no longer.
        self.control = None;
        let drained = async {
            tokio::select! {
                // The writer never panics; were it gone, nothing would be left to send.
                _ = writer => None,
                end = poll_fn(|cx| self.poll_connection(cx)) => Some(end),
            }
        };
        if let Ok(Some(end)) = timeout(time, drained).await {
            return end;
        }
        // A peer that takes no good-bye is gone, which is what we want.
        let _ = timeout(time, poll_fn(|cx| self.connection.poll_close(cx))).await;
        SessionEnd::Closed
    }
}

fn config(max_tunnels: usize) -> yamux::Config {
    let streams = 2 * max_tunnels + 1 + LEAVING;
    let mut config = yamux::Config::default();
    // In this order, because each setter checks against the other value.
    config.set_max_connection_receive_window(None);
    config.set_max_num_streams(streams);
    config.set_split_send_size(FRAME);
    config.set_max_connection_receive_window(Some(streams * STREAM_WINDOW + GROWTH));
    config
}

fn end_of(error: &ConnectionError) -> SessionEnd {
    match (io_error(error), error) {
        (Some(error), _) => match crate::tls::alert(error) {
            Some(alert) => SessionEnd::Refused(alert),
            None => SessionEnd::Vanished(in_words(error)),
        },
        (None, ConnectionError::Closed) => SessionEnd::ClosedByPeer,
        (None, error) => SessionEnd::Protocol(error.to_string()),
    }
}

/// The usual ends in few words: a program that ends or a machine that goes says no good-bye.
fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "the connection was reset".to_owned(),
        io::ErrorKind::TimedOut => "the network took nothing any more".to_owned(),
        _ => error.to_string(),
    }
}

/// The I/O error behind a yamux error, which wraps it in two ways.
fn io_error(error: &ConnectionError) -> Option<&io::Error> {
    match error {
        ConnectionError::Io(error) | ConnectionError::Decode(yamux::FrameDecodeError::Io(error)) => {
            Some(error)
        }
        other => other.source()?.downcast_ref(),
    }
}
