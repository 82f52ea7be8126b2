//! Tunnels that the orchestrator opens to instances of this node: logs, exec, bytes of a port.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`logs`], [`exec`] | what flows then |
//! | [`dial`] | connecting to an instance on this machine |
//! | [`shell`], [`consent`] | a shell on the machine itself, and its owner's word on it |
//! | [`transcript`] | what a shell has shown, kept on the machine |
//! | [`transfer`] | joining another orchestrator |
//! | [`frames`] | how it is cut into frames |
//!
//! Everything is read no faster than the other end takes it, and ends when the tunnel does.

pub mod consent;
pub(crate) mod dial;
mod exec;
pub(crate) mod frames;
mod logs;
mod shell;
mod transcript;
mod transfer;

use std::io;

use holm_core::node::{NodeEvent, NodeMachine, RestartError};
use holm_link::cbor;
use holm_link::frame::{ReadHeaderError, read_header, write_header};
use holm_model::id::AssignmentId;
use holm_model::image::{ImageView, ImagesPrune, ImagesPruned, ImagesWant};
use holm_model::state::InstanceState;
use holm_model::tunnel::{Answer, LogFilter, Purpose, Request};
use holm_model::usage::UsageHistory;
use holm_runtime::{Exec, LogLines, LogOptions, RunError, volume};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::agent::{Input, Question};
use crate::amendments::{AmendError, Narrator};
use crate::clock;
use crate::connections::{Connections, Pass};
use crate::directory::{Directory, Entry};
use crate::history::History;
use crate::runtimes::Runtimes;
use crate::volumes::{self, Offer};
pub(crate) use shell::Machine;
pub(crate) use transfer::Transfer;

/// Serves tunnels.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) directory: Directory,
    pub(crate) connections: Connections,
    pub(crate) history: History,
    pub(crate) runtimes: Runtimes,
    pub(crate) narrator: Narrator,
    pub(crate) machine: Machine,
    pub(crate) transfer: Transfer,
    /// Knows why what is assigned has not started.
    pub(crate) agent: mpsc::Sender<Input>,
}

