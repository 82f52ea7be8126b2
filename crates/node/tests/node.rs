//! A whole node against a hand-made orchestrator: real store, real TLS, real processes.

#![allow(clippy::unwrap_used, reason = "a test says where it fails")]

mod support;

use std::time::Duration;

use holm_model::amendment::Amendment;
use holm_model::fact::Fact;
use holm_model::service::{Connect, Port, ServiceSpec};
use holm_model::state::InstanceState;
use holm_model::tunnel::{Answer, LogLine, Purpose};
use holm_model::usage::UsageHistory;
use holm_node::{MembershipError, NodeError};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use support::{Node, Parent, ask, assignment, config, instance, name, part, shell, soon};

const HOUR: Duration = Duration::from_secs(3600);

async fn parent_and_dir() -> (Parent, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let parent = Parent::start().await;
    parent.admit(dir.path(), HOUR);
    (parent, dir)
}

fn runs(report: &holm_model::fact::InstanceReport) -> bool {
    report.status.state == InstanceState::Running
}

/// The life of an instance: assigned, cut off, agent restarted, no longer wished.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_outlives_link_and_agent_and_ends_with_its_assignment() {
    let (parent, dir) = parent_and_dir().await;
    let pid_file = dir.path().join("pid");
    let script = format!("echo $$ >> {}; exec sleep 1000", pid_file.display());
    parent.list([assignment(9, part("web", &shell(&script)))]);
    let node = Node::start(config(dir.path(), &parent));
    let report = parent.report(instance(9), runs).await;
    assert_eq!((report.status.incarnation, report.status.restarts), (1, 0));

    parent.cut();
    parent.linked(false).await;
    parent.mend();
    assert_eq!(parent.report(instance(9), runs).await.status.incarnation, 1);

    node.end().await;
    parent.linked(false).await;
    let node = Node::start(config(dir.path(), &parent));
    parent.linked(true).await;
    let report = parent.report(instance(9), |r| runs(r) && r.status.usage.is_some()).await;
    assert_eq!((report.status.incarnation, report.status.restarts), (1, 0));
    let pids = std::fs::read_to_string(&pid_file).unwrap();
    assert_eq!(pids.lines().count(), 1, "started more than once");

    parent.list([]);
    parent.gone(instance(9)).await;
    assert!(!std::path::Path::new(&format!("/proc/{}", pids.trim())).exists());
    node.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_link_does_its_work() {
    let (parent, dir) = parent_and_dir().await;
    parent.list([assignment(9, part("web", &shell("exec sleep 1000")))]);
    let node = Node::start(config(dir.path(), &parent));
    parent.report(instance(9), runs).await;
    node.end().await;
    parent.cut();

    let node = Node::start(config(dir.path(), &parent));
    let pid = running_pid(dir.path()).await;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    let restarted = async {
        while running_pid(dir.path()).await == pid {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(restarted).await;
    parent.mend();
    let report = parent.report(instance(9), |r| runs(r) && r.status.incarnation == 2).await;
    assert_eq!(report.status.restarts, 1);
    parent.list([]);
    parent.gone(instance(9)).await;
    node.end().await;
}

/// Systemd's socket takes connections while an engine is about to start, or broken: each boot may be so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_hangs_holds_up_neither_link_nor_processes() {
    let (parent, dir) = parent_and_dir().await;
    parent.list([assignment(9, part("web", &shell("exec sleep 1000")))]);
    let node = Node::start(config(dir.path(), &parent));
    parent.report(instance(9), runs).await;
    node.end().await;
    parent.linked(false).await;

    let config = config(dir.path(), &parent);
    let socket = config.runtimes.engine.clone().unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    let pid = running_pid(dir.path()).await;
    let node = Node::start(config);
    parent.linked(true).await;
    let says = "does not answer";
    let mute = |fact: &Fact| match fact {
        Fact::Node(node) => {
            node.facts.runtimes.iter().any(|r| r.unavailable.as_ref().is_some_and(|why| why.contains(says)))
        }
        _ => false,
    };
    parent.fact(mute).await;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    parent.report(instance(9), |r| runs(r) && r.status.incarnation == 2).await;
    parent.list([]);
    parent.gone(instance(9)).await;
    node.end().await;
}

/// The way Docker hangs with one container that does: `docker info` answers, `docker ps` does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_answers_and_never_lists_holds_up_no_process() {
    let (parent, dir) = parent_and_dir().await;
    parent.list([assignment(9, part("web", &shell("exec sleep 1000")))]);
    let node = Node::start(config(dir.path(), &parent));
    parent.report(instance(9), runs).await;
    node.end().await;
    parent.linked(false).await;

    let config = config(dir.path(), &parent);
    let listener = UnixListener::bind(config.runtimes.engine.clone().unwrap()).unwrap();
    let engine = tokio::spawn(engine_without_lists(listener));
    let node = Node::start(config);
    parent.linked(true).await;
    for incarnation in [2, 3] {
        let pid = running_pid(dir.path()).await;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        parent.report(instance(9), |r| runs(r) && r.status.incarnation == incarnation).await;
    }
    parent.list([]);
    parent.gone(instance(9)).await;
    node.end().await;
    engine.abort();
}

