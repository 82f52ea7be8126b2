//! Members that are not what they should be.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use holm_core::orchestrator::command::{Command, Expected};
use holm_link::credentials::CredentialRequest;
use holm_link::session::SessionEnd;
use holm_model::member::Role;
use holm_model::message::{Down, Hello, Up};
use holm_model::service::{Application, ApplicationService, Replicas, ServiceSpec};
use holm_model::view::TokenRole;
use support::node::{self, Node, Wire, hello};
use support::{admin, cluster_config, eventually, name, root_config, run};
use tokio::net::{TcpListener, TcpStream};

async fn wire(address: std::net::SocketAddr, credentials: &holm_link::credentials::Credentials) -> Wire {
    let session = node::dial(address, credentials).await;
    Wire { session_sender: session.sender, receiver: session.receiver }
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_skipped_until_there_is_too_much_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = run(root_config(dir.path())).await;
    let joined = node::join(root.address, &root.token(TokenRole::Node).await, "fl-1").await.unwrap();
    let mut wire = wire(root.address, &joined.credentials).await;
    for _ in 0..99 {
        wire.say_bytes(b"\xff\xff").await;
    }
    wire.say(&hello("fl-1", Role::Node)).await;
    assert!(wire.hear().await.is_some(), "a greeting after 99 times nonsense is answered");
    for _ in 0..200 {
        wire.say_bytes(b"\xff\xff").await;
    }
    wire.refusal().await;
    root.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_another_sea_or_role_is_refused() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (root, other) = (run(root_config(here.path())).await, run(root_config(there.path())).await);
    let joined = node::join(other.address, &other.token(TokenRole::Node).await, "fl-1").await.unwrap();
    // Both seas have the same name: only the key tells them apart, and the stranger sees it first.
    let dialer = holm_link::dial::Dialer::new(
        &joined.credentials,
        holm_link::revocation::Revocations::default(),
        holm_link::clock::Clock::default(),
    );
    let address = root.address.to_string();
    let refused = dialer.unwrap().connect(&address, holm_link::listen::Channel::Control).await;
    assert!(refused.is_err());

    let joined = node::join(root.address, &root.token(TokenRole::Node).await, "fl-1").await.unwrap();
    let mut liar = wire(root.address, &joined.credentials).await;
    liar.say(&hello("fl-1", Role::Cluster)).await;
    let reason = liar.refusal().await.unwrap();
    assert!(reason.contains("another role"), "{reason}");

    let mut rude = wire(root.address, &joined.credentials).await;
    rude.say(&Up::Alive { revision: 1 }).await;
    let reason = rude.refusal().await.unwrap();
    assert!(reason.contains("greeting"), "{reason}");
    other.stop().await;
    root.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_another_protocol_version_hears_which_ones_are_spoken() {
    let dir = tempfile::tempdir().unwrap();
    let root = run(root_config(dir.path())).await;
    let joined = node::join(root.address, &root.token(TokenRole::Node).await, "fl-1").await.unwrap();
    let mut wire = wire(root.address, &joined.credentials).await;
    let Up::Hello(greeting) = hello("fl-1", Role::Node) else { panic!("a greeting") };
    wire.say(&Up::Hello(Hello { protocol: (7, 9), ..greeting })).await;
    let reason = wire.refusal().await.unwrap();
    assert_eq!(reason, "no common protocol version: 7..9 offered, 1..1 spoken; upgrade the older side");
    root.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_member_is_cut_and_does_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let root = run(root_config(dir.path())).await;
    let joined = node::join(root.address, &root.token(TokenRole::Node).await, "fl-1").await.unwrap();
    let node = Node::connect(root.address, &joined.credentials, "fl-1").await;
    let member = node.member;
    root.handle.command(admin(), Command::RevokeMember { member }).await.unwrap();
    let end = node.tunnels.ended().await;
    assert_eq!(end, SessionEnd::ClosedByPeer);

    let again = node::dial(root.address, &joined.credentials).await;
    let _ = again.sender.send(holm_link::cbor::encode(&hello("fl-1", Role::Node)).unwrap().into()).await;
    assert!(matches!(again.tunnels.ended().await, SessionEnd::Refused(_)));
    root.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_link_of_a_member_counts() {
    let dir = tempfile::tempdir().unwrap();
    let root = run(root_config(dir.path())).await;
    let joined = node::join(root.address, &root.token(TokenRole::Node).await, "fl-1").await.unwrap();
    let first = Node::connect(root.address, &joined.credentials, "fl-1").await;
    let second = Node::connect(root.address, &joined.credentials, "fl-1").await;
    assert!(second.welcome.session > first.welcome.session);
    first.tunnels.ended().await;
    eventually("the node is online", async || {
        let nodes = root.handle.query(|m| m.nodes()).await.unwrap();
        (nodes.len() == 1 && nodes[0].name == name("fl-1").as_str()).then_some(())
    })
    .await;
    drop(second);
    root.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_takes_nothing_is_cut_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = root_config(dir.path());
    config.limits.queue = 8;
    let root = run(config).await;
    let joined = node::join(root.address, &root.token(TokenRole::Node).await, "fl-1").await.unwrap();
    let mut node = Node::connect(root.address, &joined.credentials, "fl-1").await;
    root.handle.command(admin(), large("first")).await.unwrap();
    node.assignment("web").await;
    // From here on it reads nothing.
    let mut applied = 0;
    while root.handle.status().read_only.is_none() && applied < 150 {
        root.handle.command(admin(), large(&format!("app-{applied}"))).await.unwrap();
        applied += 1;
    }
    node.tunnels.ended().await;
    let mut again = Node::connect(root.address, &joined.credentials, "fl-1").await;
    again.until(|node| (node.items.len() == 151).then_some(())).await;
    root.stop().await;
}

/// An application whose specification is large: 20 KB.
fn large(called: &str) -> Command {
    let spec = ServiceSpec::new(name("process"), vec!["x".repeat(20_000)]);
    let service = ApplicationService { spec, replicas: Replicas::Number(1) };
    let services = [(name("web"), service)].into();
    Command::Apply {
        project: name("default"),
        application: Application { name: name(called), services },
        expected: Expected::Anything,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_on_an_open_link_and_good_for_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let root = run(root_config(dir.path())).await;
    let joined = node::join(root.address, &root.token(TokenRole::Node).await, "fl-1").await.unwrap();
    let request = CredentialRequest::new().unwrap();
    let mut wire = wire(root.address, &joined.credentials).await;
    wire.say(&hello("fl-1", Role::Node)).await;
    wire.say(&Up::Renew { csr: request.csr().to_vec().into() }).await;
    let chain = loop {
        if let Down::Certificate { chain } = wire.hear().await.unwrap() {
            break chain;
        }
    };
    let chain = chain.into_iter().map(|der| der.into_vec().into()).collect();
    let renewed = joined.credentials.renewed(request, chain).unwrap();
    assert_ne!(renewed.serial(), joined.credentials.serial());
    let node = Node::connect(root.address, &renewed, "fl-1").await;

    // A revocation voids the old certificate and the new one.
    root.handle.command(admin(), Command::RevokeMember { member: node.member }).await.unwrap();
    node.tunnels.ended().await;
    for credentials in [&joined.credentials, &renewed] {
        let session = node::dial(root.address, credentials).await;
        assert!(matches!(session.tunnels.ended().await, SessionEnd::Refused(_)));
    }

    let request = b"no request".to_vec();
    let joined = node::join(root.address, &root.token(TokenRole::Node).await, "fl-2").await.unwrap();
    let mut wire = self::wire(root.address, &joined.credentials).await;
    wire.say(&hello("fl-2", Role::Node)).await;
    wire.say(&Up::Renew { csr: request.into() }).await;
    let reason = wire.refusal().await.unwrap();
    assert!(reason.contains("cannot be renewed"), "{reason}");
    root.stop().await;
}

/// Forwards to an orchestrator, and counts the calls.
async fn counted(to: std::net::SocketAddr) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (address, calls) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&calls);
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut there = TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut from, &mut there).await;
            });
        }
    });
    (address, calls)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_was_removed_rarely_calls_again() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let root = run(root_config(dirs[0].path())).await;
    let (address, calls) = counted(root.address).await;
    let token = root.token(TokenRole::Cluster).await;
    let cluster = run(cluster_config(dirs[1].path(), address, Some(token))).await;
    let member = eventually("the cluster is linked", async || {
        let linked = cluster.handle.status().parent == "connected";
        let members = root.handle.query(|m| m.members()).await.unwrap();
        linked.then(|| members[0].id.parse().unwrap())
    })
    .await;
    let before = calls.load(Ordering::SeqCst);
    root.handle.command(admin(), Command::RemoveMember { member }).await.unwrap();
    eventually("it calls again and is refused", async || {
        (calls.load(Ordering::SeqCst) > before && cluster.handle.status().parent == "disconnected")
            .then_some(())
    })
    .await;
    // Whoever tries again as after a broken link does so several times in five seconds.
    let called = calls.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let more = calls.load(Ordering::SeqCst) - called;
    assert!(more <= 1, "it called {more} more times");
    cluster.stop().await;
    root.stop().await;
}
