//! Telling what is in volumes, and handing out files.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::Arc;

use futures::StreamExt as _;
use holm_link::cbor;
use holm_runtime::volume::{Entry, Mirror, Tree};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::{Ask, Told, on_disk};
use crate::tunnels::frames::{self, MOST, Sink};

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Offer {
    /// In the order of their keys.
    pub(crate) roots: Vec<PathBuf>,
    /// The instance has ended for its successor.
    pub(crate) over: bool,
}

/// Bytes of a file in one frame.
const CHUNK: usize = 256 * 1024;
/// Bytes of paths in one frame, about: names may be long.
const NAMES: usize = 256 * 1024;

pub(crate) async fn give<T: AsyncRead + AsyncWrite + Send + Unpin>(
    tunnel: T,
    offer: Offer,
) -> io::Result<()> {
    let (mut asks, mut sink) = frames::split(tunnel);
    let Offer { roots, over } = offer;
    let looked = roots.clone();
    if on_disk(move || Ok(looked.iter().any(|root| Mirror::is_copy(root)))).await? {
        frames::send(&mut sink, &Told::Same).await?;
        return sink.get_mut().shutdown().await;
    }
    let volumes = u32::try_from(roots.len()).map_err(io::Error::other)?;
    frames::send(&mut sink, &Told::Begin { over, volumes }).await?;
    let mut trees = Vec::new();
    for (root, volume) in roots.into_iter().zip(0..) {
        let (tree, entries) = on_disk(move || {
            let tree = Tree::open(&root)?;
            let entries = tree.list()?;
            Ok((Arc::new(tree), entries))
        })
        .await?;
        trees.push(tree);
        for entries in batches(entries) {
            frames::send(&mut sink, &Told::Entries { volume, entries }).await?;
        }
    }
    frames::send(&mut sink, &Told::Listed).await?;
    while let Some(frame) = asks.next().await {
        let Ask::File { volume, path, size, from } = cbor::decode(&frame?, MOST).map_err(io::Error::other)?;
        let tree = trees.get(volume as usize).ok_or(io::ErrorKind::InvalidData)?.clone();
        send_file(&mut sink, &tree, path, size, from).await?;
    }
    sink.get_mut().shutdown().await
}

fn batches(entries: Vec<Entry>) -> Vec<Vec<Entry>> {
    let mut batches = vec![Vec::new()];
    let mut bytes = 0;
    for entry in entries {
        bytes += entry.path.len() + 128;
        if bytes > NAMES {
            batches.push(Vec::new());
            bytes = 0;
        }
        if let Some(last) = batches.last_mut() {
            last.push(entry);
        }
    }
    batches
}

/// As long as the list said; what has come before counts for the digest only.
async fn send_file<T: AsyncWrite>(
    sink: &mut Sink<T>,
    tree: &Arc<Tree>,
    path: Vec<u8>,
    size: u64,
    from: u64,
) -> io::Result<()> {
    let tree = Arc::clone(tree);
    let Ok(file) = on_disk(move || tree.file(&path)).await else {
        return frames::send(sink, &Told::Gone).await;
    };
    let (mut file, mut digest, mut at) = (file, Sha256::new(), 0);
    while at < size {
        let end = if at < from { from } else { size };
        let most = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
        let read = on_disk(move || read(file, digest, most)).await;
        let Ok((back, sum, bytes)) = read else { return frames::send(sink, &Told::Gone).await };
        (file, digest) = (back, sum);
        if bytes.is_empty() {
            return frames::send(sink, &Told::Gone).await;
        }
        let sent = at >= from;
        at += bytes.len() as u64;
        if sent {
            frames::send(sink, &Told::Data(bytes)).await?;
        }
    }
    frames::send(sink, &Told::End(digest.finalize().to_vec())).await
}

fn read(mut file: File, mut digest: Sha256, most: usize) -> io::Result<(File, Sha256, Vec<u8>)> {
    let mut bytes = vec![0; most];
    let read = file.read(&mut bytes)?;
    bytes.truncate(read);
    digest.update(&bytes);
    Ok((file, digest, bytes))
}
