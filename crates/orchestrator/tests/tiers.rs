//! Root, cluster and a hand-made node, joined with real tokens over real TLS.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code")]

mod support;

use std::collections::BTreeMap;

use holm_core::orchestrator::InstanceFilter;
use holm_core::orchestrator::command::{Command, Expected, Refusal, Reply};
use holm_link::frame::{read_header, write_header};
use holm_link::session::Tunnel;
use holm_link::token::JoinToken;
use holm_model::access::Grants;
use holm_model::id::AssignmentId;
use holm_model::service::{Application, ApplicationService, Connect, Port, Replicas, ServiceSpec};
use holm_model::state::MemberState;
use holm_model::tunnel::{Answer, Purpose, Request};
use holm_model::view::{TokenRequest, TokenRole};
use holm_model::wish::AppKey;
use holm_orchestrator::people::token::TokenError;
use holm_orchestrator::tunnels::TunnelError;
use support::node::{self, Node};
use support::{Running, admin, cluster_config, eventually, name, root_config, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Tiers {
    root: Running,
    cluster: Running,
    node: Node,
    _dirs: [tempfile::TempDir; 2],
}

async fn tiers() -> Tiers {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let root = run(root_config(dirs[0].path())).await;
    let token = root.token(TokenRole::Cluster).await;
    let cluster = run(cluster_config(dirs[1].path(), root.address, Some(token))).await;
    let token = cluster.token(TokenRole::Node).await;
    let joined = node::join(cluster.address, &token, "fl-1").await.unwrap();
    let node = Node::connect(cluster.address, &joined.credentials, "fl-1").await;
    Tiers { root, cluster, node, _dirs: dirs }
}

/// Two services; `web` connects to the port of `db`.
fn shop() -> Application {
    let spec = || ServiceSpec::new(name("process"), vec!["true".to_owned()]);
    let (mut db, mut web) = (spec(), spec());
    db.ports.insert(name("sql"), Port { host: None, container: None });
    web.connects.push(Connect { service: name("db"), port: name("sql"), bound: None });
    let service = |spec| ApplicationService { spec, replicas: Replicas::Number(1) };
    let services = BTreeMap::from([(name("db"), service(db)), (name("web"), service(web))]);
    Application { name: name("shop"), services }
}

async fn apply(root: &Running) {
    let command =
        Command::Apply { project: name("default"), application: shop(), expected: Expected::Anything };
    assert!(matches!(root.handle.command(admin(), command).await, Ok(Reply::Applied(_))));
}

async fn running(root: &Running) -> Option<()> {
    let rows = root.handle.query(|m| m.instances(&InstanceFilter::default())).await.unwrap();
    (rows.len() == 2 && rows.iter().all(|row| row.state == "RUNNING")).then_some(())
}

async fn echo(mut tunnel: Tunnel) {
    let mut buffer = vec![0; 4096];
    while let Ok(read @ 1..) = tunnel.read(&mut buffer).await {
        tunnel.write_all(&buffer[..read]).await.unwrap();
    }
    tunnel.shutdown().await.unwrap();
}

/// Grants what it is asked for, and echoes.
fn serve(mut incoming: holm_link::session::IncomingTunnels) {
    tokio::spawn(async move {
        while let Some(mut tunnel) = incoming.accept().await {
            let request: Request = read_header(&mut tunnel).await.unwrap();
            assert!(request.path.is_empty());
            write_header(&mut tunnel, &Answer::Granted).await.unwrap();
            tokio::spawn(echo(tunnel));
        }
    });
}

async fn round_trip(tunnel: &mut Tunnel) {
    let sent = vec![7; 200_000];
    let (mut read, mut write) = tokio::io::split(tunnel);
    let sending = async {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let mut back = Vec::new();
    let ((), read) = tokio::join!(sending, read.read_to_end(&mut back));
    read.unwrap();
    assert!(back == sent, "{} bytes came back", back.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_reaches_the_node_and_its_facts_come_back() {
    let Tiers { root, cluster, mut node, _dirs } = tiers().await;
    eventually("the cluster is online", async || {
        let clusters = root.handle.query(|m| m.clusters()).await.unwrap();
        clusters.iter().any(|c| c.state == MemberState::Online && c.nodes == 1).then_some(())
    })
    .await;
    assert_eq!(cluster.handle.status().role, "cluster");
    let mut changes = root.handle.changes();
    apply(&root).await;
    let db = node.assignment("db").await;
    let web = node.assignment("web").await;
    node.runs(&db, &[("sql", 5432)]).await;
    node.runs(&web, &[]).await;
    eventually("both instances run", async || running(&root).await).await;
    assert!(changes.recv().await.unwrap().cursor > 0);

    // Past and live are one sequence.
    let past = root.handle.past(&holm_store::ChangeFilter::default()).await.unwrap();
    let live = changes.recv().await.unwrap();
    assert!(past.contains(&live), "{live:?} is not in {past:?}");
    root.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tunnels_lead_down_two_tiers_and_up_where_an_instance_connects() {
    let Tiers { root, cluster, mut node, _dirs } = tiers().await;
    apply(&root).await;
    let (db, web) = (node.assignment("db").await, node.assignment("web").await);
    node.runs(&db, &[("sql", 5432)]).await;
    node.runs(&web, &[]).await;
    eventually("both instances run", async || running(&root).await).await;
    let Node { tunnels, incoming, .. } = node;
    serve(incoming);

    let logs = Purpose::Logs { instance: db.id, tail: None, since: None, follow: false };
    let mut tunnel = root.handle.open_tunnel(db.id, logs.clone()).await.unwrap();
    round_trip(&mut tunnel).await;

    let unknown: AssignmentId = "1-0123456789ab-99".parse().unwrap();
    let none = root.handle.open_tunnel(unknown, logs.clone()).await;
    assert!(matches!(none, Err(TunnelError::NoInstance(_))), "{none:?}");

    let ask = async |purpose: Purpose, path| {
        let mut tunnel = tunnels.open().await.unwrap();
        write_header(&mut tunnel, &Request { path, purpose }).await.unwrap();
        let answer: Answer = read_header(&mut tunnel).await.unwrap();
        (answer, tunnel)
    };
    let connect = |port| Purpose::Connect { instance: db.id, port };
    let mut granted = eventually("the endpoint is in the list", async || {
        let (answer, tunnel) = ask(connect(5432), Vec::new()).await;
        (answer == Answer::Granted).then_some(tunnel)
    })
    .await;
    round_trip(&mut granted).await;
    for (purpose, path) in
        [(connect(22), Vec::new()), (logs, Vec::new()), (connect(5432), vec![node_id(&root).await])]
    {
        let (answer, _) = ask(purpose, path).await;
        assert!(matches!(answer, Answer::Refused(_)), "{answer:?}");
    }
    cluster.stop().await;
    root.stop().await;
}

async fn node_id(root: &Running) -> holm_model::id::MemberId {
    let nodes = root.handle.query(|m| m.nodes()).await.unwrap();
    nodes[0].id.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_restart_and_links_come_back() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let root = run(root_config(dirs[0].path())).await;
    let token = root.token(TokenRole::Cluster).await;
    let cluster = run(cluster_config(dirs[1].path(), root.address, Some(token))).await;
    apply(&root).await;
    let (address, before) = (root.address, root.handle.status());
    root.stop().await;
    assert!(!dirs[0].path().join("api.sock").exists());

    let again = holm_orchestrator::Config { listen: address, ..root_config(dirs[0].path()) };
    let root = run(again).await;
    let after = root.handle.status();
    assert_eq!((&after.sea, &after.fingerprint), (&before.sea, &before.fingerprint));
    assert_ne!(after.epoch, before.epoch);
    let applications = root.handle.query(|m| m.applications()).await.unwrap();
    assert_eq!(applications.len(), 1);
    eventually("the cluster has come back", async || {
        (cluster.handle.status().parent == "connected").then_some(())
    })
    .await;
    cluster.stop().await;

    // A cluster that has joined needs no token.
    let cluster = run(cluster_config(dirs[1].path(), address, None)).await;
    eventually("the cluster has come back", async || {
        (cluster.handle.status().parent == "connected").then_some(())
    })
    .await;
    cluster.stop().await;
    root.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_good_once_and_for_their_role() {
    let dir = tempfile::tempdir().unwrap();
    let root = run(root_config(dir.path())).await;
    let token = root.token(TokenRole::Node).await;
    node::join(root.address, &token, "fl-1").await.unwrap();
    let twice = node::join(root.address, &token, "fl-2").await.unwrap_err();
    assert!(twice.to_string().contains("used up"), "{twice}");

    let cluster = root.token(TokenRole::Cluster).await;
    let forged = JoinToken { role: holm_link::token::Role::Node, ..cluster };
    let other_role = node::join(root.address, &forged, "fl-3").await.unwrap_err();
    assert!(other_role.to_string().contains("another role"), "{other_role}");

    let fresh = root.token(TokenRole::Node).await;
    let guessed = JoinToken { secret: forged.secret, ..fresh };
    let wrong = node::join(root.address, &guessed, "fl-4").await.unwrap_err();
    assert!(wrong.to_string().contains("not known"), "{wrong}");
    root.stop().await;
}

#[tokio::test]
async fn api_tokens_are_verified_until_they_are_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let root = run(root_config(dir.path())).await;
    let request = TokenRequest { ttl_seconds: Some(60), ..TokenRequest::new(TokenRole::Admin) };
    let created = root.handle.create_token(admin(), &Grants::all(), &request).await.unwrap();
    let claims = root.handle.verify_token(&created.token).await.unwrap();
    assert_eq!((claims.id, claims.fp), (created.id.clone(), root.handle.fingerprint()));
    root.handle.command(admin(), Command::RevokeToken { id: created.id }).await.unwrap();
    assert_eq!(root.handle.verify_token(&created.token).await, Err(TokenError::Void));

    let missing = AppKey { project: name("default"), application: name("none") };
    let refused =
        root.handle.command(admin(), Command::Delete { app: missing, expected: Expected::Anything }).await;
    assert!(matches!(refused, Err(Refusal::NotFound { .. })), "{refused:?}");
    let audit = root.handle.store().audit(&holm_store::AuditFilter::default()).await.unwrap();
    assert_eq!(audit.len(), 3);
    root.stop().await;
}