async fn engine_without_lists(listener: UnixListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut stream = tokio::io::BufReader::new(stream);
            let mut head = String::new();
            while stream.read_line(&mut head).await.is_ok_and(|read| read > 0) {
                if !head.ends_with("\r\n\r\n") {
                    continue;
                }
                let body = if head.contains("/version ") { r#"{"ApiVersion":"1.44"}"# } else { "{}" };
                if head.contains("/containers/") {
                    std::future::pending::<()>().await;
                }
                let kind = "content-type: application/json";
                let answer =
                    format!("HTTP/1.1 200 OK\r\n{kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
                head.clear();
            }
        });
    }
}

/// The program's pid as the driver has written it.
async fn running_pid(dir: &std::path::Path) -> i32 {
    let file = dir.join("instances").join(instance(9).to_string()).join("running.json");
    let read = || {
        let text = std::fs::read(&file).ok()?;
        let running: serde_json::Value = serde_json::from_slice(&text).ok()?;
        i32::try_from(running["program"].as_i64()?).ok()
    };
    let found = async {
        loop {
            if let Some(pid) = read() {
                return pid;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(found).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn facts_failures_and_usage_are_reported() {
    let (parent, dir) = parent_and_dir().await;
    let mut missing = shell("");
    missing.command = vec!["/no/such/program".into()];
    missing.restart.attempts = 0;
    let alien = ServiceSpec::new(name("wasm"), vec!["x".into()]);
    let mut label = shell("exec sleep 1000");
    label.env.insert("FLOOR".into(), "{{node.labels.floor}}".into());
    parent.list([
        assignment(10, part("missing", &missing)),
        assignment(11, part("alien", &alien)),
        assignment(12, part("label", &label)),
    ]);
    let node = Node::start(config(dir.path(), &parent));
    let failed = |text: &'static str| {
        move |r: &holm_model::fact::InstanceReport| {
            r.status.state == InstanceState::Failed && r.status.reason.contains(text)
        }
    };
    parent.report(instance(10), failed("/no/such/program")).await;
    let logs = Purpose::Logs { instance: instance(10), tail: None, since: None, follow: false };
    let (_, answer) = parent.tunnel(logs).await;
    let Answer::Refused(reason) = &answer else { panic!("{answer:?}") };
    assert!(reason.contains("never started") && reason.contains("/no/such/program"), "{reason}");
    let alien = parent.report(instance(11), failed("wasm")).await;
    assert!(alien.status.exhausted);
    parent.report(instance(12), failed("`floor`")).await;
    let node_fact = parent.fact(|fact| matches!(fact, Fact::Node(node) if node.usage.memory > 0)).await;
    let Fact::Node(report) = node_fact else { unreachable!() };
    assert_eq!(report.name, name("fl-1"));
    assert!(report.facts.runtimes.iter().any(|r| r.name == name("process") && r.unavailable.is_none()));
    parent.list([]);
    parent.gone(instance(10)).await;
    node.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operator_says_is_told_at_once_and_kept() {
    let (parent, dir) = parent_and_dir().await;
    let node = Node::start(config(dir.path(), &parent));
    parent.linked(true).await;
    let label = |value: &str| Amendment::Label { key: "floor".into(), value: Some(value.into()) };
    let (_, answer) = parent.tunnel(Purpose::Amend(label("2"))).await;
    assert_eq!(answer, Answer::Granted);
    let told = |fact: &Fact| matches!(fact, Fact::Node(node) if node.facts.labels.get("floor").is_some_and(|v| v == "2"));
    parent.fact(told).await;
    let (_, answer) = parent.tunnel(Purpose::Amend(label("a\nb"))).await;
    assert!(matches!(answer, Answer::Refused(_)), "{answer:?}");
    node.end().await;
    parent.linked(false).await;

    let mut spec = shell("exec sleep 1000");
    spec.env.insert("FLOOR".into(), "{{node.labels.floor}}".into());
    parent.list([assignment(9, part("label", &spec))]);
    let node = Node::start(config(dir.path(), &parent));
    parent.report(instance(9), |r| runs(r) && r.status.usage.is_some()).await;
    for of in [None, Some(instance(9))] {
        let (mut tunnel, answer) = parent.tunnel(Purpose::Usage { instance: of }).await;
        assert_eq!(answer, Answer::Granted);
        let history: UsageHistory = holm_link::frame::read_header(&mut tunnel).await.unwrap();
        assert!(history.points.last().is_some_and(|point| point.memory > 0), "{history:?}");
    }
    let (_, answer) = parent.tunnel(Purpose::Usage { instance: Some(instance(77)) }).await;
    assert!(matches!(answer, Answer::Refused(_)), "{answer:?}");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tunnels_bring_logs_and_bytes_of_own_ports_only() {
    let (parent, dir) = parent_and_dir().await;
    let mut spec = shell("echo port {{port.http}} $HOLM_SLOT; exec sleep 1000");
    spec.ports.insert(name("http"), Port { host: None, container: None });
    parent.list([assignment(9, part("web", &spec))]);
    let node = Node::start(config(dir.path(), &parent));
    let port = parent.report(instance(9), runs).await.status.ports[&name("http")];

    let logs = Purpose::Logs { instance: instance(9), tail: None, since: None, follow: true };
    let (mut tunnel, answer) = parent.tunnel(logs).await;
    assert_eq!(answer, Answer::Granted);
    let expected = format!("port {port} web/0");
    let found = async {
        loop {
            let line: LogLine = holm_link::frame::read_header(&mut tunnel).await.unwrap();
            if String::from_utf8_lossy(&line.text).trim() == expected {
                return;
            }
        }
    };
    soon(found).await;

    // The test is the program behind the port.
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        stream.write_all(text.to_uppercase().as_bytes()).await.unwrap();
    });
    let (mut tunnel, answer) = parent.tunnel(Purpose::Connect { instance: instance(9), port }).await;
    assert_eq!(answer, Answer::Granted);
    tunnel.write_all(b"hello").await.unwrap();
    tunnel.shutdown().await.unwrap();
    let mut text = String::new();
    soon(tunnel.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "HELLO");

    for (counter, port) in [(9, 22), (77, port)] {
        let (_, answer) = parent.tunnel(Purpose::Connect { instance: instance(counter), port }).await;
        assert!(matches!(answer, Answer::Refused(_)), "{answer:?}");
    }
    parent.list([]);
    parent.gone(instance(9)).await;
    node.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_connection_comes_when_asked_for_and_goes_with_the_link() {
    let (parent, dir) = parent_and_dir().await;
    parent.list([assignment(9, part("web", &shell("echo hello; exec sleep 1000")))]);
    let node = Node::start(config(dir.path(), &parent));
    parent.report(instance(9), runs).await;
    let logs = Purpose::Logs { instance: instance(9), tail: None, since: None, follow: true };
    let (mut tunnel, answer) = parent.tunnel_by_second(logs).await;
    assert_eq!(answer, Answer::Granted);
    let line: LogLine = soon(holm_link::frame::read_header(&mut tunnel)).await.unwrap();
    assert!(!line.text.is_empty());
    parent.cut();
    parent.second(false).await;
    parent.mend();
    parent.list([]);
    parent.gone(instance(9)).await;
    node.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_learns_its_peers_and_reaches_them_through_the_link() {
    use holm_model::item::{Endpoint, Endpoints, EndpointsKey, Item, ItemKey};
    use holm_model::slot::{ServiceKey, SlotIndex};

    let (parent, dir) = parent_and_dir().await;
    let mut spec = shell("echo peers $HOLM_CONNECT_COLLECTOR_HTTP; cat $HOLM_CONNECTS; exec sleep 1000");
    spec.connects = vec![Connect { service: name("collector"), port: name("http"), bound: None }];
    let web = part("web", &spec);
    let service = ServiceKey { wish: web.wish, service: name("collector") };
    let remote = Endpoint {
        instance: instance(30),
        slot: SlotIndex::Number(1),
        node: Vec::new(),
        port: 4242,
        direct: Vec::new(),
        unready: false,
        coordinate: None,
    };
    let endpoints = Item::Endpoints(Endpoints { endpoints: vec![remote] });
    let endpoints = endpoints.pack(ItemKey::Endpoints(EndpointsKey { service, port: name("http") }));
    parent.list([assignment(9, web), endpoints]);
    let node = Node::start(config(dir.path(), &parent));
    parent.report(instance(9), runs).await;

    let file = dir.path().join("peers").join(instance(9).to_string()).join("peers.json");
    let file: holm_model::tunnel::PeersFile = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let address = file.services[&name("collector")][&name("http")][0].address.clone();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    stream.write_all(b"ping").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut text = String::new();
    soon(stream.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "4242:ping");

    let logs = Purpose::Logs { instance: instance(9), tail: None, since: None, follow: true };
    let (mut tunnel, _) = parent.tunnel(logs).await;
    let expected = format!("peers {address}");
    let found = async {
        loop {
            let line: LogLine = holm_link::frame::read_header(&mut tunnel).await.unwrap();
            if String::from_utf8_lossy(&line.text).trim() == expected {
                return;
            }
        }
    };
    soon(found).await;
    parent.list([]);
    parent.gone(instance(9)).await;
    node.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_token_is_an_error_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let parent = Parent::start().await;
    let outcome = Node::start(config(dir.path(), &parent)).outcome().await;
    assert!(matches!(outcome, Err(NodeError::Membership(MembershipError::NoToken))), "{outcome:?}");

    let mut with_token = config(dir.path(), &parent);
    with_token.token = Some(parent.token());
    let outcome = Node::start(with_token).outcome().await;
    let Err(NodeError::Membership(MembershipError::Join { source, .. })) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(source.to_string(), "the orchestrator refused (403): the token was used already");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_local_api_tells_status_and_instances() {
    let (parent, dir) = parent_and_dir().await;
    parent.list([assignment(9, part("web", &shell("exec sleep 1000")))]);
    let node = Node::start(config(dir.path(), &parent));
    parent.report(instance(9), runs).await;
    let status = ask(dir.path(), "/status").await;
    assert_eq!(status["name"], "fl-1");
    assert_eq!(status["cluster"], "vienna");
    assert_eq!(status["link"]["up"], true);
    assert_eq!(status["instances"], 1);
    let instances = ask(dir.path(), "/instances").await;
    assert_eq!(instances[0]["slot"], "web/0");
    assert_eq!(instances[0]["state"], "RUNNING");
    assert_eq!(ask(dir.path(), "/else").await["status"], 404);
    parent.list([]);
    parent.gone(instance(9)).await;
    node.end().await;
    assert!(!dir.path().join(holm_node::SOCKET).exists());
}

/// A file system of its own that can be filled; none where the test may not mount.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = Some("size=4m,mode=755");
        nix::mount::mount(Some("tmpfs"), dir.path(), Some("tmpfs"), nix::mount::MsFlags::empty(), options)
            .ok()?;
        Some(Self(dir))
    }

    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.path().join("filler")).unwrap();
        while std::io::Write::write(&mut file, &[1; 4096]).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.0.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(self.0.path(), nix::mount::MntFlags::MNT_DETACH);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_starts_nothing_and_forgets_nothing_needs_root() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: no tmpfs can be mounted here");
        return;
    };
    let dir = disk.0.path();
    let parent = Parent::start().await;
    parent.admit(dir, HOUR);
    parent.list([assignment(9, part("web", &shell("exec sleep 1000")))]);
    let node = Node::start(config(dir, &parent));
    parent.report(instance(9), runs).await;

    disk.fill();
    // Large enough that no free page of the database can take it.
    let script = format!("exec sleep 1000 # {}", "x".repeat(100_000));
    let (first, second) = (part("web", &shell("exec sleep 1000")), part("late", &shell(&script)));
    parent.list([assignment(9, first), assignment(10, second)]);
    let sessions = parent.sessions();
    parent.session_after(sessions).await;
    assert!(!parent.knows(instance(10)), "started without a record");
    parent.report(instance(9), |r| runs(r) && r.status.incarnation == 1).await;

    // What happens meanwhile is told, and why nothing is done about it.
    let pid = nix::unistd::Pid::from_raw(running_pid(dir).await);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    let held_back = |r: &holm_model::fact::InstanceReport| {
        r.status.state == InstanceState::Failed && r.status.reason.contains("disk takes no writes")
    };
    parent.report(instance(9), held_back).await;
    let full = |fact: &Fact| match fact {
        Fact::Node(report) => report.facts.runtimes.iter().all(|runtime| runtime.unavailable.is_some()),
        _ => false,
    };
    parent.fact(full).await;

    disk.free();
    parent.report(instance(10), runs).await;
    parent.report(instance(9), |r| runs(r) && r.status.incarnation == 2).await;
    parent.list([]);
    parent.gone(instance(9)).await;
    parent.gone(instance(10)).await;
    node.end().await;
}

/// A delete needs no room and makes some; it is kept over a crash, also when nobody answers after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_ends_what_is_deleted_and_never_starts_it_again_needs_root() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: no tmpfs can be mounted here");
        return;
    };
    let dir = disk.0.path();
    let parent = Parent::start().await;
    parent.admit(dir, HOUR);
    let service = |name: &str| part(name, &shell("exec sleep 1000"));
    parent.list([assignment(9, service("web")), assignment(10, service("other"))]);
    let node = Node::start(config(dir, &parent));
    parent.report(instance(9), runs).await;
    parent.report(instance(10), runs).await;
    disk.fill();
    let large = shell(&format!("exec sleep 1000 # {}", "x".repeat(100_000)));
    parent.list([
        assignment(9, service("web")),
        assignment(10, service("other")),
        assignment(11, part("late", &large)),
    ]);
    parent.session_after(parent.sessions()).await;
    parent.list([assignment(10, service("other"))]);
    parent.gone(instance(9)).await;
    parent.report(instance(10), |r| runs(r) && r.status.incarnation == 1).await;

    // As after a crash: what waited for room is lost. There is room now, and no link.
    let kept = std::fs::read(dir.join("withdrawn")).unwrap();
    assert!(kept.len() == 64 * 1024 && kept[0] != 0, "noted before it was ended");
    node.end().await;
    disk.free();
    std::fs::write(dir.join("withdrawn"), &kept).unwrap();
    parent.cut();
    let node = Node::start(config(dir, &parent));
    let all = async || {
        let all = ask(dir, "/instances").await;
        let all = all.as_array().into_iter().flatten();
        all.map(|i| (i["slot"].clone(), i["state"].clone())).collect::<Vec<_>>()
    };
    let known = async {
        while !dir.join(holm_node::SOCKET).exists()
            || !all().await.contains(&("other/0".into(), "RUNNING".into()))
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(known).await;
    let deleted = all().await.into_iter().find(|(slot, _)| slot == "web/0");
    assert!(deleted.as_ref().is_none_or(|(_, state)| state == "TERMINATED"), "{deleted:?}");
    parent.mend();
    parent.report(instance(10), |r| runs(r) && r.status.incarnation == 1).await;
    parent.list([]);
    parent.gone(instance(10)).await;
    node.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_agent_on_the_same_directory_is_refused() {
    let (parent, dir) = parent_and_dir().await;
    let node = Node::start(config(dir.path(), &parent));
    parent.linked(true).await;
    let outcome = Node::start(config(dir.path(), &parent)).outcome().await;
    assert!(matches!(outcome, Err(NodeError::Store(_))), "{outcome:?}");
    node.end().await;
}
