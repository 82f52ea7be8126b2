//! Tunnels that the orchestrator opens to instances of this node: logs, exec, bytes of a port.
//!
//! Everything is read no faster than the other end takes it, and ends when the tunnel does.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use holm_core::node::NodeMachine;
use holm_link::cbor;
use holm_link::frame::{ReadHeaderError, read_header, write_header};
use holm_model::id::AssignmentId;
use holm_model::state::InstanceState;
use holm_model::tunnel::{Answer, ExecIn, ExecOut, Purpose, Request};
use holm_runtime::{Exec, LogLines, LogOptions, RunError};
use serde::Serialize;
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, copy_bidirectional, split,
};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use crate::agent::{Input, Question};
use crate::directory::{Directory, Entry};

/// Serves tunnels.
#[derive(Debug)]
pub(crate) struct Host {
    directory: Directory,
    /// Knows why what is assigned has not started.
    agent: mpsc::Sender<Input>,
}

/// Why a tunnel was not granted; said to whoever asked.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("this is a node; it has no members to hand the tunnel on to")]
    NoMembers,
    #[error("instance {0} is not on this node")]
    NotHere(AssignmentId),
    #[error("instance {id} has never started: it is {state}{}{reason}", if reason.is_empty() { "" } else { ": " })]
    NeverStarted { id: AssignmentId, state: InstanceState, reason: String },
    #[error("instance {instance} has no port {port}; it has {there}")]
    NoPort { instance: AssignmentId, port: u16, there: String },
    #[error("nothing listens on port {port} of the node: {source}")]
    Dead { port: u16, source: io::Error },
    #[error(transparent)]
    Runtime(#[from] RunError),
}

/// What a tunnel was granted for.
enum Service {
    Logs(LogLines),
    Exec(Exec),
    Connect(TcpStream),
}

