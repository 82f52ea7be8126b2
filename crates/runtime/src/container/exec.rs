//! A command inside a container.

use std::io;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use holm_model::id::AssignmentId;
use holm_model::tunnel::ExecOut;

use super::engine::Engine;
use super::spec;
use crate::error::{RunError, Step};
use crate::stream::Exec;

/// # Errors
/// When the container does not run or is paused.
pub(super) async fn start(engine: &Engine, id: AssignmentId, command: Vec<String>) -> Result<Exec, RunError> {
    let client = engine.client(Step::Exec).await?;
    let failed = |error: Error| match &error {
        Error::DockerResponseServerError { status_code: 409, message } if message.contains("paused") => {
            RunError::Paused { id }
        }
        Error::DockerResponseServerError { status_code: 404 | 409, .. } => RunError::NotRunning { id },
        _ => engine.failed(Step::Exec, error),
    };
    let config = ExecConfig {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(command),
        ..ExecConfig::default()
    };
    let exec = client.create_exec(&spec::name(id), config).await.map_err(failed)?.id;
    let started = client.start_exec(&exec, None::<StartExecOptions>).await.map_err(failed)?;
    let StartExecResults::Attached { output, input } = started else {
        let what = "attach to a command".to_owned();
        return Err(RunError::Unsupported { runtime: "container", what });
    };
    let output = output.map_err(io::Error::other).map_ok(|output| match output {
        LogOutput::StdErr { message } => ExecOut::Stderr(message.to_vec()),
        other => ExecOut::Stdout(other.into_bytes().to_vec()),
    });
    let client = client.clone();
    let exit = stream::once(async move {
        let ended = client.inspect_exec(&exec).await.map_err(io::Error::other)?;
        let code = ended.exit_code.and_then(|code| i32::try_from(code).ok());
        code.map(ExecOut::Exit).ok_or_else(|| io::Error::other("the engine knows no exit code"))
    });
    Ok(Exec { stdin: Box::new(input), output: output.chain(exit).boxed() })
}
