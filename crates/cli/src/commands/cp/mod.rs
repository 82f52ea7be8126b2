//! `holm cp`: files into an instance and out of it.
//!
//! | module | its one reason to change |
//! | --- | --- |
//! | [`place`] | which end of a copy is where (pure) |
//! | [`pipe`] | bytes between what blocks and what does not, counted |
//! | [`progress`] | what people see when it takes long |
//!
//! ```text
//! in:   pack (a thread) ──▶ pipe ──▶ frames to the node ──▶ unpacked there, by the instance's user
//! out:  packed there ──▶ frames from the node ──▶ pipe ──▶ unpack (a thread): nothing of it is trusted
//! ```

mod pipe;
mod place;
mod progress;

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use holm_client::{Client, ExecReceiver};
use holm_model::name::Name;
use holm_model::tunnel::{CopyWay, ExecIn, ExecOut};
use holm_runtime::archive::{self, Copied, CopyError, Target};
use tokio::task::{JoinError, spawn_blocking};

use super::{Project, pick};
use crate::connect::At;
use crate::failure::Failure;
use crate::output::{clean, say_bytes};
use place::{Copy, Local, Place};
use progress::{Files, Progress};

/// Bytes of a line that are kept.
const LINE: usize = 64 * 1024;

#[derive(Args, Debug)]
#[command(
    after_help = "One of the two is inside an instance: `app/web/0:/srv/data`, `app/web:/srv/data` if the \
    service has one instance, or an id. `-` is a tar stream on standard input or output. A directory is copied \
    with everything below it, into the target if that is a directory. Permissions and times are kept; files \
    belong to the instance's user there, and to you here."
)]
pub(crate) struct Cp {
    /// A file or directory
    #[arg(value_name = "SOURCE")]
    source: Place,
    /// A directory to copy into, or a new name
    #[arg(value_name = "TARGET")]
    target: Place,
    #[command(flatten)]
    project: Project,
}

