//! Pushing.

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::common::{INDEX, LIMITS, OCI, SOON, Server, descriptor, image, name};
use holm_registry::{Change, Digest, Limits};

#[tokio::test]
async fn a_blob_comes_at_once_in_two_steps_or_in_pieces() {
    let (server, _dir) = Server::new().await;
    let digest = Digest::of(b"hello world");
    server.blob("red/at-once", b"hello world").await;

    let place = server.begin("red/two").await;
    let answer = server.call("PUT", &format!("{place}?digest={digest}"), &[], "hello world").await;
    assert_eq!((answer.status.as_u16(), answer.header("docker-content-digest")), (201, &*digest.to_string()));
    assert_eq!(answer.header("location"), format!("/v2/red/two/blobs/{digest}"));

    let place = server.begin("red/pieces").await;
    let first = server.call("PATCH", &place, &[("content-range", "0-4")], "hello").await;
    assert_eq!((first.status.as_u16(), first.header("range")), (202, "0-4"));
    let place = first.header("location");
    let status = server.get(place).await;
    assert_eq!((status.status.as_u16(), status.header("range")), (204, "0-4"));
    let wrong = server.call("PATCH", place, &[("content-range", "9-14")], " world").await;
    assert_eq!((wrong.error().0, wrong.header("range")), (416, "0-4"));
    let second = server.call("PATCH", place, &[], " wor").await;
    assert_eq!(second.header("range"), "0-8");
    let last =
        server.call("PUT", &format!("{place}?digest={digest}"), &[("content-range", "9-10")], "ld").await;
    assert_eq!(last.status.as_u16(), 201);
    let again = server.call("PUT", &format!("{place}?digest={digest}"), &[], "").await;
    assert_eq!(again.error(), (404, "BLOB_UPLOAD_UNKNOWN".into()));
    for repository in ["red/at-once", "red/two", "red/pieces"] {
        let answer = server.get(&format!("/v2/{repository}/blobs/{digest}")).await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"hello world"[..]), "{repository}");
    }
}

#[tokio::test]
async fn an_upload_is_known_in_its_own_repository_only_and_can_be_given_up() {
    let (server, dir) = Server::new().await;
    let place = server.begin("red/web").await;
    let other = place.replace("red/web", "red/other");
    assert_eq!(server.get(&other).await.error(), (404, "BLOB_UPLOAD_UNKNOWN".into()));
    assert_eq!(server.get("/v2/red/web/blobs/uploads/nonsense").await.error().0, 404);
    assert_eq!(server.call("DELETE", &place, &[], "").await.status.as_u16(), 204);
    assert_eq!(server.get(&place).await.error().0, 404);
    assert_eq!(std::fs::read_dir(dir.path().join("uploads")).unwrap().count(), 0);
}