/// Why a tunnel was not granted; said to whoever asked.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("this is a node; it has no members to hand the tunnel on to")]
    NoMembers,
    #[error("this is a node; only its orchestrator vouches for instances")]
    NoNotary,
    #[error(transparent)]
    Shell(#[from] shell::ShellError),
    #[error(transparent)]
    Transfer(#[from] transfer::TransferError),
    #[error("this node builds no images: nobody has given it a capability `build/…`")]
    NoBuilder,
    #[error("this is a node; it has no nodes of its own")]
    NoCluster,
    #[error("the cluster of this node is silent: until it is back, what is the cluster's is not changed")]
    Above,
    #[error(transparent)]
    Amend(#[from] AmendError),
    #[error(transparent)]
    Restart(#[from] RestartError),
    #[error("the node is being stopped; try again when it is back")]
    Stopping,
    #[error("instance {0} is not on this node")]
    NotHere(AssignmentId),
    #[error("instance {id} has never started: it is {state}{}{reason}", if reason.is_empty() { "" } else { ": " })]
    NeverStarted { id: AssignmentId, state: InstanceState, reason: String },
    #[error("instance {instance} has no port {port}; it has {there}")]
    NoPort { instance: AssignmentId, port: u16, there: String },
    #[error("instance {0} is being stopped, and takes no new connections")]
    Draining(AssignmentId),
    #[error("nothing listens on port {port} of the node: {source}")]
    Dead { port: u16, source: io::Error },
    #[error(transparent)]
    Runtime(#[from] RunError),
}

/// What a tunnel was granted for.
enum Service {
    Logs(LogLines),
    Exec(Exec),
    Connect(TcpStream, Pass),
    Volumes(Offer),
    /// One frame.
    Usage(UsageHistory),
    /// One frame.
    Images(Vec<ImageView>),
    /// One frame.
    Pruned(ImagesPruned),
    /// It is done.
    Done,
    /// The node goes as soon as that was heard.
    Transfer,
}

/// Who opens tunnels here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opener {
    /// The node's own orchestrator.
    Own,
    /// The one above it, while that is silent.
    Above,
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

/// In each direction of a connection.
const BUFFER: usize = 64 * 1024;

// === impl Opener ===

impl Opener {
    /// From above, instances are looked at and into, and are nobody's else meanwhile: nothing of the node changes.
    const fn may(self, purpose: &Purpose) -> bool {
        let looks = matches!(
            purpose,
            Purpose::Logs { .. }
                | Purpose::Search { .. }
                | Purpose::Exec { .. }
                | Purpose::Copy { .. }
                | Purpose::Connect { .. }
                | Purpose::Shell { .. }
                | Purpose::Usage { .. }
                | Purpose::Images(ImagesWant::List)
        );
        looks || matches!(self, Self::Own)
    }
}

// === impl Host ===

impl Host {
    pub(crate) async fn serve<T: AsyncRead + AsyncWrite + Send + Unpin>(&self, tunnel: T, opener: Opener) {
        if let Err(error) = self.try_serve(tunnel, opener).await {
            tracing::debug!(%error, "A tunnel broke.");
        }
    }

    async fn try_serve<T: AsyncRead + AsyncWrite + Send + Unpin>(
        &self,
        mut tunnel: T,
        opener: Opener,
    ) -> Result<(), Broken> {
        let request: Request = read_header(&mut tunnel).await?;
        let granted = match opener.may(&request.purpose) {
            true => self.grant(request).await,
            false => Err(Refusal::Above),
        };
        let service = match granted {
            Ok(service) => service,
            Err(refusal) => {
                write_header(&mut tunnel, &Answer::Refused(refusal.to_string())).await?;
                return Ok(tunnel.shutdown().await?);
            }
        };
        let granted = write_header(&mut tunnel, &Answer::Granted).await;
        if matches!(service, Service::Transfer) {
            // The new membership is in use on the disk, whether or not anybody still listens.
            self.transfer.go(tunnel).await;
            return Ok(());
        }
        granted?;
        match service {
            Service::Logs(lines) => logs::serve(tunnel, lines).await,
            Service::Exec(command) => exec::serve(tunnel, command).await,
            Service::Usage(history) => tell(tunnel, &history).await,
            Service::Images(images) => tell(tunnel, &images).await,
            Service::Pruned(pruned) => tell(tunnel, &pruned).await,
            Service::Volumes(offer) => Ok(volumes::give(tunnel, offer).await?),
            Service::Done | Service::Transfer => Ok(tunnel.shutdown().await?),
            Service::Connect(mut stream, _open) => {
                copy_bidirectional_with_sizes(&mut tunnel, &mut stream, BUFFER, BUFFER).await?;
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
                let options = LogOptions { tail, since, follow, ..LogOptions::default() };
                Ok(Service::Logs(self.entry(instance).await?.runtime.logs(instance, options).await?))
            }
            Purpose::Search { instance, filter } => {
                let options = options(filter)?;
                Ok(Service::Logs(self.entry(instance).await?.runtime.logs(instance, options).await?))
            }
            Purpose::Exec { instance, command, terminal } => {
                let entry = self.entry(instance).await?;
                Ok(Service::Exec(entry.runtime.exec(instance, command, terminal).await?))
            }
            Purpose::Copy { instance, path, way } => {
                Ok(Service::Exec(self.entry(instance).await?.runtime.copy(instance, path, way).await?))
            }
            Purpose::Shell { terminal, who } => Ok(Service::Exec(self.machine.shell(&terminal, &who)?)),
            Purpose::Usage { instance: None } => Ok(Service::Usage(self.history.of_node(clock::now()))),
            Purpose::Usage { instance: Some(instance) } => {
                self.entry(instance).await?;
                Ok(Service::Usage(self.history.of_instance(clock::now(), instance)))
            }
            Purpose::Images(ImagesWant::List) => Ok(Service::Images(self.runtimes.images().await?)),
            Purpose::Images(ImagesWant::Remove(image)) => {
                self.runtimes.remove_image(&image).await?;
                Ok(Service::Done)
            }
            Purpose::Images(ImagesWant::Prune(ImagesPrune { keep })) => {
                let removed = self.runtimes.clean(keep.try_into().unwrap_or(usize::MAX)).await;
                Ok(Service::Pruned(ImagesPruned { removed }))
            }
            Purpose::Build(want) => {
                if !self.narrator.builds().await {
                    return Err(Refusal::NoBuilder);
                }
                Ok(Service::Exec(self.runtimes.build(&want)?))
            }
            Purpose::Amend(amendment) => {
                self.narrator.amend(amendment, &self.agent).await?;
                Ok(Service::Done)
            }
            Purpose::Transfer { address, token } => {
                self.transfer.prepare(address, &token).await?;
                Ok(Service::Transfer)
            }
            Purpose::Invite { .. } | Purpose::Empty { .. } | Purpose::Registry => Err(Refusal::NoCluster),
            Purpose::Restart { instance } => {
                self.restart(instance).await?;
                Ok(Service::Done)
            }
            Purpose::Volumes { instance, .. } => Ok(Service::Volumes(self.volumes(instance).await?)),
            Purpose::Identity { .. } => Err(Refusal::NoNotary),
            Purpose::Connect { instance, port } => {
                let entry = self.entry(instance).await?;
                check_port(&entry, instance, port)?;
                let pass = self.connections.enter(instance).ok_or(Refusal::Draining(instance))?;
                let stream = dial::instance(port).await.map_err(|source| Refusal::Dead { port, source })?;
                Ok(Service::Connect(stream, pass))
            }
        }
    }

    /// Where the volumes of an instance are, and whether it has ended for its successor.
    async fn volumes(&self, id: AssignmentId) -> Result<Offer, Refusal> {
        let entry = self.entry(id).await?;
        let look = move |machine: &NodeMachine| {
            let wish = machine.instance(id)?.identity.wish;
            Some((volume::keys(wish, machine.spec(id)?), machine.gives(id)))
        };
        let found = Question::ask(&self.agent, look).await.ok_or(Refusal::Stopping)?;
        let (keys, over) = found.ok_or(Refusal::NotHere(id))?;
        let mut roots = Vec::new();
        for key in keys {
            roots.push(entry.runtime.volume(key).await?);
        }
        Ok(Offer { roots, over })
    }

    /// Returns once it is on the disk that the instance has to begin anew.
    async fn restart(&self, id: AssignmentId) -> Result<(), Refusal> {
        let can = Question::ask(&self.agent, move |machine: &NodeMachine| machine.can_restart(id));
        can.await.ok_or(Refusal::Stopping)??;
        let event = Input::Machine(NodeEvent::Restart { id });
        self.agent.send(event).await.map_err(|_| Refusal::Stopping)?;
        // Questions are answered after a commit.
        Question::ask(&self.agent, |_| ()).await.ok_or(Refusal::Stopping)
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

fn options(filter: LogFilter) -> Result<LogOptions, RunError> {
    let LogFilter { tail, since, until, pattern, previous, follow } = filter;
    let pattern = pattern.map(|text| holm_runtime::pattern(&text)).transpose()?;
    Ok(LogOptions { tail, since, until, pattern, previous, follow })
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
async fn tell<T: AsyncRead + AsyncWrite + Send, M: serde::Serialize>(
    tunnel: T,
    message: &M,
) -> Result<(), Broken> {
    let (_, mut sink) = frames::split(tunnel);
    frames::send(&mut sink, message).await?;
    Ok(sink.get_mut().shutdown().await?)
}