pub(crate) async fn run(At { args, connect }: At<Cp>) -> Result<ExitCode, Failure> {
    let copy = Copy::of(args.source, args.target)?;
    let (client, project) = (connect.client()?, args.project.of(&connect)?);
    let whole = match copy {
        Copy::In { from, instance, path } => {
            let id = id(&client, &project, &instance).await?;
            copy_in(&client, from, &id, &path).await?
        }
        Copy::Out { instance, path, to } => {
            let id = id(&client, &project, &instance).await?;
            copy_out(&client, &id, &path, to).await?
        }
    };
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn id(client: &Client, project: &Name, instance: &str) -> Result<String, Failure> {
    Ok(pick::one(client, project, instance).await?.id.unwrap_or_default())
}

/// Whether everything was copied.
async fn copy_in(client: &Client, from: Local, instance: &str, path: &str) -> Result<bool, Failure> {
    if let Local::Path(source) = &from {
        // Before anything is opened.
        std::fs::symlink_metadata(source).map_err(|e| Failure::from_error(source.display(), &e))?;
    }
    let (mut sender, mut receiver) = client.copy(instance, path, CopyWay::Write).await?.split();
    let (output, mut bytes) = pipe::from_thread();
    let files = Files::default();
    let mut progress = Progress::new(files.clone());
    let packing = spawn_blocking(move || match from {
        Local::Path(source) => archive::pack_each(&source, output, || files.add()),
        Local::Stream => stream(output),
    });
    let sending = async {
        while let Some(bytes) = bytes.recv().await {
            progress.add(bytes.len());
            if sender.send(&ExecIn::Stdin(bytes)).await.is_err() {
                // The other end says why.
                return std::future::pending().await;
            }
        }
        // Only what is whole has an end: an archive that broke off is not taken for one.
        let packed = packing.await;
        if matches!(packed, Ok(Ok(_))) && sender.send(&ExecIn::StdinEnd).await.is_err() {
            return std::future::pending().await;
        }
        packed
    };
    let mut said = std::pin::pin!(remote(&mut receiver, |_| std::future::ready(Ok(()))));
    let packed = tokio::select! {
        packed = sending => packed,
        code = &mut said => return Ok(code? == 0),
    };
    let copied = copied(packed)?;
    let code = said.await?;
    progress.end();
    eprint!("{}", copied.refused);
    Ok(copied.refused.count == 0 && code == 0)
}

async fn copy_out(client: &Client, instance: &str, path: &str, to: Local) -> Result<bool, Failure> {
    let target = match &to {
        Local::Stream => None,
        Local::Path(path) => Some(self::target(path)?),
    };
    let (_sender, mut receiver) = client.copy(instance, path, CopyWay::Read).await?.split();
    let Some(target) = target else {
        let code = remote(&mut receiver, |bytes| std::future::ready(say_bytes(&bytes))).await?;
        return Ok(code == 0);
    };
    let (bytes, input) = pipe::to_thread();
    let files = Files::default();
    let mut progress = Progress::new(files.clone());
    let unpacking = spawn_blocking(move || archive::unpack_each(input, &target, || files.add()));
    let code = remote(&mut receiver, |chunk| {
        progress.add(chunk.len());
        let bytes = bytes.clone();
        async move {
            // Without a reader, unpacking has failed, and says why below.
            let _ = bytes.send(Ok(chunk)).await;
            Ok(())
        }
    })
    .await;
    if code.as_ref().is_err_and(Failure::matters) {
        // What broke off is not the end of an archive.
        let _ = bytes.send(Err(std::io::ErrorKind::ConnectionAborted.into())).await;
    }
    drop(bytes);
    let unpacked = unpacking.await;
    progress.end();
    let code = code?;
    let copied = match copied(unpacked) {
        // The other end has told what was wrong with its archive.
        Err(_) if code != 0 => return Ok(false),
        copied => copied?,
    };
    eprint!("{}", copied.refused);
    Ok(copied.refused.count == 0 && code == 0)
}

fn target(path: &Path) -> Result<Target, Failure> {
    Target::of(path, path.is_dir()).map_err(Failure::new)
}

/// Hands an archive on as it is: the other end looks at it.
fn stream(mut output: pipe::Output) -> Result<Copied, CopyError> {
    let mut input = std::io::stdin().lock();
    let mut buffer = vec![0; pipe::CHUNK];
    loop {
        match input.read(&mut buffer).map_err(CopyError::Archive)? {
            0 => return output.flush().map(|()| Copied::default()).map_err(CopyError::Output),
            read => output.write_all(&buffer[..read]).map_err(CopyError::Output)?,
        }
    }
}

fn copied(done: Result<Result<Copied, CopyError>, JoinError>) -> Result<Copied, Failure> {
    match done {
        Ok(copied) => copied.map_err(Failure::new),
        Err(panic) => Err(Failure::from_error("a bug", &panic)),
    }
}

/// Reads what the other end says, until its exit code.
async fn remote<F: Future<Output = Result<(), Failure>>>(
    receiver: &mut ExecReceiver,
    mut take: impl FnMut(Vec<u8>) -> F,
) -> Result<i32, Failure> {
    let mut lines = Lines::default();
    while let Some(said) = receiver.next().await {
        match said? {
            ExecOut::Stdout(bytes) => take(bytes).await?,
            ExecOut::Stderr(text) => {
                for line in lines.take(&text) {
                    eprintln!("{}", clean(&line));
                }
            }
            ExecOut::Exit(code) => return Ok(code),
        }
    }
    Err(Failure::new("the connection ended before everything was copied").hint("copy it again"))
}

/// Whole lines, however they arrive. (What says something ends it with a line feed.)
#[derive(Debug, Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn take(&mut self, text: &[u8]) -> Vec<String> {
        self.0.extend_from_slice(text);
        let whole = match self.0.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            // Longer than any line of ours.
            None if self.0.len() > LINE => self.0.len(),
            None => 0,
        };
        let whole: Vec<u8> = self.0.drain(..whole).collect();
        String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect()
    }
}

/// A path of this machine, for messages.
impl From<PathBuf> for Local {
    fn from(path: PathBuf) -> Self {
        if path.as_os_str() == "-" { Self::Stream } else { Self::Path(path) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(b"refused `"), Vec::<String>::new());
        assert_eq!(lines.take(b"x`\nand\nmo"), ["refused `x`", "and"]);
        assert_eq!(lines.take(b"re\n"), ["more"]);
        assert_eq!(lines.take(&vec![b'x'; LINE + 1])[0].len(), LINE + 1, "nothing grows for ever");
    }
}
