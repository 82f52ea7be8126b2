//! What only the runtime `container` does. Needs an engine, see `contract.rs`.

#![allow(clippy::unwrap_used, reason = "what cannot be done in a test fails it")]

mod common;

use std::path::PathBuf;

use common::{exited, first_line, launch, lines, until};
use holm_model::name::Name;
use holm_model::resources::Memory;
use holm_runtime::container::{ContainerConfig, ContainerRuntime};
use holm_runtime::{Launch, LogOptions, PortMap, RunError, Runtime as _, RuntimeEvent};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

fn driver() -> Option<(ContainerRuntime, mpsc::Receiver<RuntimeEvent>)> {
    let Ok(socket) = std::env::var("HOLM_TEST_DOCKER") else {
        println!("skipped: HOLM_TEST_DOCKER names no container engine");
        return None;
    };
    let (send, events) = mpsc::channel(64);
    let socket = PathBuf::from(socket.trim_start_matches("unix://"));
    Some((ContainerRuntime::new(ContainerConfig::new(socket, common::fresh_id().to_string()), send), events))
}

fn sh(script: &str) -> Launch {
    launch("container", &["/bin/sh", "-c", script])
}

fn port(launch: &mut Launch, host: u16, container: u16) {
    launch.ports.insert(Name::new("http").unwrap(), PortMap { host, container: Some(container) });
}

#[tokio::test]
async fn an_image_that_does_not_exist_carries_the_answer_needs_engine() {
    let Some((runtime, _events)) = driver() else { return };
    let mut launch = sh("true");
    launch.spec.image = Some("127.0.0.1:1/no-such-image:9".into());
    let prepared = runtime.prepare(&launch, &|_| {}).await.unwrap_err();
    assert!(prepared.to_string().contains("connection refused"), "{prepared}");
    let started = runtime.start(&launch).await.unwrap_err();
    assert!(started.to_string().contains("No such image"), "{started}");
    assert!(matches!(started, RunError::ImageMissing { .. }) && started.retry());
}

#[tokio::test]
async fn a_missing_program_is_named_needs_engine() {
    let Some((runtime, _events)) = driver() else { return };
    let launch = launch("container", &["no-such-program"]);
    let error = runtime.start(&launch).await.unwrap_err();
    let expected = "program `no-such-program` was not found in image `holm-test:1`";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert_eq!(runtime.survivors().await.unwrap(), [], "nothing is left behind");
}

#[tokio::test]
async fn a_port_is_published_and_a_taken_one_named_needs_engine() {
    let Some((runtime, _events)) = driver() else { return };
    let taken = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let number = taken.local_addr().unwrap().port();
    let mut server = sh("while :; do echo hello | nc -l -p 8080; done");
    port(&mut server, number, 8080);
    let error = runtime.start(&server).await.unwrap_err();
    assert!(matches!(error, RunError::PortTaken { port, .. } if port == number), "{error}");
    drop(taken);
    runtime.start(&server).await.unwrap();
    until("it answers", async || {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", number)).await else { return false };
        let mut text = String::new();
        stream.read_to_string(&mut text).await.is_ok() && text == "hello\n"
    })
    .await;
    assert_eq!(runtime.survivors().await.unwrap()[0].ports, server.ports);
    runtime.remove(server.id).await.unwrap();
}

#[tokio::test]
async fn the_files_of_the_node_are_seen_and_read_only_needs_engine() {
    let Some((runtime, mut events)) = driver() else { return };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("peers"), "everybody\n").unwrap();
    let path = runtime.files_path(dir.path()).display().to_string();
    let mut launch = sh(&format!("cat {path}/peers; echo x 2>/dev/null > {path}/new || echo refused"));
    launch.files = Some(dir.path().into());
    runtime.start(&launch).await.unwrap();
    exited(&mut events, &launch).await;
    assert_eq!(lines(&runtime, launch.id, LogOptions::default()).await, ["o everybody", "o refused"]);
    runtime.remove(launch.id).await.unwrap();
}

#[tokio::test]
async fn memory_is_limited_needs_engine() {
    let Some((runtime, mut events)) = driver() else { return };
    let mut launch = sh("x=x; while :; do x=$x$x; done");
    launch.spec.resources.memory = Memory(16 << 20);
    runtime.start(&launch).await.unwrap();
    let outcome = exited(&mut events, &launch).await;
    assert!(!outcome.succeeded(), "{outcome}");
    runtime.remove(launch.id).await.unwrap();
}

#[tokio::test]
async fn other_nodes_containers_are_not_ours_needs_engine() {
    let (Some((ours, _events)), Some((theirs, _others))) = (driver(), driver()) else { return };
    let launch = sh("echo up; exec sleep 1000");
    theirs.start(&launch).await.unwrap();
    first_line(&theirs, launch.id).await;
    assert_eq!(ours.survivors().await.unwrap(), []);
    theirs.remove(launch.id).await.unwrap();
}

#[tokio::test]
async fn without_an_engine_it_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (send, _events) = mpsc::channel(1);
    let config = ContainerConfig::new(dir.path().join("docker.sock"), "n1".into());
    let runtime = ContainerRuntime::new(config, send);
    let reason = runtime.facts().await.unavailable.unwrap();
    assert!(reason.contains("no container engine at unix://"), "{reason}");
    assert!(runtime.start(&sh("true")).await.unwrap_err().retry());
}
