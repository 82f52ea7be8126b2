//! The second connection of a member's link.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use holm_core::orchestrator::command::{Command, Expected, Reply};
use holm_link::frame::{read_header, write_header};
use holm_link::listen::Channel;
use holm_link::session::{IncomingTunnels, SessionEnd};
use holm_model::service::{Application, ApplicationService, Port, Replicas, ServiceSpec};
use holm_model::tunnel::{Answer, Purpose, Request};
use holm_model::view::TokenRole;
use support::node::{self, Node};
use support::{admin, eventually, name, root_config, run};

fn database() -> Application {
    let mut spec = ServiceSpec::new(name("process"), vec!["true".to_owned()]);
    spec.ports.insert(name("sql"), Port { host: None, container: None });
    let service = ApplicationService { spec, replicas: Replicas::Number(1) };
    Application { name: name("shop"), services: BTreeMap::from([(name("db"), service)]) }
}

/// By the other side; whether its good-bye arrives depends on what was on its way.
const fn is_over(end: &SessionEnd) -> bool {
    matches!(end, SessionEnd::ClosedByPeer | SessionEnd::Vanished(_))
}

/// Grants every tunnel and counts it.
fn grant(mut incoming: IncomingTunnels, granted: &Arc<AtomicUsize>) {
    let granted = Arc::clone(granted);
    tokio::spawn(async move {
        while let Some(mut tunnel) = incoming.accept().await {
            let _: Request = read_header(&mut tunnel).await.unwrap();
            granted.fetch_add(1, Ordering::Relaxed);
            write_header(&mut tunnel, &Answer::Granted).await.unwrap();
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_opens_it_when_asked_gets_its_tunnels_there_until_its_link_ends() {
    let dir = tempfile::tempdir().unwrap();
    let root = run(root_config(dir.path())).await;
    let joined = node::join(root.address, &root.token(TokenRole::Node).await, "fl-1").await.unwrap();
    let mut node = Node::connect(root.address, &joined.credentials, "fl-1").await;
    let expected = Expected::Anything;
    let command = Command::Apply { project: name("default"), application: database(), expected };
    assert!(matches!(root.handle.command(admin(), command).await, Ok(Reply::Applied(_))));
    let db = node.assignment("db").await;
    node.runs(&db, &[("sql", 5432)]).await;
    let logs = Purpose::Logs { instance: db.id, tail: None, since: None, follow: false };
    let known = async || root.handle.query(move |m| m.whereabouts(db.id)).await.flatten().map(drop);
    eventually("the instance is known", known).await;

    let (handle, purpose) = (root.handle.clone(), logs.clone());
    let first = tokio::spawn(async move { handle.open_tunnel(db.id, purpose).await });
    node.until(|node| node.asked_for_bulk.then_some(())).await;
    let second = node::dial_by(root.address, &joined.credentials, Channel::Bulk).await;
    second.sender.send(Bytes::new()).await.unwrap();
    let (by_control, by_second) = (Arc::default(), Arc::default());
    let Node { incoming, tunnels, .. } = node;
    grant(incoming, &by_control);
    grant(second.incoming, &by_second);
    first.await.unwrap().unwrap();
    eventually("tunnels take the second connection", async || {
        root.handle.open_tunnel(db.id, logs.clone()).await.unwrap();
        (by_second.load(Ordering::Relaxed) > 0).then_some(())
    })
    .await;
    let by_now = by_control.load(Ordering::Relaxed);
    root.handle.open_tunnel(db.id, logs.clone()).await.unwrap();
    assert_eq!(by_control.load(Ordering::Relaxed), by_now);

    tunnels.close();
    assert!(is_over(&second.tunnels.ended().await));
    root.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_link_it_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let root = run(root_config(dir.path())).await;
    let joined = node::join(root.address, &root.token(TokenRole::Node).await, "fl-1").await.unwrap();
    let second = node::dial_by(root.address, &joined.credentials, Channel::Bulk).await;
    // It may be closed before anything is said.
    let _ = second.sender.send(Bytes::new()).await;
    assert!(is_over(&second.tunnels.ended().await));
    root.stop().await;
}
