//! What only the runtime `container` does, checked with each engine, see `contract.rs`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::{ContainerCreateBody, ContainerSummaryStateEnum};
use bollard::query_parameters::{CreateContainerOptionsBuilder, ListContainersOptionsBuilder};
use bollard::{API_DEFAULT_VERSION, Docker};
use holm_model::id::AssignmentId;
use holm_model::name::Name;
use holm_runtime::container::{ContainerConfig, ContainerRuntime};
use holm_runtime::{
    End, Launch, LogOptions, Outcome, PortMap, RunError, Runtime as _, RuntimeEvent, Survivor, SurvivorState,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::mpsc;

use crate::common::{self, exited, first_line, launch, lines, until};

fn driver(socket: PathBuf) -> (ContainerRuntime, mpsc::Receiver<RuntimeEvent>) {
    let (send, events) = mpsc::channel(64);
    (ContainerRuntime::new(ContainerConfig::new(socket, common::fresh_id().to_string()), send), events)
}

fn sh(script: &str) -> Launch {
    launch("container", &["/bin/sh", "-c", script])
}

fn port(launch: &mut Launch, host: u16, container: u16) {
    launch.ports.insert(Name::new("http").unwrap(), PortMap { host, container: Some(container) });
}

async fn an_image_that_does_not_exist_carries_the_answer(socket: PathBuf) {
    let (runtime, _events) = driver(socket);
    let mut launch = sh("true");
    launch.spec.image = Some("127.0.0.1:1/no-such-image:9".into());
    let prepared = runtime.prepare(&launch, &|_| {}).await.unwrap_err();
    assert!(prepared.to_string().contains("connection refused"), "{prepared}");
    let started = runtime.start(&launch).await.unwrap_err();
    assert!(started.to_string().to_lowercase().contains("no such image"), "{started}");
    assert!(matches!(started, RunError::ImageMissing { .. }) && started.retry());
}

async fn a_missing_program_is_named(socket: PathBuf) {
    let (runtime, _events) = driver(socket);
    let launch = launch("container", &["no-such-program"]);
    let error = runtime.start(&launch).await.unwrap_err();
    let expected = "program `no-such-program` was not found in image `holm-test:1`";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert_eq!(runtime.survivors().await.unwrap(), [], "nothing is left behind");
}

async fn a_port_is_published_and_a_taken_one_named(socket: PathBuf) {
    let (runtime, _events) = driver(socket);
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

async fn the_files_of_the_node_are_seen_and_read_only(socket: PathBuf) {
    let (runtime, mut events) = driver(socket);
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

async fn other_nodes_containers_are_not_ours(socket: PathBuf) {
    let ((ours, _events), (theirs, _others)) = (driver(socket.clone()), driver(socket));
    let launch = sh("echo up; exec sleep 1000");
    theirs.start(&launch).await.unwrap();
    first_line(&theirs, launch.id).await;
    assert_eq!(ours.survivors().await.unwrap(), []);
    theirs.remove(launch.id).await.unwrap();
}

/// (all, running) containers of an instance.
async fn containers(socket: &Path, id: AssignmentId) -> (usize, usize) {
    let client = Docker::connect_with_unix(&socket.display().to_string(), 30, API_DEFAULT_VERSION).unwrap();
    let filters = HashMap::from([("label", vec![format!("holm.instance={id}")])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let all = client.list_containers(Some(options)).await.unwrap();
    let running = all.iter().filter(|one| one.state == Some(ContainerSummaryStateEnum::RUNNING));
    (all.len(), running.count())
}

async fn what_is_replaced_goes_and_never_runs_beside_its_successor(socket: PathBuf) {
    let (runtime, _events) = driver(socket.clone());
    let mut launch = sh("exec sleep 1000");
    runtime.start(&launch).await.unwrap();
    launch.incarnation += 1;
    runtime.start(&launch).await.unwrap();
    assert_eq!(containers(&socket, launch.id).await, (1, 1), "one that ran was ended first");
    runtime.halt(launch.id, Duration::ZERO).await.unwrap();
    launch.incarnation += 1;
    runtime.start(&launch).await.unwrap();
    assert_eq!(containers(&socket, launch.id).await.1, 1);
    assert_eq!(containers(&socket, launch.id).await, (2, 1), "the one before is kept");
    for _ in 0..3 {
        runtime.halt(launch.id, Duration::ZERO).await.unwrap();
        launch.incarnation += 1;
        runtime.start(&launch).await.unwrap();
        assert_eq!(containers(&socket, launch.id).await.1, 1);
    }
    until("one is kept at most", async || containers(&socket, launch.id).await == (2, 1)).await;
    assert_eq!(runtime.survivors().await.unwrap().len(), 1);
    runtime.remove(launch.id).await.unwrap();
    assert_eq!(containers(&socket, launch.id).await, (0, 0));
}

async fn what_the_life_before_said_is_kept(socket: PathBuf) {
    let (runtime, mut events) = driver(socket);
    let mut launch = sh("true");
    let previous = || LogOptions { previous: true, ..LogOptions::default() };
    for (incarnation, word) in [(1, "first"), (2, "second"), (3, "third")] {
        launch.incarnation = incarnation;
        launch.spec.command[2] = format!("echo {word}; echo {word} again >&2");
        runtime.start(&launch).await.unwrap();
        exited(&mut events, &launch).await;
        if incarnation == 1 {
            let error = runtime.logs(launch.id, previous()).await.err().unwrap();
            assert!(matches!(error, RunError::NoPrevious { .. }), "{error}");
        }
    }
    let said = lines(&runtime, launch.id, previous()).await;
    assert!(said.contains(&"o second".into()) && said.contains(&"e second again".into()), "{said:?}");
    assert_eq!(said.len(), 2);
    let last =
        LogOptions { tail: Some(1), pattern: Some(holm_runtime::pattern("^sec").unwrap()), ..previous() };
    assert_eq!(lines(&runtime, launch.id, last).await.len(), 1);
    runtime.remove(launch.id).await.unwrap();
}

/// The step `number` of the start that `launch` is.
fn step(launch: &Launch, number: u32, words: &[&str]) -> Launch {
    let mut step = launch.clone();
    step.spec.command = words.iter().map(|word| (*word).to_owned()).collect();
    step.step = Some(number);
    step
}

async fn steps_are_containers_of_their_own_in_the_instances_log(socket: PathBuf) {
    let (runtime, mut events) = driver(socket.clone());
    let mut launch = sh("echo served");
    for start in 1..=3 {
        launch.incarnation = start;
        let one = step(&launch, 1, &["/bin/sh", "-c", "echo one; echo again"]);
        let two = step(&launch, 2, &["hostname"]);
        for step in [&one, &two] {
            runtime.start(step).await.unwrap();
            assert_eq!(exited(&mut events, step).await, Outcome::code(0));
        }
        launch.after_steps = true;
        runtime.start(&launch).await.unwrap();
        assert_eq!(exited(&mut events, &launch).await, Outcome::code(0));
        let said = lines(&runtime, launch.id, LogOptions::default()).await;
        assert_eq!(
            (&said[..2], &said[3..]),
            (&["o one".into(), "o again".into()][..], &["o served".into()][..])
        );
        let last = LogOptions { tail: Some(2), ..LogOptions::default() };
        assert_eq!(lines(&runtime, launch.id, last).await, said[2..]);
    }
    let survivors = runtime.survivors().await.unwrap();
    let [Survivor { incarnation: 3, state: SurvivorState::Exited(end), .. }] = &survivors[..] else {
        panic!("a step is no instance: {survivors:?}")
    };
    assert_eq!(*end, Outcome::code(0));
    // Two steps, the program, and the program before.
    until("the rest is gone", async || containers(&socket, launch.id).await == (4, 0)).await;
    runtime.remove(launch.id).await.unwrap();
    assert_eq!(containers(&socket, launch.id).await, (0, 0));
}

async fn a_step_is_halted_as_the_instance_would_be(socket: PathBuf) {
    let (runtime, mut events) = driver(socket.clone());
    let launch = sh("true");
    let step =
        step(&launch, 1, &["/bin/sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done"]);
    runtime.start(&step).await.unwrap();
    first_line(&runtime, launch.id).await;
    assert_eq!(runtime.survivors().await.unwrap(), [], "it is this agent's own");
    runtime.halt(launch.id, Duration::from_secs(20)).await.unwrap();
    assert_eq!(exited(&mut events, &step).await, Outcome::code(7));
    runtime.remove(launch.id).await.unwrap();
    assert_eq!(containers(&socket, launch.id).await, (0, 0));
}

async fn a_step_of_an_agent_that_died_is_ended_and_no_instance(socket: PathBuf) {
    for words in [&["true"][..], &["sleep", "1000"]] {
        let (runtime, mut events) = driver(socket.clone());
        let mut launch = sh("exec sleep 1000");
        let one = step(&launch, 1, &["true"]);
        runtime.start(&one).await.unwrap();
        exited(&mut events, &one).await;
        let two = step(&launch, 2, words);
        runtime.start(&two).await.unwrap();
        if words.len() == 1 {
            exited(&mut events, &two).await;
        }
        let node = runtime_of(&socket, launch.id).await;
        drop(runtime);
        let (send, mut events) = mpsc::channel(64);
        let runtime = ContainerRuntime::new(ContainerConfig::new(socket.clone(), node), send);
        let survivors = runtime.survivors().await.unwrap();
        let [Survivor { state: SurvivorState::Exited(Outcome { end: End::Lost(reason), .. }), .. }] =
            &survivors[..]
        else {
            panic!("{survivors:?}")
        };
        assert_eq!(reason, "the agent ended during the steps before its start");
        until("it ends", async || containers(&socket, launch.id).await == (2, 0)).await;
        // Nothing of the steps is in the way, and none is left behind.
        launch.incarnation = 2;
        let again = step(&launch, 1, &["true"]);
        runtime.start(&again).await.unwrap();
        assert_eq!(exited(&mut events, &again).await, Outcome::code(0));
        runtime.start(&launch).await.unwrap();
        assert_eq!(lines(&runtime, launch.id, LogOptions::default()).await, [""; 0]);
        assert_eq!(containers(&socket, launch.id).await, (3, 1), "the program, its step, what was lost");
        runtime.remove(launch.id).await.unwrap();
        assert_eq!(containers(&socket, launch.id).await, (0, 0));
    }
}

/// Whose containers they are, as the engine knows it.
async fn runtime_of(socket: &Path, id: AssignmentId) -> String {
    let client = Docker::connect_with_unix(&socket.display().to_string(), 30, API_DEFAULT_VERSION).unwrap();
    let there = client.inspect_container(&format!("holm-{id}"), None).await.unwrap();
    there.config.unwrap().labels.unwrap()["holm.node"].clone()
}

/// Its agent died between making the container and starting it.
async fn what_was_made_and_never_started_is_told_so_and_starts(socket: PathBuf) {
    let (runtime, _events) = driver(socket.clone());
    let mut launch = sh("exec sleep 1000");
    runtime.start(&launch).await.unwrap();
    let client = Docker::connect_with_unix(&socket.display().to_string(), 30, API_DEFAULT_VERSION).unwrap();
    let name = format!("holm-{}", launch.id);
    let config = client.inspect_container(&name, None).await.unwrap().config.unwrap();
    runtime.remove(launch.id).await.unwrap();
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    let body = ContainerCreateBody {
        image: config.image,
        cmd: config.cmd,
        labels: config.labels,
        ..Default::default()
    };
    client.create_container(Some(options), body).await.unwrap();
    let survivors = runtime.survivors().await.unwrap();
    let told: Vec<_> = survivors.iter().map(|one| (one.id, one.incarnation, &one.state)).collect();
    assert_eq!(told, [(launch.id, launch.incarnation, &SurvivorState::Created)]);
    launch.incarnation += 1;
    runtime.start(&launch).await.unwrap();
    assert_eq!(containers(&socket, launch.id).await.1, 1);
    runtime.remove(launch.id).await.unwrap();
    assert_eq!(containers(&socket, launch.id).await, (0, 0));
}

macro_rules! with_each_engine {
    ($($check:ident)*) => {
        checks! { docker_needs_engine, crate::common::docker(), $($check)* }
        checks! { podman_needs_podman, crate::common::podman(), $($check)* }
    };
}

with_each_engine! {
    an_image_that_does_not_exist_carries_the_answer
    a_missing_program_is_named
    a_port_is_published_and_a_taken_one_named
    the_files_of_the_node_are_seen_and_read_only
    other_nodes_containers_are_not_ours
    what_is_replaced_goes_and_never_runs_beside_its_successor
    what_the_life_before_said_is_kept
    steps_are_containers_of_their_own_in_the_instances_log
    a_step_is_halted_as_the_instance_would_be
    a_step_of_an_agent_that_died_is_ended_and_no_instance
    what_was_made_and_never_started_is_told_so_and_starts
}

/// Answers as an engine that has nothing, until it is aborted.
async fn hollow_engine(socket: UnixListener) {
    const BODY: &str = r#"{"ApiVersion":"1.41","MinAPIVersion":"1.24","ServerVersion":"20"}"#;
    while let Ok((mut stream, _)) = socket.accept().await {
        let mut head = [0; 4096];
        let _ = stream.read(&mut head).await;
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{BODY}",
            BODY.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

#[tokio::test]
async fn logs_of_an_engine_that_has_died_are_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("engine.sock");
    let engine = tokio::spawn(hollow_engine(UnixListener::bind(&socket).unwrap()));
    let (runtime, _events) = driver(socket);
    assert_eq!(runtime.facts().await.unavailable, None, "it was there");
    engine.abort();
    assert!(engine.await.unwrap_err().is_cancelled());
    for follow in [false, true] {
        let options = LogOptions { follow, ..LogOptions::default() };
        let Err(error) = runtime.logs(common::fresh_id(), options).await else { panic!("granted") };
        assert!(matches!(error, RunError::NoEngine { .. }), "{error}");
    }
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

/// An engine that only says that it is there.
async fn answer_as_engine(mut stream: tokio::net::UnixStream) {
    let mut request = Vec::new();
    loop {
        let Ok(1..) = stream.read_buf(&mut request).await else { return };
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut request)).unwrap();
        if text.contains("/events") {
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).await.unwrap();
            return std::future::pending().await;
        }
        let body = if text.contains("/version") { r#"{"ApiVersion":"1.41"}"# } else { "{}" };
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
        if stream.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).await.is_err() {
            return;
        }
    }
}

/// It lists a container that has ended, and is gone when it is asked how.
async fn list_and_hang_up(mut stream: tokio::net::UnixStream) {
    let labels = format!(r#"{{"holm.instance":"{}","holm.incarnation":"1"}}"#, common::fresh_id());
    let listed = format!(r#"[{{"Names":["/x"],"State":"exited","Labels":{labels}}}]"#);
    let mut request = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut request).await {
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut request)).unwrap();
        let body = match () {
            () if text.contains("/version") => r#"{"ApiVersion":"1.41"}"#,
            () if text.contains("/containers/json") => &listed,
            () => return,
        };
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
        let answer = format!("{head} {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn how_a_job_ended_is_not_guessed_when_the_engine_does_not_say() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(list_and_hang_up(stream));
        }
    });
    let (runtime, _events) = driver(socket);
    let survivors = runtime.survivors().await;
    assert!(matches!(survivors, Err(RunError::NoEngine { .. })), "{survivors:?}");
}

/// Takes connections in the kernel only, as systemd's socket does while the engine is about to start.
#[tokio::test]
async fn an_engine_that_hangs_is_not_waited_for_and_is_seen_when_it_answers() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let (runtime, _events) = driver(socket);
    let soon = Duration::from_secs(5);
    let looked = async { (runtime.facts().await.unavailable, runtime.local_address().await) };
    let (why, address) = tokio::time::timeout(soon, looked).await.expect("the node is not held up");
    let why = why.expect("a reason");
    assert!(why.contains("engine.sock does not answer"), "{why}");
    assert!(matches!(address, Err(RunError::MuteEngine { .. })), "{address:?}");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer_as_engine(stream));
        }
    });
    tokio::time::timeout(common::SOON, runtime.changed()).await.expect("it is seen");
    assert_eq!(runtime.facts().await.unavailable, None);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_hangs_is_the_reason_after_some_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("engine.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let (runtime, _events) = driver(socket);
    let begun = tokio::time::Instant::now();
    let id = common::fresh_id();
    let logs = async { runtime.logs(id, LogOptions::default()).await.map(drop) };
    let exec = async { runtime.exec(id, vec!["true".into()], None).await.map(drop) };
    let answers = tokio::join!(logs, exec);
    for answer in [answers.0, answers.1] {
        assert!(matches!(answer, Err(RunError::MuteEngine { .. })), "{answer:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_engine_is_seen_to_come_and_to_go() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("engine.sock");
    let (runtime, _events) = driver(socket.clone());
    assert!(runtime.facts().await.unavailable.is_some());
    for _ in 0..2 {
        let listener = UnixListener::bind(&socket).unwrap();
        let engine = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer_as_engine(stream));
            }
        });
        tokio::time::timeout(common::SOON, runtime.changed()).await.expect("it is seen");
        assert_eq!(runtime.facts().await.unavailable, None);
        // Its listener and its connections go with it.
        engine.abort();
        let _ = engine.await;
        std::fs::remove_file(&socket).unwrap();
        tokio::time::timeout(common::SOON, runtime.changed()).await.expect("it is seen");
        let why = runtime.facts().await.unavailable.expect("a reason");
        assert!(why.contains("engine.sock"), "{why}");
    }
}
