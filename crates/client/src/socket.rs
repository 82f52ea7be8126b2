//! WebSockets: exec and ports.
//!
//! A byte stream inside a WebSocket ends one way with an empty binary message: a close would end
//! both ways, and half-closed connections must keep their meaning (`nc`, HTTP/1.0, rsync).

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::http::{HeaderValue, header};
use bytes::BytesMut;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use holm_model::tunnel::{CopyWay, ExecIn, ExecOut, Terminal, WindowSize};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

use crate::Client;
use crate::error::Error;
use crate::http::{Call, Http};
use crate::routes::path;

/// Bytes on their way in each direction.
const BUFFER: usize = 64 * 1024;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A program that runs inside an instance.
#[derive(Debug)]
pub struct Exec {
    sender: ExecSender,
    receiver: ExecReceiver,
}

/// What goes to the program.
#[derive(Debug)]
pub struct ExecSender {
    http: Http,
    sink: SplitSink<Socket, Message>,
}

/// What the program says.
#[derive(Debug)]
pub struct ExecReceiver {
    http: Http,
    stream: SplitStream<Socket>,
}

/// Bytes to and from a port of an instance; half-closes are kept.
pub struct PortStream(DuplexStream);

impl Client {
    /// Runs `command` inside an instance.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn exec(&self, instance: &str, command: &[String]) -> Result<Exec, Error> {
        self.run(exec_call(instance, command)).await
    }

    /// Runs `command` inside an instance, in a terminal of its own.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn exec_in_terminal(
        &self,
        instance: &str,
        command: &[String],
        terminal: &Terminal,
    ) -> Result<Exec, Error> {
        self.run(with_terminal(exec_call(instance, command), terminal)).await
    }

    /// Copies files, as a tar stream: the standard input or output of what is returned.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn copy(&self, instance: &str, file: &str, way: CopyWay) -> Result<Exec, Error> {
        let call = Call::get(path(&["instances", instance, "files"])).field("path", file);
        self.run(call.field("write", if way == CopyWay::Write { "true" } else { "false" })).await
    }

    /// Opens a shell on a node itself.
    ///
    /// # Errors
    /// See [`Error`]; its owner may not agree.
    pub async fn shell(&self, node: &str, terminal: &Terminal) -> Result<Exec, Error> {
        self.run(with_terminal(Call::get(path(&["nodes", node, "shell"])), terminal)).await
    }

    /// Opens a socket that carries frames of an exec.
    async fn run(&self, call: Call) -> Result<Exec, Error> {
        let (sink, stream) = self.socket(call).await?.split();
        Ok(Exec {
            sender: ExecSender { http: self.http.clone(), sink },
            receiver: ExecReceiver { http: self.http.clone(), stream },
        })
    }

    /// Connects to a port that an instance listens on, by its number on the node.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn connect_port(&self, instance: &str, port: u16) -> Result<PortStream, Error> {
        let call = Call::get(path(&["instances", instance, "ports", &port.to_string()]));
        let socket = self.socket(call).await?;
        let (near, far) = tokio::io::duplex(BUFFER);
        tokio::spawn(pump(socket, far));
        Ok(PortStream(near))
    }

    async fn socket(&self, call: Call) -> Result<Socket, Error> {
        let key = generate_key();
        let wanted = derive_accept_key(key.as_bytes());
        let key = HeaderValue::try_from(key).map_err(|e| self.http.server().protocol(e))?;
        let call = call
            .header(header::CONNECTION, HeaderValue::from_static("upgrade"))
            .header(header::UPGRADE, HeaderValue::from_static("websocket"))
            .header(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
            .header(header::SEC_WEBSOCKET_KEY, key);
        let response = self.http.stream(call).await?;
        let accepted = response.headers().get(header::SEC_WEBSOCKET_ACCEPT);
        if accepted.map(HeaderValue::as_bytes) != Some(wanted.as_bytes()) {
            return Err(self.http.server().protocol("no WebSocket"));
        }
        let stream = hyper::upgrade::on(response).await.map_err(|e| self.http.server().protocol(e))?;
        Ok(WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Client, None).await)
    }
}

fn exec_call(instance: &str, command: &[String]) -> Call {
    let call = Call::get(path(&["instances", instance, "exec"]));
    command.iter().fold(call, |call, word| call.field("command", word))
}

fn with_terminal(call: Call, terminal: &Terminal) -> Call {
    let WindowSize { columns, rows } = terminal.size;
    let call = call.field("terminal", &terminal.kind);
    call.field("columns", &columns.to_string()).field("rows", &rows.to_string())
}

// === impl Exec ===

impl Exec {
    /// Both ways apart, for two tasks.
    #[must_use]
    pub fn split(self) -> (ExecSender, ExecReceiver) {
        (self.sender, self.receiver)
    }

    /// See [`ExecSender::send`].
    pub async fn send(&mut self, input: &ExecIn) -> Result<(), Error> {
        self.sender.send(input).await
    }

    /// See [`ExecReceiver::next`].
    pub async fn next(&mut self) -> Option<Result<ExecOut, Error>> {
        self.receiver.next().await
    }
}

impl ExecSender {
    /// Waits while the program reads slowly.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&mut self, input: &ExecIn) -> Result<(), Error> {
        let mut bytes = Vec::new();
        ciborium::into_writer(input, &mut bytes).map_err(|e| self.http.server().protocol(e))?;
        let sent = self.sink.send(Message::binary(bytes)).await;
        sent.map_err(|e| self.http.server().unreachable(&io::Error::other(e)))
    }
}

impl ExecReceiver {
    /// The next of what the program says; `None` after its exit.
    pub async fn next(&mut self) -> Option<Result<ExecOut, Error>> {
        loop {
            return match self.stream.next().await? {
                Ok(Message::Binary(bytes)) => {
                    Some(ciborium::from_reader(&bytes[..]).map_err(|e| self.http.server().protocol(e)))
                }
                Ok(Message::Close(frame)) => {
                    let reason = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                    let server = self.http.server().to_string();
                    (!reason.is_empty()).then_some(Err(Error::CutOff { server, reason }))
                }
                Ok(_) => continue,
                Err(error) => Some(Err(self.http.server().unreachable(&io::Error::other(error)))),
            };
        }
    }
}

// === impl PortStream ===

impl AsyncRead for PortStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for PortStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl fmt::Debug for PortStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PortStream")
    }
}

/// Carries bytes both ways until both have ended, or one side is gone.
async fn pump(socket: Socket, stream: DuplexStream) {
    let (mut sink, mut messages) = socket.split();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let up = async {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(BUFFER);
            // The empty message at the end says that nothing more comes.
            let n = reader.read_buf(&mut buffer).await.unwrap_or(0);
            let sent = sink.send(Message::Binary(buffer.split().freeze())).await;
            if sent.is_err() || n == 0 {
                return sent.map(|()| sink);
            }
        }
    };
    let down = async {
        while let Some(Ok(message)) = messages.next().await {
            match message {
                Message::Binary(bytes) if bytes.is_empty() => return writer.shutdown().await,
                Message::Binary(bytes) => writer.write_all(&bytes).await?,
                Message::Close(_) => break,
                _ => {}
            }
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    };
    // Whichever side breaks ends both; dropping the ends closes what is left.
    if let Ok((mut sink, ())) =
        futures::future::try_join(async { up.await.map_err(io::Error::other) }, down).await
    {
        let _ = sink.close().await;
    }
}