/// A tunnel ended before its end; nobody is left to be told.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("no request came")]
    Header(#[from] ReadHeaderError),
    #[error("the answer was not taken")]
    Answer(#[from] holm_link::frame::WriteHeaderError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Encode(#[from] cbor::EncodeError),
    #[error(transparent)]
    Decode(#[from] cbor::DecodeError),
}

/// For connecting to an instance on this very machine.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Bytes of one frame of standard input at most.
const MOST_STDIN: usize = 1 << 20;

// === impl Host ===

impl Host {
    pub(crate) const fn new(directory: Directory, agent: mpsc::Sender<Input>) -> Self {
        Self { directory, agent }
    }

    pub(crate) async fn serve<T: AsyncRead + AsyncWrite + Send + Unpin>(&self, tunnel: T) {
        if let Err(error) = self.try_serve(tunnel).await {
            tracing::debug!(%error, "A tunnel broke.");
        }
    }

    async fn try_serve<T: AsyncRead + AsyncWrite + Send + Unpin>(&self, mut tunnel: T) -> Result<(), Broken> {
        let request: Request = read_header(&mut tunnel).await?;
        let service = match self.grant(request).await {
            Ok(service) => service,
            Err(refusal) => {
                write_header(&mut tunnel, &Answer::Refused(refusal.to_string())).await?;
                return Ok(tunnel.shutdown().await?);
            }
        };
        write_header(&mut tunnel, &Answer::Granted).await?;
        match service {
            Service::Logs(lines) => logs(tunnel, lines).await,
            Service::Exec(command) => exec(tunnel, command).await,
            Service::Connect(mut stream) => {
                copy_bidirectional(&mut tunnel, &mut stream).await?;
                Ok(())
            }
        }
    }

    async fn grant(&self, request: Request) -> Result<Service, Refusal> {
        if !request.path.is_empty() {
            return Err(Refusal::NoMembers);
        }
        match request.purpose {
            Purpose::Logs { instance, tail, since, follow } => {
                let options = LogOptions { tail, since, follow };
                Ok(Service::Logs(self.entry(instance).await?.runtime.logs(instance, options).await?))
            }
            Purpose::Exec { instance, command } => {
                Ok(Service::Exec(self.entry(instance).await?.runtime.exec(instance, command).await?))
            }
            Purpose::Connect { instance, port } => {
                let entry = self.entry(instance).await?;
                check_port(&entry, instance, port)?;
                Ok(Service::Connect(connect(port).await.map_err(|source| Refusal::Dead { port, source })?))
            }
        }
    }

    async fn entry(&self, instance: AssignmentId) -> Result<Entry, Refusal> {
        match self.directory.get(instance) {
            Some(entry) => Ok(entry),
            None => Err(self.missing(instance).await),
        }
    }

    /// No runtime knows the instance: the agent may know why.
    async fn missing(&self, id: AssignmentId) -> Refusal {
        use InstanceState::{Failed, Preparing, ScheduledNode, Stopped};
        let look = move |machine: &NodeMachine| {
            machine.instance(id).map(|record| (record.state, record.reason.clone()))
        };
        match Question::ask(&self.agent, look).await.flatten() {
            Some((state @ (ScheduledNode | Preparing | Failed | Stopped), reason)) => {
                Refusal::NeverStarted { id, state, reason }
            }
            _ => Refusal::NotHere(id),
        }
    }
}

/// A tunnel leads to the instance's own ports only, not to whatever else the machine offers.
fn check_port(entry: &Entry, instance: AssignmentId, port: u16) -> Result<(), Refusal> {
    if entry.alive && entry.ports.values().any(|own| *own == port) {
        return Ok(());
    }
    let named: Vec<String> = entry.ports.iter().map(|(name, own)| format!("{own} ({name})")).collect();
    let there = if named.is_empty() || !entry.alive { "none".to_owned() } else { named.join(", ") };
    Err(Refusal::NoPort { instance, port, there })
}

async fn connect(port: u16) -> io::Result<TcpStream> {
    let both = async {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
            Ok(stream) => Ok(stream),
            Err(error) => TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.map_err(|_| error),
        }
    };
    let stream = timeout(CONNECT_TIME, both).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

// === services ===

async fn logs<T: AsyncRead + AsyncWrite>(tunnel: T, mut lines: LogLines) -> Result<(), Broken> {
    let (read, write) = split(tunnel);
    let mut frames = FramedWrite::new(write, LengthDelimitedCodec::new());
    let send = async {
        while let Some(line) = lines.next().await {
            send(&mut frames, &line?).await?;
        }
        Ok(frames.get_mut().shutdown().await?)
    };
    tokio::select! {
        sent = send => sent,
        gone = until_gone(read) => Err(gone.into()),
    }
}

async fn exec<T: AsyncRead + AsyncWrite>(tunnel: T, command: Exec) -> Result<(), Broken> {
    let (read, write) = split(tunnel);
    let Exec { stdin, mut output } = command;
    let mut frames = FramedWrite::new(write, LengthDelimitedCodec::new());
    let send = async {
        while let Some(out) = output.next().await {
            let out = out?;
            send(&mut frames, &out).await?;
            if matches!(out, ExecOut::Exit(_)) {
                break;
            }
        }
        Ok(frames.get_mut().shutdown().await?)
    };
    tokio::select! {
        sent = send => sent,
        // Dropping the command ends it: nobody is left to see what it does.
        Err(gone) = feed(read, stdin) => Err(gone),
    }
}

/// Hands standard input on. Ends with an error when the tunnel breaks, and never otherwise: a command
/// goes on without input.
async fn feed<T: AsyncRead>(
    read: ReadHalf<T>,
    stdin: Box<dyn AsyncWrite + Send + Unpin>,
) -> Result<std::convert::Infallible, Broken> {
    let codec = LengthDelimitedCodec::builder().max_frame_length(MOST_STDIN).new_codec();
    let mut frames = FramedRead::new(read, codec);
    let mut stdin = Some(stdin);
    while let Some(frame) = frames.next().await {
        match cbor::decode(&frame?, MOST_STDIN)? {
            ExecIn::Stdin(bytes) => {
                let Some(open) = &mut stdin else { continue };
                // A command that closed its input is no reason to end it.
                let written = async { open.write_all(&bytes).await.and(open.flush().await) };
                if written.await.is_err() {
                    stdin = None;
                }
            }
            ExecIn::StdinEnd => {
                // Dropping it is not enough: an engine's connection goes on for the output.
                if let Some(mut open) = stdin.take() {
                    // Closed by the command already.
                    let _ = open.shutdown().await;
                }
            }
        }
    }
    drop(stdin);
    Ok(std::future::pending().await)
}

async fn send<T: AsyncWrite, M: Serialize>(
    frames: &mut FramedWrite<WriteHalf<T>, LengthDelimitedCodec>,
    message: &M,
) -> Result<(), Broken> {
    Ok(frames.send(Bytes::from(cbor::encode(message)?)).await?)
}

/// Waits until the tunnel is reset. Whoever reads logs says nothing, but may close its own half.
async fn until_gone<T: AsyncRead>(mut read: ReadHalf<T>) -> io::Error {
    let mut ignored = [0; 64];
    loop {
        match read.read(&mut ignored).await {
            Ok(0) => return std::future::pending().await,
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}
