//! A registry that is a cache of another one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use holm_registry::{Dial, Digest, OverHttp, Way};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::TcpStream;

use crate::common::{Server, name};

/// A line to the registry above, which somebody counts and cuts.
#[derive(Debug)]
struct Line {
    to: SocketAddr,
    /// Bytes that came down so far.
    carried: AtomicU64,
    /// A connection is cut after so many.
    most: AtomicU64,
    is_dead: std::sync::atomic::AtomicBool,
}

struct Dialer(Arc<Line>);

impl Dial for Dialer {
    fn dial(&self) -> BoxFuture<'_, Result<Box<dyn Way>, String>> {
        let line = Arc::clone(&self.0);
        async move {
            if line.is_dead.load(Ordering::SeqCst) {
                return Err("the line is dead".to_owned());
            }
            let (ours, theirs) = tokio::io::duplex(4096);
            let above = TcpStream::connect(line.to).await.map_err(|error| error.to_string())?;
            tokio::spawn(async move {
                let (mut from_us, mut to_us) = tokio::io::split(theirs);
                let (from_above, mut to_above) = above.into_split();
                let up = async {
                    let _ = copy(&mut from_us, &mut to_above).await;
                };
                let down = async {
                    let mut from_above = from_above.take(line.most.load(Ordering::SeqCst));
                    let mut piece = vec![0; 4096];
                    while let Ok(count @ 1..) = from_above.read(&mut piece).await {
                        line.carried.fetch_add(count as u64, Ordering::SeqCst);
                        if to_us.write_all(&piece[..count]).await.is_err() {
                            return;
                        }
                    }
                };
                tokio::select! {
                    () = async { tokio::join!(up, std::future::pending::<()>()); } => {}
                    () = down => {}
                }
            });
            Ok(Box::new(ours) as Box<dyn Way>)
        }
        .boxed()
    }
}

struct Pair {
    above: Server,
    below: Server,
    line: Arc<Line>,
    dirs: [TempDir; 2],
}

async fn pair() -> Pair {
    let (above, dir) = Server::new().await;
    let line = Arc::new(Line {
        to: above.address,
        carried: AtomicU64::new(0),
        most: AtomicU64::new(u64::MAX),
        is_dead: false.into(),
    });
    let own = tempfile::tempdir().unwrap();
    let below = Server::over(own.path(), Arc::new(OverHttp::new(Dialer(line.clone())))).await;
    Pair { above, below, line, dirs: [dir, own] }
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * 31 % 251) as u8).collect()
}

#[tokio::test]
async fn each_blob_crosses_the_line_once_however_many_ask_for_it() {
    let Pair { above, below, line, dirs: _dirs, .. } = pair().await;
    let layer = bytes(3_000_000);
    above.image("red/web", "v1", &layer).await;
    let digest = Digest::of(&layer);
    let path = format!("/v2/red/web/blobs/{digest}");
    let manifest = below.get("/v2/red/web/manifests/v1").await;
    assert_eq!(manifest.status.as_u16(), 200, "{manifest:?}");
    let head = below.call("HEAD", &path, &[], "").await;
    assert_eq!(head.header("content-length"), "3000000");
    let before = line.carried.load(Ordering::SeqCst);
    let all = futures::future::join_all((0..8).map(|_| below.get(&path))).await;
    assert!(all.iter().all(|answer| answer.status.as_u16() == 200 && answer.body == layer));
    let part = below.call("GET", &path, &[("range", "bytes=1000-1009")], "").await;
    assert_eq!(&part.body[..], &layer[1000..1010]);
    let carried = line.carried.load(Ordering::SeqCst) - before;
    assert!((3_000_000..3_010_000).contains(&carried), "{carried} bytes");
    // Another repository of the same content asks whether it may, and carries nothing.
    above.blob("red/other", &layer).await;
    let other = below.get(&format!("/v2/red/other/blobs/{digest}")).await;
    assert_eq!(other.body, layer);
    let carried = line.carried.load(Ordering::SeqCst) - before;
    assert!(carried < 3_200_000, "{carried} bytes");
    let theirs = below.get(&format!("/v2/blue/web/blobs/{digest}")).await;
    assert_eq!(theirs.error().0, 404, "above, it is not there");
}

