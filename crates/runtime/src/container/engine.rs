//! The connection to the engine, and what its errors mean.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::InspectContainerOptions;
use bollard::{API_DEFAULT_VERSION, Docker};
use holm_model::id::AssignmentId;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout_at};

use crate::error::{RunError, Step};
use crate::launch::Launch;

/// Connected to when it is first needed, so that an engine may come later than the agent.
#[derive(Debug)]
pub(super) struct Engine {
    socket: PathBuf,
    clients: OnceCell<Clients>,
    /// The agent's start waits for an engine until then.
    start: Instant,
}

/// One engine, with more patience and with less.
#[derive(Debug)]
struct Clients {
    quick: Docker,
    patient: Docker,
}

/// More than Podman takes to tidy up.
const BETWEEN_STATES: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);
/// An engine may take so long to begin its answer to a question; one that hangs must not hold up the node.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// The same for what it must work for.
const WORK: Duration = Duration::from_secs(120);
/// The same for what begins when there is something to tell.
pub(super) const PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// What an engine offers is waited for so long at the start, and not much longer afterwards as long as it was never
/// heard: whoever watches it tells when it is there.
const FIRST: Duration = Duration::from_secs(1);
const LATER: Duration = Duration::from_millis(100);

/// The status of an answer.
pub(super) const fn status(error: Option<&Error>) -> Option<u16> {
    match error {
        Some(Error::DockerResponseServerError { status_code, .. }) => Some(*status_code),
        _ => None,
    }
}

/// Whether a container of the same name is in the way: 409 with Docker, 500 with Podman.
pub(super) fn name_taken(error: &Error) -> bool {
    let taken =
        |message: &str| message.contains("already in use by") || message.contains("container already exists");
    matches!(error, Error::DockerResponseServerError { message, .. } if taken(message))
}

/// For a moment between the end of a process and tidying up after it, Podman names a state, `stopped`, that Docker does
/// not have and bollard cannot read.
///
/// # Errors
/// When there is no such container, or no engine.
pub(super) async fn inspect(client: &Docker, name: &str) -> Result<ContainerInspectResponse, Error> {
    let until = Instant::now() + BETWEEN_STATES;
    loop {
        match client.inspect_container(name, None::<InspectContainerOptions>).await {
            Err(Error::JsonDataError { .. }) if Instant::now() < until => sleep(LOOK).await,
            known => return known,
        }
    }
}

impl Engine {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket, clients: OnceCell::new(), start: Instant::now() + FIRST }
    }

    pub(super) fn socket(&self) -> &std::path::Path {
        &self.socket
    }

    /// A client that speaks a version both sides know.
    ///
    /// # Errors
    /// When no engine answers.
    pub(super) async fn client(&self, step: Step) -> Result<&Docker, RunError> {
        let connect = || async {
            let path = self.socket.to_string_lossy();
            let docker = Docker::connect_with_unix(&path, ANSWER.as_secs(), API_DEFAULT_VERSION)?;
            let quick = docker.negotiate_version().await?;
            Ok::<_, Error>(Clients { patient: quick.clone().with_timeout(WORK), quick })
        };
        let now = Instant::now();
        let until = match step {
            Step::Look | Step::Address => self.start.max(now + LATER),
            _ => now + ANSWER,
        };
        let clients = timeout_at(until, self.clients.get_or_try_init(connect)).await;
        let clients = clients.unwrap_or(Err(Error::RequestTimeoutError));
        let Clients { quick, patient } = clients.map_err(|error| self.failed(step, error))?;
        Ok(match step {
            Step::Look | Step::Address | Step::Survivors | Step::Usage | Step::Logs | Step::Exec => quick,
            _ => patient,
        })
    }

    pub(super) fn failed(&self, step: Step, error: Error) -> RunError {
        match error {
            Error::RequestTimeoutError => RunError::MuteEngine { step, address: address(&self.socket) },
            Error::DockerResponseServerError { status_code: status, message: answer } => {
                RunError::Engine { step, status, answer }
            }
            error => {
                let address = address(&self.socket);
                RunError::NoEngine { step, address, reason: reason(&error) }
            }
        }
    }

    /// For changes that may be made already, which the engine says with `so`.
    ///
    /// # Errors
    /// All others.
    pub(super) fn changed(
        &self,
        id: AssignmentId,
        step: Step,
        done: Result<(), Error>,
        so: &str,
    ) -> Result<(), RunError> {
        match done {
            Err(Error::DockerResponseServerError { message, .. }) if message.contains(so) => Ok(()),
            Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) => {
                Err(RunError::NotRunning { id })
            }
            Err(error) => Err(self.failed(step, error)),
            Ok(()) => Ok(()),
        }
    }

    /// Why a container that was created did not start.
    pub(super) fn not_started(&self, launch: &Launch, error: Error) -> RunError {
        let Error::DockerResponseServerError { message, .. } = &error else {
            return self.failed(Step::Start, error);
        };
        let taken = ["port is already allocated", "address already in use"];
        let port = launch.ports.values().map(|port| port.host);
        if taken.iter().any(|sign| message.contains(sign))
            && let Some(port) = port.into_iter().find(|port| message.contains(&format!(":{port}")))
        {
            return RunError::PortTaken { port, answer: message.clone() };
        }
        if message.contains("executable file not found")
            && let Some(program) = launch.spec.command.first()
        {
            let path = launch.spec.image.as_deref().map_or("the image".into(), |i| format!("image `{i}`"));
            return RunError::ProgramMissing { program: program.clone(), path };
        }
        self.failed(Step::Start, error)
    }
}

fn address(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

/// With its sources: the outermost says little.
fn reason(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}
