//! Our client at one end, a duplex stream in a node's place at the other.

use std::future::pending;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use holm_client::Client;
use holm_model::tunnel::{ExecIn, ExecOut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::UnixListener;

use super::*;

/// A server whose only tunnel leads to the stream that is returned.
async fn server(dir: &std::path::Path) -> (Client, DuplexStream) {
    let (near, far) = tokio::io::duplex(1024);
    let near = Arc::new(Mutex::new(Some(near)));
    let (for_exec, for_port) = (Arc::clone(&near), near);
    let take = |near: &Mutex<Option<DuplexStream>>| near.lock().unwrap().take().unwrap();
    let exec = move |upgrade: WebSocketUpgrade| {
        let tunnel = take(&for_exec);
        async move {
            upgrade.on_upgrade(move |socket| async move {
                carry_frames(socket, tunnel, pending()).await;
            })
        }
    };
    let port = move |upgrade: WebSocketUpgrade| {
        let tunnel = take(&for_port);
        async move { upgrade.on_upgrade(move |socket| carry_bytes(socket, tunnel, pending())) }
    };
    let router = Router::new()
        .route("/api/v1/instances/{id}/exec", get(exec))
        .route("/api/v1/instances/{id}/ports/{port}", get(port));
    let path = dir.join("api.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (Client::unix(path), far)
}

#[tokio::test]
async fn an_exec_carries_frames_both_ways_until_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let (client, node) = server(dir.path()).await;
    let mut exec = client.exec("1", &["cat".to_owned(), "-".to_owned()]).await.unwrap();
    let mut node = frames(node);
    exec.send(&ExecIn::Stdin(b"hello".to_vec())).await.unwrap();
    let frame = node.next().await.unwrap().unwrap();
    assert_eq!(ciborium::from_reader::<ExecIn, _>(&frame[..]).unwrap(), ExecIn::Stdin(b"hello".to_vec()));
    for output in [ExecOut::Stdout(b"hello".to_vec()), ExecOut::Exit(3)] {
        let mut bytes = Vec::new();
        ciborium::into_writer(&output, &mut bytes).unwrap();
        node.send(Bytes::from(bytes)).await.unwrap();
        assert_eq!(exec.next().await.unwrap().unwrap(), output);
    }
    drop(node);
    assert!(exec.next().await.is_none());
}

#[tokio::test]
async fn an_exec_ends_when_the_client_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let (client, node) = server(dir.path()).await;
    let exec = client.exec("1", &["sleep".to_owned()]).await.unwrap();
    drop(exec);
    assert!(frames(node).next().await.is_none());
}

#[tokio::test]
async fn a_port_keeps_half_closed_connections() {
    let dir = tempfile::tempdir().unwrap();
    let (client, mut node) = server(dir.path()).await;
    let mut port = client.connect_port("1", 80).await.unwrap();
    port.write_all(b"GET /").await.unwrap();
    port.shutdown().await.unwrap();
    let mut request = Vec::new();
    node.read_to_end(&mut request).await.unwrap();
    assert_eq!(request, b"GET /");
    // Far more than all buffers between: the way back is still open, and bounded.
    let answer = vec![7; 1 << 20];
    let expected = answer.clone();
    tokio::spawn(async move {
        node.write_all(&answer).await.unwrap();
        node.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    port.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, expected);
}

#[test]
fn commands_are_words_in_their_order() {
    let parse = |uri: &'static str| command(&Uri::from_static(uri));
    assert_eq!(parse("/x?command=ls&tty=1&command=-l&command=a%20b").unwrap(), ["ls", "-l", "a b"]);
    for bad in ["/x", "/x?command=", "/x?command=a&command=%00"] {
        assert_eq!(parse(bad).unwrap_err().kind(), Kind::BadRequest, "{bad}");
    }
}

#[test]
fn a_terminal_has_a_kind_and_a_size() {
    let parse = |uri: &'static str| terminal(&Uri::from_static(uri));
    assert_eq!(parse("/x?command=sh").unwrap(), None);
    let usual = parse("/x?terminal=xterm").unwrap().unwrap();
    assert_eq!((usual.kind.as_str(), usual.size), ("xterm", WindowSize { columns: 80, rows: 24 }));
    let wide = parse("/x?terminal=xterm&columns=200&rows=50").unwrap().unwrap();
    assert_eq!(wide.size, WindowSize { columns: 200, rows: 50 });
    for bad in
        ["terminal=", "terminal=a%0ab", "terminal=x&rows=0", "terminal=x&columns=70000", "terminal=x&rows=-1"]
    {
        let uri: Uri = format!("/x?{bad}").parse().unwrap();
        assert_eq!(terminal(&uri).unwrap_err().kind(), Kind::BadRequest, "{bad}");
    }
}
