//! What nobody needs goes while others push and pull.

use std::time::{Duration, Instant};

use holm_registry::{Collected, Digest};
use serde_json::json;

use crate::common::{LIMITS, OCI, Server, image};

fn files(dir: &std::path::Path) -> usize {
    let blobs = dir.join("blobs/sha256");
    std::fs::read_dir(blobs)
        .unwrap()
        .map(|first| std::fs::read_dir(first.unwrap().path()).unwrap().count())
        .sum()
}

#[tokio::test]
async fn only_what_nothing_names_goes_and_only_after_its_time() {
    let (server, dir) = Server::new().await;
    let first = server.image("red/web", "v1", b"first").await;
    let second = server.image("red/web", "v1", b"second").await;
    server.blob("red/web", b"loose").await;
    let start = Instant::now();
    assert_eq!(server.registry.clean(start).await.unwrap(), Collected::default());
    let gone = server.registry.clean(start + LIMITS.loose + Duration::from_secs(1)).await.unwrap();
    assert_eq!((gone.manifests, gone.blobs, gone.files, gone.bytes), (0, 1, 1, 5));
    let gone = server.registry.clean(start + LIMITS.untagged + Duration::from_secs(1)).await.unwrap();
    assert_eq!((gone.manifests, gone.blobs, gone.files), (1, 1, 2), "the image before and its layer");
    assert_eq!(files(dir.path()), 3);
    assert_eq!(server.get(&format!("/v2/red/web/manifests/{first}")).await.error().0, 404);
    assert_eq!(server.get(&format!("/v2/red/web/manifests/{second}")).await.status.as_u16(), 200);
}

#[tokio::test]
async fn what_somebody_was_told_is_here_stays_as_long_as_if_it_came_now() {
    let (server, _dir) = Server::new().await;
    let digest = server.blob("red/web", b"layer").await;
    let later = Instant::now() + LIMITS.loose;
    // `later` is past the time of the push, not of the question.
    while Instant::now() + LIMITS.loose <= later {
        tokio::task::yield_now().await;
    }
    server.call("HEAD", &format!("/v2/red/web/blobs/{digest}"), &[], "").await;
    assert_eq!(server.registry.clean(later).await.unwrap(), Collected::default());
}

#[tokio::test]
async fn a_blob_of_two_repositories_stays_as_long_as_one_shows_it() {
    let (server, dir) = Server::new().await;
    server.image("red/web", "v1", b"layer").await;
    server.blob("blue/web", b"layer").await;
    let gone = server.registry.clean(Instant::now() + LIMITS.loose * 2).await.unwrap();
    assert_eq!((gone.blobs, gone.files), (1, 0));
    assert_eq!(files(dir.path()), 3);
}

#[tokio::test]
async fn pushes_beside_collections_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), LIMITS).await;
    let pushes = async {
        for turn in 0..30 {
            let layer = format!("layer {}", turn % 3);
            let name = format!("red/{}", turn % 2);
            server.image(&name, &format!("v{}", turn % 4), layer.as_bytes()).await;
        }
    };
    let collections = async {
        loop {
            // Manifests have no grace here; blobs have theirs.
            server.registry.clean(Instant::now() + LIMITS.loose / 2).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = pushes => {}
        () = collections => {}
    }
    server.registry.clean(Instant::now() + LIMITS.untagged * 2).await.unwrap();
    for (name, tags) in server.registry.store().repositories() {
        for (tag, digest) in tags {
            let found = server.get(&format!("/v2/{name}/manifests/{tag}")).await;
            assert_eq!(Digest::of(&found.body), digest);
            for layer in found.json()["layers"].as_array().unwrap() {
                let digest = layer["digest"].as_str().unwrap();
                let blob = server.get(&format!("/v2/{name}/blobs/{digest}")).await;
                assert_eq!(Digest::of(&blob.body).to_string(), digest);
            }
        }
    }
}

#[tokio::test]
async fn content_that_lost_its_file_is_not_shown_after_a_restart() {
    let (server, dir) = Server::new().await;
    server.image("red/web", "v1", b"layer").await;
    let digest = Digest::of(image(b"layer", &json!({})).as_bytes());
    let hex = digest.to_string().trim_start_matches("sha256:").to_owned();
    drop(server);
    std::fs::remove_file(dir.path().join("blobs/sha256").join(&hex[..2]).join(&hex)).unwrap();
    let server = Server::start(dir.path(), LIMITS).await;
    assert_eq!(server.get("/v2/red/web/manifests/v1").await.error().0, 404);
    assert_eq!(server.put("red/web", "v1", OCI, &image(b"layer", &json!({}))).await.status.as_u16(), 201);
}