#[tokio::test]
async fn content_that_is_not_what_it_was_said_to_be_is_refused_and_leaves_nothing() {
    let (server, dir) = Server::new().await;
    let digest = Digest::of(b"right");
    let path = format!("/v2/red/web/blobs/uploads/?digest={digest}");
    let answer = server.call("POST", &path, &[], "wrong").await;
    assert_eq!(answer.error(), (400, "DIGEST_INVALID".into()));
    let place = server.begin("red/web").await;
    let answer = server.call("PUT", &format!("{place}?digest={digest}"), &[], "wrong").await;
    assert_eq!(answer.error(), (400, "DIGEST_INVALID".into()));
    let answer = server.call("PUT", &format!("{place}?digest=sha512:00"), &[], "").await;
    assert_eq!(answer.error().0, 404, "the upload is over");
    assert_eq!(
        server.get(&format!("/v2/red/web/blobs/{digest}")).await.error(),
        (404, "BLOB_UNKNOWN".into())
    );
    assert_eq!(std::fs::read_dir(dir.path().join("uploads")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_manifest_needs_what_it_names_in_its_own_repository() {
    let (server, _dir) = Server::new().await;
    server.image("red/other", "v1", b"layer").await;
    let text = image(b"layer", &json!({}));
    let missing = server.put("red/web", "v1", OCI, &text).await;
    assert_eq!(missing.error(), (400, "MANIFEST_BLOB_UNKNOWN".into()));
    assert_eq!(missing.json()["errors"][0]["detail"].as_array().unwrap().len(), 2);
    server.blob("red/web", b"{}").await;
    server.blob("red/web", b"layer").await;
    let lie = text.replace(&format!("\"size\":{}", 5), "\"size\":6");
    assert_eq!(server.put("red/web", "v1", OCI, &lie).await.error(), (400, "SIZE_INVALID".into()));
    let put = server.put("red/web", "v1", OCI, &text).await;
    let digest = Digest::of(text.as_bytes());
    assert_eq!((put.status.as_u16(), put.header("docker-content-digest")), (201, &*digest.to_string()));
    let wrong = server.put("red/web", &Digest::of(b"x").to_string(), OCI, &text).await;
    assert_eq!(wrong.error(), (400, "DIGEST_INVALID".into()));
    let by_digest = server.put("red/web", &digest.to_string(), OCI, &text).await;
    assert_eq!(by_digest.status.as_u16(), 201);
    assert_eq!(server.put("red/web", ".bad", OCI, &text).await.error(), (400, "TAG_INVALID".into()));
    assert_eq!(server.put("red/web", "v1", OCI, "{").await.error(), (400, "MANIFEST_INVALID".into()));
    let long = " ".repeat(LIMITS.manifest + 1);
    assert_eq!(server.put("red/web", "v1", OCI, &long).await.error(), (413, "SIZE_INVALID".into()));
    let index =
        json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(text.as_bytes(), OCI)] });
    assert_eq!(server.put("red/web", "all", INDEX, &index.to_string()).await.status.as_u16(), 201);
    let changes = server.gate.changes.lock().unwrap();
    let pushed = changes.iter().filter(|change| matches!(change, Change::Pushed { .. })).count();
    assert_eq!(pushed, 4, "{changes:?}");
}

#[tokio::test]
async fn a_blob_is_taken_over_from_where_the_sender_may_pull() {
    let (server, _dir) = Server::new().await;
    let digest = server.blob("red/base", b"base").await;
    let mount =
        |from: &str, digest: &Digest| format!("/v2/red/web/blobs/uploads/?mount={digest}&from={from}");
    let taken = server.call("POST", &mount("red/base", &digest), &[], "").await;
    assert_eq!(
        (taken.status.as_u16(), taken.header("location")),
        (201, &*format!("/v2/red/web/blobs/{digest}"))
    );
    assert_eq!(server.get(&format!("/v2/red/web/blobs/{digest}")).await.body, "base");
    // Whoever may not pull there learns nothing: it is as if there were no such blob.
    server.registry.store().add_blob(&name("secret/x"), sealed(&server, b"secret"), None).unwrap();
    for (from, what) in [("secret/x", b"secret".as_slice()), ("red/none", b"base"), ("../..", b"base")] {
        let answer = server.call("POST", &mount(from, &Digest::of(what)), &[], "").await;
        assert_eq!((answer.status.as_u16(), answer.header("range")), (202, "0-0"), "{from}");
    }
}

fn sealed(server: &Server, bytes: &[u8]) -> holm_registry::Sealed {
    let mut draft = server.registry.store().draft().unwrap();
    draft.append(bytes).unwrap();
    draft.seal(&Digest::of(bytes)).unwrap()
}