#[tokio::test]
async fn a_line_that_is_cut_again_and_again_carries_each_byte_once() {
    let Pair { above, below, line, dirs: _dirs, .. } = pair().await;
    let layer = bytes(2_000_000);
    above.image("red/web", "v1", &layer).await;
    line.most.store(600_000, Ordering::SeqCst);
    let answer = below.get(&format!("/v2/red/web/blobs/{}", Digest::of(&layer))).await;
    assert!(answer.body == layer, "{} bytes", answer.body.len());
    let carried = line.carried.load(Ordering::SeqCst);
    assert!(carried < 2_100_000, "{carried} bytes");
}

#[tokio::test]
async fn what_is_here_is_served_while_nobody_answers_above() {
    let Pair { above, below, line, dirs: _dirs, .. } = pair().await;
    let first = above.image("red/web", "v1", b"layer").await;
    let pull = async || {
        let manifest = below.get("/v2/red/web/manifests/v1").await;
        let blob = below.get(&format!("/v2/red/web/blobs/{}", Digest::of(b"layer"))).await;
        (manifest.header("docker-content-digest").to_owned(), blob.body)
    };
    assert_eq!(pull().await, (first.to_string(), "layer".into()));
    line.is_dead.store(true, Ordering::SeqCst);
    assert_eq!(pull().await, (first.to_string(), "layer".into()));
    assert_eq!(below.get("/v2/red/web/manifests/v2").await.error(), (503, "UNAVAILABLE".into()));
    line.is_dead.store(false, Ordering::SeqCst);
    // A tag that moved is asked for again.
    let second = above.image("red/web", "v1", b"another layer").await;
    let manifest = below.get("/v2/red/web/manifests/v1").await;
    assert_eq!(manifest.header("docker-content-digest"), second.to_string());
    assert_eq!(below.get("/v2/red/web/manifests/v3").await.error(), (404, "MANIFEST_UNKNOWN".into()));
}

#[tokio::test]
async fn content_that_is_spoilt_on_the_way_is_never_shown_whole_and_not_kept() {
    let Pair { above, below, dirs: _dirs, .. } = pair().await;
    let layer = bytes(500_000);
    above.image("red/web", "v1", &layer).await;
    let digest = Digest::of(&layer);
    let hex = digest.hex();
    let file = above.registry.store().open_content(&digest).unwrap();
    drop(file);
    // Somebody spoils the disk above: as many bytes, others.
    let dir = above_dir(&above);
    std::fs::write(dir.join(&hex[..2]).join(&hex), vec![0; 500_000]).unwrap();
    let stream = TcpStream::connect(below.address).await.unwrap();
    let got = read_all(stream, &format!("/v2/red/web/blobs/{digest}")).await;
    let body = got.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| got.len() - at - 4);
    assert!(body < 500_000, "{body} bytes were shown");
    assert!(below.registry.store().blob(&name("red/web"), &digest).is_none());
}

fn above_dir(server: &Server) -> std::path::PathBuf {
    server.dir.join("blobs/sha256")
}

async fn read_all(mut stream: TcpStream, path: &str) -> Vec<u8> {
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    // It is cut: what came before counts.
    let _ = tokio::time::timeout(crate::common::SOON, stream.read_to_end(&mut all)).await.unwrap();
    all
}

#[tokio::test]
async fn nothing_is_pushed_to_a_cache() {
    let Pair { below, dirs: _dirs, .. } = pair().await;
    let answer = below.call("POST", "/v2/red/web/blobs/uploads/", &[], "").await;
    assert_eq!(answer.error(), (405, "UNSUPPORTED".into()));
    let answer = below.call("DELETE", "/v2/red/web/manifests/v1", &[], "").await;
    assert_eq!(answer.error(), (405, "UNSUPPORTED".into()));
}
