//! Files of a container, through the engine's archives.

use std::io;
use std::path::Path;

use bollard::Docker;
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use holm_model::id::AssignmentId;
use holm_model::tunnel::{ExecOut, WindowSize};
use tokio::io::{AsyncRead, DuplexStream, duplex};
use tokio_util::io::{ReaderStream, SyncIoBridge};

use super::engine::{self, Engine, PATIENCE, status};
use super::spec;
use crate::archive::{self, Copied, CopyError, Target};
use crate::error::{RunError, Step};
use crate::stream::{Control, Exec};

/// A copy has no terminal, and ends with its streams.
struct Nothing;

/// Bytes on their way at each step.
const BUFFER: usize = 64 * 1024;
/// How the engine marks a directory in a file's mode.
const IS_DIR: u32 = 1 << 31;

/// # Errors
/// When there is no such container or file.
pub(super) async fn read(engine: &Engine, id: AssignmentId, path: &str) -> Result<Exec, RunError> {
    let client = engine.client(Step::Copy).await?;
    let name = spec::name(id);
    if stat(client, &name, path).await.map_err(|error| engine.failed(Step::Copy, error))?.is_none() {
        let source = io::Error::from(io::ErrorKind::NotFound);
        return Err(RunError::File { step: Step::Copy, path: path.into(), source });
    }
    let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
    let bytes = client.clone().with_timeout(PATIENCE).download_from_container(&name, Some(options));
    let output = bytes.map_ok(|bytes| ExecOut::Stdout(bytes.into())).map_err(io::Error::other);
    let output = output.chain(stream::once(async { Ok(ExecOut::Exit(0)) })).boxed();
    Ok(Exec { stdin: Box::new(tokio::io::sink()), control: Box::new(Nothing), output })
}

/// # Errors
/// When there is no such container, or no place for what comes.
pub(super) async fn write(engine: &Engine, id: AssignmentId, path: String) -> Result<Exec, RunError> {
    let client = engine.client(Step::Copy).await?;
    let name = spec::name(id);
    let inside = format!("{}/.", path.trim_end_matches('/'));
    let failed = |error| engine.failed(Step::Copy, error);
    // A file with `/.` behind it is none.
    let mode = stat(client, &name, &inside).await.unwrap_or_default();
    if mode.is_none() {
        // Tells a missing container from a missing file.
        engine::inspect(client, &name).await.map_err(failed)?;
    }
    let target = Target::of(Path::new(&path), mode.is_some_and(|mode| mode & IS_DIR != 0));
    let target = target.map_err(|error| RunError::File {
        step: Step::Copy,
        path: path.into(),
        source: io::Error::other(error.to_string()),
    })?;
    let (stdin, input) = duplex(BUFFER);
    // The engine answers when it has unpacked everything.
    let copying = upload(client.clone().with_timeout(PATIENCE), name, input, target);
    let output = stream::once(copying).map(stream::iter).flatten().boxed();
    Ok(Exec { stdin: Box::new(stdin), control: Box::new(Nothing), output })
}

/// The mode of a file; `None` when there is none.
async fn stat(client: &Docker, name: &str, path: &str) -> Result<Option<u32>, bollard::errors::Error> {
    let options = ContainerArchiveInfoOptionsBuilder::default().path(path).build();
    let stat = client.get_container_archive_info(name, Some(options)).await;
    match status(stat.as_ref().err()) {
        Some(404) => Ok(None),
        _ => stat.map(|stat| Some(stat.file_mode)),
    }
}

/// Gives the engine what may be of an archive; what it says at the end.
async fn upload(
    client: Docker,
    name: String,
    input: DuplexStream,
    target: Target,
) -> Vec<io::Result<ExecOut>> {
    let (output, filtered) = duplex(BUFFER);
    let dir = target.dir.to_string_lossy().into_owned();
    let rewriting = tokio::task::spawn_blocking(move || {
        archive::rewrite(buffered(input), SyncIoBridge::new(output), &target)
    });
    // The container's user owns what comes.
    let options = UploadToContainerOptionsBuilder::new().path(&dir).copy_uidgid("true").build();
    let bytes =
        ReaderStream::with_capacity(filtered, BUFFER).filter_map(|bytes| std::future::ready(bytes.ok()));
    let uploaded = client.upload_to_container(&name, Some(options), bollard::body_stream(bytes)).await;
    let rewritten = match rewriting.await {
        Ok(rewritten) => rewritten,
        Err(panic) => Err(CopyError::Output(io::Error::other(panic))),
    };
    let (text, code) = told(rewritten, uploaded);
    vec![Ok(ExecOut::Stderr(text.into_bytes())), Ok(ExecOut::Exit(code))]
}

/// The engine's word comes first: it says why the rest could not be written.
fn told(rewritten: Result<Copied, CopyError>, uploaded: Result<(), bollard::errors::Error>) -> (String, i32) {
    match (uploaded, rewritten) {
        (Err(error), Err(CopyError::Output(_)) | Ok(_)) => (format!("the container engine: {error}\n"), 1),
        (_, Err(error)) => (format!("{error}\n"), 1),
        (Ok(()), Ok(copied)) => (copied.refused.to_string(), i32::from(copied.refused.count > 0)),
    }
}

fn buffered<R: AsyncRead + Unpin>(input: R) -> io::BufReader<SyncIoBridge<R>> {
    io::BufReader::with_capacity(BUFFER, SyncIoBridge::new(input))
}

// === impl Nothing ===

impl Control for Nothing {
    fn resize(&self, _size: WindowSize) -> BoxFuture<'_, io::Result<()>> {
        std::future::ready(Ok(())).boxed()
    }

    fn signal(&self, _number: i32) -> io::Result<()> {
        Ok(())
    }
}
