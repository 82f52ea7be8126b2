//! A command: its input one way, its outputs and its exit code the other.
//!
//! ```text
//! granted ──frames both ways──→ the command ended: its exit code, end of the stream
//!                        └────→ the tunnel broke, or ended before `StdinEnd`: the command is ended
//! ```

use std::convert::Infallible;
use std::io;

use futures::StreamExt as _;
use holm_link::cbor;
use holm_model::tunnel::{ExecIn, ExecOut};
use holm_runtime::{Control, Exec};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::Broken;
use super::frames::{self, MOST, Source};

/// What goes to a command.
struct Feed {
    /// `None`: the command closed it, or was told its end.
    stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    control: Box<dyn Control>,
    /// Whether the input's end was said: the other end's silence is no absence then.
    ended: bool,
}

pub(super) async fn serve<T: AsyncRead + AsyncWrite>(tunnel: T, command: Exec) -> Result<(), Broken> {
    let (source, mut sink) = frames::split(tunnel);
    let Exec { stdin, control, mut output } = command;
    let send = async {
        while let Some(out) = output.next().await {
            let out = out?;
            frames::send(&mut sink, &out).await?;
            if matches!(out, ExecOut::Exit(_)) {
                break;
            }
        }
        Ok(sink.get_mut().shutdown().await?)
    };
    tokio::select! {
        sent = send => sent,
        // Dropping the command ends it: nobody is left to see what it does.
        Err(gone) = Feed { stdin: Some(stdin), control, ended: false }.run(source) => Err(gone),
    }
}

// === impl Feed ===

impl Feed {
    /// Hands on what comes. Ends with an error when nobody is there any more, and never otherwise: a
    /// command goes on without input.
    async fn run<T: AsyncRead>(mut self, mut source: Source<T>) -> Result<Infallible, Broken> {
        while let Some(frame) = source.next().await {
            self.take(cbor::decode(&frame?, MOST)?).await;
        }
        if self.ended {
            Ok(std::future::pending().await)
        } else {
            Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
        }
    }

    async fn take(&mut self, frame: ExecIn) {
        match frame {
            ExecIn::Stdin(bytes) => {
                let Some(open) = &mut self.stdin else { return };
                // A command that closed its input is no reason to end it.
                let written = async { open.write_all(&bytes).await.and(open.flush().await) };
                if written.await.is_err() {
                    self.stdin = None;
                }
            }
            ExecIn::StdinEnd => {
                self.ended = true;
                // Dropping it is not enough: an engine's connection goes on for the output.
                if let Some(mut open) = self.stdin.take() {
                    // Closed by the command already.
                    let _ = open.shutdown().await;
                }
            }
            // The command may end at this moment.
            ExecIn::Resize(size) => told(self.control.resize(size).await),
            ExecIn::Signal(number) => told(self.control.signal(number)),
        }
    }
}

fn told(done: io::Result<()>) {
    if let Err(error) = done {
        tracing::debug!(%error, "A command could not be told.");
    }
}
