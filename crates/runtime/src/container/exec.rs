//! A command inside a container.

use std::io;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{ResizeExecOptions, StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use holm_model::id::AssignmentId;
use holm_model::tunnel::{ExecOut, Terminal, WindowSize};

use super::abandoned::Attended;
use super::engine::{self, Engine};
use super::spec;
use crate::error::{RunError, Step};
use crate::stream::{Control, Exec};

/// One command, as the engine knows it.
struct Remote {
    client: Docker,
    exec: String,
    terminal: bool,
}

/// # Errors
/// When there is no such container, or no engine.
pub(super) async fn is_paused(engine: &Engine, id: AssignmentId) -> Result<bool, RunError> {
    let client = engine.client(Step::Exec).await?;
    let inspected = engine::inspect(client, &spec::name(id)).await;
    let state = inspected.map_err(|error| engine.failed(Step::Exec, error))?.state;
    Ok(state.and_then(|state| state.paused).unwrap_or(false))
}

/// # Errors
/// When the container does not run or is paused.
pub(super) async fn start(
    engine: &Engine,
    id: AssignmentId,
    command: Vec<String>,
    terminal: Option<Terminal>,
) -> Result<Exec, RunError> {
    let client = engine.client(Step::Exec).await?;
    let failed = |error: Error| match &error {
        Error::DockerResponseServerError { status_code: 409, message } if message.contains("paused") => {
            RunError::Paused { id }
        }
        Error::DockerResponseServerError { status_code: 404 | 409, .. } => RunError::NotRunning { id },
        _ => engine.failed(Step::Exec, error),
    };
    let config = config(command, terminal.as_ref());
    let exec = client.create_exec(&spec::name(id), config).await.map_err(failed)?.id;
    // Whoever lets go of it while it begins does not leave it behind.
    let mut attended = Attended::new(client.clone(), exec.clone());
    let options = StartExecOptions { tty: terminal.is_some(), ..StartExecOptions::default() };
    let started = client.start_exec(&exec, Some(options)).await.map_err(failed)?;
    let StartExecResults::Attached { output, input } = started else {
        let what = "attach to a command".to_owned();
        return Err(RunError::Unsupported { runtime: "container", what });
    };
    let remote = Remote { client: client.clone(), exec: exec.clone(), terminal: terminal.is_some() };
    if let Some(terminal) = terminal {
        // A command that has ended already has no size.
        let _ = remote.resize(terminal.size).await;
    }
    let output = output.map_err(io::Error::other).map_ok(|output| match output {
        LogOutput::StdErr { message } => ExecOut::Stderr(message.into()),
        other => ExecOut::Stdout(other.into_bytes().into()),
    });
    let client = client.clone();
    let exit = stream::once(async move {
        attended.ended();
        let ended = client.inspect_exec(&exec).await.map_err(io::Error::other)?;
        let code = ended.exit_code.and_then(|code| i32::try_from(code).ok());
        code.map(ExecOut::Exit).ok_or_else(|| io::Error::other("the engine knows no exit code"))
    });
    Ok(Exec { stdin: Box::new(input), control: Box::new(remote), output: output.chain(exit).boxed() })
}

fn config(command: Vec<String>, terminal: Option<&Terminal>) -> ExecConfig {
    ExecConfig {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(terminal.is_some()),
        console_size: terminal.map(|Terminal { size, .. }| vec![size.rows.into(), size.columns.into()]),
        env: terminal.map(|terminal| vec![format!("TERM={}", terminal.kind)]),
        cmd: Some(command),
        ..ExecConfig::default()
    }
}

// === impl Remote ===

impl Control for Remote {
    fn resize(&self, WindowSize { columns, rows }: WindowSize) -> BoxFuture<'_, io::Result<()>> {
        async move {
            if !self.terminal {
                return Ok(());
            }
            let options = ResizeExecOptions { height: rows, width: columns };
            self.client.resize_exec(&self.exec, options).await.map_err(io::Error::other)
        }
        .boxed()
    }

    fn signal(&self, _number: i32) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a container engine sends no signals to commands"))
    }
}