#[tokio::test]
async fn a_push_that_was_cut_goes_on_where_it_ended_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), LIMITS).await;
    let place = server.begin("red/web").await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!("PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n0123456789");
    stream.write_all(head.as_bytes()).await.unwrap();
    // Half of it came; then the line is cut.
    let came = async {
        loop {
            stream.flush().await.unwrap();
            drop(std::mem::replace(&mut stream, TcpStream::connect(server.address).await.unwrap()));
            let status = server.get(&place).await;
            if status.header("range") == "0-9" {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, came).await.unwrap();
    drop(server);
    let server = Server::start(dir.path(), LIMITS).await;
    let status = server.get(&place).await;
    assert_eq!((status.status.as_u16(), status.header("range")), (204, "0-9"));
    let digest = Digest::of(b"0123456789abc");
    let last =
        server.call("PUT", &format!("{place}?digest={digest}"), &[("content-range", "10-12")], "abc").await;
    assert_eq!(last.status.as_u16(), 201, "{last:?}");
    drop(server);
    let server = Server::start(dir.path(), LIMITS).await;
    assert_eq!(server.get(&format!("/v2/red/web/blobs/{digest}")).await.body, "0123456789abc");
}

#[tokio::test]
async fn whoever_goes_on_is_not_kept_waiting_by_a_dead_connection() {
    let (server, _dir) = Server::new().await;
    let place = server.begin("red/web").await;
    let mut dead = TcpStream::connect(server.address).await.unwrap();
    let head = format!("PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n0123456789");
    dead.write_all(head.as_bytes()).await.unwrap();
    let digest = Digest::of(b"0123456789abc");
    let goes_on = async {
        loop {
            // What had come when the turn changed is kept.
            let answer = server.call("PATCH", &place, &[("content-range", "10-12")], "abc").await;
            if answer.status.as_u16() == 202 {
                return;
            }
            assert_eq!(answer.status.as_u16(), 416, "{answer:?}");
            dead = TcpStream::connect(server.address).await.unwrap();
            let at = match answer.header("range") {
                "0-0" => 0,
                range => range.trim_start_matches("0-").parse::<usize>().unwrap() + 1,
            };
            let rest = &"0123456789"[at..];
            let head = format!("PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{rest}");
            dead.write_all(head.as_bytes()).await.unwrap();
        }
    };
    tokio::time::timeout(SOON, goes_on).await.unwrap();
    let last = server.call("PUT", &format!("{place}?digest={digest}"), &[], "").await;
    assert_eq!(last.status.as_u16(), 201, "{last:?}");
}

#[tokio::test]
async fn a_project_keeps_no_more_than_it_may() {
    let (server, _dir) = Server::new().await;
    *server.gate.quota.lock().unwrap() = Some(20);
    server.blob("red/web", b"0123456789").await;
    server.blob("red/other", b"0123456789").await;
    let eleven = Digest::of(b"01234567890");
    let path = format!("/v2/red/web/blobs/uploads/?digest={eleven}");
    let refused = server.call("POST", &path, &[], "01234567890").await;
    assert_eq!(refused.error(), (413, "DENIED".into()));
    assert!(refused.json()["errors"][0]["message"].as_str().unwrap().contains("project red may keep"));
    // Also when it does not say beforehand how much it will be, and when it comes in several uploads.
    let one = server.begin("red/web").await;
    let two = server.begin("red/web").await;
    assert_eq!(server.call("PATCH", &one, &[], "123456").await.status.as_u16(), 202);
    assert_eq!(server.call("PATCH", &two, &[], "123456").await.error(), (413, "DENIED".into()));
    // Another project has room of its own.
    server.blob("blue/web", b"01234567890").await;
}

#[tokio::test]
async fn bytes_that_were_announced_and_cannot_be_taken_are_refused_before_they_come() {
    let (server, _dir) = Server::new().await;
    *server.gate.quota.lock().unwrap() = Some(1 << 30);
    let place = server.begin("red/web").await;
    let huge = [("content-length", "10737418240")];
    // The client sends nothing of it: the answer comes all the same.
    let stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!("PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", huge[0].1);
    let answer = raw(stream, &head).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    *server.gate.quota.lock().unwrap() = None;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!("PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", u64::MAX / 4);
    let answer = raw(stream, &head).await;
    assert!(answer.starts_with("HTTP/1.1 507 "), "{answer}");
}

async fn raw(mut stream: TcpStream, head: &str) -> String {
    use tokio::io::AsyncReadExt as _;
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut buffer = vec![0; 4096];
    let read = tokio::time::timeout(SOON, stream.read(&mut buffer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

#[tokio::test]
async fn a_disk_without_room_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Limits { reserve: u64::MAX, ..LIMITS }).await;
    let digest = Digest::of(b"x");
    let path = format!("/v2/red/web/blobs/uploads/?digest={digest}");
    assert_eq!(server.call("POST", &path, &[], "x").await.error(), (507, "DISK_FULL".into()));
    assert_eq!(std::fs::read_dir(dir.path().join("uploads")).unwrap().count(), 0);
}

#[tokio::test]
async fn uploads_that_nobody_goes_on_with_are_bounded_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), LIMITS).await;
    for _ in 0..LIMITS.uploads {
        server.begin("red/web").await;
    }
    let more = server.call("POST", "/v2/red/web/blobs/uploads/", &[], "").await;
    assert_eq!(more.error(), (429, "TOOMANYREQUESTS".into()));
    server.begin("blue/web").await;
    server.registry.clean(std::time::Instant::now() + LIMITS.idle * 2).await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("uploads")).unwrap().count(), 0);
    server.begin("red/web").await;
}
