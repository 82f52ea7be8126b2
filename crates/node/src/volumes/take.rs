//! Fetching what differs.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures::StreamExt as _;
use holm_link::cbor;
use holm_runtime::volume::{Entry, Kind, MOST_ENTRIES, Mirror};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::{Ask, Told, on_disk};
use crate::peers::reach::UpwardError;
use crate::tunnels::frames::{self, MOST, Sink, Source};

/// A round that was not broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    /// The old instance had ended before, and all of its volumes is here.
    pub(crate) over: bool,
    /// Bytes of all files.
    pub(crate) held: u64,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeError {
    #[error(transparent)]
    Upward(#[from] UpwardError),
    #[error("the way to the old instance broke: {0}")]
    Broken(io::Error),
    /// On this machine.
    #[error("{0}")]
    Volume(io::Error),
    #[error("both nodes keep them in one container engine, where they would be one volume")]
    Same,
    #[error("the other node said what it cannot mean; is it of another version?")]
    Nonsense,
}

/// A file that is asked for.
struct Wanted {
    volume: usize,
    entry: Entry,
}

/// One round: afterwards the volumes at `roots` are what the others were when they were listed, but for files that were
/// changed meanwhile. They are marked as copies before `dial` reaches the giver, who thereby knows its own.
pub(crate) async fn take<T, F>(roots: &[PathBuf], dial: impl FnOnce() -> F + Send) -> Result<Round, TakeError>
where
    T: AsyncRead + AsyncWrite + Send + Unpin,
    F: Future<Output = Result<T, UpwardError>> + Send,
{
    let mut mirrors = Vec::new();
    for root in roots {
        let root = root.clone();
        let mirror = on_disk(move || Mirror::open(&root)).await.map_err(TakeError::Volume)?;
        mirrors.push(Arc::new(mirror));
    }
    let (mut told, mut asks) = frames::split(dial().await?);
    let (over, volumes) = match next(&mut told).await? {
        Told::Begin { over, volumes } => (over, volumes),
        Told::Same => return Err(not_ours(roots).await),
        _ => return Err(TakeError::Nonsense),
    };
    if volumes as usize != roots.len() {
        return Err(TakeError::Nonsense);
    }
    let mut entries: Vec<Vec<Entry>> = vec![Vec::new(); roots.len()];
    let mut wanted = Vec::new();
    loop {
        match next(&mut told).await? {
            Told::Entries { volume, entries: some } => {
                let volume = volume as usize;
                let all = entries.get_mut(volume).ok_or(TakeError::Nonsense)?;
                if all.len() + some.len() > MOST_ENTRIES {
                    return Err(TakeError::Nonsense);
                }
                let mirror = Arc::clone(&mirrors[volume]);
                let (some, lacks) = on_disk(move || meet(&mirror, some)).await.map_err(TakeError::Volume)?;
                wanted.extend(lacks.into_iter().map(|entry| Wanted { volume, entry }));
                all.extend(some);
            }
            Told::Listed => break,
            _ => return Err(TakeError::Nonsense),
        }
    }
    let whole = {
        let asking = ask_all(&mut asks, &mirrors, &wanted);
        let taking = take_all(&mut told, &mirrors, &wanted);
        let ((), whole) = tokio::try_join!(asking, taking)?;
        whole
    };
    let size = |entry: &Entry| if let Kind::File(size) = entry.kind { size } else { 0 };
    let held = entries.iter().flatten().map(size).sum();
    for (mirror, entries) in mirrors.into_iter().zip(entries) {
        let done = on_disk(move || match Arc::try_unwrap(mirror) {
            Ok(mirror) if whole => mirror.finish(&entries),
            _ => Ok(()),
        });
        done.await.map_err(TakeError::Volume)?;
    }
    Ok(Round { over: over && whole, held })
}

/// The marks go, so that nobody takes those volumes for copies.
async fn not_ours(roots: &[PathBuf]) -> TakeError {
    for root in roots {
        let root = root.clone();
        if let Err(error) = on_disk(move || Mirror::settle(&root)).await {
            return TakeError::Volume(error);
        }
    }
    TakeError::Same
}

fn meet(mirror: &Mirror, entries: Vec<Entry>) -> io::Result<(Vec<Entry>, Vec<Entry>)> {
    let mut lacks = Vec::new();
    for entry in &entries {
        if mirror.meet(entry)? {
            lacks.push(entry.clone());
        }
    }
    Ok((entries, lacks))
}

async fn ask_all<T: AsyncRead + AsyncWrite + Unpin>(
    asks: &mut Sink<T>,
    mirrors: &[Arc<Mirror>],
    wanted: &[Wanted],
) -> Result<(), TakeError> {
    for Wanted { volume, entry } in wanted {
        let (mirror, about) = (Arc::clone(&mirrors[*volume]), entry.clone());
        let there = on_disk(move || mirror.staged(&about)).await.map_err(TakeError::Volume)?;
        let Kind::File(size) = entry.kind else { return Err(TakeError::Nonsense) };
        let (volume, path) = (u32::try_from(*volume).unwrap_or(u32::MAX), entry.path.clone());
        let ask = Ask::File { volume, path, size, from: there };
        frames::send(asks, &ask).await.map_err(TakeError::Broken)?;
    }
    asks.get_mut().shutdown().await.map_err(TakeError::Broken)
}

/// Whether all of them came as they were listed.
async fn take_all<T: AsyncRead>(
    told: &mut Source<T>,
    mirrors: &[Arc<Mirror>],
    wanted: &[Wanted],
) -> Result<bool, TakeError> {
    let mut whole = true;
    for Wanted { volume, entry } in wanted {
        let mirror = Arc::clone(&mirrors[*volume]);
        let (here, about) = (Arc::clone(&mirror), entry.clone());
        let mut part = on_disk(move || here.part(&about)).await.map_err(TakeError::Volume)?;
        loop {
            match next(told).await? {
                Told::Data(bytes) => {
                    let write = move || part.write(&bytes).map(|()| part);
                    part = on_disk(write).await.map_err(TakeError::Volume)?;
                }
                Told::End(digest) => {
                    let about = entry.clone();
                    let kept = on_disk(move || mirror.keep(part, &about, &digest)).await;
                    match kept {
                        // Changed while it was read: it comes anew in the next round.
                        Err(error) if error.kind() == io::ErrorKind::InvalidData => whole = false,
                        kept => kept.map_err(TakeError::Volume)?,
                    }
                    break;
                }
                Told::Gone => {
                    whole = false;
                    break;
                }
                _ => return Err(TakeError::Nonsense),
            }
        }
    }
    Ok(whole)
}

async fn next<T: AsyncRead>(told: &mut Source<T>) -> Result<Told, TakeError> {
    let ended = || TakeError::Broken(io::ErrorKind::UnexpectedEof.into());
    let frame = told.next().await.ok_or_else(ended)?.map_err(TakeError::Broken)?;
    cbor::decode(&frame, MOST).map_err(|_| TakeError::Nonsense)
}
